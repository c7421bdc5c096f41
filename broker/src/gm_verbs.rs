//! The verbs of `gm`.

use crate::args::Invocation;
use crate::args::gm::Verb;
use crate::output::Output;
use crate::{gpg_verbs, plugin_verbs};

/// Carries out one verb; gives the exit code, everything was said.
pub fn carry_out(verb: Verb, invocation: &Invocation, output: &mut Output) -> u8 {
    let done = match verb {
        Verb::Gpg(verb) => gpg_verbs::run(verb, invocation, output),
        Verb::Plugin(verb) => plugin_verbs::run(verb, invocation, output),
    };
    done.unwrap_or_else(|refusal| output.refused(&refusal))
}
