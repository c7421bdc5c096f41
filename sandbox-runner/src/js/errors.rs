//! What a script throws, as text for people; and what the host refuses, as an
//! error that a script can catch.

use gm_protocol::message::TrapClass;
use rquickjs::object::Property;
use rquickjs::{Constructor, Ctx, Error, Exception, Object, Result, Value};

use super::text;
use crate::walls::last;

/// What the engine throws where its stack ends. A script that catches it goes
/// on; one that doesn't has trapped.
const STACK_FULL: (&str, &str) = ("RangeError", "Maximum call stack size exceeded");

/// The text of an error, the exception that hangs in `ctx` included.
pub(super) fn text(ctx: &Ctx<'_>, error: &Error) -> String {
    match error {
        Error::Exception => thrown(ctx, &ctx.catch()),
        other => other.to_string(),
    }
}

/// The text of what was thrown, with the place in the code if it's known.
fn thrown<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> String {
    let Some(error) = value.as_object().filter(|object| object.is_error()) else {
        return plain(ctx, value);
    };
    let [name, message, stack] =
        ["name", "message", "stack"].map(|key| property(ctx, error, key).unwrap_or_default());
    if (name.as_str(), message.as_str()) == STACK_FULL {
        last::trap(TrapClass::Stack);
    }
    let said = match (name.as_str(), message.as_str()) {
        ("", "") => "an error without a message".to_owned(),
        ("", text) | (text, "") => text.to_owned(),
        (name, message) => format!("{name}: {message}"),
    };
    match place(&stack) {
        Some(place) => format!("{said} at {place}"),
        None => said,
    }
}

/// What is no error but was thrown all the same.
fn plain<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> String {
    if let Some(Ok(text)) = value.as_string().map(text::utf8) {
        return text;
    }
    match text::json(ctx, value.clone()) {
        Ok(Some(text)) => text,
        Ok(None) => value.type_name().to_owned(),
        Err(_) => {
            ctx.catch();
            value.type_name().to_owned()
        }
    }
}

/// A property that is a text. To read it may run the script's own code.
fn property(ctx: &Ctx<'_>, object: &Object<'_>, key: &str) -> Option<String> {
    let Ok(value) = object.get::<_, Value<'_>>(key) else {
        ctx.catch();
        return None;
    };
    text::utf8(value.as_string()?).ok()
}

/// The first line of a trace that lies in a file.
fn place(stack: &str) -> Option<&str> {
    let lines = stack.lines().map(str::trim);
    let places = lines.filter_map(|line| line.strip_prefix("at "));
    places
        .into_iter()
        .find(|place| !place.ends_with("(native)"))
}

/// Makes the errors of the host's calls: as `Error` was before any script could
/// change it.
#[derive(Clone)]
pub(super) struct Refusals<'js>(Constructor<'js>);

impl<'js> Refusals<'js> {
    pub(super) fn new(ctx: &Ctx<'js>) -> Result<Self> {
        ctx.globals().get("Error").map(Self)
    }

    /// Throws an error with this code.
    pub(super) fn throw(&self, ctx: &Ctx<'js>, call: &str, code: &str, why: &str) -> Error {
        let made = self.make(ctx, call, code, why);
        made.map_or_else(|error| error, |error| ctx.throw(error))
    }

    fn make(&self, ctx: &Ctx<'js>, call: &str, code: &str, why: &str) -> Result<Value<'js>> {
        let error: Exception<'js> = self.0.construct((format!("gm.{call}: {code}: {why}"),))?;
        for (key, value) in [("code", code), ("call", call)] {
            let text = rquickjs::String::from_str(ctx.clone(), value)?;
            let shown = Property::from(text).enumerable().configurable().writable();
            error.as_object().prop(key, shown)?;
        }
        Ok(error.into_object().into_value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_the_first_line_in_a_file() {
        let stack = "    at push (native)\n    at add (lib/a.js:3:7)\n    at plugin.js:1:1\n";
        assert_eq!(place(stack), Some("add (lib/a.js:3:7)"));
        assert_eq!(place("    at plugin.js:2:9\n"), Some("plugin.js:2:9"));
        assert_eq!(place("    at f (native)\n"), None);
        assert_eq!(place(""), None);
    }
}
