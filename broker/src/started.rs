//! The record `started`: a process as it was read back, and what was planned for it.
//! Also of the process that makes a plugin's requests, as a member of the plugin's.

use std::time::Duration;

use gm_protocol::orders::{Looked, Started};
use gm_protocol::plan::Level;
use serde_json::{Value, json};

use crate::process::Process;
use crate::supervise::Hosted;

/// Its fields; `http` is what [`crate::http::Requests::record`] says.
pub fn fields(plugin: &Hosted, process: &Process<'_>, looked: &Looked, http: &Value) -> Value {
    let walls = &plugin.walls;
    let started = &process.child.started;
    let fds: Vec<Value> = looked
        .fds
        .iter()
        .map(|seen| {
            let what = match seen.fd {
                0..=2 => "null",
                3 => "link",
                // What runs a program speaks with it.
                _ => "pipe",
            };
            json!({"fd": seen.fd, "what": what})
        })
        .collect();
    json!({
        "pid": started.pid,
        "uid": started.uid,
        "gid": started.gid,
        "level": started.level.as_str(),
        "uid_shared": started.uid_shared,
        "digest": plugin.identity.digest,
        "key": plugin.identity.fingerprint,
        "engine_digest": engine_digest(started),
        "profile": walls.profile,
        "layers": walls.layers,
        "seccomp": seccomp(looked, walls.running_calls, walls.ceiling, Some(walls.wall)),
        "no_new_privs": looked.no_new_privs,
        "caps": format!("{:x}", looked.caps),
        "landlock": {"abi": walls.setup.landlock_abi, "rules": walls.setup.landlock.len()},
        "namespaces": looked.namespaces,
        "cgroup": started.cgroups,
        "limits": limits(looked, walls.time_limit),
        "fds": fds,
        "granted": walls.granted,
        "refused": walls.refused,
        "partially_enforced": started.level < Level::L4,
        "http": http,
    })
}

/// `sha256:` and the digits, whichever of the two the launcher says.
pub fn engine_digest(started: &Started) -> String {
    let digits = started.engine_digest.trim_start_matches("sha256:");
    format!("sha256:{digits}")
}

/// The filters that were seen, and the calls that were planned; `wall` is the stage
/// that these are counted in, where it is told.
pub fn seccomp(looked: &Looked, calls: usize, ceiling: usize, wall: Option<&str>) -> Value {
    let mut fields = json!({
        "mode": looked.seccomp_mode,
        "filters": looked.seccomp_filters,
        "running_calls": calls,
        "ceiling": ceiling,
    });
    if let (Value::Object(fields), Some(wall)) = (&mut fields, wall) {
        fields.insert("wall".to_owned(), wall.into());
    }
    fields
}

/// The group's limits as they were seen, and the wall clock of one call or request.
pub fn limits(looked: &Looked, time: Duration) -> Value {
    json!({
        "memory_bytes": looked.memory_bytes,
        "pids": looked.pids,
        "cpu_percent": looked.cpu_percent,
        "time_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_two_processes_share_stand_in_their_documented_order() {
        let seen = json!({
            "uids": [1, 1, 1, 1], "gids": [1, 1, 1, 1], "groups": [], "caps": 0,
            "no_new_privs": true, "seccomp_mode": 2, "seccomp_filters": 4,
            "namespaces": {"user": 1, "mnt": 1, "pid": 1, "net": 1, "ipc": 1, "uts": 1},
            "fds": [], "mounts": [], "cgroups": {"memory": "", "pids": "", "cpu": ""},
            "memory_bytes": 1, "pids": 1, "cpu_percent": 100, "nofile": 64, "uid_map": [],
        });
        let looked: Looked = serde_json::from_value(seen).unwrap();
        let text = seccomp(&looked, 5, 6, Some("running")).to_string();
        let own = r#"{"mode":2,"filters":4,"running_calls":5,"ceiling":6,"wall":"running"}"#;
        assert_eq!(text, own);
        assert!(seccomp(&looked, 5, 6, None).get("wall").is_none());
        let keys = limits(&looked, Duration::from_secs(2)).to_string();
        assert!(keys.starts_with(r#"{"memory_bytes":1,"pids":"#), "{keys}");
        assert!(keys.ends_with(r#""time_ms":2000}"#), "{keys}");
    }
}
