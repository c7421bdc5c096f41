//! Facts of kernel and machine on which no level depends, with what they mean here.

use super::check::Seen;
use super::facts::{Facts, read};

pub(super) fn arch(facts: &Facts) -> Seen {
    let name = rustix::system::uname();
    let machine = name.machine().to_string_lossy().into_owned();
    match machine.as_str() {
        "x86_64" => Seen::ok(machine),
        _ => Seen::gap(
            format!("{machine}: filters are made for x86-64 alone"),
            format!(
                "use a machine of x86-64 (this is {} with uid {})",
                machine, facts.uid
            ),
        ),
    }
}

pub(super) fn kernel(_: &Facts) -> Seen {
    let name = rustix::system::uname();
    Seen::info(format!(
        "{} {}",
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy()
    ))
}

/// A setting, what its values mean, and what it means that there is none.
fn setting(path: &str, none: &str, meaning: impl FnOnce(&str) -> String) -> Seen {
    Seen::info(match read(path) {
        Some(value) => format!("{value}: {}", meaning(&value)),
        None => none.to_owned(),
    })
}

pub(super) fn memfd_noexec(_: &Facts) -> Seen {
    setting(
        "/proc/sys/vm/memfd_noexec",
        "no such setting; it matters to nothing here",
        |_| "code is mapped from a file of the plugin's own tree, whatever this says".into(),
    )
}

pub(super) fn terminal(_: &Facts) -> Seen {
    let legacy = read("/proc/sys/dev/tty/legacy_tiocsti");
    let typed = match legacy.as_deref() {
        Some("0") => "nobody can type into a terminal (TIOCSTI is off)",
        _ => "TIOCSTI is on; a plugin has a session and no terminal, so it reaches none",
    };
    Seen::info(typed)
}

pub(super) fn core_pattern(_: &Facts) -> Seen {
    setting(
        "/proc/sys/kernel/core_pattern",
        "can't be read",
        |value| match value.starts_with('|') {
            true => "a program of the host gets cores; a plugin is not dumpable, and its limit \
                     of 1 byte stops the pipe"
                .into(),
            false => "plugins write none: they have no place, and a limit of 1 byte".into(),
        },
    )
}

pub(super) fn ptrace_scope(_: &Facts) -> Seen {
    setting(
        "/proc/sys/kernel/yama/ptrace_scope",
        "no Yama; a plugin is not dumpable and in a pid namespace of its own",
        |value| match value {
            "0" => "equals may trace each other; a plugin is not dumpable".into(),
            _ => "tracing is narrowed on the host too".into(),
        },
    )
}

pub(super) fn io_uring(_: &Facts) -> Seen {
    setting(
        "/proc/sys/kernel/io_uring_disabled",
        "no such setting: live on the host; every filter kills it",
        |value| match value {
            "0" => "live on the host; every filter kills it".into(),
            _ => "narrowed on the host; every filter kills it besides".into(),
        },
    )
}

pub(super) fn userfaultfd(_: &Facts) -> Seen {
    setting(
        "/proc/sys/vm/unprivileged_userfaultfd",
        "not in this kernel",
        |value| match value {
            "0" => "user mode only for the unprivileged; every filter kills it".into(),
            _ => "open to all on the host; every filter kills it".into(),
        },
    )
}

pub(super) fn audit(_: &Facts) -> Seen {
    let logged = read("/proc/sys/kernel/seccomp/actions_logged").unwrap_or_default();
    let built_in = std::path::Path::new("/proc/self/loginuid").exists();
    Seen::info(match (built_in, logged.contains("kill_process")) {
        (true, true) => "built in: a kill by a filter may be written to the audit log too",
        (true, false) => "built in; kills by filters aren't logged there",
        (false, _) => "not in this kernel; the records of a run tell of kills all the same",
    })
}

pub(super) fn pressure(_: &Facts) -> Seen {
    let there = std::path::Path::new("/proc/pressure/memory").exists();
    Seen::info(match there {
        true => "there; nothing here waits for it",
        false => "not in this kernel, or off; nothing here waits for it",
    })
}

pub(super) fn jit(_: &Facts) -> Seen {
    setting(
        "/proc/sys/net/core/bpf_jit_enable",
        "can't be read; an interpreted filter makes each call dearer",
        |value| match value {
            "0" => "filters are interpreted, which makes each call dearer".into(),
            _ => "filters are compiled".into(),
        },
    )
}

pub(super) fn clock(_: &Facts) -> Seen {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    setting(path, "can't be read", |value| {
        let fast = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page"];
        match fast.contains(&value) {
            true => "read without a system call".into(),
            false => "each reading is a system call, so deadlines and records cost more".into(),
        }
    })
}

pub(super) fn entropy(facts: &Facts) -> Seen {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Seen::ok("random bytes were given at once"),
        Err(error) => Seen::gap(
            format!("no random bytes: {error}"),
            super::mend::refused_call(facts),
        ),
    }
}
