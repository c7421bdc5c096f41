//! Permissions as text, and whether one request asks for more than another.
//!
//! Compared by meaning, not as text: a later version of a plugin may write its
//! request in another way, but not ask for more without a word of the operator.

use crate::document::{self, Table};
use crate::{
    ConfigPattern, Digest, Filesystem, GrantPath, GrantRoot, Kind, Network, Permissions, Refusal,
};
use std::fmt::Write;

impl Permissions {
    /// The request in its one form: the keys of `[permissions]`, in a fixed order.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let list = |items: &mut dyn Iterator<Item = String>| {
            let items: Vec<_> = items.map(|item| format!("\"{item}\"")).collect();
            format!("[{}]", items.join(", "))
        };
        let paths = |paths: &[GrantPath]| list(&mut paths.iter().map(ToString::to_string));
        let network = match &self.network {
            Network::Denied => "false".to_owned(),
            Network::Public => "true".to_owned(),
            Network::Hosts(hosts) => format!(
                "{{ hosts = {} }}",
                list(&mut hosts.iter().map(ToString::to_string))
            ),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "filesystem = {{ read = {}, write = {} }}",
            paths(&self.filesystem.read),
            paths(&self.filesystem.write)
        );
        let _ = writeln!(text, "network = {network}");
        let _ = writeln!(text, "memory_limit = \"{}\"", self.memory_limit);
        let _ = writeln!(text, "time_limit = \"{}\"", self.time_limit);
        let _ = writeln!(text, "cpu_limit = \"{}\"", self.cpu_limit);
        if let Some(storage) = self.storage {
            let _ = writeln!(text, "storage = \"{storage}\"");
        }
        let _ = writeln!(
            text,
            "host_api = {}",
            list(&mut self.host_api.iter().map(ToString::to_string))
        );
        let _ = writeln!(
            text,
            "config = {}",
            list(&mut self.config.iter().map(ToString::to_string))
        );
        text
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// A code of class `manifest`; the line is that of the text.
    pub fn parse_text(text: &str) -> Result<Self, Refusal> {
        let root = document::parse(text)?;
        let table = Table::root(text, &root);
        Self::allow_only_known(&table)?;
        // The kind with the least of least limits: they were judged before.
        Self::read(&table, Kind::Native)
    }

    /// Names this exact request: what was shown is what is accepted.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_text().as_bytes())
    }

    /// What this asks for beyond `granted`, a line for each; empty if nothing.
    #[must_use]
    pub fn beyond(&self, granted: &Self) -> Vec<String> {
        let mut more = paths_beyond(&self.filesystem, &granted.filesystem);
        more.extend(network_beyond(&self.network, &granted.network));
        let mut limit = |name: &str, asked: String, had: String, is_more: bool| {
            if is_more {
                more.push(format!("{name} {asked} instead of {had}"));
            }
        };
        let text = |value: &dyn std::fmt::Display| value.to_string();
        let (asked, had) = (self, granted);
        limit(
            "memory_limit",
            text(&asked.memory_limit),
            text(&had.memory_limit),
            asked.memory_limit > had.memory_limit,
        );
        limit(
            "time_limit",
            text(&asked.time_limit),
            text(&had.time_limit),
            asked.time_limit > had.time_limit,
        );
        limit(
            "cpu_limit",
            text(&asked.cpu_limit),
            text(&had.cpu_limit),
            asked.cpu_limit > had.cpu_limit,
        );
        if let Some(storage) = asked.storage {
            let before = had
                .storage
                .map_or("none".to_owned(), |size| size.to_string());
            limit(
                "storage",
                text(&storage),
                before,
                had.storage.is_none_or(|size| storage > size),
            );
        }
        more.extend(
            asked
                .host_api
                .difference(&had.host_api)
                .map(|call| format!("host_api {call}")),
        );
        let covered =
            |key: &ConfigPattern| had.config.iter().any(|pattern| config_covers(pattern, key));
        more.extend(
            asked
                .config
                .iter()
                .filter(|key| !covered(key))
                .map(|key| format!("config {key}")),
        );
        more
    }
}

fn paths_beyond(asked: &Filesystem, granted: &Filesystem) -> Vec<String> {
    // The package's own files are always readable, asked for or not.
    let own = |path: &GrantPath| path.root() == GrantRoot::Assets;
    let below = |path: &GrantPath, granted: &[GrantPath]| {
        granted.iter().any(|wider| path_covers(wider, path))
    };
    let read = asked
        .read
        .iter()
        .filter(|path| !own(path) && !below(path, &granted.read));
    let write = asked
        .write
        .iter()
        .filter(|path| !below(path, &granted.write));
    let read = read.map(|path| format!("read {path}"));
    read.chain(write.map(|path| format!("write {path}")))
        .collect()
}

fn path_covers(wider: &GrantPath, path: &GrantPath) -> bool {
    let rest = path.as_str().strip_prefix(wider.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn network_beyond(asked: &Network, granted: &Network) -> Vec<String> {
    match (asked, granted) {
        (Network::Denied, _) | (_, Network::Public) => Vec::new(),
        (Network::Public, Network::Denied | Network::Hosts(_)) => {
            vec!["network: any public host".to_owned()]
        }
        (Network::Hosts(hosts), Network::Denied) => {
            hosts.iter().map(|host| format!("network {host}")).collect()
        }
        (Network::Hosts(hosts), Network::Hosts(granted)) => {
            let new = hosts
                .iter()
                .filter(|host| !granted.iter().any(|wider| wider.covers(host)));
            new.map(|host| format!("network {host}")).collect()
        }
    }
}

fn config_covers(wider: &ConfigPattern, asked: &ConfigPattern) -> bool {
    match (
        wider.as_str().strip_suffix(".*"),
        asked.as_str().strip_suffix(".*"),
    ) {
        _ if wider == asked => true,
        (Some(_), Some(stem)) => wider.matches(stem),
        (Some(_), None) => wider.matches(asked.as_str()),
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(text: &str) -> Permissions {
        Permissions::parse_text(text).unwrap()
    }

    const SOME: &str = "filesystem = { read = [\"$REPO/docs\"], write = [\"$DATA\"] }\nnetwork = { hosts = [\"*.a.example:443\"] }\nmemory_limit = \"32mb\"\nstorage = \"1mb\"\nhost_api = [\"log:write\"]\nconfig = [\"lint.*\"]\n";

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        for text in [
            "",
            SOME,
            "network = true",
            "network = { hosts = [] }",
            "time_limit = \"90s\"\ncpu_limit = \"5%\"",
        ] {
            let asked = asking(text);
            assert_eq!(asking(&asked.to_text()), asked);
            assert_eq!(asking(&asked.to_text()).digest(), asked.digest());
        }
    }

    #[test]
    fn the_same_or_less_is_never_more() {
        let granted = asking(SOME);
        for text in [
            SOME,
            "",
            "filesystem = { read = [\"$REPO/docs/a\", \"$ASSETS/x\"] }",
            "network = { hosts = [\"x.a.example:443\"] }",
            "memory_limit = \"16mb\"\nstorage = \"512kb\"",
            "config = [\"lint.max\", \"lint.a.*\"]",
        ] {
            assert_eq!(
                asking(text).beyond(&granted),
                Vec::<String>::new(),
                "{text}"
            );
        }
    }

    #[test]
    fn each_increase_is_named() {
        let granted = asking(SOME);
        for (text, line) in [
            ("filesystem = { read = [\"$REPO\"] }", "read $REPO"),
            (
                "filesystem = { read = [\"$REPO/docsx\"] }",
                "read $REPO/docsx",
            ),
            (
                "filesystem = { write = [\"$REPO/docs\"] }",
                "write $REPO/docs",
            ),
            ("network = true", "network: any public host"),
            (
                "network = { hosts = [\"a.example:443\"] }",
                "network a.example:443",
            ),
            (
                "network = { hosts = [\"x.a.example:80\"] }",
                "network x.a.example:80",
            ),
            (
                "memory_limit = \"33mb\"",
                "memory_limit 33mb instead of 32mb",
            ),
            ("time_limit = \"3s\"", "time_limit 3s instead of 2s"),
            ("storage = \"2mb\"", "storage 2mb instead of 1mb"),
            ("host_api = [\"nodes:read\"]", "host_api nodes:read"),
            ("config = [\"linter.*\"]", "config linter.*"),
            ("config = [\"lint\"]", "config lint"),
        ] {
            assert_eq!(asking(text).beyond(&granted), [line], "{text}");
        }
    }
}
