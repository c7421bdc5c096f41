//! Hosts one of the probes that are linked into it behind the product's walls, with a
//! layer left out. Test only, never installed.

use gm_integration_tests::probe_host;
use gm_sandbox_runner::walls::{Arena, arena};

#[global_allocator]
static ARENA: Arena = arena();

fn main() -> std::process::ExitCode {
    probe_host::live(&ARENA)
}
