//! The module's exports: the input buffers, and the [`hooks!`](crate::hooks) that
//! turns a function into an export. Public for the macro alone.
//!
//! The host's pointers are never followed: a hook's input is looked up among
//! the buffers that were handed out, by address.

use std::cell::RefCell;

use serde::de::DeserializeOwned;

use crate::{Error, Reply, imports};

/// `gm_alloc` answers with addresses that are multiples of this.
const ALIGNMENT: usize = 8;

/// A buffer that the host may write an input to.
struct Input {
    address: usize,
    bytes: Vec<u8>,
}

thread_local! {
    /// Handed out, and not yet taken by a hook or freed. Seldom more than one.
    static INPUTS: RefCell<Vec<Input>> = const { RefCell::new(Vec::new()) };
}

/// The export `gm_alloc`: the address of `size` writable bytes, or 0.
#[must_use]
pub fn alloc(size: usize) -> usize {
    let Some(room) = size.checked_add(ALIGNMENT) else {
        return 0;
    };
    let mut bytes = Vec::new();
    // Not `vec!`: a host that asks for too much is answered, not trapped.
    if bytes.try_reserve_exact(room).is_err() {
        return 0;
    }
    bytes.resize(room, 0);
    let Some(address) = bytes
        .as_mut_ptr()
        .expose_provenance()
        .checked_next_multiple_of(ALIGNMENT)
    else {
        return 0;
    };
    INPUTS.with_borrow_mut(|inputs| inputs.push(Input { address, bytes }));
    address
}

/// The export `gm_free`: gives a buffer back. One that a hook took is gone already.
pub fn free(address: usize) {
    drop(take(address));
}

/// Takes the buffer at `address` out of the list.
fn take(address: usize) -> Option<Input> {
    INPUTS.with_borrow_mut(|inputs| {
        let at = inputs.iter().position(|input| input.address == address)?;
        Some(inputs.swap_remove(at))
    })
}

/// The first `length` bytes of what the host wrote.
fn written(input: &Input, length: usize) -> Option<&[u8]> {
    let start = input.address.checked_sub(input.bytes.as_ptr().addr())?;
    input.bytes.get(start..start.checked_add(length)?)
}

/// Runs one hook on the document at `address`: 0, or 1 after the error's text
/// went to the host.
pub fn run<P: DeserializeOwned>(
    address: usize,
    length: usize,
    hook: impl FnOnce(P) -> Result<Option<Reply>, Error>,
) -> i32 {
    match payload(address, length).and_then(hook).and_then(answer) {
        Ok(()) => 0,
        Err(error) => {
            imports::fail(error.chain().as_bytes());
            1
        }
    }
}

/// Reads the document at `address`; the buffer is gone before the hook runs, so
/// that a large document isn't held twice.
fn payload<P: DeserializeOwned>(address: usize, length: usize) -> Result<P, Error> {
    let input = take(address).ok_or("the host's input lies in no buffer of gm_alloc")?;
    let text = written(&input, length).ok_or("the host's input is longer than its buffer")?;
    serde_json::from_slice(text).map_err(|source| Error::Document {
        what: "the hook's input".to_owned(),
        source,
    })
}

/// Hands a hook's reply to the host.
fn answer(reply: Option<Reply>) -> Result<(), Error> {
    let Some(reply) = reply else { return Ok(()) };
    match crate::Code::of(imports::reply(&reply.into_document()).into()) {
        Some(code) => Err(Error::Host {
            call: "reply",
            code,
        }),
        None => Ok(()),
    }
}

/// Names a plugin's hooks and makes the module's exports. Once in a plugin.
///
/// `init`, `on_commit_analyzed`, `on_edge_created`, `on_node_updated`,
/// `on_node_accessed`, `on_graph_query`, `command`, `shutdown`: any of them, each
/// with a function `fn(Payload) -> Result<Option<Reply>, Error>`. The manifest's
/// `hooks` lists the same `on_*` names. `command` gets every command that the
/// manifest names; it is required if there is one.
///
/// ```
/// use gm_plugin::{Commit, Error, Reply};
/// fn look(commit: Commit) -> Result<Option<Reply>, Error> {
///     Ok(None)
/// }
/// gm_plugin::hooks! { on_commit_analyzed: look }
/// # fn main() {}
/// ```
///
/// What a plugin remembers from call to call is a type with a default, named
/// first; then each function takes it before the payload:
///
/// ```
/// use gm_plugin::{Commit, Error, Reply, Shutdown};
/// #[derive(Default)]
/// struct Count(u64);
/// impl Count {
///     fn add(&mut self, _: Commit) -> Result<Option<Reply>, Error> {
///         self.0 += 1;
///         Ok(None)
///     }
///     fn tell(&mut self, _: Shutdown) -> Result<Option<Reply>, Error> {
///         Ok(Some(Reply::report(format!("{} commits", self.0))))
///     }
/// }
/// gm_plugin::hooks! { state: Count, on_commit_analyzed: Count::add, shutdown: Count::tell }
/// # fn main() {}
/// ```
///
/// One function carries out all commands:
///
/// ```
/// use gm_plugin::{Command, Error, Reply};
/// fn obey(command: Command) -> Result<Option<Reply>, Error> {
///     match command.name.as_str() {
///         "greet" => Ok(Some(Reply::status(0).with("text", command.args.join(" ")))),
///         other => Err(format!("no command {other}").into()),
///     }
/// }
/// gm_plugin::hooks! { command: obey }
/// # fn main() {}
/// ```
///
/// A name that is no hook does not compile:
///
/// ```compile_fail
/// fn look(_: gm_plugin::Commit) -> Result<Option<gm_plugin::Reply>, gm_plugin::Error> {
///     Ok(None)
/// }
/// gm_plugin::hooks! { on_commit: look }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! hooks {
    (state: $state:ty, $($hook:ident : $function:expr),+ $(,)?) => {
        const _: () = {
            ::std::thread_local! {
                static STATE: ::std::cell::RefCell<$state> = ::std::default::Default::default();
            }
            $crate::__memory!();
            $($crate::__hook!($hook, |payload| {
                STATE.with_borrow_mut(|state| $function(state, payload))
            });)+
        };
    };
    ($($hook:ident : $function:expr),+ $(,)?) => {
        const _: () = {
            $crate::__memory!();
            $($crate::__hook!($hook, $function);)+
        };
    };
}

/// The exports through which the host hands over a document.
#[doc(hidden)]
#[macro_export]
macro_rules! __memory {
    () => {
        #[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
        extern "C" fn gm_alloc(size: usize) -> usize {
            $crate::exports::alloc(size)
        }

        #[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
        extern "C" fn gm_free(address: usize, _size: usize) {
            $crate::exports::free(address);
        }

        // Elsewhere there are no exports, and nobody else names these.
        const _: (extern "C" fn(usize) -> usize, extern "C" fn(usize, usize)) = (gm_alloc, gm_free);
    };
}

/// The export of one hook, with the payload that goes with its name.
#[doc(hidden)]
#[macro_export]
macro_rules! __hook {
    (init, $function:expr) => {
        $crate::__export!(init, Init, $function);
    };
    (on_commit_analyzed, $function:expr) => {
        $crate::__export!(on_commit_analyzed, Commit, $function);
    };
    (on_edge_created, $function:expr) => {
        $crate::__export!(on_edge_created, EdgeCreated, $function);
    };
    (on_node_updated, $function:expr) => {
        $crate::__export!(on_node_updated, NodeUpdated, $function);
    };
    (on_node_accessed, $function:expr) => {
        $crate::__export!(on_node_accessed, NodeAccessed, $function);
    };
    (on_graph_query, $function:expr) => {
        $crate::__export!(on_graph_query, GraphQuery, $function);
    };
    (command, $function:expr) => {
        $crate::__export!(gm_command, Command, $function);
    };
    (shutdown, $function:expr) => {
        $crate::__export!(shutdown, Shutdown, $function);
    };
    ($other:ident, $function:expr) => {
        ::std::compile_error!(::std::concat!(
            "no hook is named ",
            ::std::stringify!($other)
        ));
    };
}

/// One export.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($hook:ident, $payload:ident, $function:expr) => {
        // Only there: elsewhere the name `shutdown` would stand before libc's.
        #[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
        extern "C" fn $hook(address: usize, length: usize) -> i32 {
            $crate::exports::run::<$crate::$payload>(address, length, $function)
        }

        const _: extern "C" fn(usize, usize) -> i32 = $hook;
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Shutdown};

    #[test]
    fn buffers_are_aligned_and_apart() {
        let first = alloc(1);
        let second = alloc(100);
        assert_eq!((first % ALIGNMENT, second % ALIGNMENT), (0, 0));
        assert_ne!(first, second);
        free(first);
        free(second);
        INPUTS.with_borrow(|inputs| assert!(inputs.is_empty()));
    }

    #[test]
    fn empty_document_has_a_buffer_too() {
        let address = alloc(0);
        assert_ne!(address, 0);
        let input = take(address).unwrap();
        assert_eq!(written(&input, 0), Some(&[][..]));
    }

    #[test]
    fn size_that_no_memory_holds_is_answered_with_zero() {
        assert_eq!(alloc(usize::MAX), 0);
        assert_eq!(alloc(usize::MAX - 100), 0);
        assert_eq!(alloc(usize::MAX / 2), 0);
    }

    #[test]
    fn buffer_is_taken_once() {
        let address = alloc(8);
        assert!(take(address).is_some());
        assert!(take(address).is_none());
        free(address);
    }

    #[test]
    fn document_longer_than_its_buffer_is_refused() {
        let input = take(alloc(8)).unwrap();
        assert!(written(&input, 8).is_some());
        assert!(written(&input, 64).is_none());
        assert!(written(&input, usize::MAX).is_none());
    }

    #[test]
    fn input_that_was_never_handed_out_is_an_error_of_the_hook() {
        let status = run::<Shutdown>(4096, 2, |_| Err("the hook must not run".into()));
        assert_eq!(status, 1);
        let refused = payload::<Shutdown>(4096, 2).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the host's input lies in no buffer of gm_alloc"
        );
    }

    #[test]
    fn input_that_is_no_document_is_an_error_of_the_hook() {
        let refused = payload::<Init>(alloc(4), 4).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the hook's input is not the JSON that was expected"
        );
    }
}
