//! The plugin's end of the native ABI gm-2. All that is unsafe is here; the
//! contract is the one of `gm_native.h` in the SDK.

// What a plugin doesn't use yet.
#![allow(dead_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::AssertUnwindSafe;

use serde_json::Value;

/// A hook's reply, none, or the text of its error.
pub type Answer = Result<Option<Value>, String>;

/// What the author writes.
pub trait Plugin: Default {
    /// The manifest's `plugin_id`.
    const ID: &CStr;

    /// Answers one hook: `init`, one of the manifest's `hooks`, or `shutdown`.
    fn call(&mut self, gm: &Gm, hook: &str, document: &Value) -> Answer;
}

#[derive(Clone, Copy)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// The host's side.
#[repr(C)]
pub struct Host {
    size: u32,
    version: u32,
    ctx: *mut c_void,
    call: unsafe extern "C" fn(
        *mut c_void,
        *const c_char,
        *const u8,
        usize,
        *const u8,
        usize,
        i64,
        i64,
    ) -> i64,
    result: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> usize,
}

/// The plugin's side.
#[repr(C)]
pub struct Exported {
    size: u32,
    version: u32,
    id: *const c_char,
    init: unsafe extern "C" fn(*const Host, *mut *mut c_void) -> i32,
    call: unsafe extern "C" fn(
        *mut c_void,
        *const c_char,
        *const u8,
        usize,
        *mut *mut u8,
        *mut usize,
    ) -> i32,
    free_buf: unsafe extern "C" fn(*mut c_void, *mut u8, usize),
    fini: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: it holds a constant text and functions, which nobody changes.
unsafe impl Sync for Exported {}

/// What a plugin may ask of the host. An error is the ABI's number for it: -1
/// denied, -2 not found, -3 invalid, -4 too big, and so on.
pub struct Gm(*const Host);

impl Gm {
    /// `log:write`
    pub fn log(&self, level: Level, text: &str) {
        // Lines over the host's rate are dropped there and counted.
        let _ = self.call("log", text.as_bytes(), &[], level as i64, 0);
    }

    /// A call that has no result but a number, such as `node_put`.
    pub fn put(&self, name: &str, document: &Value) -> Result<i64, i64> {
        self.call(name, document.to_string().as_bytes(), &[], 0, 0)
    }

    /// A call that has a document as its result, such as `node_get`.
    pub fn get(&self, name: &str, argument: &str) -> Result<Value, i64> {
        let length = self.call(name, argument.as_bytes(), &[], 0, 0)?;
        serde_json::from_slice(&self.result(length)).map_err(|_| -9)
    }

    /// Any call, with its texts and numbers in the order of the ABI.
    pub fn call(&self, name: &str, a: &[u8], b: &[u8], x: i64, y: i64) -> Result<i64, i64> {
        let name = CString::new(name).map_err(|_| -3)?;
        // SAFETY: the host's struct lives as long as the process, and every
        // pointer is to bytes that live until the call returns.
        let status = unsafe {
            let host = &*self.0;
            (host.call)(host.ctx, name.as_ptr(), a.as_ptr(), a.len(), b.as_ptr(), b.len(), x, y)
        };
        if status < 0 { Err(status) } else { Ok(status) }
    }

    /// The document of `init`: it is the first result, and how long it is isn't told.
    fn first_result(&self) -> Vec<u8> {
        let mut room = 8192;
        loop {
            let document = self.result(room);
            if document.len() < usize::try_from(room).unwrap_or(0) {
                return document;
            }
            room *= 2;
        }
    }

    /// The last result, of which a call has told the length.
    pub fn result(&self, length: i64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        // SAFETY: as above; the host writes at most `bytes.len()` bytes.
        let copied = unsafe {
            let host = &*self.0;
            (host.result)(host.ctx, bytes.as_mut_ptr(), bytes.len())
        };
        bytes.truncate(copied);
        bytes
    }
}

/// What lies behind the host's `state`.
struct State<P> {
    gm: Gm,
    plugin: P,
}

/// The struct that the host asks for.
pub const fn exported<P: Plugin>() -> Exported {
    Exported {
        size: size_of::<Exported>() as u32,
        version: 2,
        id: P::ID.as_ptr(),
        init: init::<P>,
        call: call::<P>,
        free_buf,
        fini: fini::<P>,
    }
}

unsafe extern "C" fn init<P: Plugin>(host: *const Host, state: *mut *mut c_void) -> i32 {
    // SAFETY: the host gives a struct with at least these two members.
    let (size, version) = unsafe { ((*host).size, (*host).version) };
    if version != 2 || (size as usize) < size_of::<Host>() {
        return 1;
    }
    let gm = Gm(host);
    // No panic may reach the host.
    let begun = std::panic::catch_unwind(|| {
        let mut plugin = P::default();
        let document = serde_json::from_slice(&gm.first_result()).unwrap_or_default();
        plugin.call(&gm, "init", &document).map(|_| plugin)
    });
    match begun.unwrap_or_else(|_| Err("the plugin panicked".to_owned())) {
        Ok(plugin) => {
            // SAFETY: `state` is where the host wants the pointer.
            unsafe { *state = Box::into_raw(Box::new(State { gm, plugin })).cast() };
            0
        }
        Err(text) => {
            let _ = gm.call("fail", text.as_bytes(), &[], 0, 0);
            1
        }
    }
}

unsafe extern "C" fn call<P: Plugin>(
    state: *mut c_void,
    hook: *const c_char,
    input: *const u8,
    length: usize,
    out: *mut *mut u8,
    out_length: *mut usize,
) -> i32 {
    // SAFETY: `state` is what `init` made, and calls come one at a time.
    let state = unsafe { &mut *state.cast::<State<P>>() };
    // SAFETY: the host gives a text that ends in NUL.
    let hook = unsafe { CStr::from_ptr(hook) }.to_string_lossy();
    // SAFETY: the host gives `length` bytes.
    let document = unsafe { std::slice::from_raw_parts(input, length) };
    // No panic may reach the host.
    let answer = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let document = serde_json::from_slice(document).map_err(|error| error.to_string())?;
        state.plugin.call(&state.gm, &hook, &document)
    }));
    let (status, said) = match answer {
        Ok(Ok(None)) => (0, None),
        Ok(Ok(Some(reply))) => (0, Some(reply.to_string())),
        Ok(Err(text)) => (1, Some(text)),
        Err(_) => (1, Some("the plugin panicked".to_owned())),
    };
    let said = said.map(|text| Box::<[u8]>::from(text.into_bytes()));
    let length = said.as_ref().map_or(0, |said| said.len());
    let pointer = said.map_or(std::ptr::null_mut(), |said| Box::into_raw(said).cast());
    // SAFETY: the host wants both there.
    unsafe {
        *out = pointer;
        *out_length = length;
    }
    status
}

unsafe extern "C" fn free_buf(_: *mut c_void, buffer: *mut u8, length: usize) {
    if !buffer.is_null() {
        let bytes = std::ptr::slice_from_raw_parts_mut(buffer, length);
        // SAFETY: `call` made it with this length, and the host gives it back once.
        drop(unsafe { Box::from_raw(bytes) });
    }
}

unsafe extern "C" fn fini<P: Plugin>(state: *mut c_void) {
    if !state.is_null() {
        // SAFETY: `init` made it, and nothing is called after this.
        drop(unsafe { Box::from_raw(state.cast::<State<P>>()) });
    }
}

/// Names the plugin to the host. Once, with the type that is the plugin.
macro_rules! export {
    ($plugin:ty) => {
        static EXPORTED: gm::Exported = gm::exported::<$plugin>();

        /// The one symbol that the host looks for.
        // SAFETY: no other symbol of this name is linked.
        #[unsafe(no_mangle)]
        pub extern "C" fn gm_plugin_v2() -> *const gm::Exported {
            &raw const EXPORTED
        }
    };
}
pub(crate) use export;
