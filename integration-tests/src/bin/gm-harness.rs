//! `gm-harness`: attacks on the product's walls, with their controls and twins. Started by
//! `gm-broker harness`; it tries the binaries that lie beside its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(gm_integration_tests::harness::main(std::env::args_os()))
}
