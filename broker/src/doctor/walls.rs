//! Walls that the launcher tried one by one: filters, Landlock, capabilities, calls.

use gm_protocol::trials::{Miss, Trial};

use super::check::Seen;
use super::facts::{Facts, read};
use super::mend::{kernel_argument, newer_kernel, refused_call};

/// A trial that must succeed; a kernel with `option` has it.
fn must(facts: &Facts, what: Trial, option: &str) -> Seen {
    match facts.outcome(what) {
        Ok(found) => Seen::ok(found),
        Err(miss) => Seen::gap(&*miss.why, mend(facts, &miss, option)),
    }
}

/// A trial that only tells.
fn tells(facts: &Facts, what: Trial, without: &str) -> Seen {
    match facts.outcome(what) {
        Ok(found) => Seen::info(found),
        Err(miss) => Seen::info(format!("{}; {without}", miss.why)),
    }
}

/// The call is unknown, or it is refused.
pub(super) fn mend(facts: &Facts, miss: &Miss, option: &str) -> String {
    let unknown = [libc::ENOSYS, libc::EINVAL, libc::EOPNOTSUPP];
    let filtered = facts.around.filters > 0 || facts.around.container.is_some();
    // A filter answers ENOSYS as well as a kernel does.
    match unknown.contains(&miss.errno) && !filtered {
        true => newer_kernel(facts, option),
        false => refused_call(facts),
    }
}

pub(super) fn clone3(facts: &Facts) -> Seen {
    must(facts, Trial::Clone3, "clone3, Linux 5.7 or later")
}

pub(super) fn seccomp_kill(facts: &Facts) -> Seen {
    must(facts, Trial::SeccompKill, "CONFIG_SECCOMP_FILTER")
}

pub(super) fn seccomp_trap(facts: &Facts) -> Seen {
    must(facts, Trial::SeccompTrap, "CONFIG_SECCOMP_FILTER")
}

pub(super) fn seccomp_errno(facts: &Facts) -> Seen {
    must(facts, Trial::SeccompErrno, "CONFIG_SECCOMP_FILTER")
}

pub(super) fn no_new_privs(facts: &Facts) -> Seen {
    must(facts, Trial::NoNewPrivs, "no_new_privs, Linux 3.5 or later")
}

pub(super) fn capabilities(facts: &Facts) -> Seen {
    must(facts, Trial::Capabilities, "Linux 4.3 or later")
}

pub(super) fn pidfd(facts: &Facts) -> Seen {
    must(facts, Trial::Pidfd, "pidfd_open, Linux 5.3 or later")
}

pub(super) fn close_range(facts: &Facts) -> Seen {
    must(facts, Trial::CloseRange, "close_range, Linux 5.11 or later")
}

pub(super) fn openat2(facts: &Facts) -> Seen {
    must(facts, Trial::Openat2, "openat2, Linux 5.6 or later")
}

pub(super) fn memfd_seals(facts: &Facts) -> Seen {
    must(facts, Trial::MemfdSeals, "CONFIG_MEMFD_CREATE")
}

pub(super) fn ia32(facts: &Facts) -> Seen {
    match facts.outcome(Trial::Ia32) {
        Ok(found) => Seen::info(format!("{found}; every filter kills such a call")),
        Err(miss) => Seen::info(miss.why),
    }
}

pub(super) fn x32(facts: &Facts) -> Seen {
    match facts.outcome(Trial::X32) {
        Ok(found) => Seen::info(format!("{found}; every filter kills such a call")),
        Err(miss) => Seen::info(miss.why),
    }
}

pub(super) fn mdwe(facts: &Facts) -> Seen {
    tells(
        facts,
        Trial::Mdwe,
        "the filters alone keep memory from becoming executable",
    )
}

pub(super) fn speculation(facts: &Facts) -> Seen {
    tells(facts, Trial::Speculation, "the machine's own setting holds")
}

pub(super) fn landlock_errata(facts: &Facts) -> Seen {
    tells(
        facts,
        Trial::LandlockErrata,
        "this kernel doesn't tell which faults of Landlock it has mended (Linux 6.15 or later does)",
    )
}

/// The version, and what a low one costs.
pub(super) fn landlock_abi(facts: &Facts) -> Seen {
    let found = match facts.outcome(Trial::LandlockAbi) {
        Ok(found) => found,
        Err(miss) => return Seen::gap(&*miss.why, landlock_fix(facts, &miss)),
    };
    let abi = facts.host.as_ref().map_or(0, |host| host.landlock_abi);
    Seen::ok(match abi {
        1..=3 => {
            format!("{found}; network = {{ hosts = … }} needs ABI 4 (Linux 6.7): it is dropped")
        }
        4..=5 => {
            format!("{found}; signals and abstract sockets are kept apart by namespaces alone")
        }
        _ => found.to_owned(),
    })
}

pub(super) fn landlock(facts: &Facts) -> Seen {
    match facts.outcome(Trial::Landlock) {
        Ok(found) => Seen::ok(found),
        Err(miss) => Seen::gap(&*miss.why, landlock_fix(facts, &miss)),
    }
}

/// Built in and not switched on is the usual reason.
fn landlock_fix(facts: &Facts, miss: &Miss) -> String {
    if miss.errno == libc::EOPNOTSUPP {
        let others = read("/sys/kernel/security/lsm").unwrap_or_default();
        let mut list: Vec<&str> = vec!["landlock"];
        list.extend(
            others
                .split(',')
                .filter(|name| !name.is_empty() && *name != "capability"),
        );
        return kernel_argument(facts, &format!("lsm={}", list.join(",")));
    }
    mend(facts, miss, "CONFIG_SECURITY_LANDLOCK, Linux 5.13 or later")
}
