//! Reads the reviewed data in `profiles/`: which calls an engine needs, and why.
//!
//! The files are part of the binary; a mistake in one refuses every plan.

use std::collections::BTreeMap;

use gm_protocol::plan::Engine;
use serde::Deserialize;
use toml::Spanned;

use crate::grant::{Because, Source};
use crate::spec::{
    Action, ArgCond, CondError, Errno, LayerName, LayerSpec, Op, Rule, SeccompSpec, When,
};
use crate::syscalls::{Arch, Sysno};

/// Why a profile file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML, or a key that is not known.
    #[error("{file}: not readable")]
    Syntax {
        /// The file.
        file: &'static str,
        /// What the parser says.
        source: Box<toml::de::Error>,
    },
    /// The call does not exist on this architecture.
    #[error("{file}:{line}: {call} does not exist on {arch}")]
    UnknownCall {
        /// The file.
        file: &'static str,
        /// The line.
        line: u32,
        /// The call.
        call: String,
        /// The architecture.
        arch: &'static str,
    },
    /// A condition that the kernel could not mean.
    #[error("{file}:{line}: bad condition")]
    Condition {
        /// The file.
        file: &'static str,
        /// The line.
        line: u32,
        /// What is wrong with it.
        source: CondError,
    },
    /// Anything else that is written wrongly.
    #[error("{file}:{line}: {what}")]
    Line {
        /// The file.
        file: &'static str,
        /// The line.
        line: u32,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A file of `profiles/`, by the name that records print.
#[derive(Clone, Copy)]
struct Text<'t> {
    file: &'static str,
    text: &'t str,
}

/// The file of this name.
macro_rules! text {
    ($name:literal) => {
        Text {
            file: concat!("profiles/", $name, ".toml"),
            text: include_str!(concat!("../profiles/", $name, ".toml")),
        }
    };
}

const VETO: Text<'_> = text!("veto");
const FILES: Text<'_> = text!("files");

const fn text_of(engine: Engine) -> Text<'static> {
    match engine {
        Engine::Wasm => text!("wasm"),
        Engine::CompileWasm => text!("compile"),
        Engine::Lua => text!("lua"),
        Engine::Js => text!("js"),
        Engine::Http => text!("http"),
        Engine::Native => text!("native"),
        Engine::Program => text!("program"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    engine: Spanned<String>,
    /// The stage that plugin code runs in: the one that is counted.
    #[serde(default)]
    wall: Wall,
    ceiling: usize,
    /// Of a profile whose wall is *loading*: the most calls of *running*.
    running_ceiling: Option<usize>,
    mismatch: Mismatch,
    running: Vec<Line>,
    loading: Vec<Line>,
    soft: Vec<Line>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wall {
    #[default]
    Running,
    Loading,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mismatch {
    Trap,
    KillProcess,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    call: Spanned<String>,
    why: String,
    when: Option<Vec<Condition>>,
    errno: Option<String>,
    /// The only architecture that has this call.
    only: Option<String>,
    #[serde(default)]
    glue: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    arg: u8,
    mask: Option<u64>,
    eq: Option<u64>,
    ne: Option<u64>,
    lt: Option<u64>,
    le: Option<u64>,
    gt: Option<u64>,
    ge: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesFile {
    read: Vec<Line>,
    list: Vec<Line>,
    data: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VetoFile {
    group: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: Spanned<String>,
    why: String,
    calls: Vec<Spanned<String>>,
    any_bit: Option<AnyBit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyBit {
    arg: u8,
    bits: u32,
}

/// What the files say about one engine on one architecture.
pub(crate) struct EngineProfile {
    pub(crate) seccomp: SeccompSpec,
    /// The stage that plugin code runs in.
    pub(crate) wall: LayerName,
    /// Calls of that stage, without the soft ones; those that granted paths add
    /// are counted.
    pub(crate) calls: usize,
    /// The most that there may be without granted paths.
    pub(crate) ceiling: usize,
    /// Every call that must never be allowed, soft ones included.
    pub(crate) vetoed: BTreeMap<Sysno, Rule>,
}

/// Why the calls for granted paths are there; empty = they are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileCalls {
    /// Something may be read.
    pub(crate) read: Vec<Because>,
    /// A directory may be listed.
    pub(crate) list: Vec<Because>,
    /// `$DATA` may be written.
    pub(crate) data: Vec<Because>,
}

/// Adds the calls for granted paths to those of the running stage.
fn with_files(mut running: Rules, files: &FileCalls, arch: Arch) -> Result<Rules, ProfileError> {
    let from = Reader { text: FILES, arch };
    let file: FilesFile = from.parse()?;
    for (lines, because) in [
        (&file.read, &files.read),
        (&file.list, &files.list),
        (&file.data, &files.data),
    ] {
        if because.is_empty() {
            continue;
        }
        for (sysno, mut rule) in from.allowed(lines)? {
            rule.because.extend(because.iter().cloned());
            add(&mut running, sysno, rule);
        }
    }
    Ok(running)
}

/// Reads one engine's profile, with the calls for granted paths.
pub(crate) fn read(
    engine: Engine,
    arch: Arch,
    files: &FileCalls,
) -> Result<EngineProfile, ProfileError> {
    let text = text_of(engine);
    of_text(&Reader { text, arch }, engine, files)
}

/// The layers that a profile's text gives an engine, for one architecture. Only a
/// check of the text: what runs has the profiles that are part of the binary.
///
/// # Errors
/// What is wrong with it, with its line.
pub fn layers_of(text: &str, engine: Engine, arch: Arch) -> Result<SeccompSpec, ProfileError> {
    let file = text_of(engine).file;
    let from = Reader {
        text: Text { file, text },
        arch,
    };
    of_text(&from, engine, &FileCalls::default()).map(|profile| profile.seccomp)
}

fn of_text(
    from: &Reader<'_>,
    engine: Engine,
    files: &FileCalls,
) -> Result<EngineProfile, ProfileError> {
    let arch = from.arch;
    let file: ProfileFile = from.parse()?;
    if file.engine.get_ref() != engine.as_str() {
        return Err(from.wrong(&file.engine, "it is another engine's profile"));
    }
    let running = from.allowed(&file.running)?;
    let loading = from.allowed(&file.loading)?;
    let within = |most: usize, rules: usize, what| match rules <= most {
        true => Ok(()),
        false => Err(from.wrong(&file.engine, what)),
    };
    let most = file.running_ceiling.unwrap_or(file.ceiling);
    within(most, running.len(), "the running stage is over its ceiling")?;
    let counted = |running: &Rules| match file.wall {
        Wall::Running => running.len(),
        Wall::Loading => joined(running.clone(), loading.clone()).len(),
    };
    let what = "the stage that is the wall is over its ceiling";
    within(file.ceiling, counted(&running), what)?;
    let running = with_files(running, files, arch)?;
    let calls = counted(&running);
    let soft = from.soft(&file.soft)?;
    if let Some(line) = file.soft.iter().find(|line| {
        let sysno = Sysno::by_name(arch, line.call.get_ref());
        sysno.is_some_and(|sysno| running.contains_key(&sysno) || loading.contains_key(&sysno))
    }) {
        return Err(from.wrong(&line.call, "a soft call is allowed elsewhere in this file"));
    }
    let vetoed = Reader { text: VETO, arch }.vetoed()?;
    let otherwise = match file.mismatch {
        Mismatch::Trap => Action::Trap,
        Mismatch::KillProcess => Action::KillProcess,
    };
    // A soft call passes the allow lists, so that its errno is what the kernel answers.
    let passed = soft.iter().map(|(sysno, rule)| {
        (
            *sysno,
            Rule {
                action: Action::Allow,
                ..rule.clone()
            },
        )
    });
    let running = joined(running, passed);
    let loading = joined(running.clone(), loading);
    let veto = vetoed.iter().filter(|(sysno, _)| !soft.contains_key(sysno));
    let veto = veto.map(|(sysno, rule)| (*sysno, rule.clone())).collect();
    let seccomp = SeccompSpec {
        arch,
        soft: LayerSpec {
            otherwise: Action::Allow,
            rules: soft,
        },
        loading: LayerSpec {
            otherwise,
            rules: loading,
        },
        running: LayerSpec {
            otherwise,
            rules: running,
        },
        veto: LayerSpec {
            otherwise: Action::Allow,
            rules: veto,
        },
    };
    Ok(EngineProfile {
        seccomp,
        wall: match file.wall {
            Wall::Running => LayerName::Running,
            Wall::Loading => LayerName::Loading,
        },
        calls,
        ceiling: file.ceiling,
        vetoed,
    })
}

type Rules = BTreeMap<Sysno, Rule>;

/// Both sets of rules; where both have a call, either condition is enough.
fn joined(mut rules: Rules, more: impl IntoIterator<Item = (Sysno, Rule)>) -> Rules {
    for (sysno, rule) in more {
        add(&mut rules, sysno, rule);
    }
    rules
}

fn add(rules: &mut Rules, sysno: Sysno, rule: Rule) {
    let joined = match rules.remove(&sysno) {
        None => rule,
        Some(before) => Rule {
            when: before.when.or(rule.when),
            action: rule.action,
            because: before.because.into_iter().chain(rule.because).collect(),
        },
    };
    rules.insert(sysno, joined);
}

struct Reader<'t> {
    text: Text<'t>,
    arch: Arch,
}

impl Reader<'_> {
    fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ProfileError> {
        toml::from_str(self.text.text).map_err(|error| ProfileError::Syntax {
            file: self.text.file,
            source: Box::new(error),
        })
    }

    fn line<T>(&self, at: &Spanned<T>) -> u32 {
        let before = self.text.text.get(..at.span().start).unwrap_or_default();
        let newlines = before.bytes().filter(|byte| *byte == b'\n').count();
        u32::try_from(newlines)
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    fn wrong<T>(&self, at: &Spanned<T>, what: &'static str) -> ProfileError {
        ProfileError::Line {
            file: self.text.file,
            line: self.line(at),
            what,
        }
    }

    fn sysno(&self, call: &Spanned<String>) -> Result<Sysno, ProfileError> {
        Sysno::by_name(self.arch, call.get_ref()).ok_or_else(|| ProfileError::UnknownCall {
            file: self.text.file,
            line: self.line(call),
            call: call.get_ref().clone(),
            arch: self.arch.name(),
        })
    }

    /// Without those that only another architecture has.
    fn of_arch<'l>(&self, lines: &'l [Line]) -> impl Iterator<Item = &'l Line> {
        let arch = self.arch.name();
        lines
            .iter()
            .filter(move |line| line.only.as_deref().is_none_or(|only| only == arch))
    }

    fn allowed(&self, lines: &[Line]) -> Result<Rules, ProfileError> {
        let mut rules = Rules::new();
        for line in self.of_arch(lines) {
            if line.errno.is_some() {
                return Err(self.wrong(&line.call, "only a soft call answers an errno"));
            }
            add(
                &mut rules,
                self.sysno(&line.call)?,
                self.rule(line, Action::Allow)?,
            );
        }
        Ok(rules)
    }

    fn soft(&self, lines: &[Line]) -> Result<Rules, ProfileError> {
        let mut rules = Rules::new();
        for line in self.of_arch(lines) {
            let errno = line.errno.as_deref().and_then(Errno::by_name);
            let Some(errno) = errno.filter(|_| line.when.is_none()) else {
                return Err(
                    self.wrong(&line.call, "a soft call has a known errno and no condition")
                );
            };
            let rule = self.rule(line, Action::Errno(errno))?;
            if rules.insert(self.sysno(&line.call)?, rule).is_some() {
                return Err(self.wrong(&line.call, "a soft call stands here twice"));
            }
        }
        Ok(rules)
    }

    fn rule(&self, line: &Line, action: Action) -> Result<Rule, ProfileError> {
        if line.why.trim().is_empty() {
            return Err(self.wrong(&line.call, "a line without a reason"));
        }
        let source = if line.glue {
            Source::Glue
        } else {
            Source::Engine
        };
        let because = vec![Because::profile(
            source,
            self.text.file,
            self.line(&line.call),
            &line.why,
        )];
        let when = match &line.when {
            None => When::always(),
            Some(conds) if conds.is_empty() => {
                return Err(self.wrong(&line.call, "an empty list of conditions"));
            }
            Some(conds) => {
                let conds = conds.iter().map(|cond| self.condition(&line.call, cond));
                When::any_of(vec![conds.collect::<Result<_, _>>()?])
            }
        };
        Ok(Rule {
            when,
            action,
            because,
        })
    }

    fn condition(&self, call: &Spanned<String>, cond: &Condition) -> Result<ArgCond, ProfileError> {
        let written = [
            (Op::Eq, cond.eq),
            (Op::Ne, cond.ne),
            (Op::Lt, cond.lt),
            (Op::Le, cond.le),
            (Op::Gt, cond.gt),
            (Op::Ge, cond.ge),
        ];
        let mut written = written
            .into_iter()
            .filter_map(|(op, value)| Some((op, value?)));
        let (op, value) = match (written.next(), written.next(), cond.mask) {
            (Some(one), None, None) => one,
            (Some((Op::Eq, value)), None, Some(mask)) => (Op::MaskedEq(mask), value),
            (_, _, _) => {
                return Err(self.wrong(call, "a condition has one comparison; a mask only with eq"));
            }
        };
        self.cond(call, cond.arg, op, value)
    }

    fn cond(
        &self,
        call: &Spanned<String>,
        arg: u8,
        op: Op,
        value: u64,
    ) -> Result<ArgCond, ProfileError> {
        ArgCond::new(call.get_ref(), arg, op, value).map_err(|source| ProfileError::Condition {
            file: self.text.file,
            line: self.line(call),
            source,
        })
    }

    fn vetoed(&self) -> Result<Rules, ProfileError> {
        let file: VetoFile = self.parse()?;
        let mut rules = Rules::new();
        for group in &file.group {
            let why = format!("{}: {}", group.name.get_ref(), group.why);
            for call in &group.calls {
                let when = match &group.any_bit {
                    None => When::always(),
                    Some(any) => self.any_bit(call, any)?,
                };
                let because = vec![Because::profile(
                    Source::Engine,
                    self.text.file,
                    self.line(call),
                    &why,
                )];
                let rule = Rule {
                    when,
                    action: Action::KillProcess,
                    because,
                };
                add(&mut rules, self.sysno(call)?, rule);
            }
        }
        Ok(rules)
    }

    /// A mask comparison can't say "any of these bits", so there is one for each.
    fn any_bit(&self, call: &Spanned<String>, any: &AnyBit) -> Result<When, ProfileError> {
        let bits = (0..32)
            .map(|place| 1u64 << place)
            .filter(|bit| u64::from(any.bits) & bit != 0);
        let conds = bits.map(|bit| Ok(vec![self.cond(call, any.arg, Op::MaskedEq(bit), bit)?]));
        Ok(When::any_of(conds.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &'static str) -> String {
        let reader = Reader {
            text: Text {
                file: "x.toml",
                text,
            },
            arch: Arch::X86_64,
        };
        let file: Result<ProfileFile, _> = reader.parse();
        match file.and_then(|file| reader.allowed(&file.running)) {
            Ok(_) => "taken".into(),
            Err(error) => error.to_string(),
        }
    }

    const HEAD: &str = "engine='x'\nceiling=1\nmismatch='trap'\nloading=[]\nsoft=[]\n";

    #[test]
    fn line_of_a_profile_that_is_wrong_is_named() {
        for (rest, expected) in [
            (
                "[[running]]\ncall='nope'\nwhy='x'",
                "x.toml:7: nope does not exist on x86_64",
            ),
            (
                "[[running]]\ncall='read'\nwhy=' '",
                "x.toml:7: a line without a reason",
            ),
            (
                "[[running]]\ncall='read'\nwhy='x'\nwhen=[]",
                "x.toml:7: an empty list of conditions",
            ),
            (
                "[[running]]\ncall='read'\nwhy='x'\nwhen=[{arg=1,eq=1}]",
                "x.toml:7: bad condition",
            ),
            (
                "[[running]]\ncall='read'\nwhy='x'\nwhen=[{arg=0,eq=1,ne=2}]",
                "x.toml:7: a condition has one comparison; a mask only with eq",
            ),
            (
                "[[running]]\ncall='read'\nwhy='x'\nerrno='EPERM'",
                "x.toml:7: only a soft call answers an errno",
            ),
            (
                "[[running]]\ncall='read'\nwhy='x'\nmore=1",
                "x.toml: not readable",
            ),
            ("[[running]]\ncall='read'", "x.toml: not readable"),
        ] {
            assert_eq!(problem(format!("{HEAD}{rest}").leak()), expected, "{rest}");
        }
    }

    #[test]
    fn every_profile_is_readable_on_every_architecture() {
        for engine in Engine::ALL {
            for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
                let profile = read(*engine, arch, &FileCalls::default())
                    .unwrap_or_else(|error| panic!("{error}"));
                assert!(profile.calls <= profile.ceiling);
            }
        }
    }

    #[test]
    fn ceilings_are_the_published_ones_on_the_stage_that_is_the_wall() {
        for (engine, wall, ceiling) in [
            (Engine::Wasm, LayerName::Running, 6),
            (Engine::Lua, LayerName::Running, 6),
            (Engine::Js, LayerName::Running, 5),
            (Engine::CompileWasm, LayerName::Running, 24),
            (Engine::Http, LayerName::Running, 12),
            (Engine::Native, LayerName::Loading, 17),
            (Engine::Program, LayerName::Loading, 40),
        ] {
            let profile = read(engine, Arch::X86_64, &FileCalls::default()).unwrap();
            let (spec, soft) = (&profile.seccomp, &profile.seccomp.soft.rules);
            let calls = |layer: &LayerSpec| {
                let calls = layer.rules.keys().filter(|call| !soft.contains_key(call));
                calls.count()
            };
            assert_eq!((profile.wall, profile.ceiling), (wall, ceiling), "{engine}");
            assert_eq!(profile.calls, calls(spec.layer(wall)), "{engine}");
            if engine == Engine::Native {
                assert!(calls(&spec.running) <= 12);
            }
        }
    }

    #[test]
    fn list_that_is_missing_or_null_is_not_read_as_an_empty_one() {
        for key in ["running", "loading", "soft"] {
            let full = "engine='x'\nceiling=0\nmismatch='trap'\nrunning=[]\nloading=[]\nsoft=[]\n";
            let (list, null) = (format!("{key}=[]\n"), format!("{key}=null\n"));
            for text in [full.replace(&list, ""), full.replace(&list, &null)] {
                assert_eq!(problem(text.leak()), "x.toml: not readable", "{key}");
            }
        }
    }

    #[test]
    fn veto_list_that_is_missing_or_null_is_not_read_as_an_empty_one() {
        let vetoed = |text| {
            let file = "veto.toml";
            let reader = Reader {
                text: Text { file, text },
                arch: Arch::X86_64,
            };
            reader.vetoed().map(|rules| rules.len())
        };
        let head = "[[group]]\nname='x'\nwhy='x'\n";
        let with = |rest| format!("{head}{rest}").leak();
        assert_eq!(vetoed("group=[]").unwrap(), 0);
        assert_eq!(vetoed(with("calls=[]")).unwrap(), 0);
        assert_eq!(vetoed(with("calls=['bpf', 'ptrace']")).unwrap(), 2);
        for text in ["", "group=null", with(""), with("calls=null")] {
            let error = vetoed(text).unwrap_err().to_string();
            assert_eq!(error, "veto.toml: not readable", "{text}");
        }
    }

    #[test]
    fn empty_lists_of_calls_allow_nothing() {
        let text = "engine='x'\nceiling=0\nmismatch='trap'\nrunning=[]\nloading=[]\nsoft=[]\n";
        assert_eq!(problem(text), "taken");
        let layer = LayerSpec {
            otherwise: Action::Trap,
            rules: Rules::new(),
        };
        let data = crate::cbpf::SeccompData {
            arch: Arch::X86_64.audit_word(),
            ..Default::default()
        };
        assert_eq!(layer.evaluate(Arch::X86_64, &data), Action::Trap.word());
    }
}
