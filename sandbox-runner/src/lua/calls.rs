//! `gm` in Lua: one function for each call of the host.
//!
//! A function here gives `true` and a value, or `false` and an error's table;
//! a few lines of Lua (`prelude.luau`) raise that table, since an error that
//! crosses from here would not be a table any more.

use std::cell::RefCell;
use std::rc::Rc;

use gm_protocol::abi::CallError;
use mlua::{FromLua as _, Function, Lua, MultiValue, Table, Value};

use super::value;
use crate::hosting::form::{Gives, Takes};
use crate::hosting::script::{self, Form};
use crate::hosting::{Args, Host};

/// The state behind the calls, which is there before the plugin is.
pub(super) type SharedHost = Rc<RefCell<Host>>;

/// What a call was given, read out of Lua.
struct Given {
    first: Vec<u8>,
    second: Vec<u8>,
    x: i64,
    y: i64,
}

/// Why a call was not done: a code's name, and a text.
type Failed = (&'static str, String);

/// The functions by name, for the prelude.
pub(super) fn functions(lua: &Lua, host: &SharedHost, list: &Table) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for form in Form::all() {
        let (host, list) = (Rc::clone(host), list.clone());
        let function = lua.create_function(move |lua, given: MultiValue| {
            match call(lua, &host, &list, form, given) {
                Ok(value) => Ok((true, value)),
                Err((code, message)) => {
                    let error = lua.create_table_with_capacity(0, 3)?;
                    error.raw_set("code", code)?;
                    error.raw_set("call", form.name)?;
                    error.raw_set("message", message)?;
                    Ok((false, Value::Table(error)))
                }
            }
        })?;
        table.raw_set(form.name, function)?;
    }
    Ok(table)
}

/// A function that marks its table, or a new one, as a list.
pub(super) fn list_maker(lua: &Lua, list: &Table) -> mlua::Result<Function> {
    let list = list.clone();
    lua.create_function(move |lua, table: Option<Table>| {
        let table = match table {
            Some(table) => table,
            None => lua.create_table()?,
        };
        table.set_metatable(Some(list.clone()))?;
        Ok(table)
    })
}

fn call(
    lua: &Lua,
    host: &SharedHost,
    list: &Table,
    form: Form,
    given: MultiValue,
) -> Result<Value, Failed> {
    let invalid = |what: &str| ("invalid", what.to_owned());
    // A call of the host runs no Lua, so it never meets itself.
    let mut host = host
        .try_borrow_mut()
        .map_err(|_| invalid("a call within a call"))?;
    let cap = i64::try_from(host.cap()).unwrap_or(i64::MAX);
    let Given {
        first,
        second,
        x,
        y,
    } = read(lua, list, form.takes, given, cap)?;
    let args = Args {
        first: &first,
        second: &second,
        x,
        y,
    };
    let status = host.call(form.call, args);
    let status = status.map_err(|_| invalid("a call of the host is made in a hook only"))?;
    if status < 0 {
        let error = CallError::of_status(status);
        let text = match error {
            CallError::NotFound => return Ok(Value::Nil),
            // The host says more.
            CallError::Net => String::from_utf8_lossy(host.result()).into_owned(),
            _ => script::meaning(error).to_owned(),
        };
        return Err((error.as_str(), text));
    }
    let too_much = |_| ("internal", "the result could not be taken".to_owned());
    match form.gives {
        Gives::Nothing => Ok(Value::Nil),
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        Gives::Count => Ok(Value::Number(status as f64)),
        Gives::Bytes => {
            let text = lua.create_string(host.result()).map_err(too_much)?;
            Ok(Value::String(text))
        }
        Gives::Document => {
            let document = serde_json::from_slice(host.result());
            let document = document.map_err(|_| invalid("the result is no JSON"))?;
            value::to_lua(lua, list, &document).map_err(too_much)
        }
    }
}

fn read(
    lua: &Lua,
    list: &Table,
    takes: Takes,
    mut given: MultiValue,
    cap: i64,
) -> Result<Given, Failed> {
    let invalid = |what: &str| ("invalid", what.to_owned());
    let mut next = || given.pop_front().unwrap_or(Value::Nil);
    let text = |value: Value| match value {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        _ => Err(invalid("a string is needed")),
    };
    let document = |value: Value| {
        let json = value::from_lua(list, &value).map_err(invalid)?;
        serde_json::to_vec(&json).map_err(|_| invalid("the value is no JSON"))
    };
    let whole = |value: Value, otherwise: i64| match value {
        Value::Nil => Ok(otherwise),
        other => i64::from_lua(other, lua).map_err(|_| invalid("a whole number is needed")),
    };
    let mut read = Given {
        first: Vec::new(),
        second: Vec::new(),
        x: 0,
        y: 0,
    };
    match takes {
        Takes::Text => read.first = text(next())?,
        Takes::Document => read.first = document(next())?,
        Takes::TextBytes => (read.first, read.second) = (text(next())?, text(next())?),
        Takes::TextDocument => (read.first, read.second) = (text(next())?, document(next())?),
        Takes::LevelText => {
            let level = text(next())?;
            let level = std::str::from_utf8(&level).ok().and_then(script::level);
            let levels = "a level is trace, debug, info, warn or error";
            read.x = level.ok_or_else(|| invalid(levels))?;
            read.first = text(next())?;
        }
        Takes::Read => {
            read.first = text(next())?;
            (read.x, read.y) = (whole(next(), 0)?, whole(next(), cap)?);
        }
        Takes::Write => {
            (read.first, read.second) = (text(next())?, text(next())?);
            if let Value::Table(options) = next() {
                let option = |name: &str| options.raw_get::<Value>(name).unwrap_or(Value::Nil);
                read.x = whole(option("offset"), 0)?;
                let set = |name: &str| matches!(option(name), Value::Boolean(true));
                read.y = i64::from(set("create")) | i64::from(set("truncate")) << 1;
            }
        }
    }
    Ok(read)
}
