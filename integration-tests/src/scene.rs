//! A run of two plugins that wait for an event, with all that it made, so that something
//! of it can be killed.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::kernel::{Process, group_directory, within};
use crate::records::{number, text};
use crate::{Home, Live, Package};

/// How long something of a run may outlive it: what the product promises.
pub const SOON: Duration = Duration::from_secs(1);

/// The ids of the two plugins.
pub const PLUGINS: [&str; 2] = ["com.test.observer", "com.test.other"];

/// The run.
pub struct Scene {
    /// The broker.
    pub live: Live,
    /// The home.
    pub home: Home,
    /// The launcher.
    pub launcher: Process,
    /// The plugins' processes.
    pub plugins: Vec<Process>,
    /// Their groups, and the instance's that they are in.
    pub groups: Vec<PathBuf>,
}

impl Scene {
    /// Sets it up.
    ///
    /// # Panics
    /// If the plugins don't start.
    #[must_use]
    pub fn new() -> Self {
        let home = Home::new();
        home.load(&Package::of("observer"));
        home.load(&Package::of("observer").id("com.test.other"));
        let live = home.start_events(&[]);
        Self::of(home, live)
    }

    /// The same of a run that was started on this home.
    ///
    /// # Panics
    /// If the plugins don't start.
    #[must_use]
    pub fn of(home: Home, mut live: Live) -> Self {
        let mut plugins = Vec::new();
        let mut groups = Vec::new();
        for id in PLUGINS {
            let started = live.wait_for("a start", |record| {
                record["event"] == "started" && record["plugin"] == id
            });
            let pid = u32::try_from(number(&started, "pid")).unwrap();
            plugins.push(Process::find(pid).unwrap());
            groups.extend(groups_of(&started));
        }
        let broker = Process::find(live.pid()).unwrap();
        let named = |process: &Process| process.status("Name") == "gm-launcher";
        let launcher = broker.descendants().into_iter().find(named).unwrap();
        assert!(groups.iter().all(|group| group.is_dir()), "{groups:?}");
        Self {
            live,
            home,
            launcher,
            plugins,
            groups,
        }
    }

    /// The processes and groups of the run that are left after [`SOON`], in words.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let left = || {
            let all = self.plugins.iter().chain([&self.launcher]);
            let processes = all.filter(|process| process.lives());
            let processes = processes.map(|process| format!("process {}", process.pid));
            let groups = self.groups.iter().filter(|group| group.exists());
            let groups = groups.map(|group| group.display().to_string());
            processes.chain(groups).collect::<Vec<_>>()
        };
        let mut last = Vec::new();
        within(SOON, || {
            last = left();
            last.is_empty()
        });
        last
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

/// The directories of a plugin's groups and of the instance that they are in.
fn groups_of(started: &Value) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for controller in ["memory", "pids", "cpu"] {
        let path = text(&started["cgroup"], controller);
        if !path.is_empty() {
            let group = group_directory(controller, path);
            let instance = group.ancestors().nth(2).unwrap().to_path_buf();
            let name = instance.file_name().unwrap().to_string_lossy();
            assert!(name.starts_with("gm-"), "{}", instance.display());
            all.extend([group, instance]);
        }
    }
    all
}

/// Kills this very process.
///
/// # Panics
/// If it is gone.
pub fn kill(process: Process) {
    let pid = Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}
