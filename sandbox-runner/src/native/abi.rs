//! The two tables of functions between host and plugin, version 2, and the calls
//! through them.
//!
//! A table is only ever appended to: another form has another symbol. Whatever a
//! plugin hands over is its own word, in memory that is its own as well.
#![expect(
    unsafe_code,
    reason = "calls of machine code and from it, with pointers that it made"
)]

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::DerefMut;

use gm_protocol::abi::CallError;
use gm_protocol::plan::Hook;

use crate::abi::Import;
use crate::elf::VERSION;
use crate::hosting::{self, Args, Host, NOT_RUN};

/// The one symbol of a plugin.
pub(super) const SYMBOL: &CStr = c"gm_plugin_v2";
/// The most bytes of an error's text.
const MOST_TEXT: usize = 4096;
/// No call has a longer name.
const MOST_NAME: usize = 64;

type Init = extern "C" fn(*const HostTable, *mut *mut c_void) -> i32;
type Call =
    extern "C" fn(*mut c_void, *const c_char, *const u8, usize, *mut *mut u8, *mut usize) -> i32;
type FreeBuf = extern "C" fn(*mut c_void, *mut u8, usize);
type Fini = extern "C" fn(*mut c_void);

/// `gm_plugin_v2_t`: what the plugin has.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Table {
    size: u32,
    version: u32,
    id: *const c_char,
    init: Option<Init>,
    call: Option<Call>,
    free_buf: Option<FreeBuf>,
    fini: Option<Fini>,
}

/// `gm_host_v2_t`: what the host has.
#[repr(C)]
struct HostTable {
    size: u32,
    version: u32,
    ctx: *mut c_void,
    call: extern "C" fn(
        *mut c_void,
        *const c_char,
        *const u8,
        usize,
        *const u8,
        usize,
        i64,
        i64,
    ) -> i64,
    result: extern "C" fn(*mut c_void, *mut u8, usize) -> usize,
}

thread_local! {
    /// The host's state. `ctx` is given to the plugin for the form's sake: what it
    /// gives back is never followed.
    static HOST: Cell<Option<&'static RefCell<Host>>> = const { Cell::new(None) };
}

/// A plugin that can be called.
pub(super) struct Plugin {
    table: Table,
    host: &'static RefCell<Host>,
    state: *mut c_void,
}

impl Plugin {
    /// Nothing of it is called yet.
    pub(super) fn new(table: Table, host: Host) -> Self {
        let host: &'static RefCell<Host> = Box::leak(Box::new(RefCell::new(host)));
        HOST.set(Some(host));
        Self {
            table,
            host,
            state: std::ptr::null_mut(),
        }
    }

    fn init(&mut self) -> (i32, Option<Vec<u8>>) {
        let table: &'static HostTable = Box::leak(Box::new(HostTable {
            size: u32::try_from(size_of::<HostTable>()).unwrap_or(u32::MAX),
            version: VERSION,
            ctx: std::ptr::from_ref(self.host).cast_mut().cast(),
            call: host_call,
            result: host_result,
        }));
        let status = match self.table.init {
            Some(init) => init(table, &raw mut self.state),
            None => 0,
        };
        (status, None)
    }

    fn hook(&self, hook: Hook, document: &[u8]) -> (i32, Option<Vec<u8>>) {
        let (Some(call), Ok(name)) = (self.table.call, CString::new(hook.as_str())) else {
            return (NOT_RUN, Some(b"the plugin's table has no call".to_vec()));
        };
        let mut out = std::ptr::null_mut();
        let mut len = 0;
        let status = call(
            self.state,
            name.as_ptr(),
            document.as_ptr(),
            document.len(),
            &raw mut out,
            &raw mut len,
        );
        // The plugin may have kept the places as well.
        let (out, len) = (once(&raw const out), once(&raw const len));
        if out.is_null() {
            return (status, None);
        }
        let most = if status == 0 {
            self.host.borrow().cap()
        } else {
            MOST_TEXT
        };
        let document = if status == 0 && len > most {
            (
                NOT_RUN,
                Some(format!("a reply has at most {most} bytes").into_bytes()),
            )
        } else {
            (status, Some(copy(out, len.min(most))))
        };
        if let Some(free) = self.table.free_buf {
            free(self.state, out, len);
        }
        document
    }
}

impl hosting::Plugin for Plugin {
    fn has(&self, hook: Hook) -> bool {
        match hook {
            Hook::Init => self.table.init.is_some(),
            _ => self.table.call.is_some(),
        }
    }

    fn host(&mut self) -> impl DerefMut<Target = Host> {
        self.host.borrow_mut()
    }

    fn call(&mut self, hook: Hook, document: &[u8]) -> (i32, Option<Vec<u8>>) {
        self.host.borrow_mut().enter();
        let (status, given) = match hook {
            Hook::Init => {
                // `init` takes no document: it is the first result instead.
                self.host.borrow_mut().offer(document);
                self.init()
            }
            _ => self.hook(hook, document),
        };
        if let (Hook::Shutdown, Some(fini)) = (hook, self.table.fini) {
            fini(self.state);
        }
        let answer = self.host.borrow_mut().leave();
        // What was said by name counts where nothing came back.
        let said = if status == 0 {
            answer.reply
        } else {
            answer.error
        };
        (status, given.or(said))
    }
}

extern "C" fn host_call(
    _: *mut c_void,
    name: *const c_char,
    a: *const u8,
    a_len: usize,
    b: *const u8,
    b_len: usize,
    x: i64,
    y: i64,
) -> i64 {
    let Some(host) = HOST.get() else {
        return CallError::Invalid.status();
    };
    let Ok(mut host) = host.try_borrow_mut() else {
        return CallError::Invalid.status();
    };
    let Some(import) = self::name(name.cast())
        .as_deref()
        .and_then(Import::from_name)
    else {
        return CallError::Invalid.status();
    };
    if a_len > host.cap() || b_len > host.cap() {
        return CallError::TooBig.status();
    }
    let (first, second) = (copy(a, a_len), copy(b, b_len));
    let args = Args {
        first: &first,
        second: &second,
        x,
        y,
    };
    // There is no trap here: a broken contract is an error like others.
    host.call(import, args)
        .unwrap_or(CallError::Invalid.status())
}

extern "C" fn host_result(_: *mut c_void, to: *mut u8, room: usize) -> usize {
    let Some(Ok(host)) = HOST.get().map(|host| host.try_borrow()) else {
        return 0;
    };
    let result = host.result();
    let len = result.len().min(room);
    if to.is_null() || len == 0 {
        return 0;
    }
    // SAFETY: the plugin says that there is room for `room` bytes, of which `len`
    // are written; the result is the host's own memory.
    unsafe { to.copy_from_nonoverlapping(result.as_ptr(), len) };
    len
}

/// Bytes that the plugin hands over. Each is read once, and what is judged and used
/// is this copy: so nothing rests on the plugin standing still, though no filter of
/// its kind lets it have a second thread.
fn copy(at: *const u8, len: usize) -> Vec<u8> {
    if at.is_null() {
        return Vec::new();
    }
    (0..len).map(|n| once(at.wrapping_add(n))).collect()
}

/// A name of at most [`MOST_NAME`] bytes that ends in a NUL.
fn name(at: *const u8) -> Option<String> {
    if at.is_null() {
        return None;
    }
    let mut bytes = (0..=MOST_NAME).map(|n| once(at.wrapping_add(n)));
    let name: Vec<u8> = bytes.by_ref().take_while(|byte| *byte != 0).collect();
    String::from_utf8(name)
        .ok()
        .filter(|name| name.len() <= MOST_NAME)
}

/// A value of the plugin's, read this once, whoever writes to it meanwhile.
fn once<T: Copy>(at: *const T) -> T {
    // SAFETY: the plugin says that there is one, where it isn't a place of our own.
    // A volatile read is made exactly once, and every pattern of bits is a value of
    // the numbers and pointers that are read here.
    unsafe { at.read_volatile() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_within_its_bound_or_is_none() {
        let long = [b'a'; MOST_NAME + 1];
        let ended = [&long[..MOST_NAME], b"\0"].concat();
        assert_eq!(name(ended.as_ptr()).unwrap().len(), MOST_NAME);
        assert_eq!(name(long.as_ptr()), None);
        assert_eq!(name(c"\xff".to_bytes().as_ptr()), None);
        assert_eq!(name(std::ptr::null()), None);
        assert_eq!(copy(ended.as_ptr(), 3), b"aaa");
        assert_eq!(copy(std::ptr::null(), 3), b"");
    }
}
