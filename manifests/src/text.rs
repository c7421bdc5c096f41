//! Makes text of strangers harmless before people or terminals see it.

use std::fmt::Write;

/// The most that a message keeps of one piece of text, in bytes: a manifest may
/// hold 64 KiB on one line, and a refusal is one line of a log.
const MAX_SHOWN: usize = 1024;

/// Replaces control, direction and invisible characters as [`push_escaped`] writes
/// them and cuts what is longer than 1 KiB, so that the result is one line that reads
/// in the order in which it is written.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_SHOWN));
    for c in text.chars() {
        if shown.len() >= MAX_SHOWN {
            shown.push('…');
            break;
        }
        if is_unsafe_to_show(c) {
            push_escaped(&mut shown, c);
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Writes a character that isn't shown as it is: `\n`, `\t` and `\r`, any other one as
/// `\u{..}`. The one way in which this is written, so that the same text reads the
/// same wherever it turns up.
pub fn push_escaped(to: &mut String, c: char) {
    match c {
        '\n' => to.push_str("\\n"),
        '\t' => to.push_str("\\t"),
        '\r' => to.push_str("\\r"),
        // Writing to a String cannot fail.
        c => {
            let _ = write!(to, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

/// Characters that move the cursor, change the order of reading, or are not
/// seen at all: controls, line and paragraph separators, the directional and
/// zero-width characters, tags, and the byte-order mark.
pub(crate) fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_cannot_fake_a_line_or_turn_around() {
        assert_eq!(escape("a\n[GNUPG:] GOODSIG"), "a\\n[GNUPG:] GOODSIG");
        assert_eq!(escape("\u{1b}[31mred"), "\\u{1b}[31mred");
        assert_eq!(escape("evil\u{202e}cod.exe"), "evil\\u{202e}cod.exe");
        assert_eq!(escape("a\r\tb\u{b}"), "a\\r\\tb\\u{b}");
        assert_eq!(escape("Grüße, 世界"), "Grüße, 世界");
    }

    #[test]
    fn long_text_is_cut() {
        let shown = escape(&"x".repeat(5000));
        assert!(shown.len() < MAX_SHOWN + 8 && shown.ends_with('…'));
    }
}
