//! The messages of the link between broker and runner.
//!
//! Flat types only: no recursion, no zero-sized elements, no container of
//! containers without a count cap. No plugin id, host path, uid or descriptor
//! number crosses. What a runner says is a claim until the broker checked it.

use bincode::{Decode, Encode};

use crate::plan::{Hook, HostOp, Setup};

/// The most bytes of a document that ride in one frame; longer ones go on in
/// [`FromRunner::Part`] or [`ToRunner::Part`] frames.
pub const PART: usize = 60 * 1024;

/// From the broker to a runner.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToRunner {
    /// First frame: walls and task.
    Setup(Box<Setup>),
    /// The walls were read back from outside: load the code.
    Go,
    /// Call a hook with a document.
    Call {
        /// Chosen by the broker, never reused in a process's life.
        call: u32,
        /// Which hook.
        hook: Hook,
        /// The document goes on in parts.
        more: bool,
        /// The document or its beginning, JSON text.
        bytes: Vec<u8>,
    },
    /// The answer to a host call.
    HostDone {
        /// The runner's number of the call.
        id: u32,
        /// As the ABI returns it: ≥ 0 a length, count or 0; < 0 an error.
        status: i64,
        /// The result goes on in parts.
        more: bool,
        /// The result or its beginning; for error −8 its text.
        bytes: Vec<u8>,
    },
    /// The document of the frame before goes on.
    Part {
        /// Counts from 1.
        index: u32,
        /// This is the last one.
        last: bool,
        /// At least one byte.
        bytes: Vec<u8>,
    },
    /// Nothing more will come: end with status 0.
    Stop,
    /// To `gm-http`: make a request.
    Fetch {
        /// Chosen by the broker, never reused in a process's life.
        id: u32,
        /// How long it may take, from its arrival on.
        time_ms: u32,
        /// The document goes on in parts.
        more: bool,
        /// The request or its beginning, JSON text.
        bytes: Vec<u8>,
    },
}

/// From a runner to the broker. All of it is a claim.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromRunner {
    /// The walls are up, seen from inside.
    Report(Report),
    /// The code is loaded and the last filter is up; no plugin code has run
    /// before this filter.
    Loaded {
        /// The module exports `init`.
        init: bool,
        /// The module exports `shutdown`.
        shutdown: bool,
    },
    /// The code could not be loaded; the process ends.
    NotLoaded {
        /// Why, for people; at most a few thousand bytes, and the plugin's word.
        text: String,
    },
    /// The compile process is done; the artifact lies in the output memfd.
    Compiled {
        /// Its length in bytes.
        len: u64,
    },
    /// The compile process refuses the module.
    Refused(ModuleFault),
    /// The plugin asks the host.
    Host {
        /// Counts from 0 in a process's life.
        id: u32,
        /// Which call.
        op: HostOp,
        /// Level of a log line; 0 otherwise.
        level: u8,
        /// How many of the bytes, parts included, are the first argument; the
        /// rest is the second.
        first: u32,
        /// The arguments go on in parts.
        more: bool,
        /// Arguments or their beginning.
        bytes: Vec<u8>,
    },
    /// The document of the frame before goes on.
    Part {
        /// Counts from 1.
        index: u32,
        /// This is the last one.
        last: bool,
        /// At least one byte.
        bytes: Vec<u8>,
    },
    /// A hook returned.
    Done {
        /// The broker's number of the call.
        call: u32,
        /// What the hook returned: 0 = done.
        status: i32,
        /// Whether there is a document: the reply (status 0) or the error's
        /// text. An empty document and none are different things.
        has: bool,
        /// The document goes on in parts.
        more: bool,
        /// The document or its beginning.
        bytes: Vec<u8>,
    },
    /// The process is about to end; only with sequence number 0xFFFFFFFF.
    Last(Last),
    /// From `gm-http`: the answer to a request.
    Fetched {
        /// The broker's number of the request.
        id: u32,
        /// As the ABI returns it: ≥ 0 the length of the response; < 0 an error.
        status: i64,
        /// The document goes on in parts.
        more: bool,
        /// The response, JSON text, or its beginning; of an error its text, of
        /// what is not granted the host and port that were asked for.
        bytes: Vec<u8>,
    },
}

/// What a walled process sees of its own walls before it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// [`crate::PROTOCOL`] of this binary.
    pub protocol: u32,
    /// Real, effective and saved user id inside.
    pub uids: [u32; 3],
    /// Real, effective and saved group id inside.
    pub gids: [u32; 3],
    /// Union of the permitted, effective, inheritable, bounding and ambient
    /// capability sets.
    pub caps: u64,
    /// `PR_GET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// `PR_GET_DUMPABLE`.
    pub dumpable: bool,
    /// Landlock ABI of the kernel.
    pub landlock_abi: u32,
    /// Opening `/` was refused with EACCES after Landlock.
    pub root_refused: bool,
    /// A call of the soft layer got the errno of the plan.
    pub soft_refused: bool,
    /// Open descriptors, bit n = descriptor n (0..=63).
    pub fds: u64,
}

/// Why a module cannot be a plugin. `name` and `detail` come from the module:
/// hostile text.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ModuleFault {
    /// The class of the fault.
    pub kind: ModuleFaultKind,
    /// The import, export or section it is about; may be empty.
    pub name: String,
    /// What was wrong, for people; at most a few hundred bytes.
    pub detail: String,
}

/// Classes of [`ModuleFault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ModuleFaultKind {
    /// The first bytes are not a core module's.
    NotWasm,
    /// Validation or compilation failed.
    Malformed,
    /// Too many items, or too large an artifact.
    TooComplex,
    /// `memory`, a listed hook, or what the ABI needs besides is not exported, or
    /// with another type.
    MissingExport,
    /// An import of an unknown module or name.
    ImportUnknown,
    /// A known import with another type.
    ImportType,
    /// A known import without its permission; `detail` is the host call that
    /// would give it.
    ImportNotGranted,
}

/// The final words of a process that ends by itself. Advisory: the wait
/// status decides the ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Last {
    /// A seccomp filter refused a call (SIGSYS).
    Forbidden {
        /// The call's number.
        nr: i32,
        /// Its arguments.
        args: [u64; 6],
    },
    /// The plugin's code trapped.
    Trap {
        /// What kind of trap.
        class: TrapClass,
        /// A `memory.grow` or `table.grow` was refused during this call.
        refused_grow: bool,
    },
    /// The plugin's code ended itself with a status other than 0.
    Exited {
        /// The status.
        status: u32,
    },
    /// The runner itself panicked.
    Panic,
    /// The program that `gm-init` runs died of this signal; `gm-init` itself ends
    /// with status 128 and that number.
    Child {
        /// Its number.
        signal: u8,
    },
    /// The program wrote a line that breaks the rules of its channel.
    Line(LineFault),
    /// A wall could not be put up inside the process.
    Wall {
        /// Index into [`crate::plan::Control::ALL`].
        control: u8,
        /// errno of the failing step, 0 = none.
        errno: i32,
    },
}

/// What is wrong with a line of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum LineFault {
    /// Longer than a line may be.
    TooLong,
    /// No JSON object of a known form.
    Form,
    /// An answer to a call that is not open.
    OutOfTurn,
    /// Written while no call was open.
    Ahead,
}

impl LineFault {
    /// The text in an ending's `detail`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "a line of the program is longer than 1 MiB",
            Self::Form => "a line of the program is neither an answer nor a host call",
            Self::OutOfTurn => "a line of the program answers no open call",
            Self::Ahead => "the program wrote to its output before it was called",
        }
    }
}

/// Classes of a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum TrapClass {
    /// `unreachable` was executed.
    Unreachable,
    /// An access outside the linear memory.
    Bounds,
    /// The WASM stack is exhausted.
    Stack,
    /// Integer division by zero or overflow, or a bad conversion.
    Arithmetic,
    /// An indirect call or table access that does not fit.
    Table,
    /// A host call was given something outside its contract.
    HostCall,
    /// Any other.
    Other,
}

impl TrapClass {
    /// The name in an ending's `detail`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Bounds => "bounds",
            Self::Stack => "stack",
            Self::Arithmetic => "arithmetic",
            Self::Table => "table",
            Self::HostCall => "host-call",
            Self::Other => "other",
        }
    }
}

impl ToRunner {
    /// The parts that follow a first frame which carried the beginning of
    /// `document`.
    pub fn parts(document: &[u8]) -> impl Iterator<Item = Self> {
        split(document).map(|(index, last, bytes)| Self::Part { index, last, bytes })
    }
}

impl FromRunner {
    /// The parts that follow a first frame which carried the beginning of
    /// `document`.
    pub fn parts(document: &[u8]) -> impl Iterator<Item = Self> {
        split(document).map(|(index, last, bytes)| Self::Part { index, last, bytes })
    }
}

/// The beginning of a document that rides in its first frame, and whether
/// parts must follow.
#[must_use]
pub fn head(document: &[u8]) -> (Vec<u8>, bool) {
    match document.get(..PART) {
        Some(first) if document.len() > PART => (first.to_vec(), true),
        _ => (document.to_vec(), false),
    }
}

fn split(document: &[u8]) -> impl Iterator<Item = (u32, bool, Vec<u8>)> {
    let rest = document.get(PART..).unwrap_or_default();
    let count = rest.len().div_ceil(PART);
    rest.chunks(PART).zip(1_u32..).map(move |(bytes, index)| {
        let last = usize::try_from(index).is_ok_and(|index| index == count);
        (index, last, bytes.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_document_rides_in_one_frame() {
        assert_eq!(head(b"{}"), (b"{}".to_vec(), false));
        assert_eq!(ToRunner::parts(b"{}").count(), 0);
        assert!(!head(&vec![0; PART]).1);
    }

    #[test]
    fn a_long_document_is_whole_again_from_its_parts() {
        let document: Vec<u8> = (0..=250_u8).cycle().take(3 * PART + 7).collect();
        let (mut whole, more) = head(&document);
        assert!(more);
        let parts: Vec<_> = FromRunner::parts(&document).collect();
        for (n, part) in parts.iter().enumerate() {
            let FromRunner::Part { index, last, bytes } = part else {
                panic!("not a part")
            };
            assert_eq!((*index as usize, *last), (n + 1, n + 1 == parts.len()));
            whole.extend_from_slice(bytes);
        }
        assert_eq!(whole, document);
    }
}
