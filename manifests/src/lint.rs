//! What a well-formed manifest could say better: requests that are broader than
//! they look, that are never granted, or that do nothing.
//!
//! Advice for authors and reviewers; what is granted is decided elsewhere.

use crate::{Bytes, GrantPath, GrantRoot, HostPermission, Manifest, Millis, Network, Permissions};
use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does not work, or must not be asked of anybody.
    Error,
    /// It asks for more than most plugins need.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The name, as in results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One remark about a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable name, `check/name`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The manifest's line, from 1.
    pub line: Option<u32>,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
}

/// Above these a request is far from what plugins usually need: some times the
/// default, and for storage what operators give at most unless they say otherwise.
const MUCH_MEMORY: Bytes = Bytes::mb(128);
const MUCH_TIME: Millis = Millis::new(10_000);
const MUCH_STORAGE: Bytes = Bytes::mb(64);

/// Where people keep what is theirs.
const HOMES: [&str; 4] = ["home", "root", "Users", "var/home"];

/// What tells more about the machine than about any repository.
const SYSTEM: [&str; 8] = ["boot", "dev", "etc", "proc", "run", "sys", "usr", "var"];

/// Whoever may speak to one of these owns the machine.
const DAEMON_SOCKETS: [&str; 5] = [
    "docker.sock",
    "containerd.sock",
    "podman.sock",
    "crio.sock",
    "buildkitd.sock",
];

impl Manifest {
    /// All remarks, the gravest first, then by line.
    #[must_use]
    pub fn lint(&self) -> Vec<Finding> {
        let mut lint = Lint {
            manifest: self,
            found: Vec::new(),
        };
        lint.identity();
        lint.use_of_it();
        lint.paths();
        lint.network();
        lint.limits();
        lint.config();
        let mut found = lint.found;
        found.sort_by_key(|finding| (finding.severity, finding.line));
        found
    }
}

struct Lint<'a> {
    manifest: &'a Manifest,
    found: Vec<Finding>,
}

impl Lint<'_> {
    fn asked(&self) -> &Permissions {
        self.manifest.permissions()
    }

    /// Adds a finding about `key`, a dotted name; it stands where the key does.
    fn add(
        &mut self,
        (code, severity): (&'static str, Severity),
        key: &str,
        detail: String,
        remedy: &str,
    ) {
        self.found.push(Finding {
            code,
            severity,
            line: self.manifest.span(key).map(|span| span.line),
            detail,
            remedy: remedy.to_owned(),
        });
    }

    fn identity(&mut self) {
        if self.manifest.public_key().is_none() || self.manifest.signature().is_none() {
            self.add(
                ("check/unsigned", Severity::Note),
                "identity.public_key",
                "the package is not signed".to_owned(),
                "before it is loaded anywhere: gm gpg sign PATH --key DIR/secret.pgp",
            );
        }
        for key in ["description", "license"] {
            if self.manifest.text(key).is_none() {
                self.add(
                    ("check/no-text", Severity::Note),
                    "plugin",
                    format!("it has no {key}"),
                    "who decides about loading it reads that first",
                );
            }
        }
    }

    fn use_of_it(&mut self) {
        if self.manifest.hooks().is_empty() && self.manifest.commands().is_empty() {
            self.add(
                ("check/never-called", Severity::Warning),
                "plugin",
                "it has neither hooks nor commands, so only init and shutdown are called"
                    .to_owned(),
                "list what it wants: hooks = [\"on_commit_analyzed\"]",
            );
        }
    }

    fn paths(&mut self) {
        let files = self.asked().filesystem.clone();
        for (index, path) in files.read.iter().enumerate() {
            let key = format!("permissions.filesystem.read[{index}]");
            self.read(&key, path);
        }
        for (index, path) in files.write.iter().enumerate() {
            if path.root() != GrantRoot::Data {
                self.add(
                    ("check/write-elsewhere", Severity::Error),
                    &format!("permissions.filesystem.write[{index}]"),
                    format!("writing to {path} is never granted"),
                    "write to $DATA, keep what must last with storage_set",
                );
            }
        }
    }

    fn read(&mut self, key: &str, path: &GrantPath) {
        let below = path.below();
        let found = match path.root() {
            GrantRoot::Repo if below.is_empty() => Some((
                ("check/repo-whole", Severity::Warning),
                "reads every file of the repository, also those that aren't committed".to_owned(),
                "name the directories that it needs: \"$REPO/docs\"",
            )),
            GrantRoot::Repo | GrantRoot::Data => None,
            GrantRoot::Assets => Some((
                ("check/needless", Severity::Note),
                format!("{path}: a plugin may always read its own files"),
                "drop it; asset_read needs no grant",
            )),
            GrantRoot::Host => on_the_host(path),
        };
        if let Some((what, detail, remedy)) = found {
            self.add(what, key, detail, remedy);
        }
    }

    fn network(&mut self) {
        match self.asked().network.clone() {
            Network::Denied => {}
            Network::Public => self.add(
                ("check/network-any", Severity::Warning),
                "permissions.network",
                "network = true asks for every public host".to_owned(),
                "name the hosts: network = { hosts = [\"api.example.com:443\"] }",
            ),
            Network::Hosts(hosts) => {
                for (index, host) in hosts.iter().enumerate() {
                    if host.name().starts_with('*') {
                        self.add(
                            ("check/network-wildcard", Severity::Warning),
                            &format!("permissions.network.hosts[{index}]"),
                            format!("{host} is every host below that name, whoever has it"),
                            "name each host",
                        );
                    }
                }
            }
        }
    }

    fn limits(&mut self) {
        let asked = self.asked().clone();
        let much = |text: String, most: String| {
            format!("{text} is far above what plugins usually need ({most} and less)")
        };
        const REMEDY: &str = "ask for what a run takes (gm-broker run says it at the end); operators cut what is over their ceilings";
        if asked.memory_limit > MUCH_MEMORY {
            let detail = much(
                format!("memory_limit {}", asked.memory_limit),
                MUCH_MEMORY.to_string(),
            );
            self.add(
                ("check/much-memory", Severity::Warning),
                "permissions.memory_limit",
                detail,
                REMEDY,
            );
        }
        if asked.time_limit > MUCH_TIME {
            let detail = much(
                format!("time_limit {} a call", asked.time_limit),
                MUCH_TIME.to_string(),
            );
            self.add(
                ("check/much-time", Severity::Warning),
                "permissions.time_limit",
                detail,
                REMEDY,
            );
        }
        if let Some(storage) = asked.storage.filter(|size| *size > MUCH_STORAGE) {
            let detail = much(format!("storage {storage}"), MUCH_STORAGE.to_string());
            self.add(
                ("check/much-storage", Severity::Warning),
                "permissions.storage",
                detail,
                REMEDY,
            );
        }
    }

    fn config(&mut self) {
        let asked = self.asked();
        let may_read = asked.host_api.contains(&HostPermission::ConfigRead);
        let (found, key) = match (may_read, asked.config.is_empty()) {
            (true, true) => (
                (
                    "config:read without config lets no key be read",
                    "name the keys: config = [\"name.*\"]",
                ),
                "permissions.host_api",
            ),
            (false, false) => (
                (
                    "config without config:read does nothing",
                    "add \"config:read\" to host_api, or drop the keys",
                ),
                "permissions.config",
            ),
            (true, false) | (false, true) => return,
        };
        let (detail, remedy) = found;
        self.add(
            ("check/config-in-vain", Severity::Warning),
            key,
            detail.to_owned(),
            remedy,
        );
    }
}

/// What an absolute path reaches, if that is more than a place of its own.
fn on_the_host(path: &GrantPath) -> Option<((&'static str, Severity), String, &'static str)> {
    let below = path.below();
    let at_or_below = |place: &str| {
        let rest = below.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let name = below.rsplit('/').next().unwrap_or(below);
    if DAEMON_SOCKETS.contains(&name) {
        return Some((
            ("check/daemon-socket", Severity::Error),
            format!("{path} is a container daemon's: who speaks to it owns the machine"),
            "drop it",
        ));
    }
    if HOMES.into_iter().any(at_or_below) {
        return Some((
            ("check/home-path", Severity::Warning),
            format!("{path} is below a home directory, or is one"),
            "ask for paths of the repository ($REPO/...), or ship the file with the package",
        ));
    }
    if SYSTEM.into_iter().any(at_or_below) || !below.contains('/') {
        return Some((
            ("check/system-path", Severity::Warning),
            format!("{path} belongs to the machine, not to a repository"),
            "ask for one file or directory that is made for this plugin",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::asking;

    fn found(permissions: &str) -> Vec<(&'static str, Severity, Option<u32>)> {
        let manifest = Manifest::parse(asking(permissions).as_bytes()).unwrap();
        let found = manifest.lint().into_iter();
        found
            .filter(|finding| finding.code != "check/no-text")
            .map(|finding| (finding.code, finding.severity, finding.line))
            .collect()
    }

    #[test]
    fn modest_requests_are_not_remarked() {
        for text in [
            "",
            "filesystem = { read = [\"$REPO/docs\", \"/srv/words/en.txt\"], write = [\"$DATA\"] }",
            "network = { hosts = [\"api.example.com:443\"] }",
            "memory_limit = \"128mb\"\ntime_limit = \"10s\"\nstorage = \"64mb\"",
            "host_api = [\"config:read\"]\nconfig = [\"lint.*\"]",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn each_broad_request_is_named_with_its_line() {
        for (text, code) in [
            ("network = true", "check/network-any"),
            (
                "network = { hosts = [\"*.example.com:443\"] }",
                "check/network-wildcard",
            ),
            ("filesystem = { read = [\"$REPO\"] }", "check/repo-whole"),
            (
                "filesystem = { read = [\"/home/ann/.ssh\"] }",
                "check/home-path",
            ),
            ("filesystem = { read = [\"/root\"] }", "check/home-path"),
            (
                "filesystem = { read = [\"/etc/passwd\"] }",
                "check/system-path",
            ),
            ("filesystem = { read = [\"/srv\"] }", "check/system-path"),
            ("memory_limit = \"129mb\"", "check/much-memory"),
            ("time_limit = \"11s\"", "check/much-time"),
            ("storage = \"65mb\"", "check/much-storage"),
            ("host_api = [\"config:read\"]", "check/config-in-vain"),
            ("config = [\"lint.*\"]", "check/config-in-vain"),
        ] {
            assert_eq!(found(text), [(code, Severity::Warning, Some(16))], "{text}");
        }
    }

    #[test]
    fn what_is_never_granted_is_an_error_at_its_own_line() {
        assert_eq!(
            found(
                "filesystem = { read = [\n  \"/run/docker.sock\",\n], write = [\n  \"$DATA\",\n  \"$REPO/out\",\n] }"
            ),
            [
                ("check/daemon-socket", Severity::Error, Some(17)),
                ("check/write-elsewhere", Severity::Error, Some(20)),
            ]
        );
    }

    #[test]
    fn placeholders_are_reported_as_unsigned() {
        let text = asking("")
            .replace("AAAA", "BASE64_GPG_SIG")
            .replace("hooks = [", "hooks = [] #");
        let found = Manifest::parse(text.as_bytes()).unwrap().lint();
        let codes: Vec<_> = found.iter().map(|finding| finding.code).collect();
        assert_eq!(codes[..2], ["check/never-called", "check/unsigned"]);
    }
}
