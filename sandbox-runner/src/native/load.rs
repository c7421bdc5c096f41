//! The loader: the libraries that a plugin may need, then the plugin.
#![expect(
    unsafe_code,
    reason = "dlopen runs the code that it loads; that it may do so is what the walls are for"
)]

use std::ffi::{CStr, CString, c_void};
use std::ptr::NonNull;

use gm_protocol::plan::{CODE_PATH, LIBRARIES, LIBRARY_PATH};

use super::abi::{SYMBOL, Table};
use crate::elf::VERSION;
use crate::walls::{Narrowed, WallError, Walled, sys};

/// Loads the libraries that a plugin may name, so that nothing is looked for when
/// it is loaded. They are the machine's own, and mapped already or never.
pub(super) fn libraries() -> Result<(), WallError> {
    // The first is the loader itself.
    for name in LIBRARIES.iter().skip(1) {
        let path = CString::new(format!("{LIBRARY_PATH}/{name}"));
        let path = path.map_err(std::io::Error::from)?;
        open_library(&path).map_err(|_| WallError::WarmUp)?;
    }
    Ok(())
}

/// A plugin that was loaded: its constructors have run, and returned.
pub(super) struct Loaded {
    symbol: NonNull<c_void>,
    walled: Walled,
}

/// Loads the plugin: its first instructions run here.
pub(super) fn open(walled: Walled) -> Result<Loaded, String> {
    let path = CString::new(CODE_PATH).map_err(|error| error.to_string())?;
    let handle = open_library(&path)?;
    // SAFETY: the handle is never closed, and the name ends in a NUL.
    let symbol = unsafe { libc::dlsym(handle.as_ptr(), SYMBOL.as_ptr()) };
    let symbol = NonNull::new(symbol).ok_or_else(said)?;
    Ok(Loaded { symbol, walled })
}

impl Loaded {
    /// Closes all but the link and installs the last filter.
    pub(super) fn narrow(self) -> Result<Ready, WallError> {
        // What a constructor has opened: descriptors are exactly those of the plan.
        sys::close_from(4)?;
        let narrowed = self.walled.narrow()?;
        Ok(Ready {
            symbol: self.symbol,
            _narrowed: narrowed,
        })
    }
}

/// A plugin with all filters up.
pub(super) struct Ready {
    symbol: NonNull<c_void>,
    _narrowed: Narrowed,
}

impl Ready {
    /// Asks the plugin for its table of functions.
    pub(super) fn plugin(self) -> Result<Table, String> {
        type Ask = extern "C" fn() -> *const Table;
        // SAFETY: the plugin defines the symbol as this function; that it does is
        // its own word, and what else it may be runs behind the same walls.
        let ask = unsafe { std::mem::transmute::<*mut c_void, Ask>(self.symbol.as_ptr()) };
        let table = NonNull::new(ask().cast_mut());
        let table = table.ok_or_else(|| format!("gm_plugin_v{VERSION} gave no table"))?;
        // Before more of it than every version has is looked at.
        // SAFETY: the plugin says that this points to a table, which begins with
        // two numbers in every version.
        let (size, version) = unsafe { table.cast::<(u32, u32)>().read_unaligned() };
        if version != VERSION {
            return Err(format!(
                "the plugin's table is of version {version}, this host speaks version {VERSION}"
            ));
        }
        let whole = size_of::<Table>();
        if usize::try_from(size).is_ok_and(|size| size < whole) {
            return Err(format!(
                "the plugin's table has {size} bytes, in version {VERSION} it has {whole}"
            ));
        }
        // SAFETY: it says that it has at least these bytes; what it has more is
        // not looked at.
        Ok(unsafe { table.read_unaligned() })
    }
}

fn open_library(path: &CStr) -> Result<NonNull<c_void>, String> {
    // SAFETY: the path ends in a NUL. What is loaded runs its constructors: the
    // machine's libraries before the walls, the plugin behind them.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    NonNull::new(handle).ok_or_else(said)
}

/// What the loader says of its last failure.
fn said() -> String {
    // SAFETY: no argument; the text is the loader's, for this thread, until its
    // next call.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the loader gives no reason".into();
    }
    // SAFETY: not null, and the loader ends its texts in a NUL.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}
