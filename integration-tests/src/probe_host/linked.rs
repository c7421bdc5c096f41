//! The probes that are linked in: the only thing that is ever run here.
#![expect(unsafe_code, reason = "the probes are C")]

use std::ffi::{CString, c_char, c_int};

#[link(name = "gm_probes", kind = "static")]
unsafe extern "C" {
    fn gm_probe_main(argc: c_int, argv: *const *const c_char, out_fd: c_int) -> c_int;
}

/// Runs the probe that the first word names; its report goes to `out`. 64 = there is
/// no such probe.
pub(super) fn run(words: &[CString], out: c_int) -> c_int {
    let argv: Vec<*const c_char> = words
        .iter()
        .map(|word| word.as_ptr())
        .chain([std::ptr::null()])
        .collect();
    run_prepared(&argv, out)
}

fn run_prepared(argv: &[*const c_char], out: c_int) -> c_int {
    let count = argv.len().saturating_sub(1);
    let Ok(count) = c_int::try_from(count) else {
        return 64;
    };
    // SAFETY: `argv` holds `count` pointers to NUL-terminated strings that live through
    // the call, and a null behind them. What a probe does to this process is why the
    // process was made: it ends right after.
    unsafe { gm_probe_main(count, argv.as_ptr(), out) }
}
