//! Requests and responses of `http_request`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What to ask a host for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request with this method: `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE` or
    /// `OPTIONS`.
    #[must_use]
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `POST` with this body.
    #[must_use]
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", url).body(body)
    }

    /// With one more field of its head. `Host`, `Content-Length` and what else is
    /// about the connection are the host's own to set.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }
}

#[derive(Serialize)]
struct Document<'a> {
    method: &'a str,
    url: &'a str,
    headers: &'a [(String, String)],
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl Serialize for Request {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = self.body.as_deref();
        let text = body.and_then(|body| std::str::from_utf8(body).ok());
        let document = Document {
            method: &self.method,
            url: &self.url,
            headers: &self.headers,
            body: text,
            body_base64: body
                .filter(|_| text.is_none())
                .map(|body| STANDARD.encode(body)),
        };
        document.serialize(serializer)
    }
}

/// What a host answered, whatever its status is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Fields of its head in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it was sent: what is compressed stays so.
    pub body: Vec<u8>,
}

impl Response {
    /// The first field of this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(own, _)| own == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The body as text, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }
}

#[derive(Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

impl<'de> Deserialize<'de> for Response {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let answer = Answer::deserialize(deserializer)?;
        let body = match (answer.body, answer.body_base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).map_err(serde::de::Error::custom)?,
            (None, None) => Vec::new(),
        };
        Ok(Self {
            status: answer.status,
            headers: answer.headers,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_is_sent_as_text_where_it_is_text() {
        let request = Request::post("https://a.example/", "hi").header("X-A", "b");
        assert_eq!(
            serde_json::to_value(&request).unwrap(),
            json!({"method": "POST", "url": "https://a.example/", "headers": [["X-A", "b"]], "body": "hi"})
        );
        let bytes = Request::post("https://a.example/", [0xff, 0xfe]);
        let sent = serde_json::to_value(&bytes).unwrap();
        assert_eq!(
            (&sent["body"], &sent["body_base64"]),
            (&json!(null), &json!("//4="))
        );
        let get = serde_json::to_value(Request::get("https://a.example/")).unwrap();
        assert!(get.get("body").is_none() && get.get("body_base64").is_none());
    }

    #[test]
    fn a_response_has_its_body_however_it_came() {
        let read = |text| serde_json::from_str::<Response>(text).unwrap();
        let text = read(r#"{"status":404,"headers":[["a","b"],["a","c"]],"body":"no"}"#);
        assert_eq!((text.status, text.text()), (404, Some("no")));
        assert_eq!((text.header("a"), text.header("x")), (Some("b"), None));
        let bytes = read(r#"{"status":200,"headers":[],"body_base64":"//4="}"#);
        assert_eq!(
            (bytes.body.as_slice(), bytes.text()),
            (&[0xff, 0xfe][..], None)
        );
        let bad = r#"{"status":200,"headers":[],"body_base64":"!"}"#;
        assert!(serde_json::from_str::<Response>(bad).is_err());
    }
}
