//! `extism:host/env`: the functions that Extism's kits import, on top of the same
//! host as `gm`.
//!
//! Documents cross in blocks of [`Kernel`]. What a kit can't do by mistake, such
//! as an offset outside of every block, ends the process, as a bad pointer does.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gm_protocol::message::TrapClass;
use gm_protocol::plan::HostOp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::imports::Env;
use super::kernel::Kernel;
use super::memory::Budget;
use crate::abi::Import;
use crate::abi::wasm::extism::Call;
use crate::hosting::Args;
use crate::walls::last;

/// The most bytes of all variables, keys included.
const MOST_VARIABLES: usize = 1 << 20;
/// What a variable costs besides its bytes.
const OVERHEAD: usize = 96;
/// The highest number, for a log that takes nothing.
const LOG_OFF: u32 = i32::MAX.cast_unsigned();

/// What a plugin of Extism's kits has besides its memory.
pub(super) struct Extism {
    pub(super) kernel: Kernel,
    budget: Arc<Budget>,
    /// They stay from call to call and end with the process.
    variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of the last request; status 0 = there was none, or no answer.
    response: Response,
}

/// What is asked of an answer after its body.
#[derive(Debug, Default)]
struct Response {
    status: u16,
    headers: BTreeMap<String, String>,
}

/// A request as the kits write it; its body is a block of its own.
#[derive(Deserialize)]
struct Request {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// An answer as our own host call gives it.
#[derive(Deserialize)]
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

impl Extism {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            kernel: Kernel::new(Arc::clone(&budget)),
            budget,
            variables: BTreeMap::new(),
            response: Response::default(),
        }
    }

    /// A new call begins: what was handed over before is gone. False = there is
    /// no room for the document.
    pub(super) fn begin(&mut self, document: &[u8]) -> bool {
        self.kernel.begin();
        let Some(offset) = self.kernel.put(document) else {
            return false;
        };
        self.kernel
            .set_input(offset, document.len() as u64)
            .is_some()
    }
}

/// What a call that breaks the contract ends with.
fn broken() -> ! {
    last::trap(TrapClass::HostCall)
}

impl Env {
    /// Does one call; its result, if it has one.
    pub(super) fn extism(&mut self, call: Call, given: &[u64]) -> u64 {
        let at = |index: usize| given.get(index).copied().unwrap_or_default();
        match call {
            Call::ConfigGet => self.config_get(at(0)),
            Call::VarGet => self.variable(at(0)),
            Call::VarSet => self.set_variable(at(0), at(1)),
            Call::HttpRequest => self.http_request(at(0), at(1)),
            Call::HttpStatusCode => self.extism.response.status.into(),
            Call::HttpHeaders => self.http_headers(),
            Call::LogTrace => self.log_block(0, at(0)),
            Call::LogDebug => self.log_block(1, at(0)),
            Call::LogInfo => self.log_block(2, at(0)),
            Call::LogWarn => self.log_block(3, at(0)),
            Call::LogError => self.log_block(4, at(0)),
            Call::GetLogLevel if self.granted.has(HostOp::Log) => 0,
            Call::GetLogLevel => LOG_OFF.into(),
            other => kernel(&mut self.extism.kernel, other, at(0), at(1)),
        }
    }

    /// A key's value: a text as it is, anything else as JSON; 0 = there is none,
    /// or it is not for this plugin.
    fn config_get(&mut self, key: u64) -> u64 {
        let key = self.handed_over(key);
        let args = Args {
            first: &key,
            ..Args::default()
        };
        self.must_be_in_a_hook(HostOp::ConfigGet);
        let Ok(value) = self.host.fetch(HostOp::ConfigGet, args) else {
            return 0;
        };
        match serde_json::from_slice::<String>(&value) {
            Ok(text) => self.extism.kernel.put(text.as_bytes()),
            Err(_) => self.extism.kernel.put(&value),
        }
        .unwrap_or(0)
    }

    fn variable(&mut self, key: u64) -> u64 {
        let key = self.handed_over(key);
        let Extism {
            kernel, variables, ..
        } = &mut self.extism;
        let value = variables.get(&key).and_then(|value| kernel.put(value));
        value.unwrap_or(0)
    }

    /// A value of 0 takes the variable away.
    fn set_variable(&mut self, key: u64, value: u64) -> u64 {
        let key = self.handed_over(key);
        let value = (value != 0).then(|| self.handed_over(value));
        let Extism {
            budget, variables, ..
        } = &mut self.extism;
        let cost = |key: &Vec<u8>, value: &Vec<u8>| key.len() + value.len() + OVERHEAD;
        if let Some((key, old)) = variables.remove_entry(&key) {
            budget.give(cost(&key, &old) as u64);
        }
        let Some(value) = value else { return 0 };
        let all: usize = variables.iter().map(|(key, value)| cost(key, value)).sum();
        let own = cost(&key, &value);
        if all + own > MOST_VARIABLES || !budget.take(own as u64) {
            // There is no way to say no, and to forget it silently is worse.
            last::refused_grow();
            broken();
        }
        variables.insert(key, value);
        0
    }

    /// Makes a request; the answer's body, or 0 where there is none: it was
    /// refused, or failed. The host writes down what it refuses.
    fn http_request(&mut self, request: u64, body: u64) -> u64 {
        let request = self.handed_over(request);
        let body = (body != 0).then(|| self.handed_over(body));
        self.extism.response = Response::default();
        let Ok(request) = serde_json::from_slice::<Request>(&request) else {
            broken()
        };
        let document = request.document(body.as_deref()).to_string();
        let args = Args {
            first: document.as_bytes(),
            ..Args::default()
        };
        self.must_be_in_a_hook(HostOp::HttpRequest);
        let answer = self.host.fetch(HostOp::HttpRequest, args);
        let answer = answer.ok().and_then(|answer| Answered::read(&answer));
        let Some((response, body)) = answer else {
            return 0;
        };
        self.extism.response = response;
        self.extism.kernel.put(&body).unwrap_or(0)
    }

    /// The fields of the last answer as a JSON object; 0 = there was none.
    fn http_headers(&mut self) -> u64 {
        let Extism {
            kernel, response, ..
        } = &mut self.extism;
        if response.status == 0 {
            return 0;
        }
        let text = serde_json::to_vec(&response.headers).unwrap_or_default();
        kernel.put(&text).unwrap_or(0)
    }

    /// Code that runs while it is loaded asks the host nothing.
    fn must_be_in_a_hook(&self, op: HostOp) {
        if self.host.may_call(Import::Op(op)).is_err() {
            broken();
        }
    }

    fn log_block(&mut self, level: u8, offset: u64) -> u64 {
        let line = self.handed_over(offset);
        let line = line.get(..self.host.cap()).unwrap_or(&line);
        self.log(level, line);
        0
    }

    /// The bytes of a block that becomes the host's.
    fn handed_over(&mut self, offset: u64) -> Vec<u8> {
        let kernel = &mut self.extism.kernel;
        let Some(bytes) = kernel.bytes(offset).map(<[u8]>::to_vec) else {
            broken()
        };
        kernel.free(offset);
        bytes
    }
}

impl Request {
    /// The document of our own host call.
    fn document(self, body: Option<&[u8]>) -> Value {
        let method = self.method.unwrap_or_else(|| "GET".to_owned());
        let headers: Vec<_> = self.headers.into_iter().collect();
        let mut document = json!({
            "method": method.to_ascii_uppercase(),
            "url": self.url,
            "headers": headers,
        });
        if let (Some(body), Some(document)) = (body, document.as_object_mut()) {
            document.insert("body_base64".into(), STANDARD.encode(body).into());
        }
        document
    }
}

impl Answered {
    /// Status and fields, and the body.
    fn read(document: &[u8]) -> Option<(Response, Vec<u8>)> {
        let Self {
            status,
            headers,
            body,
            body_base64,
        } = serde_json::from_slice(document).ok()?;
        let body = match (body, body_base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).ok()?,
            (None, None) => Vec::new(),
        };
        let headers = headers.into_iter().collect();
        Some((Response { status, headers }, body))
    }
}

/// The functions that only move bytes.
fn kernel(kernel: &mut Kernel, call: Call, a: u64, b: u64) -> u64 {
    let held = |done: Option<()>| done.map_or_else(|| broken(), |()| 0);
    match call {
        Call::Alloc => kernel.alloc(a),
        Call::Free => {
            kernel.free(a);
            0
        }
        Call::Length | Call::LengthUnsafe => kernel.length(a),
        Call::LoadU8 => kernel.load::<1>(a).map_or_else(|| broken(), byte),
        Call::LoadU64 => kernel.load(a).map_or_else(|| broken(), u64::from_le_bytes),
        Call::StoreU8 => held(kernel.store(a, b.to_le_bytes().get(..1).unwrap_or_default())),
        Call::StoreU64 => held(kernel.store(a, &b.to_le_bytes())),
        Call::InputLoadU8 => kernel.input::<1>(a).map_or_else(|| broken(), byte),
        Call::InputLoadU64 => kernel.input(a).map_or_else(|| broken(), u64::from_le_bytes),
        Call::InputSet => held(kernel.set_input(a, b)),
        Call::InputLength => kernel.input_range().1,
        Call::InputOffset => kernel.input_range().0,
        Call::OutputSet => held(kernel.set_output(a, b)),
        Call::OutputLength => kernel.output_range().1,
        Call::OutputOffset => kernel.output_range().0,
        Call::ErrorSet => held(kernel.set_error(a)),
        Call::ErrorGet => kernel.error(),
        Call::Reset => {
            kernel.reset();
            0
        }
        Call::MemoryBytes => kernel.used(),
        // Those that ask the host were told apart before.
        _ => broken(),
    }
}

const fn byte([byte]: [u8; 1]) -> u64 {
    byte as u64
}
