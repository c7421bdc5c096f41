//! `gm-broker policy`: what a plugin may do, shown and written out. Nothing is
//! run; a manifest needs no signature here.

use std::path::{Path, PathBuf};

use gm_manifest::{Code, MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, PluginId, Refusal};
use gm_policy::{Plan, Shown, Stages};
use gm_protocol::plan::{LANDLOCK_NEWEST, Level};
use mind_gpg::TrustStore;
use serde::Deserialize;
use serde_json::json;

use crate::args::broker::{PolicyDumpArgs, PolicyShowArgs, PolicyVerb, Stage};
use crate::args::{Invocation, usage};
use crate::config::Config;
use crate::doctor;
use crate::home::Home;
use crate::output::Output;
use crate::plain_file;
use crate::plan::landlock_abi;
use crate::registry::Registry;
use crate::session::Session;

/// The most bytes of a file that describes a machine.
const MAX_HOST_FILE: u64 = 1 << 20;

/// Carries out one verb; gives the exit code of what was done.
///
/// # Errors
/// What wasn't done, and why; nothing was said about it yet.
pub fn run(verb: PolicyVerb, invocation: &Invocation, output: &mut Output) -> Result<u8, Refusal> {
    match verb {
        PolicyVerb::Show(args) => show(&args, invocation, output),
        PolicyVerb::Dump(args) => dump(&args, invocation, output),
    }
}

fn show(
    args: &PolicyShowArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let (home, config) = invocation.open_home()?;
    let plan = plan(&args.input, &home, &config)?;
    let (level, landlock_abi) = machine(&args.host, &home, &config)?;
    let plan = plan.on_kernel(landlock_abi);
    let least = config.isolation.min.max(Level::L3);
    if level < least {
        output.note(&format!(
            "no plugin starts there: that machine gives {level}, {least} is the least"
        ));
    }
    let stages = match args.stage {
        Stage::Loading => Stages::Loading,
        Stage::Running => Stages::Running,
        Stage::Both => Stages::Both,
    };
    let lines = plan.lines(Shown {
        level,
        landlock_abi,
        stages,
    });
    for line in &lines {
        output.record(line);
        output.line(line.text());
    }
    let count = |kind: &str| lines.iter().filter(|line| line.kind() == kind).count();
    output.record(&json!({
        "schema": "gm.policy/1",
        "kind": "summary",
        "exit": 0,
        "rules": count("rule"),
        "host_calls": count("host_call"),
        "refused": count("refused"),
        "proved": count("proof"),
    }));
    Ok(0)
}

fn dump(
    args: &PolicyDumpArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let (home, config) = invocation.open_home()?;
    let plan = plan(&args.input, &home, &config)?;
    for layer in plan.compiled().layers() {
        let (name, index, digest) = (
            layer.name.name(),
            layer.name.index(),
            layer.program.digest(),
        );
        if let Some(raw) = &args.raw {
            let path = numbered(raw, index);
            plain_file::write(&path, &layer.program.bytes()).map_err(|error| {
                Refusal::new(
                    Code::UsageArguments,
                    format!("could not write {}: {error}", path.display()),
                )
            })?;
            output.line(&format!("written: {}  {digest}", path.display()));
            continue;
        }
        let program: Vec<_> = layer
            .program
            .raw()
            .iter()
            .map(|one| json!([one.code, one.jt, one.jf, one.k]))
            .collect();
        output.record(&json!({
            "schema": "gm.policy/1",
            "kind": "layer",
            "index": index,
            "name": name,
            "program": program,
            "digest": digest,
        }));
        output.heading(&format!("layer {index} {name}  {digest}"));
        output.line(&gm_policy::disassemble(&layer.program, plan.arch()));
    }
    Ok(output.done("policy dump", []))
}

/// `NAME.0.bpf`
fn numbered(name: &Path, index: usize) -> PathBuf {
    let mut path = name.as_os_str().to_owned();
    path.push(format!(".{index}.bpf"));
    path.into()
}

fn plan(input: &Path, home: &Home, config: &Config) -> Result<Plan, Refusal> {
    Plan::derive(&manifest(input, home)?, &config.operator())
}

/// A path, if something is there or it looks like one; else an id.
fn manifest(input: &Path, home: &Home) -> Result<Manifest, Refusal> {
    let is_path = input.components().count() > 1 || input.exists();
    if is_path {
        return Manifest::parse(&read(input)?);
    }
    let text = input.to_string_lossy();
    let id = PluginId::parse(&text).map_err(|rule| {
        usage(format!(
            "{text:?} is neither a manifest nor the id of a plugin"
        ))
        .rule(rule.rule())
    })?;
    let trust = TrustStore::open(home.trust()?.path())?;
    let signed = Registry::open(home)?.entry(&id)?.read(&trust)?;
    Ok(signed.manifest().clone())
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let path = if path.is_dir() {
        path.join(MANIFEST_FILE)
    } else {
        path.to_owned()
    };
    let most = u64::try_from(MAX_MANIFEST_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    plain_file::read(&path, most).map_err(|error| {
        Refusal::new(
            Code::ManifestNoManifest,
            format!("could not read {}: {error}", path.display()),
        )
    })
}

/// What a file says about a machine; other members of it don't matter here.
#[derive(Deserialize)]
struct Machine {
    level: String,
    landlock_abi: u32,
    /// Absent = as here.
    arch: Option<String>,
}

/// Which of its lines says it, in the saved output of `gm-broker doctor --format json`.
#[derive(Deserialize)]
struct Line {
    schema: Option<String>,
    kind: Option<String>,
}

/// Level and Landlock ABI of the machine that was asked for.
fn machine(host: &Path, home: &Home, config: &Config) -> Result<(Level, u32), Refusal> {
    match host.to_str() {
        Some("this") => {
            let session = Session::begin(home, config)?;
            let level = session.level(config, None);
            let abi = landlock_abi(session.launcher().host());
            session.end();
            Ok((level?, abi))
        }
        Some("none") => Ok((Level::L4, LANDLOCK_NEWEST)),
        _ => described(host),
    }
}

fn described(file: &Path) -> Result<(Level, u32), Refusal> {
    let bad = |what: &dyn std::fmt::Display| usage(format!("{}: {what}", file.display()));
    let bytes = plain_file::read(file, MAX_HOST_FILE).map_err(|error| bad(&error))?;
    let machine = machine_in(&bytes).map_err(|error| bad(&error))?;
    let here = std::env::consts::ARCH;
    if let Some(arch) = machine.arch.filter(|arch| arch != here) {
        return Err(bad(&format!("it is of a machine with {arch}, not {here}")));
    }
    let level = match &*machine.level {
        "L0" => Err("there are no walls on that machine (L0), so no policy either"),
        name => Level::from_name(name).ok_or("level must be L2, L3 or L4"),
    };
    let level = level.map_err(|what| bad(&what))?;
    if !(1..=LANDLOCK_NEWEST).contains(&machine.landlock_abi) {
        return Err(bad(&format!("landlock_abi must be 1 to {LANDLOCK_NEWEST}")));
    }
    Ok((level, machine.landlock_abi))
}

/// The summary of a saved doctor's report, else the one object that there is.
fn machine_in(bytes: &[u8]) -> Result<Machine, Box<dyn std::error::Error>> {
    let objects = serde_json::Deserializer::from_slice(bytes).into_iter::<serde_json::Value>();
    let objects = objects.collect::<Result<Vec<_>, _>>()?;
    let is_summary = |object: &serde_json::Value| {
        let line = Line::deserialize(object);
        line.is_ok_and(|line| {
            line.schema.as_deref() == Some(doctor::SCHEMA)
                && line.kind.as_deref() == Some("summary")
        })
    };
    let found = match objects.as_slice() {
        [one] => Some(one),
        many => many.iter().find(|object| is_summary(object)),
    };
    let found = found.ok_or("no summary of gm-broker doctor is in it")?;
    Ok(Machine::deserialize(found)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_programs_are_numbered_behind_the_whole_name() {
        assert_eq!(numbered(Path::new("/x/a.b"), 3), Path::new("/x/a.b.3.bpf"));
    }

    #[test]
    fn machine_that_is_not_described_in_full_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("host.json");
        for text in [
            "",
            "{}",
            "{\"level\":\"L4\"}",
            "{\"level\":\"L9\",\"landlock_abi\":7}",
            "{\"level\":\"L4\",\"landlock_abi\":0}",
            "{\"level\":\"L0\",\"landlock_abi\":7}",
            "{\"level\":\"L4\",\"landlock_abi\":7,\"arch\":\"riscv64\"}",
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(
                described(&file).unwrap_err().code,
                Code::UsageArguments,
                "{text}"
            );
        }
        std::fs::write(&file, "{\"level\":\"L3\",\"landlock_abi\":2,\"more\":1}").unwrap();
        assert_eq!(described(&file).unwrap(), (Level::L3, 2));
    }

    #[test]
    fn the_saved_report_of_a_doctor_describes_its_machine() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("host.json");
        let check = "{\"schema\":\"gm.doctor/1\",\"kind\":\"check\",\"id\":\"swap\"}\n";
        let refusal = "{\"schema\":\"gm.result/1\",\"code\":\"wall/level\"}\n";
        let summary = "{\"schema\":\"gm.doctor/1\",\"kind\":\"summary\",\"level\":\"L3\",\"landlock_abi\":4}\n";
        std::fs::write(&file, [check, check, refusal, summary].concat()).unwrap();
        assert_eq!(described(&file).unwrap(), (Level::L3, 4));
        for text in [
            [check, check].concat(),
            summary.replace("L3", "L0"),
            [check, &summary.replace("doctor/1", "doctor/2")].concat(),
            [summary, "{"].concat(),
        ] {
            std::fs::write(&file, &text).unwrap();
            assert_eq!(
                described(&file).unwrap_err().code,
                Code::UsageArguments,
                "{text}"
            );
        }
    }
}
