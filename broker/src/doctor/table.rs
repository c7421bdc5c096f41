//! The table: every line of the report, in its order.

use super::check::Row;
use super::{around, grants, groups, home, ids, machine, namespaces, walls};

macro_rules! table {
    ($($id:literal $needed_for:literal $level:expr, $look:path;)*) => {
        /// See the module.
        pub(super) const TABLE: &[Row] = &[$(Row {
            id: $id,
            needed_for: $needed_for,
            level_without: $level,
            look: $look,
        },)*];
    };
}

const L0: Option<&str> = Some("L0");
const L2: Option<&str> = Some("L2");
const L3: Option<&str> = Some("L3");

table! {
    "arch" "filters, which name system calls by their number" L0, machine::arch;
    "kernel" "a report that somebody else reads" None, machine::kernel;
    "ia32" "knowing which other calls there are" None, walls::ia32;
    "x32" "knowing which other calls there are" None, walls::x32;
    "container" "knowing who else has a say" None, around::in_container;
    "outer-seccomp" "knowing who else has a say" None, around::outer_filters;
    "proc" "forbidding a child further namespaces" L2, around::masked;
    "clone3" "every process of a plugin; there is no fallback" L0, walls::clone3;
    "seccomp-kill" "ending a plugin at a forbidden call" L0, walls::seccomp_kill;
    "seccomp-trap" "naming the call that a plugin was ended for" L0, walls::seccomp_trap;
    "seccomp-errno" "refusing what a library merely tries" L0, walls::seccomp_errno;
    "no-new-privs" "filters and Landlock without privilege" L0, walls::no_new_privs;
    "capabilities" "a process that root's powers are gone from" L0, walls::capabilities;
    "landlock-abi" "what file rules can say" L0, walls::landlock_abi;
    "landlock-errata" "trusting what Landlock says it does" None, walls::landlock_errata;
    "landlock" "keeping a plugin from every file that it wasn't granted" L0, walls::landlock;
    "namespace-user" "powers that end at the plugin's own process" L2, namespaces::user;
    "namespace-mount" "a file tree of the plugin's own" L2, namespaces::mount;
    "namespace-pid" "keeping a plugin from seeing and signalling others" L2, namespaces::pid;
    "namespace-net" "a plugin without a network" L2, namespaces::net;
    "namespace-ipc" "keeping a plugin from shared memory and queues" L2, namespaces::ipc;
    "namespace-uts" "keeping a plugin from the host's name" L2, namespaces::uts;
    "mount-tree" "an empty root in place of the host's" L2, namespaces::tree;
    "walled-child" "all of that together, as a run makes it" L2, namespaces::child;
    "plugin-uids" "keeping plugins apart from each other and from the operator" L3, ids::uids;
    "groups-dropped" "a plugin without the operator's own groups" L3, ids::groups;
    "cgroup-mode" "knowing by which files limits are set" L3, groups::mode;
    "cgroup-memory" "a memory limit that the kernel keeps" L3, groups::memory;
    "cgroup-pids" "a limit of processes that the kernel keeps" L3, groups::pids;
    "cgroup-cpu" "a share of the processor that the kernel keeps" L3, groups::cpu;
    "cgroup-kill" "ending a plugin with all that it started" None, groups::kill;
    "cgroup-events" "telling out of memory from a crash" None, groups::events;
    "cgroup-room" "starting as many plugins as are asked for" None, groups::room;
    "swap" "a memory limit that swap doesn't lengthen" None, groups::swap;
    "idmapped-mounts" "granting files that aren't the plugin's own" None, grants::idmapped;
    "mdwe" "memory that never becomes executable, beside the filters" None, walls::mdwe;
    "speculation" "fewer side channels" None, walls::speculation;
    "pidfd" "ending this process and no other of its number" L0, walls::pidfd;
    "close-range" "a plugin without descriptors of the host" L0, walls::close_range;
    "openat2" "opening a granted path and no other" None, walls::openat2;
    "memfd-seals" "running the bytes that were verified" L0, walls::memfd_seals;
    "memfd-noexec" "knowing what the kernel forbids besides" None, machine::memfd_noexec;
    "tty" "knowing what a terminal lets in" None, machine::terminal;
    "core-pattern" "knowing who gets cores" None, machine::core_pattern;
    "ptrace-scope" "knowing who may trace whom" None, machine::ptrace_scope;
    "io-uring" "knowing what is live on the host" None, machine::io_uring;
    "userfaultfd" "knowing what is live on the host" None, machine::userfaultfd;
    "audit" "knowing where kills are told too" None, machine::audit;
    "pressure" "knowing what the kernel measures" None, machine::pressure;
    "bpf-jit" "knowing what a filter costs" None, machine::jit;
    "clock" "knowing what a reading of the clock costs" None, machine::clock;
    "entropy" "nonces and keys" L0, machine::entropy;
    "home" "everything that is decided: who writes it decides what runs" None, home::home;
    "home-room" "graph, storage, cache and logs" None, home::room;
    "engines" "running each kind of plugin" None, home::engines;
    "exec" "executing the engines" None, home::exec;
    "trusted-keys" "loading anything" None, home::keys;
    "blacklist" "hearing of what others found out" None, home::blacklist;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_name_of_its_own() {
        let mut ids: Vec<&str> = TABLE.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn a_price_is_a_level_of_the_contract() {
        for row in TABLE {
            let known = matches!(row.level_without, None | Some("L0" | "L2" | "L3"));
            assert!(known && !row.needed_for.is_empty(), "{}", row.id);
        }
    }
}
