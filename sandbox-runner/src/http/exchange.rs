//! One HTTP/1.1 exchange on a fresh connection: the request out, the response in,
//! each part of it bounded.
//!
//! A response that can be read in two ways is an error; nothing is decompressed.

use std::io::{self, Read, Write};

use httparse::{EMPTY_HEADER, Status};

use super::fault::{Class, Fault};

/// The most bytes of a response's head, and of what follows the last chunk.
const MOST_HEAD: usize = 64 << 10;
/// The most fields of it.
const MOST_FIELDS: usize = 100;
/// The most interim responses (1xx) before the response.
const MOST_INTERIM: usize = 8;
/// The longest line before a chunk.
const MOST_CHUNK_LINE: usize = 1 << 10;
/// How much is read at once.
const PIECE: usize = 16 << 10;

/// A response, as it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Names in lower case, in their order.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// The value of a field that stands there once.
    pub(super) fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(own, _)| own == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }
}

/// Status and fields.
type Head = (u16, Vec<(String, String)>);

/// How long a body is.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length(usize),
    Chunked,
    /// As long as the connection lasts.
    ToTheEnd,
}

/// Sends a request and reads its response. `head_only`: the request was a HEAD.
pub(super) fn exchange(
    stream: impl Read + Write,
    request: &[u8],
    head_only: bool,
    most_body: usize,
) -> Result<Response, Fault> {
    let mut wire = Wire {
        stream,
        bytes: Vec::new(),
        most_body,
    };
    let sent = wire
        .stream
        .write_all(request)
        .and_then(|()| wire.stream.flush());
    sent.map_err(|error| Fault::io(Class::Http, &error))?;
    let mut interim = 0;
    let (status, headers) = loop {
        match wire.head()? {
            (101, _) => return Err(odd("it changes the protocol")),
            (100..=199, _) if interim < MOST_INTERIM => interim += 1,
            (100..=199, _) => return Err(odd("too many interim responses")),
            whole => break whole,
        }
    };
    let body = match framing(status, &headers, head_only)? {
        Framing::None => Vec::new(),
        Framing::Length(length) => wire.exactly(length)?,
        Framing::Chunked => wire.chunks()?,
        Framing::ToTheEnd => wire.until_it_ends()?,
    };
    Ok(Response {
        status,
        headers,
        body,
    })
}

fn odd(why: &str) -> Fault {
    Fault::net(Class::Http, why)
}

/// How the body is delimited (RFC 9112, 6.3).
fn framing(status: u16, headers: &[(String, String)], head_only: bool) -> Result<Framing, Fault> {
    if head_only || status == 204 || status == 304 {
        return Ok(Framing::None);
    }
    let values = |name: &'static str| {
        headers
            .iter()
            .filter(move |(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    };
    let codings: Vec<&str> = values("transfer-encoding").collect();
    let mut lengths = values("content-length");
    match (codings.as_slice(), lengths.next()) {
        ([], None) => Ok(Framing::ToTheEnd),
        ([], Some(length)) => {
            let plain = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
            if !plain || lengths.any(|other| other != length) {
                return Err(odd("its length is no number, or two"));
            }
            // More digits than fit are more bytes than may come.
            Ok(Framing::Length(length.parse().unwrap_or(usize::MAX)))
        }
        ([coding], None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err(odd("its length can be read in two ways")),
    }
}

/// A connection, and what was read of it but not used yet.
struct Wire<S> {
    stream: S,
    bytes: Vec<u8>,
    most_body: usize,
}

impl<S: Read> Wire<S> {
    /// Reads some more; false = the connection ended.
    fn more(&mut self) -> Result<bool, Fault> {
        let before = self.bytes.len();
        self.bytes.resize(before + PIECE, 0);
        let room = self.bytes.get_mut(before..).unwrap_or_default();
        let got = self.stream.read(room);
        let got = match got {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            other => other.map(Some),
        };
        self.bytes
            .truncate(before + got.as_ref().map_or(0, |got| got.unwrap_or(0)));
        let got = got.map_err(|error| Fault::io(Class::Http, &error))?;
        Ok(got != Some(0))
    }

    /// The same, where it must not end yet.
    fn must(&mut self) -> Result<(), Fault> {
        match self.more()? {
            true => Ok(()),
            false => Err(odd("the connection ended in the middle")),
        }
    }

    /// Forgets what was used.
    fn used(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    /// Status and fields of the next response.
    fn head(&mut self) -> Result<Head, Fault> {
        let mut looked = 0;
        loop {
            // Parsed only once it can be whole, or a slow one would be parsed anew at
            // each byte.
            if ends_head(self.bytes.get(looked..).unwrap_or_default())
                && let Some((len, head)) = self.parse_head()?
            {
                self.used(len);
                return Ok(head);
            }
            if self.bytes.len() >= MOST_HEAD {
                return Err(Fault::net(Class::Header, "the head is longer than 64 KiB"));
            }
            looked = self.bytes.len().saturating_sub(3);
            self.must()?;
        }
    }

    fn parse_head(&self) -> Result<Option<(usize, Head)>, Fault> {
        let mut fields = [EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let len = match response.parse(&self.bytes) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Fault::net(Class::Header, "more than 100 fields"));
            }
            Err(error) => return Err(odd(&error.to_string())),
        };
        if len > MOST_HEAD {
            return Err(Fault::net(Class::Header, "the head is longer than 64 KiB"));
        }
        let status = response.code.ok_or_else(|| odd("it has no status"))?;
        let headers = response.headers.iter().map(|field| {
            let value = String::from_utf8_lossy(field.value).into_owned();
            (field.name.to_ascii_lowercase(), value)
        });
        Ok(Some((len, (status, headers.collect()))))
    }

    fn too_long(&self) -> Fault {
        let most = self.most_body;
        Fault::net(Class::Body, format!("the body is longer than {most} bytes"))
    }

    /// A body of this length. Room is made as it comes, not as it is claimed.
    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        if length > self.most_body {
            return Err(self.too_long());
        }
        while self.bytes.len() < length {
            self.must()?;
        }
        self.bytes.truncate(length);
        Ok(std::mem::take(&mut self.bytes))
    }

    fn until_it_ends(&mut self) -> Result<Vec<u8>, Fault> {
        loop {
            if self.bytes.len() > self.most_body {
                return Err(self.too_long());
            }
            if !self.more()? {
                return Ok(std::mem::take(&mut self.bytes));
            }
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Fault> {
        let mut body: Vec<u8> = Vec::new();
        loop {
            let mut left = self.chunk_line()?;
            if left == 0 {
                self.trailer()?;
                return Ok(body);
            }
            if left > self.most_body.saturating_sub(body.len()) {
                return Err(self.too_long());
            }
            while left > 0 {
                if self.bytes.is_empty() {
                    self.must()?;
                }
                let part = self.bytes.len().min(left);
                body.extend(self.bytes.drain(..part));
                left -= part;
            }
            while self.bytes.len() < 2 {
                self.must()?;
            }
            if !self.bytes.starts_with(b"\r\n") {
                return Err(odd("a chunk is longer than it says"));
            }
            self.used(2);
        }
    }

    /// The length of the next chunk.
    fn chunk_line(&mut self) -> Result<usize, Fault> {
        loop {
            let line = self.bytes.get(..MOST_CHUNK_LINE).unwrap_or(&self.bytes);
            match httparse::parse_chunk_size(line) {
                Ok(Status::Complete((len, size))) => {
                    self.used(len);
                    return Ok(usize::try_from(size).unwrap_or(usize::MAX));
                }
                Ok(Status::Partial) if line.len() < MOST_CHUNK_LINE => self.must()?,
                Ok(Status::Partial) | Err(_) => return Err(odd("a chunk without a length")),
            }
        }
    }

    /// Reads away what follows the last chunk: nobody is told.
    fn trailer(&mut self) -> Result<(), Fault> {
        let mut read = 0;
        loop {
            match self.bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let empty = end == 0 || (end == 1 && self.bytes.starts_with(b"\r"));
                    self.used(end + 1);
                    if empty {
                        return Ok(());
                    }
                    read += end;
                }
                None if read + self.bytes.len() > MOST_HEAD => {
                    return Err(Fault::net(
                        Class::Header,
                        "the trailer is longer than 64 KiB",
                    ));
                }
                None => self.must()?,
            }
            if read > MOST_HEAD {
                return Err(Fault::net(
                    Class::Header,
                    "the trailer is longer than 64 KiB",
                ));
            }
        }
    }
}

/// Whether an empty line is in it.
fn ends_head(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
