//! Documents as Lua values and back.
//!
//! JSON has lists and objects, Lua only tables: a list that came from JSON is
//! marked by a metatable, and an empty table without the mark is an object.

use mlua::{Lua, Table, Value};
use serde_json::{Map, Number, Value as Json};

/// The deepest nesting, which is also that of the JSON parser.
const DEEPEST: usize = 128;
/// The largest integer that a double holds with all smaller ones.
const MOST_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Why a value is no document.
pub(super) type Unfit = &'static str;

/// A document as a value; `list` marks what was a list.
pub(super) fn to_lua(lua: &Lua, list: &Table, document: &Json) -> mlua::Result<Value> {
    Ok(match document {
        Json::Null => Value::NULL,
        Json::Bool(yes) => Value::Boolean(*yes),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                table.raw_push(to_lua(lua, list, item)?)?;
            }
            table.set_metatable(Some(list.clone()))?;
            Value::Table(table)
        }
        Json::Object(fields) => {
            let table = lua.create_table_with_capacity(0, fields.len())?;
            for (key, value) in fields {
                table.raw_set(key.as_str(), to_lua(lua, list, value)?)?;
            }
            Value::Table(table)
        }
    })
}

/// A value as a document, keys sorted.
pub(super) fn from_lua(list: &Table, value: &Value) -> Result<Json, Unfit> {
    nested(list, value, DEEPEST)
}

fn nested(list: &Table, value: &Value, depth: usize) -> Result<Json, Unfit> {
    match value {
        Value::Nil => Ok(Json::Null),
        Value::LightUserData(pointer) if pointer.0.is_null() => Ok(Json::Null),
        Value::Boolean(yes) => Ok(Json::Bool(*yes)),
        Value::Integer(number) => Ok(Json::Number((*number).into())),
        Value::Number(number) => self::number(*number),
        Value::String(text) => match text.to_str() {
            Ok(text) => Ok(Json::String(text.to_owned())),
            Err(_) => Err("a text is not UTF-8"),
        },
        Value::Table(table) => {
            let depth = depth.checked_sub(1).ok_or("nested too deeply")?;
            self::table(list, table, depth)
        }
        _ => Err("a function, thread, buffer or the like is no JSON"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "whole and below 2^53 is what the condition asks for"
)]
fn number(number: f64) -> Result<Json, Unfit> {
    if number.fract() == 0.0 && number.abs() <= MOST_INTEGER {
        return Ok(Json::Number((number as i64).into()));
    }
    let number = Number::from_f64(number).ok_or("a number is not finite")?;
    Ok(Json::Number(number))
}

fn table(list: &Table, table: &Table, depth: usize) -> Result<Json, Unfit> {
    let failed = |_| "a table can't be read";
    let len = table.raw_len();
    let marked = table.metatable().is_some_and(|own| own == *list);
    if marked || len > 0 {
        let items = (1..=len).map(|index| {
            let item = table.raw_get::<Value>(index).map_err(failed)?;
            nested(list, &item, depth)
        });
        let items = items.collect::<Result<Vec<_>, _>>()?;
        return match table.pairs::<Value, Value>().count() == len {
            true => Ok(Json::Array(items)),
            false => Err("a table has both a list's items and other keys"),
        };
    }
    let mut fields = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (Value::String(key), value) = pair.map_err(failed)? else {
            return Err("a key is not a text");
        };
        let key = key.to_str().map_err(|_| "a key is not UTF-8")?.to_owned();
        fields.push((key, nested(list, &value, depth)?));
    }
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Json::Object(fields.into_iter().collect::<Map<_, _>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlua::StdLib;

    fn round(text: &str) -> Result<String, Unfit> {
        let lua = Lua::new_with(StdLib::NONE, mlua::LuaOptions::default()).unwrap();
        let list = lua.create_table().unwrap();
        let document: Json = serde_json::from_str(text).unwrap();
        let value = to_lua(&lua, &list, &document).unwrap();
        from_lua(&list, &value).map(|json| json.to_string())
    }

    fn eval(text: &str) -> Result<String, Unfit> {
        let lua = Lua::new_with(StdLib::MATH, mlua::LuaOptions::default()).unwrap();
        let list = lua.create_table().unwrap();
        let value: Value = lua.load(text).eval().unwrap();
        from_lua(&list, &value).map(|json| json.to_string())
    }

    #[test]
    fn documents_come_back_as_they_were() {
        for text in [
            "{}",
            "[]",
            "{\"a\":[],\"b\":{},\"c\":null}",
            "[1,-2,1.5,9007199254740991,true,\"\\u0000ä\"]",
            "{\"a\":[[1],[2,[]]]}",
        ] {
            assert_eq!(round(text).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "0/0",
            "{1, a = 2}",
            "{[true] = 1}",
            "{[2] = 1}",
            "print",
            "{f = function() end}",
            "\"\\xff\"",
        ] {
            assert!(eval(text).is_err(), "{text}");
        }
        let deep = "local t = {} for _ = 1, 1000 do t = {t} end return t";
        assert_eq!(eval(deep), Err("nested too deeply"));
        let ring = "local t = {} t.t = t return t";
        assert_eq!(eval(ring), Err("nested too deeply"));
    }

    #[test]
    fn keys_are_sorted_and_whole_numbers_have_no_point() {
        let text = "return {b = 1, a = 2.0, c = -0.5, [\"\"] = 2^53 - 1}";
        let expected = "{\"\":9007199254740991,\"a\":2,\"b\":1,\"c\":-0.5}";
        assert_eq!(eval(text).unwrap(), expected);
    }
}
