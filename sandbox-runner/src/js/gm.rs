//! The global `gm`: the host's calls as functions of a frozen object.
//!
//! Every argument is the script's: read into bytes and numbers here, and judged
//! by who answers the call. No borrow of the host lasts while script runs, as
//! reading an argument may run some that calls the host again.

use std::cell::RefCell;
use std::rc::Rc;

use gm_protocol::abi::CallError;
use rquickjs::function::Rest;
use rquickjs::object::Property;
use rquickjs::{Ctx, Error, Function, Object, Result, TypedArray, Value};

use super::errors::Refusals;
use super::raw;
use super::text::{json, utf8};
use crate::hosting::form::{Gives, Takes};
use crate::hosting::script::{self, Form};
use crate::hosting::{Args, Breach, Host};

/// The state behind the calls, which is there before the plugin is.
pub(super) type SharedHost = Rc<RefCell<Host>>;

/// The name of the global.
const NAME: &str = "gm";
/// The largest whole number that a script can say exactly.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;
/// What the context has beyond what a plugin is given: memory that is shared
/// between threads, and every view of bytes but the one that the calls use.
const WITHDRAWN: [&str; 14] = [
    "SharedArrayBuffer",
    "Atomics",
    "DataView",
    "Int8Array",
    "Uint8ClampedArray",
    "Int16Array",
    "Uint16Array",
    "Int32Array",
    "Uint32Array",
    "BigInt64Array",
    "BigUint64Array",
    "Float16Array",
    "Float32Array",
    "Float64Array",
];

/// Puts `gm` into a context, before any script of a plugin is there, and takes
/// out what is not for plugins.
pub(super) fn install(ctx: &Ctx<'_>, host: &SharedHost) -> Result<()> {
    let globals = ctx.globals();
    for name in WITHDRAWN {
        globals.remove(name)?;
    }
    let tools = Tools {
        freeze: globals.get::<_, Object<'_>>("Object")?.get("freeze")?,
        refusals: Refusals::new(ctx)?,
    };
    let gm = Object::new(ctx.clone())?;
    for form in Form::all() {
        gm.set(form.name, function(ctx, form, false, host, &tools)?)?;
        if form.gives == Gives::Bytes {
            let name = format!("{}_bytes", form.name);
            gm.set(name, function(ctx, form, true, host, &tools)?)?;
        }
    }
    tools.freeze(gm.as_value())?;
    globals.prop(NAME, Property::from(gm).enumerable())
}

/// What the functions are made with, as it was before any script.
struct Tools<'js> {
    freeze: Function<'js>,
    refusals: Refusals<'js>,
}

impl<'js> Tools<'js> {
    fn freeze(&self, object: &Value<'js>) -> Result<()> {
        let frozen: Result<Value<'js>> = self.freeze.call((object.clone(),));
        frozen.map(|_| ())
    }
}

fn function<'js>(
    ctx: &Ctx<'js>,
    form: Form,
    raw: bool,
    host: &SharedHost,
    tools: &Tools<'js>,
) -> Result<Function<'js>> {
    let (host, refusals) = (Rc::clone(host), tools.refusals.clone());
    let answer = move |ctx: Ctx<'js>, args: Rest<Value<'js>>| {
        let answer = answer(&ctx, &host, form, raw, &Given(&args.0));
        answer.map_err(|fault| match fault {
            Fault::Script(error) => error,
            Fault::Refused(code, why) => refusals.throw(&ctx, form.name, code, &why),
        })
    };
    let function = Function::new(ctx.clone(), answer)?.with_name(form.name)?;
    tools.freeze(function.as_value())?;
    Ok(function)
}

/// Why a call gives nothing.
enum Fault {
    /// Something was thrown meanwhile.
    Script(Error),
    /// A code of the ABI, and why.
    Refused(&'static str, String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Script(error)
    }
}

/// An argument of the wrong form.
fn wrong(why: &str) -> Fault {
    Fault::Refused("invalid", why.to_owned())
}

type Answered<T> = std::result::Result<T, Fault>;

fn answer<'js>(
    ctx: &Ctx<'js>,
    host: &RefCell<Host>,
    form: Form,
    raw: bool,
    given: &Given<'_, 'js>,
) -> Answered<Value<'js>> {
    let cap = host.borrow().cap();
    let asked = Asked::read(ctx, form.takes, given, cap)?;
    let status = host.borrow_mut().call(form.call, asked.args());
    let status = status.map_err(|breach| match breach {
        Breach::OutsideOfHook => wrong("only a hook may call it"),
        Breach::UnknownValue => wrong("a level or way that does not exist"),
    })?;
    if status < 0 {
        return refused(ctx, host, status);
    }
    match form.gives {
        Gives::Nothing => Ok(Value::new_undefined(ctx.clone())),
        #[expect(clippy::cast_precision_loss, reason = "a count, far below 2^53")]
        Gives::Count => Ok(Value::new_number(ctx.clone(), status as f64)),
        Gives::Bytes if raw => {
            let bytes = TypedArray::new_copy(ctx.clone(), host.borrow().result())?;
            Ok(bytes.into_value())
        }
        Gives::Bytes => text(ctx, host.borrow().result()),
        Gives::Document => Ok(ctx.json_parse(host.borrow().result())?),
    }
}

fn text<'js>(ctx: &Ctx<'js>, bytes: &[u8]) -> Answered<Value<'js>> {
    let text = str::from_utf8(bytes);
    let text = text.map_err(|_| wrong("it is not UTF-8; the variant _bytes gives it as it is"))?;
    Ok(rquickjs::String::from_str(ctx.clone(), text)?.into_value())
}

/// What a status below 0 means.
fn refused<'js>(ctx: &Ctx<'js>, host: &RefCell<Host>, status: i64) -> Answered<Value<'js>> {
    let error = CallError::of_status(status);
    let text = match error {
        CallError::NotFound => return Ok(Value::new_null(ctx.clone())),
        // The host says more.
        CallError::Net => String::from_utf8_lossy(host.borrow().result()).into_owned(),
        _ => script::meaning(error).to_owned(),
    };
    Err(Fault::Refused(error.as_str(), text))
}

/// The arguments as the script gave them.
struct Given<'a, 'js>(&'a [Value<'js>]);

impl<'js> Given<'_, 'js> {
    /// The argument at `place`, unless it isn't there or undefined.
    fn at(&self, place: usize) -> Option<&Value<'js>> {
        self.0.get(place).filter(|value| !value.is_undefined())
    }

    fn text(&self, place: usize) -> Answered<Vec<u8>> {
        let text = self.at(place).and_then(Value::as_string);
        let text = text.ok_or_else(|| wrong("a text is expected"))?;
        Ok(utf8(text)?.into_bytes())
    }

    fn level(&self, place: usize) -> Answered<i64> {
        let name = self.text(place)?;
        let level = str::from_utf8(&name).ok().and_then(script::level);
        level.ok_or_else(|| wrong("a level is trace, debug, info, warn or error"))
    }

    fn bytes(&self, place: usize) -> Answered<Vec<u8>> {
        let array = self.at(place).and_then(Value::as_object);
        match array.and_then(Object::as_typed_array::<u8>) {
            Some(array) => {
                raw::bytes_of(array).ok_or_else(|| wrong("the bytes of the array are gone"))
            }
            None => self.text(place),
        }
    }

    fn document(&self, ctx: &Ctx<'js>, place: usize) -> Answered<Vec<u8>> {
        let value = self.at(place).cloned();
        let value = value.ok_or_else(|| wrong("a document is expected"))?;
        let text = json(ctx, value)?;
        let text = text.ok_or_else(|| wrong("a document is expected"))?;
        Ok(text.into_bytes())
    }

    fn whole(&self, place: usize) -> Answered<Option<i64>> {
        self.at(place).map(whole).transpose()
    }
}

/// A whole number that isn't negative.
fn whole(value: &Value<'_>) -> Answered<i64> {
    let number = value
        .as_number()
        .filter(|number| number.fract() == 0.0 && (0.0..=MOST_EXACT).contains(number));
    let number = number.ok_or_else(|| wrong("a whole number is expected, 0 or more"))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole, and in the range of an i64: both checked above"
    )]
    Ok(number as i64)
}

/// A call's arguments, read out of the script.
#[derive(Default)]
struct Asked {
    first: Vec<u8>,
    second: Vec<u8>,
    x: i64,
    y: i64,
}

impl Asked {
    fn read<'js>(
        ctx: &Ctx<'js>,
        takes: Takes,
        given: &Given<'_, 'js>,
        cap: usize,
    ) -> Answered<Self> {
        let none = Self::default();
        Ok(match takes {
            Takes::LevelText => Self {
                x: given.level(0)?,
                first: given.text(1)?,
                ..none
            },
            Takes::Text => Self {
                first: given.text(0)?,
                ..none
            },
            Takes::Document => Self {
                first: given.document(ctx, 0)?,
                ..none
            },
            Takes::TextBytes => Self {
                first: given.text(0)?,
                second: given.bytes(1)?,
                ..none
            },
            Takes::TextDocument => Self {
                first: given.text(0)?,
                second: given.document(ctx, 1)?,
                ..none
            },
            Takes::Read => Self {
                first: given.text(0)?,
                x: given.whole(1)?.unwrap_or(0),
                y: given
                    .whole(2)?
                    .unwrap_or_else(|| i64::try_from(cap).unwrap_or(i64::MAX)),
                ..none
            },
            Takes::Write => {
                let (x, y) = how(given.at(2))?;
                Self {
                    first: given.text(0)?,
                    second: given.bytes(1)?,
                    x,
                    y,
                }
            }
        })
    }

    fn args(&self) -> Args<'_> {
        Args {
            first: &self.first,
            second: &self.second,
            x: self.x,
            y: self.y,
        }
    }
}

/// Offset and flags of a write, from `{offset, create, truncate}`.
fn how(said: Option<&Value<'_>>) -> Answered<(i64, i64)> {
    let Some(said) = said else {
        return Ok((0, 0));
    };
    let said = said.as_object();
    let said = said.ok_or_else(|| wrong("an object says how to write"))?;
    let flag = |key: &str| -> Answered<i64> {
        let value: Value<'_> = said.get(key)?;
        match value.as_bool() {
            Some(flag) => Ok(i64::from(flag)),
            None if value.is_undefined() => Ok(0),
            None => Err(wrong("a flag is true or false")),
        }
    };
    let offset: Value<'_> = said.get("offset")?;
    let offset = if offset.is_undefined() {
        0
    } else {
        whole(&offset)?
    };
    Ok((offset, flag("create")? | flag("truncate")? << 1))
}
