//! The one answer to everything that must not start.
//!
//! A refusal carries a stable code, and text for people that is made harmless
//! here, once: no text of a manifest, packet or path can fake a line.

use crate::{Code, escape};
use serde::Serialize;
use serde::ser::SerializeStruct;

/// Why something was refused before it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason.
    pub code: Code,
    /// The id as the manifest or the caller gives it; `None` while unknown.
    pub plugin: Option<String>,
    /// The version as the manifest gives it; `None` while unknown.
    pub version: Option<String>,
    /// The step of verification that failed, where there is one.
    pub step: Option<u8>,
    /// What was found, for people; already escaped.
    pub detail: String,
    /// The rule that it breaks, for people; already escaped, may be empty.
    pub rule: Box<str>,
    /// The line of the manifest that caused it, from 1.
    pub manifest_line: Option<u32>,
    /// What few refusals have, so that all of them stay small.
    more: Option<Box<More>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct More {
    layer: Option<String>,
    fix: Option<String>,
}

impl Refusal {
    /// A refusal with its reason and what was found; text is escaped here.
    #[must_use]
    pub fn new(code: Code, detail: impl AsRef<str>) -> Self {
        Self {
            code,
            plugin: None,
            version: None,
            step: None,
            detail: escape(detail.as_ref()),
            rule: Box::default(),
            manifest_line: None,
            more: None,
        }
    }

    /// Names the plugin, unless one is named already.
    #[must_use]
    pub fn plugin(mut self, id: impl AsRef<str>) -> Self {
        self.plugin.get_or_insert_with(|| escape(id.as_ref()));
        self
    }

    /// Names the version, unless one is named already.
    #[must_use]
    pub fn version(mut self, version: impl AsRef<str>) -> Self {
        self.version.get_or_insert_with(|| escape(version.as_ref()));
        self
    }

    /// Says which step of verification failed.
    #[must_use]
    pub fn step(mut self, step: u8) -> Self {
        self.step = Some(step);
        self
    }

    /// Says which rule is broken.
    #[must_use]
    pub fn rule(mut self, rule: impl AsRef<str>) -> Self {
        self.rule = escape(rule.as_ref()).into();
        self
    }

    /// Names the manifest's line, from 1.
    #[must_use]
    pub fn line(mut self, line: u32) -> Self {
        self.manifest_line = Some(line);
        self
    }

    /// Names the wall or layer that is missing.
    #[must_use]
    pub fn layer(mut self, layer: impl AsRef<str>) -> Self {
        self.more.get_or_insert_default().layer = Some(escape(layer.as_ref()));
        self
    }

    /// The wall or layer that is missing, where that is the reason.
    #[must_use]
    pub fn missing_layer(&self) -> Option<&str> {
        self.more.as_ref()?.layer.as_deref()
    }

    /// Says what to do, where the code's own words would mislead.
    #[must_use]
    pub fn fix(mut self, what: impl AsRef<str>) -> Self {
        self.more.get_or_insert_default().fix = Some(escape(what.as_ref()));
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &str {
        let fix = self.more.as_ref().and_then(|more| more.fix.as_deref());
        fix.unwrap_or(self.code.remedy())
    }

    /// The exit code of the process that ends with this.
    #[must_use]
    pub fn exit(&self) -> u8 {
        self.code.exit()
    }
}

/// `refused <id>: <what>, <rule> (<class>/<code>)`, without the remedy.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")?;
        if let Some(plugin) = &self.plugin {
            write!(f, " {plugin}")?;
        }
        write!(f, ": {}", self.detail)?;
        if !self.rule.is_empty() {
            write!(f, ", {}", self.rule)?;
        }
        if let Some(line) = self.manifest_line {
            write!(f, ", manifest line {line}")?;
        }
        write!(f, " ({})", self.code)
    }
}

impl std::error::Error for Refusal {}

/// The members that a refusal gives to a JSON result, in their documented order.
impl Serialize for Refusal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Refusal", 10)?;
        object.serialize_field("exit", &self.exit())?;
        object.serialize_field("code", &self.code)?;
        object.serialize_field("plugin", &self.plugin)?;
        object.serialize_field("version", &self.version)?;
        object.serialize_field("step", &self.step)?;
        object.serialize_field("detail", &self.detail)?;
        object.serialize_field("rule", &self.rule)?;
        object.serialize_field("manifest_line", &self.manifest_line)?;
        object.serialize_field("layer", &self.missing_layer())?;
        object.serialize_field("remedy", self.remedy())?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_which_rule_which_line_and_the_code() {
        let refusal = Refusal::new(Code::ManifestBadValue, "memory_limit is \"1mb\"")
            .plugin("com.example.hello")
            .rule("wasm needs at least 16mb")
            .line(21);
        assert_eq!(
            refusal.to_string(),
            "refused com.example.hello: memory_limit is \"1mb\", wasm needs at least 16mb, manifest line 21 (manifest/bad-value)"
        );
    }

    #[test]
    fn hostile_text_stays_on_its_line() {
        let refusal = Refusal::new(Code::ManifestSyntax, "x\nrefused nothing").plugin("a\u{202e}b");
        assert!(!refusal.to_string().contains(['\n', '\u{202e}']));
    }

    #[test]
    fn the_first_plugin_named_stays() {
        let refusal = Refusal::new(Code::ManifestBadId, "x")
            .plugin("com.a.b")
            .plugin("com.c.d");
        assert_eq!(refusal.plugin.as_deref(), Some("com.a.b"));
    }
}
