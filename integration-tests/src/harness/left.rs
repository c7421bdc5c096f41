//! What a run may have left behind: processes, groups, its instance. Looked for by what
//! the records name, since other runs go on at the same time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::kernel::{Process, group_directory, within};

/// How long the end of a run may take to be complete.
const SOON: Duration = Duration::from_secs(2);

/// What to look for.
#[derive(Debug, Default)]
pub(super) struct Traces {
    processes: Vec<Process>,
    groups: Vec<PathBuf>,
    instances: Vec<String>,
}

impl Traces {
    /// What the records of a run name.
    #[must_use]
    pub(super) fn of(records: &[Value]) -> Self {
        let mut traces = Self::default();
        for record in records {
            match record["event"].as_str() {
                Some("started") => traces.note(record),
                Some("run_started") => {
                    let instance = record["instance"].as_str().map(str::to_owned);
                    traces.instances.extend(instance);
                }
                _ => {}
            }
        }
        traces
    }

    fn note(&mut self, started: &Value) {
        let pid = started["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok());
        // It is over already, so whoever has that number now and the plugin's uid is it.
        let uid = started["uid"].as_u64();
        let alive = pid
            .and_then(Process::find)
            .filter(|process| owner(process.pid) == uid);
        self.processes.extend(alive);
        for controller in ["memory", "pids", "cpu"] {
            let path = started["cgroup"].get(controller).and_then(Value::as_str);
            // Below L4 there may be none, which is "".
            let Some(path) = path.filter(|path| !path.is_empty()) else {
                continue;
            };
            self.groups.push(group_directory(controller, path));
        }
    }
}

fn owner(pid: u32) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let status = std::fs::metadata(format!("/proc/{pid}")).ok()?;
    Some(u64::from(status.uid()))
}

/// What is still there after [`SOON`].
#[must_use]
pub(super) fn behind(traces: &Traces, instances: &Path) -> Vec<String> {
    let left = || {
        let processes = traces.processes.iter().filter(|process| process.lives());
        let processes = processes.map(|process| format!("left: process {}", process.pid));
        let groups = traces.groups.iter().filter(|group| group.is_dir());
        let groups = groups.map(|group| format!("left: group {}", group.display()));
        let own = traces
            .instances
            .iter()
            .filter(|name| instances.join(name).exists());
        let own = own.map(|name| format!("left: instance {name}"));
        processes.chain(groups).chain(own).collect::<Vec<_>>()
    };
    let mut last = Vec::new();
    let _ = within(SOON, || {
        last = left();
        last.is_empty()
    });
    last
}
