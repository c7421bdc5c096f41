//! `gm-broker`: hosts plugins, and shows what each may do.

use std::process::ExitCode;

use gm_broker::args::broker::GmBroker;
use gm_broker::{broker_verbs, entry};

fn main() -> ExitCode {
    entry::run::<GmBroker>(broker_verbs::carry_out)
}
