//! The machine that a run was made on.

use serde::Serialize;

/// What decides which walls there can be.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// `gm.harness/1`.
    pub schema: &'static str,
    /// `host`.
    pub kind: &'static str,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's architecture.
    pub arch: &'static str,
    /// Landlock's version, as the started plugin's record says; none if none was started.
    pub landlock_abi: Option<u64>,
    /// Security modules, as far as they can be read.
    pub lsm: Vec<String>,
    /// v1, v2 or hybrid.
    pub cgroup: &'static str,
    /// The level that plugins run at; none if none was started.
    pub level: Option<String>,
    /// Whether the kernel takes x32 calls: what the control of `sc-x32` got.
    pub x32: Option<bool>,
    /// Whether it takes i386 calls: what the control of `sc-int80` got.
    pub ia32: Option<bool>,
}

impl Facts {
    /// What can be read without starting anything.
    #[must_use]
    pub fn read() -> Self {
        let uname = rustix::system::uname();
        Self {
            schema: super::SCHEMA,
            kind: "host",
            kernel: uname.release().to_string_lossy().into_owned(),
            arch: std::env::consts::ARCH,
            landlock_abi: None,
            lsm: modules(),
            cgroup: cgroup(),
            level: None,
            x32: None,
            ia32: None,
        }
    }
}

fn modules() -> Vec<String> {
    let text = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let names = text.trim().split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn cgroup() -> &'static str {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let has = |kind: &str| {
        let types = mounts
            .lines()
            .filter_map(|line| line.split(" - ").nth(1)?.split(' ').next());
        types.into_iter().any(|own| own == kind)
    };
    match (has("cgroup"), has("cgroup2")) {
        (true, true) => "hybrid",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "none",
    }
}
