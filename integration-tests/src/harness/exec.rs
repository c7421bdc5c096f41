//! Starts a process, bounds what it may take and say, and ends it with all that it
//! started in its group.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::evidence::Ran;

/// More than that of one stream is thrown away.
const MOST: usize = 4 << 20;

/// Runs a command to its end or the end of its time, with nothing on its stdin.
///
/// # Errors
/// If it can't be started.
pub(crate) fn run(command: &mut Command, limit: Duration) -> std::io::Result<Ran> {
    let begun = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = child.spawn()?;
    let stdout = child.stdout.take().map(Collector::start);
    let stderr = child.stderr.take().map(Collector::start);
    let mut ran = wait(&mut child, begun + limit)?;
    ran.took = begun.elapsed();
    for (collector, is_stdout) in [(stdout, true), (stderr, false)] {
        let said = collector.map(Collector::finish).unwrap_or_default();
        let text = String::from_utf8_lossy(&said).into_owned();
        *(if is_stdout {
            &mut ran.stdout
        } else {
            &mut ran.stderr
        }) = text;
        ran.output.extend(said);
    }
    Ok(ran)
}

fn wait(child: &mut Child, until: Instant) -> std::io::Result<Ran> {
    let mut ran = Ran::default();
    let died = loop {
        if is_dead(child)? {
            break true;
        }
        if Instant::now() >= until {
            break false;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    // Also what it left running: it may hold the pipes.
    end_group(child);
    let status = child.wait()?;
    match died {
        true => (ran.exit, ran.signal) = (status.code(), status.signal()),
        false => ran.timed_out = true,
    }
    Ok(ran)
}

/// Whether it has ended. It is not reaped, so that its number stays its own.
fn is_dead(child: &Child) -> std::io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(Pid::from_child(child)), options) {
        Ok(status) => Ok(status.is_some()),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The group's number is the child's, which was made its leader. Once that is reaped, the
/// number may be somebody else's.
fn end_group(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    // Should it have left its group.
    let _ = child.kill();
}

/// Empties a stream, so that a full pipe stops nobody.
struct Collector {
    kept: Arc<Mutex<Vec<u8>>>,
    done: Receiver<()>,
}

impl Collector {
    fn start(mut stream: impl Read + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (finished, done) = channel::<()>();
        let shared = Arc::clone(&kept);
        std::thread::spawn(move || {
            // Its drop is the signal.
            let _finished = finished;
            let mut part = [0; 16 << 10];
            while let Ok(read @ 1..) = stream.read(&mut part) {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MOST.saturating_sub(kept.len()).min(read);
                kept.extend_from_slice(part.get(..room).unwrap_or_default());
            }
        });
        Self { kept, done }
    }

    /// All that was said; who left the group and holds the pipe is not waited for.
    fn finish(self) -> Vec<u8> {
        let _ = self.done.recv_timeout(Duration::from_secs(1));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::command;
    use std::path::Path;

    fn sh(script: &str, limit: u64) -> Ran {
        let mut sh = command("sh", Path::new("/"));
        run(sh.args(["-c", script]), Duration::from_millis(limit)).unwrap()
    }

    #[test]
    fn both_streams_and_the_exit_code_are_kept() {
        let ran = sh("echo out; echo err >&2; exit 3", 10_000);
        assert_eq!((ran.exit, ran.timed_out), (Some(3), false));
        assert_eq!((&*ran.stdout, &*ran.stderr), ("out\n", "err\n"));
    }

    #[test]
    fn who_does_not_end_is_ended_with_its_children() {
        let ran = sh("sleep 100 & sleep 100", 200);
        assert!(ran.timed_out && ran.exit.is_none());
        assert!(ran.took < Duration::from_secs(5));
    }

    #[test]
    fn what_it_left_in_its_group_is_ended_too() {
        let ran = sh("sleep 100 & echo $!", 10_000);
        assert_eq!((ran.exit, ran.timed_out), (Some(0), false));
        // It held the pipes: its end is theirs.
        assert!(ran.took < Duration::from_secs(5));
        // Gone, or dead and not yet reaped by who has it now.
        let stat = format!("/proc/{}/stat", ran.stdout.trim());
        let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        assert!(crate::kernel::within(Duration::from_secs(5), is_gone));
    }

    #[test]
    fn a_flood_is_cut_and_does_not_stop_its_writer() {
        let ran = sh("head -c 20000000 /dev/zero", 20_000);
        assert_eq!((ran.exit, ran.output.len()), (Some(0), MOST));
    }
}
