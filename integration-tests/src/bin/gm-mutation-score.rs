//! Prints how much of the policies the probes guard: as text, or with `--json` as lines.
//! Test only; `gm-probe-host` must lie beside it. Exit: 0 enough, 1 a threshold is
//! missed, 2 usage, 70 nothing could be said.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints is all that it is for"
)]

use std::process::ExitCode;

use gm_integration_tests::mutation::{Host, Options, PROFILES, score};
use gm_integration_tests::probes;

fn main() -> ExitCode {
    let own = std::env::current_exe().unwrap_or_default();
    let host = match Host::new(own.with_file_name("gm-probe-host")) {
        Ok(host) => host,
        Err(why) => return nothing(&why),
    };
    let mut options = Options {
        host,
        profiles: Vec::new(),
        probes: probes::table(),
        walls: false,
    };
    let mut json = false;
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--json" => json = true,
            "--walls" => options.walls = true,
            profile if PROFILES.contains(&profile) => options.profiles.push(word),
            _ => {
                eprintln!("usage: gm-mutation-score [--json] [--walls] [PROFILE]...");
                return ExitCode::from(2);
            }
        }
    }
    if options.profiles.is_empty() && !options.walls {
        options.profiles = PROFILES.map(str::to_owned).to_vec();
        options.walls = true;
    }
    match score(&options) {
        Ok(score) => {
            let lines = score.json();
            match json {
                true => lines.iter().for_each(|line| println!("{line}")),
                false => print!("{}", score.text()),
            }
            ExitCode::from(u8::from(!score.is_enough()))
        }
        Err(why) => nothing(&why),
    }
}

/// Says why nothing can be said.
fn nothing(why: &str) -> ExitCode {
    eprintln!("gm-mutation-score: {why}");
    ExitCode::from(70)
}
