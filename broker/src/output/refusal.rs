//! A refusal as people and programs read it.

use gm_manifest::Refusal;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Output, escape};

/// The exit code that a refusal stands for: the one mapping, which
/// [`gm_manifest::Code`] holds for each class.
pub fn exit_of(refusal: &Refusal) -> u8 {
    refusal.exit()
}

/// `gm.result/1` of something that was not done.
#[derive(Serialize)]
struct Refused<'a> {
    schema: &'static str,
    event: &'static str,
    result: &'static str,
    #[serde(flatten)]
    refusal: &'a Refusal,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// A wrong call and our own failure judge no plugin: those are errors.
fn result_of(refusal: &Refusal) -> &'static str {
    match exit_of(refusal) {
        2 | 70 => "error",
        _ => "refused",
    }
}

impl Output {
    /// Says what was refused and why: one JSON object on stdout, or a line
    /// with its remedy on stderr. Returns the exit code that it stands for.
    pub fn refused(&mut self, refusal: &Refusal) -> u8 {
        self.refused_with(refusal, [])
    }

    /// The same, with members behind the common ones in JSON form.
    pub fn refused_with<'a>(
        &mut self,
        refusal: &Refusal,
        more: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> u8 {
        let word = self.err.paint("1;31", result_of(refusal));
        let more = more
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        self.not_done(refusal, &human(refusal, &word), more)
    }

    /// A command line that can't be understood; `explained` tells people how
    /// it is done, in more lines than a refusal has.
    pub fn misused(&mut self, refusal: &Refusal, explained: &str) -> u8 {
        self.not_done(refusal, &escape::lines(explained.trim_end()), Map::new())
    }

    fn not_done(&mut self, refusal: &Refusal, text: &str, more: Map<String, Value>) -> u8 {
        if self.is_json() {
            self.json_line(&Refused {
                schema: "gm.result/1",
                event: "refused",
                result: result_of(refusal),
                refusal,
                more,
            });
        } else {
            self.diagnostic(text);
        }
        exit_of(refusal)
    }
}

/// `refused com.x.y 1.0.0: what, rule, manifest line N (class/code)` and the
/// remedy below it.
fn human(refusal: &Refusal, word: &str) -> String {
    let mut text = word.to_owned();
    for part in [&refusal.plugin, &refusal.version].into_iter().flatten() {
        text.push(' ');
        text.push_str(&escape::one_line(part));
    }
    text.push_str(": ");
    text.push_str(&escape::one_line(&refusal.detail));
    if !refusal.rule.is_empty() {
        text.push_str(", ");
        text.push_str(&escape::one_line(&refusal.rule));
    }
    if let Some(line) = refusal.manifest_line {
        text.push_str(&format!(", manifest line {line}"));
    }
    if let Some(layer) = refusal.missing_layer() {
        text.push_str(&format!(", layer {}", escape::one_line(layer)));
    }
    text.push_str(&format!(" ({})", refusal.code.as_str()));
    let remedy = refusal.remedy();
    if !remedy.is_empty() {
        text.push_str("\n  ");
        text.push_str(remedy);
    }
    text
}

#[cfg(test)]
mod tests {
    use gm_manifest::Code;

    use super::*;
    use crate::output::Format;

    fn pin_changed() -> Refusal {
        Refusal::new(
            Code::IdentityPinChanged,
            "id is pinned to 91CC, package is signed by 3AF0",
        )
        .plugin("com.x.y")
        .version("1.0.0")
        .step(10)
        .rule("a pinned id keeps its key")
    }

    #[test]
    fn a_refusal_in_json_has_exactly_the_documented_fields_in_order() {
        let (mut output, seen) = Output::captured(Format::Json);
        let exit = output.refused(&pin_changed());
        assert_eq!(exit, 13);
        let remedy = serde_json::to_string(Code::IdentityPinChanged.remedy()).unwrap();
        assert_eq!(
            seen.out.text(),
            format!(
                "{{\"schema\":\"gm.result/1\",\"event\":\"refused\",\"result\":\"refused\",\
                 \"exit\":13,\"code\":\"identity/pin-changed\",\"plugin\":\"com.x.y\",\
                 \"version\":\"1.0.0\",\"step\":10,\
                 \"detail\":\"id is pinned to 91CC, package is signed by 3AF0\",\
                 \"rule\":\"a pinned id keeps its key\",\"manifest_line\":null,\"layer\":null,\
                 \"remedy\":{remedy}}}\n"
            )
        );
        assert_eq!(seen.err.text(), "");
    }

    #[test]
    fn a_refusal_for_people_names_plugin_cause_rule_code_and_remedy() {
        let (mut output, seen) = Output::captured(Format::Human);
        assert_eq!(output.refused(&pin_changed()), 13);
        assert_eq!(
            seen.err.text(),
            format!(
                "refused com.x.y 1.0.0: id is pinned to 91CC, package is signed by 3AF0, \
                 a pinned id keeps its key (identity/pin-changed)\n  {}\n",
                Code::IdentityPinChanged.remedy()
            )
        );
        assert_eq!(seen.out.text(), "");
    }

    #[test]
    fn a_wrong_call_and_an_internal_failure_are_errors_not_refusals() {
        for (code, exit) in [(Code::UsageArguments, 2), (Code::InternalPanic, 70)] {
            let (mut output, seen) = Output::captured(Format::Json);
            assert_eq!(output.refused(&Refusal::new(code, "x")), exit);
            let object: serde_json::Value = serde_json::from_str(&seen.out.text()).unwrap();
            assert_eq!(object["result"], "error");
            assert_eq!(object["exit"], exit);
        }
    }

    #[test]
    fn a_hostile_name_stays_on_its_line_in_both_forms() {
        let hostile = "x\n[GNUPG:] GOODSIG \u{1b}[2J\u{202e}";
        let refusal = Refusal::new(Code::ManifestBadId, hostile).plugin(hostile);
        let (mut output, seen) = Output::captured(Format::Json);
        output.refused(&refusal);
        let text = seen.out.text();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["plugin"], gm_manifest::escape(hostile));

        let (mut output, seen) = Output::captured(Format::Human);
        output.refused(&refusal);
        assert!(
            seen.err
                .text()
                .starts_with("refused x\\n[GNUPG:] GOODSIG \\u{1b}[2J\\u{202e}: x\\n")
        );
    }
}
