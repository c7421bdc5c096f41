//! The JSON text of `gm.commit/1`, kept below the limit for one event.
//!
//! Git's text may be any bytes: what isn't UTF-8 is given with U+FFFD, and the
//! exact bytes beside it. Only integers are written.

use super::MAX_SAFE_INTEGER;
use base64::Engine as _;
use gix::actor::SignatureRef;
use serde::Serialize;
use std::borrow::Cow;

/// The most of a commit's message that is handed on, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// What to try when the message, escaped, leaves no room for the rest.
const SHORTER: [usize; 4] = [MAX_MESSAGE_BYTES, 8 << 10, 1 << 10, 0];

/// Text of Git, and its bytes where the text can't stand for them.
struct Text<'a> {
    text: Cow<'a, str>,
    exact: Option<String>,
}

impl<'a> Text<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let exact = matches!(text, Cow::Owned(_))
            .then(|| base64::engine::general_purpose::STANDARD.encode(bytes));
        Self { text, exact }
    }
}

/// Author or committer.
#[derive(Serialize)]
struct Person<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_base64: Option<String>,
    email: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_base64: Option<String>,
    time: i64,
    offset: i32,
}

impl<'a> Person<'a> {
    fn of(signature: SignatureRef<'a>) -> Self {
        let (name, email) = (Text::of(signature.name), Text::of(signature.email));
        // A time zone that can't be read does not take the time with it.
        let offset = signature.time().map_or(0, |time| time.offset / 60);
        Self {
            name: name.text,
            name_base64: name.exact,
            email: email.text,
            email_base64: email.exact,
            time: signature
                .seconds()
                .clamp(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
            offset,
        }
    }
}

/// A commit, without its files.
pub(super) struct CommitHead<'a> {
    pub(super) id: String,
    pub(super) parents: Vec<String>,
    pub(super) tree: String,
    pub(super) boundary: bool,
    pub(super) author: SignatureRef<'a>,
    pub(super) committer: SignatureRef<'a>,
    pub(super) message: &'a [u8],
}

#[derive(Serialize)]
struct HeadJson<'a> {
    schema: &'static str,
    id: &'a str,
    parents: &'a [String],
    tree: &'a str,
    merge: bool,
    boundary: bool,
    author: Person<'a>,
    committer: Person<'a>,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_base64: Option<String>,
    message_cut: bool,
}

impl<'a> HeadJson<'a> {
    fn of(head: &'a CommitHead<'a>, max_message: usize) -> Self {
        let (message, message_cut) = cut(head.message, max_message);
        let message = Text::of(message);
        Self {
            schema: "gm.commit/1",
            id: &head.id,
            parents: &head.parents,
            tree: &head.tree,
            merge: head.parents.len() > 1,
            boundary: head.boundary,
            author: Person::of(head.author),
            committer: Person::of(head.committer),
            message: message.text,
            message_base64: message.exact,
            message_cut,
        }
    }
}

/// At most `max` bytes, without a part of a character at the end.
fn cut(message: &[u8], max: usize) -> (&[u8], bool) {
    let Some(short) = message.get(..max).filter(|_| message.len() > max) else {
        return (message, false);
    };
    let whole = match std::str::from_utf8(short) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => short.len(),
    };
    (short.get(..whole).unwrap_or_default(), true)
}

/// One changed file.
#[derive(Serialize)]
pub(super) struct File {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    pub(super) status: &'static str,
    pub(super) mode: Option<&'static str>,
    pub(super) old_mode: Option<&'static str>,
    pub(super) added: Option<u32>,
    pub(super) deleted: Option<u32>,
    pub(super) binary: bool,
    pub(super) bytes: Option<u64>,
    pub(super) missing: bool,
}

impl File {
    /// A file of which only the path is known.
    pub(super) fn at(path: &[u8]) -> Self {
        let path = Text::of(path);
        Self {
            path: path.text.into_owned(),
            path_base64: path.exact,
            status: "M",
            mode: None,
            old_mode: None,
            added: None,
            deleted: None,
            binary: false,
            bytes: None,
            missing: false,
        }
    }
}

/// A document to which files are added until it is full.
pub(super) struct Document {
    json: Vec<u8>,
    tail: String,
    limit: usize,
    files: u64,
}

/// Room for `"files_total":` and its number.
const COUNT_BYTES: usize = 40;

impl Document {
    /// Begins a document of at most `limit` bytes; `None` if not even the
    /// commit without message and files fits.
    pub(super) fn begin(
        head: &CommitHead<'_>,
        index: u64,
        total: u64,
        limit: usize,
    ) -> Option<Self> {
        let tail = format!(",\"index\":{index},\"total\":{total}}}");
        for max_message in SHORTER {
            let mut json = serde_json::to_vec(&HeadJson::of(head, max_message)).ok()?;
            json.pop(); // the brace; more members follow
            json.extend_from_slice(b",\"files\":[");
            if json.len() + COUNT_BYTES + tail.len() <= limit {
                return Some(Self {
                    json,
                    tail,
                    limit,
                    files: 0,
                });
            }
        }
        None
    }

    /// Adds a file if there is room; else the document stays as it is.
    pub(super) fn add(&mut self, file: &File) -> bool {
        let before = self.json.len();
        if self.files > 0 {
            self.json.push(b',');
        }
        let written = serde_json::to_writer(&mut self.json, file).is_ok();
        if !written || self.json.len() + COUNT_BYTES + self.tail.len() > self.limit {
            self.json.truncate(before);
            return false;
        }
        self.files += 1;
        true
    }

    /// The text, once it is known how many files there are.
    pub(super) fn end(mut self, files_total: u64) -> String {
        self.json
            .extend_from_slice(format!("],\"files_total\":{files_total}").as_bytes());
        self.json.extend_from_slice(self.tail.as_bytes());
        String::from_utf8_lossy(&self.json).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gix::bstr::ByteSlice as _;

    fn person(name: &[u8]) -> SignatureRef<'_> {
        SignatureRef {
            name: name.as_bstr(),
            email: b"a@b".as_bstr(),
            time: "1700000000 +0130",
        }
    }

    fn head<'a>(name: &'a [u8], message: &'a [u8]) -> CommitHead<'a> {
        CommitHead {
            id: "1".into(),
            parents: vec!["2".into()],
            tree: "3".into(),
            boundary: false,
            author: person(name),
            committer: person(b"C"),
            message,
        }
    }

    fn document(head: &CommitHead<'_>, files: usize, limit: usize) -> Option<(String, usize)> {
        let mut document = Document::begin(head, 3, 9, limit)?;
        let kept = (0..files)
            .take_while(|n| document.add(&File::at(format!("f{n}").as_bytes())))
            .count();
        Some((document.end(files as u64), kept))
    }

    #[test]
    fn members_stand_in_the_documented_order() {
        let (text, _) = document(&head(b"A", b"subject\n"), 1, 4096).unwrap();
        assert_eq!(
            text,
            r#"{"schema":"gm.commit/1","id":"1","parents":["2"],"tree":"3","merge":false,"boundary":false,"author":{"name":"A","email":"a@b","time":1700000000,"offset":90},"committer":{"name":"C","email":"a@b","time":1700000000,"offset":90},"message":"subject\n","message_cut":false,"files":[{"path":"f0","status":"M","mode":null,"old_mode":null,"added":null,"deleted":null,"binary":false,"bytes":null,"missing":false}],"files_total":1,"index":3,"total":9}"#
        );
    }

    #[test]
    fn text_that_is_not_utf8_comes_with_its_exact_bytes() {
        let (text, _) = document(&head(b"J\xf6rg", b"\xff"), 0, 4096).unwrap();
        assert!(
            text.contains("\"name\":\"J\u{fffd}rg\",\"name_base64\":\"SvZyZw==\""),
            "{text}"
        );
        assert!(
            text.contains("\"message\":\"\u{fffd}\",\"message_base64\":\"/w==\""),
            "{text}"
        );
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let long = "é".repeat(MAX_MESSAGE_BYTES).into_bytes();
        let odd = [b"x", long.as_slice()].concat();
        assert_eq!(
            cut(&long, MAX_MESSAGE_BYTES),
            (&long[..MAX_MESSAGE_BYTES], true)
        );
        assert_eq!(
            cut(&odd, MAX_MESSAGE_BYTES),
            (&odd[..MAX_MESSAGE_BYTES - 1], true)
        );
        assert_eq!(cut(b"short", MAX_MESSAGE_BYTES), (&b"short"[..], false));
    }

    #[test]
    fn the_list_of_files_is_cut_at_the_limit_and_says_how_many_there_are() {
        let (text, kept) = document(&head(b"A", b""), 100, 2048).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(text.len() <= 2048, "{}", text.len());
        assert!((5..100).contains(&kept), "{kept}");
        assert_eq!(value["files"].as_array().unwrap().len(), kept);
        assert_eq!(value["files_total"], 100);
    }

    #[test]
    fn a_small_limit_takes_from_the_message_first() {
        let control = vec![1_u8; 10_000]; // six bytes each in JSON
        let (text, _) = document(&head(b"A", &control), 0, 8192).unwrap();
        assert!(
            text.len() <= 8192 && text.contains("\"message_cut\":true"),
            "{}",
            text.len()
        );
    }

    #[test]
    fn a_commit_that_can_never_fit_has_no_document() {
        assert!(document(&head(&[b'a'; 5000], b""), 0, 4096).is_none());
    }
}
