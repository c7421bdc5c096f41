//! The twin of `program`: this binary as a program of `gm-init`'s, which does what
//! programs do with threads, time, files and their input.

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

/// What `gm-init` calls every program.
pub(super) const NAME: &str = "program";

/// Answers calls until its input ends.
pub(super) fn live() -> ExitCode {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else {
            return ExitCode::FAILURE;
        };
        let call: Option<u64> = serde_json::from_str(&line)
            .ok()
            .and_then(|value: serde_json::Value| value.get("call")?.as_u64());
        let Some(call) = call else {
            return ExitCode::FAILURE;
        };
        if !work() {
            return ExitCode::FAILURE;
        }
        let mut out = std::io::stdout().lock();
        let said = writeln!(out, "{{\"call\":{call},\"reply\":null}}").and_then(|()| out.flush());
        if said.is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn work() -> bool {
    let begun = Instant::now();
    let thread = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(1));
        let words: HashMap<usize, String> = (0..100).map(|n| (n, n.to_string())).collect();
        words.len()
    });
    let counted = thread.join().is_ok_and(|words| words == 100);
    // There is no such file, and it may be asked for.
    let absent = std::fs::File::open("/assets/none").is_err();
    let dated = SystemTime::now() > SystemTime::UNIX_EPOCH;
    counted && absent && dated && begun.elapsed() >= Duration::from_millis(1)
}
