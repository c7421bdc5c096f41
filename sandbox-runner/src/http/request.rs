//! A plugin's request and what it is answered, as documents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// Methods that mean something to a plugin. (CONNECT and TRACE are for proxies.)
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// The most fields that a plugin may set, and their most bytes in all.
const MOST_HEADERS: usize = 64;
const MOST_HEADER_BYTES: usize = 32 << 10;
/// What only the connection's owner may say (RFC 9110, 7.6.1, and framing).
const OURS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// Fields that go on to another origin when a redirect leads there. What else a
/// plugin set may be a secret between it and the host that it asked.
const HARMLESS: [&str; 5] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "content-type",
    "user-agent",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

/// A request of a plugin, its form checked.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) url: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
}

impl Request {
    /// Reads the document of a call.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let invalid = |why: &str| Fault::Invalid(why.to_owned());
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| invalid(&error.to_string()))?;
        let method = document.method.as_deref().unwrap_or("GET");
        let method = METHODS.iter().find(|known| **known == method);
        let method = method
            .ok_or_else(|| invalid("method: one of GET HEAD POST PUT PATCH DELETE OPTIONS"))?;
        let body = match (document.body, document.body_base64) {
            (Some(_), Some(_)) => return Err(invalid("body and body_base64: only one of them")),
            (Some(text), None) => Some(text.into_bytes()),
            (None, Some(text)) => Some(
                STANDARD
                    .decode(text)
                    .map_err(|_| invalid("body_base64: not base64"))?,
            ),
            (None, None) => None,
        };
        Ok(Self {
            method,
            url: document.url,
            headers: headers(document.headers).map_err(Fault::Invalid)?,
            body,
        })
    }

    /// The same request after a redirect of this status.
    pub(super) fn redirected(mut self, status: u16, same_origin: bool) -> Self {
        let becomes_get = match status {
            303 => self.method != "HEAD",
            301 | 302 => self.method == "POST",
            _ => false,
        };
        if becomes_get {
            self.method = "GET";
            self.body = None;
            self.headers
                .retain(|(name, _)| !name.starts_with("content-"));
        }
        if !same_origin {
            self.headers
                .retain(|(name, _)| HARMLESS.contains(&name.as_str()));
        }
        self
    }

    /// The bytes of it, for a host and a path.
    pub(super) fn encode(&self, authority: &str, path: &str) -> Vec<u8> {
        let Self { method, .. } = self;
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
        let mut put = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                head.push_str(part);
            }
        };
        for (name, value) in [
            ("accept", "*/*"),
            // What comes is handed on as it is.
            ("accept-encoding", "identity"),
            ("user-agent", concat!("gm-http/", env!("CARGO_PKG_VERSION"))),
        ] {
            if self.headers.iter().all(|(own, _)| own != name) {
                put(name, value);
            }
        }
        for (name, value) in &self.headers {
            put(name, value);
        }
        let wants_body = matches!(*method, "POST" | "PUT" | "PATCH");
        let body = self.body.as_deref().unwrap_or_default();
        if self.body.is_some() || wants_body {
            put("content-length", &body.len().to_string());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

/// Checks what a plugin wants to say in the request's head.
fn headers(given: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    let bytes: usize = given.iter().map(|(k, v)| k.len() + v.len()).sum();
    if given.len() > MOST_HEADERS || bytes > MOST_HEADER_BYTES {
        return Err("headers: at most 64 of them, and 32 KiB in all".to_owned());
    }
    given
        .into_iter()
        .map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err("headers: a name is of letters, digits and -".to_owned());
            }
            if OURS.contains(&name.as_str()) || name.starts_with("proxy-") {
                return Err(format!("headers: {name} is set by the host"));
            }
            // A line break here would begin a line of the plugin's own making.
            if !value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
                return Err(format!("headers: {name} holds what is no printable ASCII"));
            }
            Ok((name, value.trim_matches([' ', '\t']).to_owned()))
        })
        .collect()
}

/// `tchar` of RFC 9110, lower case.
fn is_token(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9')
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// What a plugin is answered.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    #[serde(flatten)]
    body: Body,
}

/// Text where it is text.
#[derive(Debug, Serialize)]
enum Body {
    #[serde(rename = "body")]
    Text(String),
    #[serde(rename = "body_base64")]
    Bytes(String),
}

impl Answer {
    pub(super) fn new(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        let body = match String::from_utf8(body) {
            Ok(text) => Body::Text(text),
            Err(other) => Body::Bytes(STANDARD.encode(other.as_bytes())),
        };
        Self {
            status,
            headers,
            body,
        }
    }

    /// Its document, of at most `cap` bytes.
    pub(super) fn document(&self, cap: usize) -> Result<Vec<u8>, Fault> {
        let mut to = Bounded {
            bytes: Vec::new(),
            cap,
        };
        match serde_json::to_writer(&mut to, self) {
            Ok(()) => Ok(to.bytes),
            Err(_) => Err(Fault::TooBig),
        }
    }
}

/// Takes no more than its cap: text may grow sixfold when it is escaped.
struct Bounded {
    bytes: Vec<u8>,
    cap: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.cap {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, Fault> {
        Request::parse(text.as_bytes())
    }

    fn encoded(text: &str) -> String {
        String::from_utf8(parse(text).unwrap().encode("a.example", "/x")).unwrap()
    }

    #[test]
    fn the_smallest_request_is_a_get() {
        let text = encoded(r#"{"url":"http://a.example/x"}"#);
        assert_eq!(
            text,
            concat!(
                "GET /x HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\naccept: */*\r\n",
                "accept-encoding: identity\r\nuser-agent: gm-http/",
                env!("CARGO_PKG_VERSION"),
                "\r\n\r\n"
            )
        );
    }

    #[test]
    fn a_body_has_its_length_and_own_fields_replace_ours() {
        let text = encoded(
            r#"{"method":"POST","url":"x","headers":[["User-Agent","me"],["X-A"," b "]],"body_base64":"aGk="}"#,
        );
        assert!(text.contains("\r\nuser-agent: me\r\nx-a: b\r\ncontent-length: 2\r\n\r\nhi"));
        assert!(!text.contains("gm-http"));
        assert!(encoded(r#"{"method":"PUT","url":"x"}"#).contains("content-length: 0\r\n"));
    }

    #[test]
    fn documents_of_another_form_are_invalid() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"url":1}"#,
            r#"{"url":"x","more":1}"#,
            r#"{"url":"x","url":"y"}"#,
            r#"{"url":"x","method":"get"}"#,
            r#"{"url":"x","method":"CONNECT"}"#,
            r#"{"url":"x","method":"GET / HTTP/1.1\r\n"}"#,
            r#"{"url":"x","body":"a","body_base64":"YQ=="}"#,
            r#"{"url":"x","body_base64":"a"}"#,
            r#"{"url":"x","headers":{"a":"b"}}"#,
            r#"{"url":"x","headers":[["a"]]}"#,
            r#"{"url":"x","headers":[["a","b\r\nc: d"]]}"#,
            r#"{"url":"x","headers":[["a","b\nc: d"]]}"#,
            r#"{"url":"x","headers":[["a\r\nb","c"]]}"#,
            r#"{"url":"x","headers":[["a: b","c"]]}"#,
            r#"{"url":"x","headers":[["","c"]]}"#,
            r#"{"url":"x","headers":[["a","\u0000"]]}"#,
            r#"{"url":"x","headers":[["Host","b"]]}"#,
            r#"{"url":"x","headers":[["transfer-Encoding","chunked"]]}"#,
            r#"{"url":"x","headers":[["Content-Length","1"]]}"#,
            r#"{"url":"x","headers":[["Connection","upgrade"]]}"#,
            r#"{"url":"x","headers":[["Proxy-Authorization","b"]]}"#,
        ] {
            assert!(matches!(parse(text), Err(Fault::Invalid(_))), "{text}");
        }
        let many: Vec<_> = (0..65).map(|_| ("a".to_owned(), String::new())).collect();
        assert!(headers(many).is_err());
        assert!(headers(vec![("a".to_owned(), "b".repeat(33 << 10))]).is_err());
    }

    #[test]
    fn a_redirect_to_another_origin_takes_no_secrets_along() {
        let request = || {
            parse(r#"{"method":"POST","url":"x","body":"b","headers":[["Authorization","a"],["Cookie","c"],["X-Api-Key","k"],["Accept","t"],["Content-Type","y"]]}"#).unwrap()
        };
        let names = |request: &Request| -> Vec<String> {
            request
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect()
        };
        let there = request().redirected(307, false);
        assert_eq!(names(&there), ["accept", "content-type"]);
        assert_eq!((there.method, there.body), ("POST", Some(b"b".to_vec())));
        let here = request().redirected(302, true);
        assert_eq!(
            names(&here),
            ["authorization", "cookie", "x-api-key", "accept"]
        );
        assert_eq!((here.method, here.body), ("GET", None));
    }

    #[test]
    fn an_answer_is_text_where_it_is_text_and_never_over_its_cap() {
        let text = |body: &[u8], cap| {
            let answer = Answer::new(200, vec![("a".into(), "b".into())], body.to_vec());
            answer.document(cap).map(|d| String::from_utf8(d).unwrap())
        };
        assert_eq!(
            text(b"hi", 100).unwrap(),
            r#"{"status":200,"headers":[["a","b"]],"body":"hi"}"#
        );
        assert_eq!(
            text(b"\xff\xfe", 100).unwrap(),
            r#"{"status":200,"headers":[["a","b"]],"body_base64":"//4="}"#
        );
        assert_eq!(text(&[1; 40], 100), Err(Fault::TooBig));
    }
}
