//! Starts the product and collects what it says. The only place in the tests
//! that starts a process.
//!
//! Each process has a deadline, and is killed by its own id if it is still
//! there when its value is dropped. The environment is empty but for PATH.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest life of a process here. Generous: it only ends what hangs, so a
/// loaded machine doesn't turn it into a verdict.
const DEADLINE: Duration = Duration::from_secs(150);

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; 128 + number if a signal ended it.
    pub exit: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    /// The JSON objects of stdout, one a line, if it was asked for JSON.
    pub records: Vec<Value>,
}

/// A command of the product, or of git or cargo.
#[must_use]
pub fn command(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start the product from outside; the broker's own place is broker::spawn"
    )]
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// A command that builds something: it also knows where compilers and package
/// managers keep theirs.
#[must_use]
pub fn builder(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = command(program, dir);
    for variable in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        command.envs(std::env::var_os(variable).map(|value| (variable, value)));
    }
    command
}

/// Whether the shell finds a program.
///
/// # Panics
/// As [`run`].
#[must_use]
pub fn is_there(program: &str) -> bool {
    let search = format!("command -v {program}");
    run(command("sh", Path::new("/")).args(["-c", &search]), b"").exit == 0
}

/// Runs a command to its end, with `input` on its stdin.
///
/// # Panics
/// If it can't be started, doesn't end in time, or writes no UTF-8.
pub fn run(command: &mut Command, input: &[u8]) -> Ended {
    let mut live = Live::start(command);
    // A process that doesn't read its input closes the pipe; its exit code tells.
    let _ = live.stdin.as_mut().unwrap().write_all(input);
    live.finish()
}

/// A running process; its stdout is read line by line.
pub struct Live {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    rest: Receiver<String>,
    seen: Vec<String>,
    until: Instant,
}

impl Live {
    /// Starts a command.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let (to_lines, lines) = channel();
        let (to_rest, rest) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        // Both pipes are emptied at once, or a full one would stop the process.
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { return };
                if to_lines.send(line).is_err() {
                    return;
                }
            }
        });
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            let _ = to_rest.send(String::from_utf8_lossy(&text).into_owned());
        });
        let stdin = child.stdin.take();
        Self {
            child,
            stdin,
            lines,
            rest,
            seen: Vec::new(),
            until: Instant::now() + DEADLINE,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its stdin.
    ///
    /// # Panics
    /// If it doesn't read any more.
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Ends its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for a record that fits, and returns it; looks at those that came
    /// before, too.
    ///
    /// # Panics
    /// If the process ends, or its deadline passes, before there is one.
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let before = parsed(&self.seen).into_iter().find(&fits);
        if let Some(found) = before {
            return found;
        }
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let record = serde_json::from_str(&line).unwrap_or(Value::Null);
                    self.seen.push(line);
                    if fits(&record) {
                        return record;
                    }
                }
                Err(why) => self.give_up(what, why),
            }
        }
    }

    /// Sends a signal to this very process.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends its stdin and waits for its end.
    ///
    /// # Panics
    /// If it doesn't end in time.
    pub fn finish(mut self) -> Ended {
        self.close_stdin();
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(why) => self.give_up("its end", why),
            }
        }
        let exit = self.wait();
        let stderr = self
            .rest
            .recv_timeout(Duration::from_secs(10))
            .unwrap_or_default();
        let seen = std::mem::take(&mut self.seen);
        let stdout = seen.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        Ended {
            exit,
            stdout,
            stderr,
            records: parsed(&seen),
        }
    }

    /// Stops reading its stdout, as a reader that has seen enough, and goes on
    /// to write `line` to its stdin until it ends; returns its exit code.
    ///
    /// # Panics
    /// If it doesn't end in time.
    #[must_use]
    pub fn hang_up(mut self, line: &str) -> i32 {
        // The reading thread ends at the next line, and with it the pipe's end.
        self.lines = channel().1;
        while self.child.try_wait().unwrap().is_none() {
            let _ = self
                .stdin
                .as_mut()
                .unwrap()
                .write_all(format!("{line}\n").as_bytes());
            self.pause("its end");
        }
        self.wait()
    }

    /// Sends a signal again and again until it ends, since two that come at
    /// once may count as one.
    ///
    /// # Panics
    /// If it doesn't end in time.
    pub fn signal_until_end(&mut self, signal: Signal) {
        while self.child.try_wait().unwrap().is_none() {
            self.signal(signal);
            self.pause("its end after signals");
        }
    }

    fn pause(&mut self, what: &str) {
        if Instant::now() >= self.until {
            self.give_up(what, RecvTimeoutError::Timeout);
        }
        std::thread::sleep(Duration::from_millis(50));
    }

    fn wait(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        while Instant::now() < self.until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status
                    .code()
                    .unwrap_or_else(|| 128 + status.signal().unwrap());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.give_up("its exit", RecvTimeoutError::Timeout)
    }

    fn give_up(&mut self, what: &str, why: RecvTimeoutError) -> ! {
        self.kill();
        let stderr = self
            .rest
            .recv_timeout(Duration::from_secs(10))
            .unwrap_or_default();
        let seen = self.seen.join("\n");
        panic!("waiting for {what}: {why}\n-- stdout\n{seen}\n-- stderr\n{stderr}");
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.kill();
    }
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Process;

    fn shell(script: &str) -> Command {
        let mut sh = command("sh", Path::new("/"));
        sh.args(["-c", script]);
        sh
    }

    #[test]
    fn all_that_was_said_is_collected() {
        let said = run(
            &mut shell("cat; echo '{\"a\":1}'; echo no >&2; exit 3"),
            b"in\n",
        );
        assert_eq!(said.exit, 3);
        assert_eq!((&*said.stdout, &*said.stderr), ("in\n{\"a\":1}\n", "no\n"));
        assert_eq!(said.records, [serde_json::json!({"a": 1})]);
    }

    #[test]
    fn a_line_is_waited_for_once_it_is_written() {
        let mut live = Live::start(&mut shell("while read line; do echo \"$line\"; done"));
        live.write_line("{\"n\":1}");
        let _ = live.wait_for("the second", |record| record["n"] == 1);
        live.write_line("{\"n\":2}");
        let _ = live.wait_for("the second", |record| record["n"] == 2);
        let _ = live.wait_for("the first again", |record| record["n"] == 1);
        assert_eq!(live.finish().records.len(), 2);
    }

    #[test]
    fn a_signal_is_an_exit_code_and_nothing_outlives_its_value() {
        let live = Live::start(&mut shell("exec sleep 1000"));
        let process = Process::find(live.pid()).unwrap();
        drop(live);
        assert!(!process.lives());
        let live = Live::start(&mut shell("exec sleep 1000"));
        live.signal(Signal::TERM);
        assert_eq!(live.finish().exit, 128 + 15);
    }

    #[test]
    fn a_reader_that_hangs_up_is_noticed_by_the_writer() {
        let live = Live::start(&mut shell(
            "while read line; do echo \"$line\" || exit 7; done",
        ));
        assert_ne!(live.hang_up("x"), 0);
    }
}
