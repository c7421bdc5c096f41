//! What a plugin really gets: manifest ∩ operator ∩ what this engine can give.
//!
//! Every request that is cut or dropped is kept, with who did it and why.
//! What is absent, empty or unknown is not granted.

use std::collections::BTreeMap;

use gm_manifest::{
    Bytes, Code, ConfigPattern, Filesystem, GrantPath, GrantRoot, HostPermission, Manifest, Millis,
    Network, Percent, Refusal,
};

use crate::grant::Because;
use crate::network::{self, Asked, NetGrant};
use crate::operator::{Operator, PluginRules, Told};

/// A limit, and who set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit<T> {
    /// The value in force.
    pub value: T,
    /// Never empty.
    pub because: Vec<Because>,
}

/// Who dropped a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// `broker.toml` does not allow it.
    Operator,
    /// This machine or repository has it not, or no grant reaches it.
    Host,
    /// This version's engine has no way to give it.
    Engine,
}

impl RefusedBy {
    /// As in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Host => "host",
            Self::Engine => "engine",
        }
    }
}

/// A request that was cut or dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The key of `[permissions]`.
    pub asked: &'static str,
    /// What was asked for.
    pub value: String,
    /// Who dropped it.
    pub by: RefusedBy,
    /// For people.
    pub why: String,
    /// The line that asked, and the one that refused if there is one.
    pub because: Vec<Because>,
}

/// A path that was asked for and may be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest {
    /// As the manifest writes it.
    pub path: GrantPath,
    /// To write, too; only in `$DATA`.
    pub write: bool,
    /// The line that asks.
    pub because: Because,
}

/// The grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Memory of the whole process.
    pub memory: Limit<Bytes>,
    /// Wall clock of one call.
    pub time: Limit<Millis>,
    /// Share of one core.
    pub cpu: Limit<Percent>,
    /// Groups of host calls.
    pub host_api: BTreeMap<HostPermission, Vec<Because>>,
    /// Configuration keys that `config_get` may see.
    pub config: Vec<(ConfigPattern, Because)>,
    /// Paths.
    pub files: Vec<FileRequest>,
    /// Size of the plugin's own storage; none = it has none.
    pub storage: Option<Limit<Bytes>>,
    /// Hosts, if any.
    pub network: Option<NetGrant>,
    /// What was cut or dropped.
    pub refused: Vec<Refused>,
}

impl Effective {
    /// Meets what the manifest asks with what the operator allows.
    ///
    /// # Errors
    /// `policy/limit-too-small`: what is left can't even start the engine.
    pub fn meet(manifest: &Manifest, operator: &Operator) -> Result<Self, Refusal> {
        let none = PluginRules::default();
        let own = operator.plugins.get(manifest.id()).unwrap_or(&none);
        let mut meet = Meet {
            manifest,
            operator,
            own,
            refused: Vec::new(),
        };
        let memory = meet.memory()?;
        let time = meet.time();
        let cpu = meet.cpu();
        let host_api = meet.host_api();
        let config = meet.config(host_api.contains_key(&HostPermission::ConfigRead));
        let files = meet.filesystem();
        let network = meet.network();
        let storage = meet.storage();
        Ok(Self {
            memory,
            time,
            cpu,
            host_api,
            config,
            files,
            storage,
            network,
            refused: meet.refused,
        })
    }
}

struct Meet<'a> {
    manifest: &'a Manifest,
    operator: &'a Operator,
    own: &'a PluginRules,
    refused: Vec<Refused>,
}

impl Meet<'_> {
    fn asked(&self, key: &str) -> Because {
        let key = format!("permissions.{key}");
        let line = self.manifest.span(&key).map(|span| span.line);
        Because::manifest(&key, line)
    }

    /// The key of one plugin's own rule.
    fn own_key(&self, key: &str) -> String {
        format!("plugins.\"{}\".{key}", self.manifest.id())
    }

    fn refuse(
        &mut self,
        asked: &'static str,
        value: String,
        by: RefusedBy,
        why: String,
        because: Vec<Because>,
    ) {
        self.refused.push(Refused {
            asked,
            value,
            by,
            why,
            because,
        });
    }

    /// The plugin's own rule replaces the request; the ceiling cuts either.
    fn limit<T: Copy + Ord + std::fmt::Display>(
        &mut self,
        key: &'static str,
        asked: T,
        own: Option<&Told<T>>,
        (ceiling, ceiling_key): (&Told<T>, &str),
    ) -> Limit<T> {
        let by_manifest = self.asked(key);
        let (wanted, because) = match own {
            None => (asked, vec![by_manifest.clone()]),
            Some(own) => (own.value, vec![own.because(&self.own_key(key))]),
        };
        let granted = wanted.min(ceiling.value);
        if granted < asked {
            let rule = if granted < wanted {
                ceiling.because(ceiling_key)
            } else {
                because.clone().remove(0)
            };
            let why = format!("cut to {granted}");
            self.refuse(
                key,
                asked.to_string(),
                RefusedBy::Operator,
                why,
                vec![by_manifest, rule.clone()],
            );
            return Limit {
                value: granted,
                because: vec![rule],
            };
        }
        Limit {
            value: granted,
            because,
        }
    }

    fn memory(&mut self) -> Result<Limit<Bytes>, Refusal> {
        let asked = self.manifest.permissions().memory_limit;
        let ceiling = (&self.operator.ceilings.memory, "ceilings.memory");
        let limit = self.limit(
            "memory_limit",
            asked,
            self.own.memory_limit.as_ref(),
            ceiling,
        );
        let least = self.manifest.kind().least_memory();
        if limit.value >= least {
            return Ok(limit);
        }
        let detail = format!(
            "the memory limit is {}, but the engine needs {least}",
            limit.value
        );
        let rule = limit.because.first().map(Because::text).unwrap_or_default();
        let refusal = Refusal::new(Code::PolicyLimitTooSmall, detail)
            .rule(rule)
            .layer("engine");
        let line = self
            .manifest
            .span("permissions.memory_limit")
            .map(|span| span.line);
        let refusal = refusal
            .plugin(self.manifest.id().as_str())
            .version(self.manifest.version().to_string());
        Err(match line {
            Some(line) => refusal.line(line),
            None => refusal,
        })
    }

    fn time(&mut self) -> Limit<Millis> {
        let asked = self.manifest.permissions().time_limit;
        let ceiling = (&self.operator.ceilings.time, "ceilings.time");
        self.limit("time_limit", asked, self.own.time_limit.as_ref(), ceiling)
    }

    fn cpu(&mut self) -> Limit<Percent> {
        let asked = self.manifest.permissions().cpu_limit;
        let ceiling = (&self.operator.ceilings.cpu, "ceilings.cpu");
        self.limit("cpu_limit", asked, self.own.cpu_limit.as_ref(), ceiling)
    }

    fn host_api(&mut self) -> BTreeMap<HostPermission, Vec<Because>> {
        let (allowed, rule) = match &self.own.host_api {
            Some(own) => (&own.value, own.because(&self.own_key("host_api"))),
            None => (
                &self.operator.grants.host_api.value,
                self.operator.grants.host_api.because("grants.host_api"),
            ),
        };
        let mut granted = BTreeMap::new();
        for permission in &self.manifest.permissions().host_api {
            let asked = self.item("host_api", permission.as_str());
            if allowed.contains(permission) {
                granted.insert(*permission, vec![asked]);
            } else {
                let why = format!(
                    "{} does not hold it",
                    rule.key.as_deref().unwrap_or("host_api")
                );
                let because = vec![asked, rule.clone()];
                self.refuse(
                    "host_api",
                    permission.as_str().to_owned(),
                    RefusedBy::Operator,
                    why,
                    because,
                );
            }
        }
        granted
    }

    /// The line of one item of a list, which may stand on another line than its key.
    fn item(&self, key: &str, text: &str) -> Because {
        let quoted = format!("\"{text}\"");
        let raw = std::str::from_utf8(self.manifest.raw()).unwrap_or_default();
        let lines: Vec<&str> = raw.lines().collect();
        let own_line = (0..)
            .map_while(|at| self.manifest.span(&format!("permissions.{key}[{at}]")))
            .map(|span| span.line)
            .find(|line| {
                let at = usize::try_from(*line).unwrap_or(usize::MAX) - 1;
                lines.get(at).is_some_and(|line| line.contains(&quoted))
            });
        match own_line {
            Some(line) => Because::manifest(&format!("permissions.{key}"), Some(line)),
            None => self.asked(key.split('.').next().unwrap_or(key)),
        }
    }

    fn config(&mut self, readable: bool) -> Vec<(ConfigPattern, Because)> {
        let mut seen = Vec::new();
        for pattern in &self.manifest.permissions().config {
            let asked = self.item("config", pattern.as_str());
            if readable {
                seen.push((pattern.clone(), asked));
            } else {
                let why =
                    "config keys are seen through config:read, which is not granted".to_owned();
                self.refuse(
                    "config",
                    pattern.as_str().to_owned(),
                    RefusedBy::Engine,
                    why,
                    vec![asked],
                );
            }
        }
        seen
    }

    fn filesystem(&mut self) -> Vec<FileRequest> {
        let Filesystem { read, write } = &self.manifest.permissions().filesystem;
        let (allowed, rule) = match &self.own.filesystem {
            Some(own) => (&own.value, own.because(&self.own_key("filesystem"))),
            None => {
                let grants = &self.operator.grants.filesystem;
                (&grants.value, grants.because("grants.filesystem"))
            }
        };
        let mut files = Vec::new();
        for path in read {
            // The package's own files need no grant.
            if path.root() != GrantRoot::Assets {
                files.extend(self.path("filesystem.read", path, (&allowed.read, &rule), false));
            }
        }
        for path in write {
            let allowed = (&*allowed.write, &rule);
            if path.root() == GrantRoot::Data {
                files.extend(self.path("filesystem.write", path, allowed, true));
            } else {
                let asked = self.item("filesystem.write", path.as_str());
                let why = "$DATA is the only writable place".to_owned();
                let value = path.as_str().to_owned();
                self.refuse(
                    "filesystem.write",
                    value,
                    RefusedBy::Engine,
                    why,
                    vec![asked],
                );
            }
        }
        files
    }

    fn path(
        &mut self,
        key: &'static str,
        path: &GrantPath,
        (allowed, rule): (&[GrantPath], &Because),
        write: bool,
    ) -> Option<FileRequest> {
        let asked = self.item(key, path.as_str());
        if allowed.iter().any(|root| covers(root, path)) {
            return Some(FileRequest {
                path: path.clone(),
                write,
                because: asked,
            });
        }
        let why = format!(
            "{} holds no path above it",
            rule.key.as_deref().unwrap_or(key)
        );
        let value = path.as_str().to_owned();
        self.refuse(
            key,
            value,
            RefusedBy::Operator,
            why,
            vec![asked, rule.clone()],
        );
        None
    }

    fn network(&mut self) -> Option<NetGrant> {
        let asked = match &self.manifest.permissions().network {
            Network::Denied => return None,
            Network::Public => Asked::Public(self.asked("network")),
            Network::Hosts(hosts) => {
                let hosts = hosts.iter().map(|host| {
                    let because = self.item("network.hosts", host.as_str());
                    (host.clone(), because)
                });
                Asked::Hosts(hosts.collect())
            }
        };
        let (allowed, rule) = match &self.own.network {
            Some(own) => (&own.value, own.because(&self.own_key("network"))),
            None => {
                let grants = &self.operator.grants.network;
                (&grants.value, grants.because("grants.network"))
            }
        };
        network::meet(asked, allowed, &rule, &mut self.refused)
    }

    /// A rule for one plugin changes its size, but gives none that wasn't asked for.
    fn storage(&mut self) -> Option<Limit<Bytes>> {
        let asked = self.manifest.permissions().storage?;
        let ceiling = (&self.operator.ceilings.storage, "ceilings.storage");
        Some(self.limit("storage", asked, self.own.storage.as_ref(), ceiling))
    }
}

/// True if `path` is `root` or below it.
fn covers(root: &GrantPath, path: &GrantPath) -> bool {
    let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
    let within =
        root.below().is_empty() || path.below().strip_prefix(root.below()).is_some_and(below);
    root.root() == path.root() && within
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn manifest(permissions: &str) -> Manifest {
        let text = format!(
            "[identity]\nplugin_id = \"com.example.a\"\npublic_key = \"\"\n[plugin]\nname = \"A\"\nversion = \"1.0.0\"\n\
             api_version = \"2.0\"\nkind = \"wasm\"\nentrypoint = \"a.wasm\"\n[permissions]\n{permissions}"
        );
        Manifest::parse(text.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    fn refused(
        permissions: &str,
        operator: &Operator,
    ) -> Vec<(&'static str, String, &'static str, String)> {
        let effective = Effective::meet(&manifest(permissions), operator).unwrap();
        let lines = effective.refused.into_iter();
        lines
            .map(|r| (r.asked, r.value, r.by.name(), r.why))
            .collect()
    }

    #[test]
    fn missing_and_empty_lists_grant_nothing_and_refuse_nothing() {
        for permissions in [
            "",
            "host_api = []",
            "config = []",
            "filesystem = { read = [], write = [] }",
            "network = { hosts = [] }",
            "filesystem = false",
            "network = false",
        ] {
            let effective = Effective::meet(&manifest(permissions), &Operator::default()).unwrap();
            assert!(
                effective.host_api.is_empty() && effective.config.is_empty(),
                "{permissions}"
            );
            assert!(effective.refused.is_empty(), "{permissions}");
        }
    }

    #[test]
    fn empty_list_of_the_operator_grants_nothing() {
        let mut operator = Operator::default();
        operator.grants.host_api = Told::at(BTreeSet::new(), 7);
        operator.grants.filesystem = Told::at(Filesystem::default(), 8);
        operator.grants.network = Told::at(Network::Hosts(vec![]), 9);
        let asked = "host_api = [\"log:write\"]\nfilesystem = { read = [\"$REPO\"] }\nnetwork = { hosts = [\"a.example.com:443\"] }";
        let effective = Effective::meet(&manifest(asked), &operator).unwrap();
        assert!(effective.host_api.is_empty());
        let by: Vec<_> = effective
            .refused
            .iter()
            .map(|r| (r.asked, r.by, r.because[1].line))
            .collect();
        let operator = RefusedBy::Operator;
        assert_eq!(
            by,
            [
                ("host_api", operator, Some(7)),
                ("filesystem.read", operator, Some(8)),
                ("network", operator, Some(9))
            ]
        );
    }

    #[test]
    fn request_that_this_version_can_not_give_is_refused_by_the_engine() {
        let operator = Operator::default();
        let asked = "filesystem = { read = [\"$REPO/docs\", \"$ASSETS\"], write = [\"$DATA/x\", \"$REPO\"] }\nconfig = [\"lint.*\"]";
        let lines = refused(asked, &operator);
        let short: Vec<_> = lines
            .iter()
            .map(|(asked, value, by, _)| (*asked, value.as_str(), *by))
            .collect();
        assert_eq!(
            short,
            [
                ("config", "lint.*", "engine"),
                ("filesystem.write", "$REPO", "engine"),
            ]
        );
    }

    #[test]
    fn paths_are_granted_below_what_the_operator_allows() {
        let asked = "filesystem = { read = [\"$REPO/docs\", \"$ASSETS\", \"/srv/x\"], write = [\"$DATA/x\"] }";
        let effective = Effective::meet(&manifest(asked), &Operator::default()).unwrap();
        let files: Vec<_> = effective
            .files
            .iter()
            .map(|file| (file.path.as_str(), file.write))
            .collect();
        assert_eq!(files, [("$REPO/docs", false), ("$DATA/x", true)]);
        let refused: Vec<_> = effective
            .refused
            .iter()
            .map(|one| (one.value.as_str(), one.by))
            .collect();
        assert_eq!(refused, [("/srv/x", RefusedBy::Operator)]);
    }

    #[test]
    fn ceiling_cuts_a_request_and_says_so() {
        let mut operator = Operator::default();
        operator.ceilings.memory = Told::at(Bytes::mb(24), 12);
        let effective = Effective::meet(&manifest("memory_limit = \"64mb\""), &operator).unwrap();
        assert_eq!(effective.memory.value, Bytes::mb(24));
        assert_eq!(
            effective.memory.because[0].text(),
            "broker.toml:12  ceilings.memory"
        );
        let line = &effective.refused[0];
        assert_eq!(
            (line.asked, line.value.as_str(), line.why.as_str()),
            ("memory_limit", "64mb", "cut to 24mb")
        );
        assert_eq!(
            (line.because[0].line, line.because[1].line),
            (Some(11), Some(12))
        );
    }

    #[test]
    fn storage_is_what_is_asked_for_within_rule_and_ceiling() {
        let meet = |asked: &str, rule: Option<u32>| {
            let mut operator = Operator::default();
            operator.ceilings.storage = Told::at(Bytes::mb(8), 12);
            let rules = PluginRules {
                storage: rule.map(|size| Told::at(Bytes::mb(size), 5)),
                ..PluginRules::default()
            };
            let id = gm_manifest::PluginId::parse("com.example.a").unwrap();
            operator.plugins.insert(id, rules);
            let effective = Effective::meet(&manifest(asked), &operator).unwrap();
            let refused = effective.refused.iter().map(|line| line.why.clone());
            (
                effective.storage.map(|limit| limit.value),
                refused.collect::<Vec<_>>(),
            )
        };
        let asked = "storage = \"4mb\"";
        assert_eq!(meet("", None), (None, vec![]));
        assert_eq!(meet("", Some(2)), (None, vec![]), "nobody asked for it");
        assert_eq!(meet(asked, None), (Some(Bytes::mb(4)), vec![]));
        assert_eq!(meet(asked, Some(6)), (Some(Bytes::mb(6)), vec![]));
        assert_eq!(
            meet(asked, Some(2)),
            (Some(Bytes::mb(2)), vec!["cut to 2mb".to_owned()])
        );
        assert_eq!(meet(asked, Some(16)), (Some(Bytes::mb(8)), vec![]));
        assert_eq!(
            meet("storage = \"9mb\"", None),
            (Some(Bytes::mb(8)), vec!["cut to 8mb".to_owned()])
        );
    }

    #[test]
    fn rule_for_one_plugin_raises_and_lowers_within_the_ceiling() {
        let own = |memory| {
            let mut operator = Operator::default();
            let rules = PluginRules {
                memory_limit: Some(Told::at(memory, 5)),
                ..PluginRules::default()
            };
            operator.plugins.insert(
                gm_manifest::PluginId::parse("com.example.a").unwrap(),
                rules,
            );
            Effective::meet(&manifest("memory_limit = \"32mb\""), &operator)
        };
        let raised = own(Bytes::mb(64)).unwrap();
        assert_eq!(
            (raised.memory.value, raised.refused.len()),
            (Bytes::mb(64), 0)
        );
        let lowered = own(Bytes::mb(16)).unwrap();
        assert_eq!(
            (lowered.memory.value, lowered.refused.len()),
            (Bytes::mb(16), 1)
        );
        assert_eq!(own(Bytes::mb(1024)).unwrap().memory.value, Bytes::mb(512));
        let refusal = own(Bytes::mb(8)).unwrap_err();
        assert_eq!(refusal.code, Code::PolicyLimitTooSmall);
        assert_eq!(refusal.manifest_line, Some(11));
    }

    #[test]
    fn path_is_covered_by_whole_segments_only() {
        let path = |text| GrantPath::parse(text).unwrap();
        assert!(covers(&path("$REPO/a"), &path("$REPO/a/b")));
        assert!(covers(&path("$REPO"), &path("$REPO/a")));
        assert!(!covers(&path("$REPO/a"), &path("$REPO/ab")));
        assert!(!covers(&path("$REPO/a"), &path("$REPO")));
        assert!(!covers(&path("/srv"), &path("$REPO/srv")));
    }
}
