//! `gm`: signs, trusts and loads plugins.

use std::process::ExitCode;

use gm_broker::args::gm::Gm;
use gm_broker::{entry, gm_verbs};

fn main() -> ExitCode {
    entry::run::<Gm>(gm_verbs::carry_out)
}
