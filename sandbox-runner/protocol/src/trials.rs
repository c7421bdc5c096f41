//! What the launcher tries one by one when `gm-broker doctor` asks for it: data
//! only, each with the kernel's own answer.

use serde::{Deserialize, Serialize};

macro_rules! trials {
    ($($(#[$meta:meta])* $name:ident = $text:literal,)*) => {
        /// One thing that was tried by itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Trial { $($(#[$meta])* $name,)* }
        impl Trial {
            /// All of them, in the order in which they are tried.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// Its name in the doctor's report.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

trials! {
    /// A system call of 32-bit x86.
    Ia32 = "ia32",
    /// A system call of the x32 ABI.
    X32 = "x32",
    /// A child by `clone3`, with no namespace of its own.
    Clone3 = "clone3",
    /// A child with a user namespace.
    UserNs = "namespace-user",
    /// A child with a user and a mount namespace; so for those below.
    MountNs = "namespace-mount",
    /// Process ids.
    PidNs = "namespace-pid",
    /// Network.
    NetNs = "namespace-net",
    /// IPC.
    IpcNs = "namespace-ipc",
    /// Host name.
    UtsNs = "namespace-uts",
    /// A tmpfs mounted and made the root, the old one detached.
    Tree = "mount-tree",
    /// A filter that kills.
    SeccompKill = "seccomp-kill",
    /// A filter that sends SIGSYS.
    SeccompTrap = "seccomp-trap",
    /// A filter that answers with an errno.
    SeccompErrno = "seccomp-errno",
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivs = "no-new-privs",
    /// All capabilities given up for good.
    Capabilities = "capabilities",
    /// Landlock's version.
    LandlockAbi = "landlock-abi",
    /// Which of Landlock's known faults are mended.
    LandlockErrata = "landlock-errata",
    /// A ruleset that forbids an open.
    Landlock = "landlock",
    /// `PR_SET_MDWE`.
    Mdwe = "mdwe",
    /// `PR_SET_SPECULATION_CTRL`.
    Speculation = "speculation",
    /// A pidfd, and a signal through it.
    Pidfd = "pidfd",
    /// `close_range`.
    CloseRange = "close-range",
    /// `openat2` that follows no link.
    Openat2 = "openat2",
    /// A memfd that is sealed.
    MemfdSeals = "memfd-seals",
    /// A group with a memory limit that a child runs into.
    GroupMemory = "cgroup-memory",
    /// A kill by that limit, as the group counts it.
    GroupEvents = "cgroup-events",
    /// What keeps a group from swapping itself past its limit.
    GroupSwap = "swap",
    /// A group with a process limit that a child runs into.
    GroupPids = "cgroup-pids",
    /// A group with a processor limit that a child runs into.
    GroupCpu = "cgroup-cpu",
    /// A group killed at once.
    GroupKill = "cgroup-kill",
}

/// What came of a [`Trial`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// What was tried.
    pub what: Trial,
    /// What was seen, or what kept it from working.
    pub outcome: Result<String, Miss>,
}

/// Why a [`Trial`] failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{why}")]
pub struct Miss {
    /// errno, 0 = none.
    pub errno: i32,
    /// For people.
    pub why: String,
}
