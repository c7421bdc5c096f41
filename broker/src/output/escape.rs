//! Makes text of strangers harmless to look at.
//!
//! Plugins, packages and commits choose their own words. Nothing of theirs
//! may move a cursor, change a colour, turn the reading direction or begin a
//! line of its own. What is escaped stays readable and is never dropped.

use std::io;

use gm_manifest::push_escaped;

/// `text` for one line of a terminal: control and direction characters and
/// line ends are written as [`push_escaped`] does.
pub fn one_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if acts_on_a_terminal(c) => push_escaped(&mut safe, c),
            c => safe.push(c),
        }
    }
    safe
}

/// `text` of several lines: as [`one_line`], but line feeds and tabs stay.
pub fn lines(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => safe.push(c),
            c if acts_on_a_terminal(c) => push_escaped(&mut safe, c),
            c => safe.push(c),
        }
    }
    safe
}

/// Control characters (C0, DEL, C1), those that turn the reading direction
/// (UAX #9: ALM, LRM, RLM, embeddings, overrides, isolates) and Unicode's own
/// line ends.
fn acts_on_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON in which a string's dangerous characters are written `\uXXXX`: the
/// same document to a parser, and harmless if somebody prints it.
pub(super) struct HarmlessJson;

impl serde_json::ser::Formatter for HarmlessJson {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        if !fragment.chars().any(acts_on_a_terminal) {
            return writer.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            if acts_on_a_terminal(c) {
                // All of them lie below U+10000: one unit is enough.
                write!(writer, "\\u{:04x}", u32::from(c))?;
            } else {
                write!(writer, "{c}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_stranger_cannot_fake_another_line() {
        assert_eq!(
            one_line("x\n[GNUPG:] GOODSIG\r\tok"),
            "x\\n[GNUPG:] GOODSIG\\r\\tok"
        );
        assert_eq!(lines("x\r[GNUPG:]\n"), "x\\r[GNUPG:]\n");
        assert_eq!(one_line("a\u{2028}b\u{85}c"), "a\\u{2028}b\\u{85}c");
    }

    #[test]
    fn escape_sequences_and_direction_marks_are_shown_not_obeyed() {
        for (hostile, shown) in [
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{7f}", "a\\u{7f}"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
        ] {
            assert_eq!(one_line(hostile), shown);
            assert_eq!(lines(hostile), shown);
        }
    }

    #[test]
    fn ordinary_text_of_any_language_stays_as_it_is() {
        let text = "Grüße, 世界 👩‍🚀";
        assert_eq!(one_line(text), text);
        assert_eq!(lines("two\nlines\there"), "two\nlines\there");
    }
}
