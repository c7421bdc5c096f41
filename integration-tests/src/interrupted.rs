//! SIGINT and SIGTERM: no more work is begun, what runs is ended, and whoever made
//! something takes it away as always. Nothing is concluded from half of a run.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, kill_process};

/// So often what still runs is told to end, since new ones begin until all have seen it.
const EACH: Duration = Duration::from_millis(200);
/// So often it is asked, then ended.
const ASKED: u32 = 25;

/// The signal that came; 0 = none.
static CAME: AtomicU8 = AtomicU8::new(0);

/// Waits for them from here on. Before any other thread, which must inherit the mask;
/// children get an empty one from the standard library.
///
/// # Errors
/// What the kernel refuses.
pub fn watch() -> std::io::Result<()> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    set.add(Signal::SIGTERM);
    set.thread_block()?;
    let watcher = std::thread::Builder::new().name("signals".to_owned());
    watcher.spawn(move || serve(set)).map(drop)
}

fn serve(set: SigSet) {
    let Ok(signal) = set.wait() else { return };
    CAME.store(number(signal), Ordering::Relaxed);
    #[expect(
        clippy::exit,
        reason = "whoever asks twice is in a hurry, whatever is left behind"
    )]
    let again = move || {
        if let Ok(signal) = set.wait() {
            std::process::exit(128 + i32::from(number(signal)));
        }
    };
    std::thread::spawn(again);
    for round in 0.. {
        let signal = match round < ASKED {
            true => rustix::process::Signal::TERM,
            false => rustix::process::Signal::KILL,
        };
        for child in children() {
            // It may be gone by itself.
            let _ = kill_process(child, signal);
        }
        std::thread::sleep(EACH);
    }
}

fn number(signal: Signal) -> u8 {
    u8::try_from(signal as i32).unwrap_or(u8::MAX)
}

/// The exit code of whoever was interrupted, as shells have it.
#[must_use]
pub fn exit() -> Option<u8> {
    match CAME.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(128 + signal),
    }
}

/// That there is no reason to stop.
///
/// # Errors
/// There is.
pub fn check() -> Result<(), String> {
    match exit() {
        Some(_) => Err("interrupted".to_owned()),
        None => Ok(()),
    }
}

/// Of all threads (`CONFIG_PROC_CHILDREN`, proc_pid_task(5)).
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let texts = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let pids = texts.flat_map(|text| {
        let pids = text.split_whitespace().map(|pid| pid.parse().ok());
        pids.flatten().collect::<Vec<i32>>()
    });
    pids.filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_whichever_thread_began_it() {
        let sleep = || {
            crate::process::command("sleep", "/".as_ref())
                .arg("60")
                .spawn()
        };
        let mut child = std::thread::spawn(sleep).join().unwrap().unwrap();
        let pid = Pid::from_child(&child);
        assert!(children().contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children().contains(&pid));
    }
}
