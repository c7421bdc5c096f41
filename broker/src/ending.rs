//! How a plugin's process ended: the one vocabulary for it, with its codes.
//!
//! The wait status and the group's counters decide; what the runner said last
//! only adds detail.

use std::time::Duration;

use gm_manifest::Code;
use gm_protocol::message::Last;
use gm_protocol::orders::{Collected, WaitStatus};
use gm_protocol::plan::Control;

/// Exit status of a runner that panicked.
const PANIC_STATUS: i32 = 101;

/// The stable names of endings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndingKind {
    /// `shutdown` was answered and the process ended with status 0.
    Finished,
    /// Its code said no where that ends it: `init`.
    Failed,
    /// Its code trapped.
    Trapped,
    /// It died of a signal or status that none of the others explain.
    Crashed,
    /// A deadline passed.
    TimedOut,
    /// The memory limit was reached.
    OutOfMemory,
    /// The process limit was reached.
    TooManyProcesses,
    /// A seccomp filter refused a call.
    ForbiddenSyscall,
    /// It broke the rules of the link.
    ProtocolViolation,
    /// It logged more than is bearable.
    LogFlood,
    /// It was revoked while it ran.
    Revoked,
    /// A wall was not what the plan says.
    WallMissing,
    /// The operator ended it.
    KilledByOperator,
}

impl EndingKind {
    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Trapped => "trapped",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::TooManyProcesses => "too_many_processes",
            Self::ForbiddenSyscall => "forbidden_syscall",
            Self::ProtocolViolation => "protocol_violation",
            Self::LogFlood => "log_flood",
            Self::Revoked => "revoked",
            Self::WallMissing => "wall_missing",
            Self::KilledByOperator => "killed_by_operator",
        }
    }

    /// The exit code that it asks for.
    #[must_use]
    pub fn exit(self) -> u8 {
        match self {
            Self::Finished => 0,
            Self::Failed | Self::Trapped | Self::Crashed | Self::KilledByOperator => 1,
            Self::TimedOut
            | Self::OutOfMemory
            | Self::TooManyProcesses
            | Self::ForbiddenSyscall
            | Self::ProtocolViolation
            | Self::LogFlood => 20,
            Self::Revoked => Code::RevokedLocal.exit(),
            Self::WallMissing => 30,
        }
    }

    /// Whether a fresh process may be tried after it.
    #[must_use]
    pub const fn may_restart(self) -> bool {
        matches!(self, Self::Failed | Self::Trapped | Self::Crashed)
    }
}

/// A system call that a filter refused, as the runner reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenCall {
    /// Number; `None` = not reported.
    pub nr: Option<i32>,
    /// Arguments.
    pub args: [u64; 6],
}

/// A step whose time is fixed: neither manifest nor operator sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixed {
    /// From `Go` until the code is loaded.
    Load,
    /// The `shutdown` hook, where `time_limit` isn't shorter.
    Shutdown,
    /// From `Stop` until the process has ended.
    Stop,
    /// The same of a program, which is told to stop by the end of its input.
    EndOfInput,
}

impl Fixed {
    /// What was over its time.
    fn over(self, time: Duration) -> String {
        let time = time.as_secs();
        match self {
            Self::Load => format!("loading took over {time} s"),
            Self::Shutdown => format!("shutdown took over {time} s"),
            Self::Stop => format!("did not end within {time} s of being told to"),
            Self::EndOfInput => format!("did not end within {time} s of end of input"),
        }
    }

    /// What its author can do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Load => {
                "do less where it is loaded (top level, start function, constructors), and the rest in a hook"
            }
            Self::Shutdown => "do less in shutdown, and the rest in the hooks before it",
            Self::Stop => "do the last work in shutdown",
            Self::EndOfInput => "do the last work in shutdown, and exit at the end of the input",
        }
    }
}

/// How a plugin's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What happened.
    pub kind: EndingKind,
    /// Which layer stopped it.
    pub layer: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// Of [`EndingKind::TimedOut`]: the fixed time that passed, and whose.
    pub fixed: Option<(Fixed, Duration)>,
    /// The call that a filter refused.
    pub seccomp: Option<SeenCall>,
    /// The signal it died of.
    pub signal: Option<i32>,
}

/// Why the broker ended a process, before its status is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Nothing: the process closed its end or died.
    Gone,
    /// Somebody rang; whoever waited asks who, and says so in its place.
    Woken,
    /// `Stop` was sent after an answered `shutdown`.
    Stopped,
    /// A deadline passed.
    Deadline,
    /// A step was not done within its time, which is no plugin's to set.
    FixedDeadline(Fixed, Duration),
    /// A rule of the link was broken.
    Link(String),
    /// Too many log lines.
    LogFlood,
    /// A wall differs from the plan.
    Wall(Control, String),
    /// The code could not be loaded.
    NotLoaded(String),
    /// `init` answered an error.
    InitFailed(String),
    /// Revoked, disabled, unloaded or a second signal.
    Operator(EndingKind),
    /// The launcher is dead.
    Launcher,
    /// The broker could not do its own part.
    Host(String),
}

impl Ending {
    /// An ending of this kind with nothing more to say.
    #[must_use]
    pub fn new(kind: EndingKind, layer: &str) -> Self {
        Self {
            kind,
            layer: Some(layer.to_owned()),
            detail: None,
            fixed: None,
            seccomp: None,
            signal: None,
        }
    }

    /// Not the plugin's doing: the launcher died, an order was refused, a file of
    /// the broker's own could not be written.
    #[must_use]
    pub fn is_our_fault(&self) -> bool {
        self.kind == EndingKind::Crashed && self.layer.as_deref() == Some("operator")
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Joins what the broker knows, what the kernel says and what the runner
    /// said last.
    #[must_use]
    pub fn judge(cause: &Cause, collected: Option<&Collected>, last: Option<Last>) -> Self {
        match cause {
            Cause::Deadline => Self::late(collected),
            Cause::FixedDeadline(step, time) => match Self::late(collected) {
                late if late.kind == EndingKind::TimedOut => Self {
                    fixed: Some((*step, *time)),
                    ..late.detail(step.over(*time))
                },
                other => other,
            },
            Cause::LogFlood => Self::new(EndingKind::LogFlood, "log"),
            Cause::Wall(control, why) => {
                Self::new(EndingKind::WallMissing, control.as_str()).detail(why.clone())
            }
            Cause::NotLoaded(why) | Cause::InitFailed(why) => {
                Self::new(EndingKind::Failed, "engine").detail(why.clone())
            }
            Cause::Woken => Self::new(EndingKind::KilledByOperator, "operator"),
            Cause::Operator(EndingKind::Revoked) => Self::new(EndingKind::Revoked, "trust"),
            Cause::Operator(kind) => Self::new(*kind, "operator"),
            Cause::Launcher => Self::new(EndingKind::Crashed, "operator").detail("launcher"),
            Cause::Host(why) => Self::new(EndingKind::Crashed, "operator").detail(why.clone()),
            // A packet comes whole or not at all: no death of the process makes
            // a broken one.
            Cause::Link(why) => {
                Self::new(EndingKind::ProtocolViolation, "link").detail(why.clone())
            }
            Cause::Stopped => match collected {
                Some(dead) if dead.status == WaitStatus::Exited(0) => Self::of_success(dead),
                _ => collected.map_or_else(Self::unknown, |dead| Self::of_status(dead, last)),
            },
            Cause::Gone => collected.map_or_else(Self::unknown, |dead| Self::of_status(dead, last)),
        }
    }

    /// A deadline passed; the limit that it stood still for is the reason, if there
    /// is one.
    fn late(collected: Option<&Collected>) -> Self {
        let kind = match collected {
            Some(dead) if dead.pids_refused > 0 => EndingKind::TooManyProcesses,
            // Of several processes: alone it would have died of it.
            Some(dead) if dead.oom_kills > 0 => EndingKind::OutOfMemory,
            _ => return Self::new(EndingKind::TimedOut, "deadline"),
        };
        Self::new(kind, "cgroup").detail("until its deadline")
    }

    /// It ended with status 0. On cgroup v1 the limit takes one process and not the
    /// whole group as on v2, and the others may go on as if nothing had been.
    fn of_success(dead: &Collected) -> Self {
        if dead.oom_kills > 0 {
            return Self::new(EndingKind::OutOfMemory, "cgroup")
                .detail("one of its processes; the rest ended with status 0");
        }
        Self {
            layer: None,
            ..Self::new(EndingKind::Finished, "")
        }
    }

    fn unknown() -> Self {
        Self::new(EndingKind::Crashed, "engine").detail("no status")
    }

    fn of_status(dead: &Collected, last: Option<Last>) -> Self {
        if let Some(Last::Wall { control, errno }) = last {
            let control = Control::ALL.get(usize::from(control)).copied();
            let control = control.unwrap_or(Control::Seccomp);
            let why = std::io::Error::from_raw_os_error(errno);
            return Self::new(EndingKind::WallMissing, control.as_str()).detail(why.to_string());
        }
        if let Some(Last::Line(fault)) = last {
            return Self::new(EndingKind::ProtocolViolation, "link").detail(fault.as_str());
        }
        match status_of_child(dead.status, last) {
            WaitStatus::Signaled(libc::SIGKILL) if dead.oom_kills > 0 => {
                Self::new(EndingKind::OutOfMemory, "cgroup")
            }
            WaitStatus::Signaled(libc::SIGSYS) => Self::forbidden(last),
            WaitStatus::Signaled(signal) => Self {
                signal: Some(signal),
                ..Self::crashed(dead, format!("signal {signal}"))
            },
            WaitStatus::Exited(status) => Self::of_exit(dead, status, last),
        }
    }

    fn of_exit(dead: &Collected, status: i32, last: Option<Last>) -> Self {
        match last {
            Some(Last::Trap {
                refused_grow: true,
                class,
            }) => Self::new(EndingKind::OutOfMemory, "engine").detail(class.as_str()),
            Some(Last::Trap { class, .. }) => {
                Self::new(EndingKind::Trapped, "engine").detail(class.as_str())
            }
            Some(Last::Exited { status }) => Self::new(EndingKind::Trapped, "engine")
                .detail(format!("the plugin exited with status {status}")),
            Some(Last::Panic) if status == PANIC_STATUS => {
                Self::new(EndingKind::Failed, "engine").detail("the runner panicked")
            }
            _ => Self::crashed(dead, format!("exit status {status}")),
        }
    }

    fn crashed(dead: &Collected, detail: String) -> Self {
        // Of several processes the limit may have taken another one first.
        if dead.oom_kills > 0 {
            return Self::new(EndingKind::OutOfMemory, "cgroup").detail(detail);
        }
        if dead.pids_refused > 0 {
            return Self::new(EndingKind::TooManyProcesses, "cgroup").detail(detail);
        }
        Self::new(EndingKind::Crashed, "engine").detail(detail)
    }

    fn forbidden(last: Option<Last>) -> Self {
        let seen = match last {
            Some(Last::Forbidden { nr, args }) => SeenCall { nr: Some(nr), args },
            _ => SeenCall {
                nr: None,
                args: [0; 6],
            },
        };
        Self {
            seccomp: Some(seen),
            signal: Some(libc::SIGSYS),
            ..Self::new(EndingKind::ForbiddenSyscall, "seccomp")
        }
    }
}

/// The status that counts. What runs a program can't die of its signal, so it ends
/// with another status and says so; its word counts only where the two agree.
fn status_of_child(status: WaitStatus, last: Option<Last>) -> WaitStatus {
    match (status, last) {
        (WaitStatus::Exited(status), Some(Last::Child { signal }))
            if status == 128 + i32::from(signal) =>
        {
            WaitStatus::Signaled(signal.into())
        }
        (status, _) => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gm_protocol::message::TrapClass;

    fn dead(status: WaitStatus) -> Collected {
        Collected {
            status,
            killed_by_us: false,
            memory_peak: 0,
            oom_kills: 0,
            pids_refused: 0,
            cpu_us: 0,
            left: Vec::new(),
        }
    }

    #[test]
    fn the_status_decides_and_the_last_words_only_name_the_call() {
        let last = Some(Last::Forbidden {
            nr: 41,
            args: [2, 1, 0, 0, 0, 0],
        });
        let killed = Ending::judge(&Cause::Gone, Some(&dead(WaitStatus::Signaled(31))), last);
        assert_eq!(killed.kind, EndingKind::ForbiddenSyscall);
        assert_eq!(killed.seccomp.unwrap().nr, Some(41));
        // The same words without the status are only words.
        let exited = Ending::judge(&Cause::Gone, Some(&dead(WaitStatus::Exited(3))), last);
        assert_eq!(exited.kind, EndingKind::Crashed);
    }

    #[test]
    fn a_kill_by_the_memory_limit_is_told_from_another_kill() {
        let mut killed = dead(WaitStatus::Signaled(9));
        assert_eq!(
            Ending::judge(&Cause::Gone, Some(&killed), None).kind,
            EndingKind::Crashed
        );
        killed.oom_kills = 1;
        let ending = Ending::judge(&Cause::Gone, Some(&killed), None);
        assert_eq!(
            (ending.kind, ending.layer.as_deref()),
            (EndingKind::OutOfMemory, Some("cgroup"))
        );
    }

    #[test]
    fn a_trap_after_a_refused_grow_is_out_of_memory() {
        let last = Some(Last::Trap {
            class: TrapClass::Unreachable,
            refused_grow: true,
        });
        let ending = Ending::judge(&Cause::Gone, Some(&dead(WaitStatus::Exited(1))), last);
        assert_eq!(
            (ending.kind, ending.layer.as_deref()),
            (EndingKind::OutOfMemory, Some("engine"))
        );
    }

    #[test]
    fn the_end_of_a_program_is_told_by_who_runs_it() {
        let judge = |status, signal, oom_kills| {
            let mut dead = dead(WaitStatus::Exited(status));
            dead.oom_kills = oom_kills;
            let last = Some(Last::Child { signal });
            Ending::judge(&Cause::Gone, Some(&dead), last)
        };
        let crashed = judge(139, 11, 0);
        assert_eq!(
            (crashed.kind, crashed.signal),
            (EndingKind::Crashed, Some(11))
        );
        assert_eq!(judge(137, 9, 1).kind, EndingKind::OutOfMemory);
        let forbidden = judge(159, 31, 0);
        assert_eq!(forbidden.kind, EndingKind::ForbiddenSyscall);
        assert_eq!(forbidden.seccomp.unwrap().nr, None);
        // Words that the status does not bear out.
        let odd = judge(1, 31, 0);
        assert_eq!((odd.kind, odd.signal), (EndingKind::Crashed, None));
    }

    #[test]
    fn a_deadline_that_passed_for_want_of_processes_names_them() {
        let mut killed = dead(WaitStatus::Signaled(9));
        let kind = |dead: &Collected| Ending::judge(&Cause::Deadline, Some(dead), None).kind;
        assert_eq!(kind(&killed), EndingKind::TimedOut);
        killed.pids_refused = 1;
        assert_eq!(kind(&killed), EndingKind::TooManyProcesses);
    }

    #[test]
    fn a_deadline_of_loading_says_that_it_was_loading() {
        let killed = dead(WaitStatus::Signaled(9));
        let cause = Cause::FixedDeadline(Fixed::Load, Duration::from_secs(10));
        let ending = Ending::judge(&cause, Some(&killed), None);
        assert_eq!(ending.kind, EndingKind::TimedOut);
        assert_eq!(ending.detail.as_deref(), Some("loading took over 10 s"));
    }

    #[test]
    fn a_program_that_outlives_its_input_is_timed_out_and_not_crashed() {
        let killed = dead(WaitStatus::Signaled(9));
        let cause = Cause::FixedDeadline(Fixed::EndOfInput, Duration::from_secs(2));
        let ending = Ending::judge(&cause, Some(&killed), None);
        assert_eq!(
            (ending.kind, ending.detail.as_deref(), ending.signal),
            (
                EndingKind::TimedOut,
                Some("did not end within 2 s of end of input"),
                None
            )
        );
    }

    #[test]
    fn a_kill_of_one_of_several_processes_is_seen_whatever_the_others_say() {
        let mut ended = dead(WaitStatus::Exited(0));
        ended.oom_kills = 1;
        let ending = Ending::judge(&Cause::Stopped, Some(&ended), None);
        assert_eq!(
            (ending.kind, ending.layer.as_deref()),
            (EndingKind::OutOfMemory, Some("cgroup"))
        );
        let late = Ending::judge(&Cause::Deadline, Some(&ended), None);
        assert_eq!(late.kind, EndingKind::OutOfMemory);
    }

    #[test]
    fn finished_needs_status_0() {
        let ended = |status| Ending::judge(&Cause::Stopped, Some(&dead(status)), None).kind;
        assert_eq!(ended(WaitStatus::Exited(0)), EndingKind::Finished);
        assert_eq!(ended(WaitStatus::Exited(1)), EndingKind::Crashed);
        assert_eq!(
            Ending::judge(&Cause::Stopped, None, None).kind,
            EndingKind::Crashed
        );
    }
}
