//! The plan of the process that makes a plugin's requests, as lines.

use gm_protocol::plan::{HOSTNAME, INNER_ID};
use serde_json::{Value, json};

use super::http::{HttpPlan, NAMESERVER_PORT};
use super::lines::{Line, Shown, own_fds, own_mounts};
use crate::grant::Because;

/// The namespaces that it has of its own: the network is the host's.
const NAMESPACES: [&str; 5] = ["user", "mnt", "pid", "ipc", "uts"];

impl HttpPlan {
    /// What of it names the plan: all that is enforced, whatever the reasons are.
    pub(super) fn enforced(&self) -> Value {
        json!({
            "layers": self.layers(),
            "namespaces": NAMESPACES,
            "hosts": self.grant.scope(),
            "limits": {"memory": self.limits.memory_bytes, "cpu": self.limits.cpu_percent},
            "timeout": self.rules.timeout.value.get(),
            "body": self.rules.body.value.get(),
            "redirects": self.rules.redirects.value,
            "allow_private": self.rules.allow_private,
        })
    }

    /// All of it, in the order of the plugin's own lines.
    pub(super) fn lines(&self, shown: Shown) -> Vec<Line> {
        let mut lines = vec![self.plan_line(shown)];
        lines.extend(self.walls.rules(shown.stages));
        lines.extend(self.landlock_lines(shown.landlock_abi));
        lines.extend(own_mounts(self.walls.engine, false));
        lines.extend(self.limit_lines());
        lines.extend(own_fds());
        lines.extend(self.walls.proofs());
        lines
    }

    fn plan_line(&self, shown: Shown) -> Line {
        let (calls, ceiling) = self.calls();
        let engine = self.walls.engine;
        let otherwise = self.walls.spec.running.otherwise.name();
        let text = format!(
            "process  {engine}  level {}  network of the host\nseccomp  running {calls} calls (ceiling {ceiling}), default {otherwise}",
            shown.level,
        );
        let fields = json!({
            "engine": engine.as_str(),
            "arch": self.walls.spec.arch.name(),
            "level": shown.level.as_str(),
            "namespaces": NAMESPACES,
            "network": "host",
            "uid": INNER_ID,
            "hostname": HOSTNAME,
            "running_calls": calls,
            "ceiling": ceiling,
        });
        Line::new("plan", fields, text)
    }

    fn landlock_lines(&self, abi: u32) -> Vec<Line> {
        let line = |port: Option<u16>, rights: &[&str], because: &[Because], text: String| {
            let fields = json!({"abi": abi, "path": null, "port": port, "rights": rights});
            Line::because("landlock", fields, because, &text)
        };
        let mut lines = Vec::new();
        for port in self.ports().unwrap_or_default() {
            let text = format!("landlock port {port} connect_tcp");
            lines.push(line(
                Some(port),
                &["connect_tcp"],
                &self.grant.because,
                text,
            ));
        }
        if self.grant.hosts.is_none() {
            let text = "landlock every port connect_tcp".to_owned();
            lines.push(line(None, &["connect_tcp"], &self.grant.because, text));
        } else {
            let why = "nameservers of /etc/resolv.conf, for answers too long for a datagram";
            let text = format!("landlock port {NAMESERVER_PORT} connect_tcp");
            let because = [Because::always(why)];
            lines.push(line(
                Some(NAMESERVER_PORT),
                &["connect_tcp"],
                &because,
                text,
            ));
        }
        let why = if abi >= 10 {
            "all rights of the ABI are handled, so what no rule names is denied; datagrams go to the nameservers' port alone"
        } else {
            "all rights of the ABI are handled, so what no rule names is denied; datagrams have no right before ABI 10"
        };
        let text = format!("landlock every path, other TCP port and scope: none (ABI {abi})");
        lines.push(line(None, &[], &[Because::always(why)], text));
        lines
    }

    fn limit_lines(&self) -> Vec<Line> {
        let limit = |name: &str, value: u64, unit: &str, by: &[&str], because: Because| {
            Line::limit(name, value, unit, by, &[because])
        };
        let own = &["gm-http"][..];
        let rules = &self.rules;
        let held = "room for a request and its response, and for TLS";
        vec![
            limit(
                "memory",
                self.limits.memory_bytes,
                "bytes",
                &["cgroup"],
                Because::always(held),
            ),
            limit(
                "time",
                rules.timeout.value.get(),
                "ms",
                own,
                rules.timeout.because("http.timeout"),
            ),
            limit(
                "body",
                rules.body.value.get(),
                "bytes",
                own,
                rules.body.because("http.body"),
            ),
            limit(
                "redirects",
                rules.redirects.value.into(),
                "redirects",
                own,
                rules.redirects.because("http.redirects"),
            ),
            limit(
                "cpu",
                self.limits.cpu_percent.into(),
                "percent",
                &["cgroup"],
                Because::always("that of the plugin"),
            ),
            limit(
                "processes",
                self.limits.pids.into(),
                "processes",
                &["cgroup", "rlimit", "seccomp"],
                Because::always("it is one process with one thread"),
            ),
            limit(
                "descriptors",
                64,
                "descriptors",
                &["rlimit"],
                Because::always("the link and one connection"),
            ),
        ]
    }
}
