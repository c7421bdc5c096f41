//! Makers of [`Fault`], the one error of the launcher that crosses to the
//! broker.
//!
//! A fault names the step and the errno, so that a person can tell which wall
//! failed and why; it never holds a byte that a plugin wrote.

use gm_protocol::orders::{Fault, FaultKind};
use gm_protocol::plan::Control;
use rustix::io::Errno;

/// `step` towards the wall `control` failed with `errno`.
pub(crate) fn wall(control: Control, step: impl Into<String>, errno: Errno) -> Fault {
    Fault {
        kind: FaultKind::Wall(control),
        step: step.into(),
        errno: errno.raw_os_error(),
        detail: errno.to_string(),
    }
}

/// The wall `control` isn't as it must be.
pub(crate) fn breach(control: Control, step: &str, detail: impl Into<String>) -> Fault {
    Fault {
        kind: FaultKind::Wall(control),
        step: step.into(),
        errno: 0,
        detail: detail.into(),
    }
}

/// An order that breaks the launcher's rules.
pub(crate) fn refused(step: &str, detail: impl Into<String>) -> Fault {
    Fault {
        kind: FaultKind::Refused,
        step: step.into(),
        errno: 0,
        detail: detail.into(),
    }
}

/// The child that an order names isn't there.
pub(crate) fn gone(step: &str, detail: impl Into<String>) -> Fault {
    Fault {
        kind: FaultKind::Gone,
        step: step.into(),
        errno: 0,
        detail: detail.into(),
    }
}

/// A setting of broker.toml, or the machine, is not acceptable.
pub(crate) fn config(step: &str, detail: impl Into<String>) -> Fault {
    Fault {
        kind: FaultKind::Config,
        step: step.into(),
        errno: 0,
        detail: detail.into(),
    }
}

/// The errno of an I/O error of the standard library.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
