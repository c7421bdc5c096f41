//! What both binaries do first and last: the command line, and a panic that
//! becomes a code instead of a backtrace.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use gm_manifest::{Code, Refusal};
use nix::sys::signal::{SigSet, Signal};

use crate::args::{self, CommandLine, Environment, Invocation};
use crate::output::Output;

/// Understands the command line, carries out its verb and gives the process's
/// exit code.
pub fn run<C: CommandLine>(
    carry_out: impl FnOnce(C::Verb, &Invocation, &mut Output) -> u8,
) -> ExitCode {
    // What went wrong is said once, in the form that was asked for.
    std::panic::set_hook(Box::new(|_| {}));
    // A file beyond RLIMIT_FSIZE is an error of its write then (setrlimit(2)), with words
    // and a code, and not the end. What is started has a mask of its own.
    let mut too_long = SigSet::empty();
    too_long.add(Signal::SIGXFSZ);
    let _ = too_long.thread_block();
    let (invocation, verb, mut output) =
        match args::begin::<C>(std::env::args_os(), Environment::read()) {
            Ok(begun) => begun,
            Err((exit, output)) => return output.conclude(exit),
        };
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| {
        carry_out(verb, &invocation, &mut output)
    }));
    let exit = done.unwrap_or_else(|panic| output.refused(&panicked(panic.as_ref())));
    output.conclude(exit)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Refusal {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a word".to_owned());
    Refusal::new(Code::InternalPanic, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_internal_error_with_its_words() {
        let refusal = panicked(&"index out of bounds");
        assert_eq!(
            (refusal.code, refusal.detail.as_str()),
            (Code::InternalPanic, "index out of bounds")
        );
        assert_eq!(refusal.exit(), 70);
    }
}
