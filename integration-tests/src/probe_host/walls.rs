//! The walls of a profile as data, derived and proved as the product derives them.

use std::str::FromStr as _;

use gm_manifest::{Filesystem, GrantPath, Manifest, Network};
use gm_policy::mutation::{Mutant, Mutants};
use gm_policy::{CompilePlan, LayerName, Operator, Plan, Told};
use gm_protocol::plan::{
    Abi, CompileSetup, Engine, Filters, HostOps, HttpSetup, LandlockRule, Limits, PluginSetup,
    Reach, ReachHost, Role,
};

/// Whose walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "as on the command line")]
pub enum Profile {
    Wasm,
    Lua,
    Js,
    Native,
    Program,
    Compile,
    Http,
}

impl Profile {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Wasm,
        Self::Lua,
        Self::Js,
        Self::Native,
        Self::Program,
        Self::Compile,
        Self::Http,
    ];

    /// As on command lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Lua => "lua",
            Self::Js => "js",
            Self::Native => "native",
            Self::Program => "program",
            Self::Compile => "compile",
            Self::Http => "http",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.as_str() == name)
    }

    /// Whose binary runs in it.
    #[must_use]
    pub const fn engine(self) -> Engine {
        match self {
            Self::Wasm => Engine::Wasm,
            Self::Lua => Engine::Lua,
            Self::Js => Engine::Js,
            Self::Native => Engine::Native,
            Self::Program => Engine::Program,
            Self::Compile => Engine::CompileWasm,
            Self::Http => Engine::Http,
        }
    }

    /// Kind, ABI and entrypoint of a manifest of it.
    const fn kind(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Wasm | Self::Compile | Self::Http => ("wasm", "gm-2", "a.wasm"),
            Self::Lua => ("lua", "gm-2", "a.lua"),
            Self::Js => ("js", "gm-2", "a.js"),
            Self::Native => ("native", "gm-2", "a.so"),
            Self::Program => ("native", "program-1", "a"),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Walls {
    /// Proved equal to the profile.
    pub filters: Filters,
    /// Rules for this kernel.
    pub landlock: Vec<LandlockRule>,
    /// Limits for the launcher.
    pub limits: Limits,
    /// What the process is told besides.
    pub role: Role,
    /// A stranger's code runs behind the last filter; else behind the loading one.
    pub running: bool,
}

/// Which paths are granted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paths<'a> {
    /// A directory that may be read.
    pub granted: Option<&'a str>,
    /// `$DATA`.
    pub data: bool,
}

impl Walls {
    /// Derives and proves them.
    ///
    /// # Errors
    /// What the policy refuses.
    pub fn of(profile: Profile, paths: Paths<'_>, landlock_abi: u32) -> Result<Self, String> {
        let operator = operator(profile, paths)?;
        match profile {
            Profile::Compile => compile(&operator),
            Profile::Http => http(profile, paths, &operator, landlock_abi),
            _ => {
                let plan = plan(profile, paths, &operator)?;
                Ok(Self {
                    filters: plan.filters(),
                    landlock: without_assets(plan.landlock(landlock_abi)),
                    limits: plan.limits(),
                    role: Role::Plugin(task(&plan)),
                    running: plan.wall() == LayerName::Running,
                })
            }
        }
    }
}

fn operator(profile: Profile, paths: Paths<'_>) -> Result<Operator, String> {
    let mut operator = Operator::default();
    if let Some(path) = paths.granted {
        let path = GrantPath::parse(path).map_err(|e| format!("granted={path}: {e:?}"))?;
        let data = GrantPath::parse("$DATA").map_err(|e| format!("{e:?}"))?;
        operator.grants.filesystem = Told::at(
            Filesystem {
                read: vec![path],
                write: vec![data],
            },
            1,
        );
    }
    if profile == Profile::Http {
        operator.grants.network = Told::at(Network::Public, 1);
    }
    Ok(operator)
}

fn plan(profile: Profile, paths: Paths<'_>, operator: &Operator) -> Result<Plan, String> {
    let (kind, abi, entrypoint) = profile.kind();
    let mut text = format!(
        "[identity]\nplugin_id = \"com.example.probe\"\npublic_key = \"\"\n[plugin]\nname = \"Probe\"\nversion = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"{kind}\"\nabi = \"{abi}\"\nentrypoint = \"{entrypoint}\"\n[permissions]\n"
    );
    if paths != Paths::default() {
        let read = paths.granted.map(|path| format!("{path:?}"));
        let write = if paths.data { "\"$DATA\"" } else { "" };
        let read = read.unwrap_or_default();
        text.push_str(&format!(
            "filesystem = {{ read = [{read}], write = [{write}] }}\n"
        ));
    }
    if profile == Profile::Http {
        text.push_str("network = { hosts = [\"probe.example:443\"] }\n");
    }
    let manifest = Manifest::parse(text.as_bytes()).map_err(|e| e.to_string())?;
    Plan::derive(&manifest, operator).map_err(|e| e.to_string())
}

/// The package of a probe has no files.
fn without_assets(mut rules: Vec<LandlockRule>) -> Vec<LandlockRule> {
    rules.retain(|rule| rule.path != gm_protocol::plan::Place::Assets);
    rules
}

fn task(plan: &Plan) -> PluginSetup {
    PluginSetup {
        memory_bytes: plan.limits().memory_bytes,
        entrypoint: plan.entrypoint().to_owned(),
        abi: plan.abi(),
        host_ops: HostOps::NONE,
        hooks: Vec::new(),
        body_bytes: 1 << 20,
        assets: Vec::new(),
        grants: plan.files().iter().map(|file| file.grant.clone()).collect(),
        time_ms: 1000,
    }
}

fn compile(operator: &Operator) -> Result<Walls, String> {
    let plan = CompilePlan::derive(operator).map_err(|e| e.to_string())?;
    Ok(Walls {
        filters: plan.filters(),
        landlock: Vec::new(),
        limits: plan.limits().clone(),
        role: Role::Compile(CompileSetup {
            abi: Abi::Gm2,
            host_ops: HostOps::NONE,
            hooks: Vec::new(),
            commands: Vec::new(),
            output_bytes: 1 << 20,
        }),
        running: true,
    })
}

fn http(
    profile: Profile,
    paths: Paths<'_>,
    operator: &Operator,
    abi: u32,
) -> Result<Walls, String> {
    let plan = plan(profile, paths, operator)?.on_kernel(abi);
    let plan = plan.http().ok_or("no host is granted on this kernel")?;
    let ports = plan.ports().unwrap_or_default().into_iter();
    let address = std::net::SocketAddr::from_str("127.0.0.53:53").map_err(|e| e.to_string())?;
    Ok(Walls {
        filters: plan.filters(),
        landlock: Vec::new(),
        limits: plan.limits().clone(),
        role: Role::Http(HttpSetup {
            reach: Reach::Hosts(
                ports
                    .map(|port| ReachHost {
                        name: "probe.example".to_owned(),
                        port,
                    })
                    .collect(),
            ),
            allow_private: Vec::new(),
            nameservers: vec![address],
            known: Vec::new(),
            body_bytes: 1 << 20,
            document_bytes: 1 << 20,
            redirects: 0,
        }),
        running: true,
    })
}

/// The filters of one mutant of the profile.
pub(super) fn mutant(profile: Profile, number: usize) -> Result<Filters, String> {
    let mutants = Mutants::of(profile.engine()).map_err(|e| e.to_string())?;
    let mutant = mutants.list.get(number);
    mutant
        .map(Mutant::filters)
        .ok_or(format!("{} has no mutant {number}", profile.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_has_its_walls() {
        for profile in Profile::ALL {
            let walls = Walls::of(profile, Paths::default(), 7).unwrap();
            assert!(!walls.filters.veto.is_empty(), "{profile:?}");
            let loading = [Profile::Native, Profile::Program].contains(&profile);
            assert_eq!(walls.running, !loading, "{profile:?}");
        }
    }

    #[test]
    fn granted_paths_have_rules_and_room() {
        let paths = Paths {
            granted: Some("/srv"),
            data: true,
        };
        let walls = Walls::of(Profile::Native, paths, 7).unwrap();
        assert_eq!(walls.landlock.len(), 3);
        assert!(walls.limits.file_bytes > 0);
    }
}
