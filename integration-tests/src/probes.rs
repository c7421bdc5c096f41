//! The probes: what `probes/` holds, built in and typed. How a row and a source are
//! written stands at the top of `probes/probes.toml` and `probes/probe.h`.

use serde::Deserialize;

mod malformed;
mod said;

pub use said::Said;

mod sources {
    include!(concat!(env!("OUT_DIR"), "/sources.rs"));

    /// WebAssembly modules by id.
    pub(super) fn modules() -> &'static [(&'static str, &'static [u8])] {
        MODULES
    }

    /// Scripts by id.
    pub(super) fn scripts(lua: bool) -> &'static [(&'static str, &'static str)] {
        if lua { LUA } else { JS }
    }

    /// Plugins whose constructor is the probe, by `id.variant`.
    pub(super) fn constructors() -> &'static [(&'static str, &'static [u8])] {
        CONSTRUCTORS
    }
}

/// `gm-probe`: static, without a libc; `gm-probe ID [KEY=VALUE]...`.
pub static ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gm-probe"));

/// The same probes as a native plugin, whose command `probe` takes the same words.
pub static SHARED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gm-probe.so"));

/// The id of the honest acts of machine code, `probes/permitted.c`; `variant=N` makes
/// the N-th call of [`PERMITTED`].
pub const HONEST: &str = "t-permitted";

/// The calls of the honest acts, in their order.
pub const PERMITTED: [&str; 15] = [
    "clock_gettime",
    "gettimeofday",
    "getrandom",
    "fstat",
    "newfstatat",
    "munmap",
    "madvise",
    "brk",
    "lseek",
    "readv",
    "writev",
    "getpid",
    "tgkill",
    "rt_sigreturn",
    "exit",
];

/// A row of `probes.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Stable, never reused.
    pub id: String,
    /// As reports name it: GM-P-NNNN.
    pub number: u32,
    /// What it is about.
    pub group: Group,
    /// What its sources are.
    pub kinds: Vec<Kind>,
    /// What is expected to stop it.
    pub layer: Layer,
    /// What else would.
    #[serde(default)]
    pub backup: Vec<Layer>,
    /// Who decides whether it was stopped.
    pub oracle: Oracle,
    /// Where it can succeed.
    pub control: ControlClass,
    /// Variants that only root of the host can carry out, and that harm nothing: their
    /// control is root.
    #[serde(default)]
    pub as_root: Vec<u32>,
    /// What it says when nothing stops it.
    #[serde(default = "ok")]
    pub reached: Vec<String>,
    /// What it says when its wall stops it: by any other word nothing is proved.
    #[serde(default)]
    pub stops: Vec<String>,
    /// The calls at which a filter stops it, where the oracle names none.
    #[serde(default)]
    pub stopped_at: Vec<String>,
    /// How many actions it has, each in a process of its own.
    #[serde(default = "one")]
    pub variants: u32,
    /// What a plugin of it asks for: key and value of `[permissions]`.
    #[serde(default)]
    pub permissions: toml::Table,
    /// How a script or module is set off.
    #[serde(default)]
    pub hook: SetOff,
    /// Whether it is the constructor of a plugin of its own: [`constructor`].
    #[serde(default)]
    pub constructor: bool,
    /// The act that must succeed under the same walls.
    #[serde(default = "hello")]
    pub twin: String,
    /// Whether nothing else may run beside it.
    #[serde(default)]
    pub alone: bool,
    /// Whether it could hurt the machine that it runs on.
    #[serde(default)]
    pub vm_only: bool,
    /// How long it may take, in seconds.
    #[serde(default = "seconds")]
    pub limit_s: u64,
    /// Why it matters, in one line.
    pub why: String,
}

fn ok() -> Vec<String> {
    vec!["ok".to_owned()]
}

const fn one() -> u32 {
    1
}

fn hello() -> String {
    "t-hello".to_owned()
}

const fn seconds() -> u64 {
    10
}

impl Probe {
    /// The call that this variant must be denied at, if that is the oracle.
    #[must_use]
    pub fn denied_call(&self, variant: u32) -> Option<&str> {
        let Oracle::Deny(calls) = &self.oracle else {
            return None;
        };
        let calls = calls.all();
        let own = calls.get(usize::try_from(variant).ok()?);
        own.or(calls.first()).map(String::as_str)
    }

    /// Whether the probe host can run it: constructors are loaded, not called, and what
    /// needs a machine of its own has none.
    #[must_use]
    pub fn is_hosted(&self) -> bool {
        self.kinds.contains(&Kind::Native) && !self.constructor && !self.vm_only
    }

    /// Whether these words of a report mean that nothing stopped it.
    #[must_use]
    pub fn is_reached(&self, said: &str) -> bool {
        self.reached.iter().any(|own| own == said)
    }

    /// Whether this layer is one of those that the row expects.
    #[must_use]
    pub fn is_stopped_by(&self, layer: Layer) -> bool {
        self.layer == layer || self.backup.contains(&layer)
    }

    /// The lines of `[permissions]`, key and value as TOML.
    #[must_use]
    pub fn permission_lines(&self) -> Vec<(String, String)> {
        let lines = self.permissions.iter();
        lines
            .map(|(key, value)| (key.clone(), value.to_string()))
            .collect()
    }
}

/// What a probe is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "as harness list prints them")]
pub enum Group {
    Abi,
    Process,
    Namespace,
    File,
    Tty,
    Net,
    Kernel,
    Resource,
    Engine,
    Protocol,
    Log,
    Trust,
    Lifecycle,
}

/// What runs a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Machine code, of [`ELF`] and [`SHARED`].
    Native,
    /// A module.
    Wasm,
    /// A script.
    Lua,
    /// A script.
    Js,
    /// The harness itself, from outside.
    Host,
}

/// What stops a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of the walls")]
pub enum Layer {
    Seccomp,
    Landlock,
    Mount,
    Pid,
    Net,
    Ipc,
    Uts,
    User,
    Uid,
    Cgroup,
    Rlimits,
    Caps,
    Descriptors,
    /// The kernel's own configuration.
    Sysctl,
    /// The engine that runs the plugin.
    Engine,
    /// The broker's own checks.
    Broker,
    /// The host's clock and its kill.
    Deadline,
    /// The process that makes requests.
    Http,
    /// Signatures, keys and revocations.
    Trust,
}

/// Who decides.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oracle {
    /// The plan's answer to this call: one for all variants, or one for each.
    Deny(Words),
    /// Refused with one of these.
    Errno(Words),
    /// An ending, as records name it.
    Ending(Words),
    /// What is seen from outside.
    State(State),
}

/// One word or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// One.
    One(String),
    /// More.
    Many(Vec<String>),
}

impl Words {
    /// As a list.
    #[must_use]
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }
}

/// What an oracle looks at, as `probes.toml` explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "probes.toml explains them where they are used")]
pub enum State {
    CanaryBytes,
    Listener,
    HostFile,
    Memory,
    Descriptors,
    Disk,
    Survivors,
    Neighbour,
    Log,
    Refused,
}

/// Where a probe can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum ControlClass {
    /// Unconfined, as an unprivileged uid.
    N,
    /// As root in a user namespace of its own: `in=userns`.
    U,
    /// On the host's side.
    H,
    /// In the engine.
    E,
}

/// How a script or module is set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetOff {
    /// By the command `probe` with the words ID [KEY=VALUE]...
    #[default]
    Command,
    /// By being loaded.
    Load,
}

/// What can't be done on a kernel even unconfined.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vacuous {
    /// Of `uname -r`; `*` stands for any text.
    pub kernel: String,
    /// Of the probe.
    pub id: String,
    /// Those of its variants; none = all.
    #[serde(default)]
    pub variants: Vec<u32>,
    /// Whether only a harness that isn't root finds it so.
    #[serde(default)]
    pub ordinary: bool,
    /// Why.
    pub reason: String,
}

impl Vacuous {
    /// Whether this is about that variant on a kernel of this release, for a harness that
    /// is root or isn't.
    #[must_use]
    pub fn covers(&self, release: &str, id: &str, variant: u32, root: bool) -> bool {
        self.id == id
            && !(self.ordinary && root)
            && (self.variants.is_empty() || self.variants.contains(&variant))
            && self.is_of(release)
    }

    /// Whether this is about a kernel of this release.
    #[must_use]
    pub fn is_of(&self, release: &str) -> bool {
        matches(&self.kernel, release)
    }
}

/// Whether a text is like a pattern with `*`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(begin) else {
        return false;
    };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.filter_map(|at| text.get(at..))
        .any(|tail| matches(rest, tail))
}

/// All rows, in their order.
///
/// # Panics
/// If the built-in file isn't one, which its test excludes.
#[must_use]
pub fn table() -> Vec<Probe> {
    #[derive(Deserialize)]
    struct File {
        probe: Vec<Probe>,
    }
    let read = |name: &str, text: &str| -> Vec<Probe> {
        let file: Result<File, _> = toml::from_str(text);
        file.unwrap_or_else(|error| panic!("{name}: {error}")).probe
    };
    let mut rows = read("probes.toml", include_str!("../probes/probes.toml"));
    rows.extend(read("host.toml", include_str!("../probes/host.toml")));
    rows
}

/// All that is vacuous, on any kernel.
///
/// # Panics
/// If the built-in file isn't one, which its test excludes.
#[must_use]
pub fn vacuous() -> Vec<Vacuous> {
    #[derive(Deserialize)]
    struct File {
        vacuous: Vec<Vacuous>,
    }
    let file: Result<File, _> = toml::from_str(include_str!("../probes/vacuous.toml"));
    file.unwrap_or_else(|error| panic!("vacuous.toml: {error}"))
        .vacuous
}

/// A probe's module.
#[must_use]
pub fn module(id: &str) -> Option<&'static [u8]> {
    found(sources::modules(), id)
}

/// A probe's script.
#[must_use]
pub fn script(id: &str, kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Lua => found(sources::scripts(true), id),
        Kind::Js => found(sources::scripts(false), id),
        Kind::Native | Kind::Wasm | Kind::Host => None,
    }
}

/// What is loaded for this variant of a probe whose loading is the attack.
#[must_use]
pub fn loaded(id: &str, kind: Kind, variant: u32) -> Option<Vec<u8>> {
    if id == "en-malformed" {
        return malformed::bytes(module("en-poison")?, variant);
    }
    let name = format!("{id}.{variant}");
    match kind {
        Kind::Wasm => found(sources::modules(), &name).map(<[u8]>::to_vec),
        Kind::Lua | Kind::Js => script(&name, kind).map(|text| text.as_bytes().to_vec()),
        Kind::Native | Kind::Host => None,
    }
}

/// A plugin whose constructor is this variant of a probe.
#[must_use]
pub fn constructor(id: &str, variant: u32) -> Option<&'static [u8]> {
    found(sources::constructors(), &format!("{id}.{variant}"))
}

fn found<T: Copy>(list: &[(&str, T)], id: &str) -> Option<T> {
    let own = list.iter().find(|(name, _)| *name == id);
    own.map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_and_numbers_are_never_used_twice() {
        let rows = table();
        let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let numbers: BTreeSet<u32> = rows.iter().map(|row| row.number).collect();
        assert_eq!((ids.len(), numbers.len()), (rows.len(), rows.len()));
    }

    #[test]
    fn each_row_has_its_sources_and_says_what_it_needs() {
        for row in table() {
            let host = row.kinds.contains(&Kind::Host);
            assert!(
                !row.kinds.is_empty() && (!host || row.kinds.len() == 1),
                "{}",
                row.id
            );
            assert!(row.variants > 0 && !row.why.is_empty(), "{}", row.id);
            for kind in &row.kinds {
                let loaded = |variant| loaded(&row.id, *kind, variant).is_some();
                let there = match kind {
                    Kind::Wasm | Kind::Lua | Kind::Js if row.hook == SetOff::Load => {
                        (0..row.variants).all(loaded)
                    }
                    Kind::Wasm => module(&row.id).is_some(),
                    Kind::Lua | Kind::Js => script(&row.id, *kind).is_some(),
                    Kind::Native if row.constructor => {
                        (0..row.variants).all(|variant| constructor(&row.id, variant).is_some())
                    }
                    // The table of the executable has them, or it doesn't link.
                    Kind::Native | Kind::Host => true,
                };
                assert!(there, "{} has no source of {kind:?}", row.id);
            }
            if let Oracle::Deny(calls) = &row.oracle {
                let many = calls.all().len();
                assert!(
                    many == 1 || many == usize::try_from(row.variants).unwrap(),
                    "{}: {many} calls",
                    row.id
                );
            }
        }
    }

    #[test]
    fn where_a_word_decides_the_row_says_which_word_is_the_walls() {
        for row in table() {
            let engines = [Kind::Wasm, Kind::Lua, Kind::Js];
            let asked =
                row.hook == SetOff::Command && row.kinds.iter().any(|kind| engines.contains(kind));
            // Lines and neighbours are looked at, whatever it says.
            let by_word = matches!(&row.oracle, Oracle::State(state)
                if !matches!(state, State::Log | State::Neighbour));
            assert!(
                !(asked && by_word && row.stops.is_empty()),
                "{} says no word of its wall",
                row.id
            );
            let both = row.stops.iter().find(|word| row.is_reached(word));
            assert_eq!(both, None, "{}", row.id);
            // Which a bug of the probe says, too.
            let error = row.stops.iter().any(|word| word == "error");
            assert!(
                !error || (row.group == Group::Engine && row.layer == Layer::Engine),
                "{}",
                row.id
            );
            let named = matches!(row.oracle, Oracle::Deny(_));
            assert!(!named || row.stopped_at.is_empty(), "{}", row.id);
        }
    }

    #[test]
    fn what_is_vacuous_is_a_probe() {
        let rows = table();
        for vacuous in vacuous() {
            let row = rows.iter().find(|row| row.id == vacuous.id);
            let row = row.unwrap_or_else(|| panic!("no {}", vacuous.id));
            assert!(
                vacuous.variants.iter().all(|own| *own < row.variants),
                "{}",
                row.id
            );
            assert!(!vacuous.reason.is_empty());
        }
        assert!(matches("6.18.*", "6.18.44-x") && !matches("6.18.*", "6.1.8"));
    }

    #[test]
    fn a_report_is_the_last_line_of_its_kind() {
        let text = "seen=a%0ab\nprobe=a-b form=live said=EPERM value=-3\n";
        let said = Said::read(text).unwrap();
        assert_eq!((said.id.as_str(), said.live, said.value), ("a-b", true, -3));
        assert_eq!(said.seen.as_deref(), Some("a%0ab"));
        assert_eq!(Said::read("probe=a form=other said=ok value=0"), None);
    }
}
