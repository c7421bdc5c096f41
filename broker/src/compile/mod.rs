//! From a verified module to the artifact that runs: out of the cache, or by
//! one walled compile process per module.
//!
//! The broker never parses the module. A compiler that a module subverts can
//! only spoil that module's own entry.

pub mod cache;
mod fault;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use gm_manifest::{Code, Refusal};
use gm_protocol::link::Budget;
use gm_protocol::message::FromRunner;
use gm_protocol::orders::FdKind;
use gm_protocol::plan::{Abi, ENGINE_ID, Engine, Hook, HostOps, Limits, Setup};

use crate::ending::{Cause, EndingKind};
use crate::process::{Order, Process, memfd, seal};
use crate::spawn::{Launcher, SpawnError, refusal_of};
use cache::{Cache, Key};

/// A compile process says three things.
const BUDGET: Budget = Budget {
    frames: 16,
    bytes: 1 << 20,
};

/// What is compiled, and for which grant.
#[derive(Debug)]
pub struct Module<'a> {
    /// The verified module, sealed.
    pub code: BorrowedFd<'a>,
    /// Its SHA-256.
    pub digest: &'a [u8],
    /// What it speaks.
    pub abi: Abi,
    /// Host calls that the grant gives: other imports are refused.
    pub host_ops: HostOps,
    /// Hooks that must be exported.
    pub hooks: Vec<Hook>,
    /// Names of its commands.
    pub commands: Vec<String>,
}

/// The walls of the compile process.
#[derive(Debug, Clone)]
pub struct Walls {
    /// First frame.
    pub setup: Setup,
    /// For the launcher.
    pub limits: Limits,
    /// `compile_time`.
    pub time: Duration,
}

/// Code that may be executed: sealed, of our own compiler.
#[derive(Debug)]
pub struct Artifact {
    /// The sealed bytes.
    pub fd: OwnedFd,
    /// Their number.
    pub len: u64,
}

/// The artifact of a module. `walls` is asked for only if it must be compiled.
pub fn artifact(
    launcher: &Launcher,
    cache: &Cache,
    module: &Module<'_>,
    walls: impl FnOnce() -> Result<Walls, Refusal>,
) -> Result<Artifact, Refusal> {
    let key = key_of(launcher, module);
    if let Some(bytes) = cache.fetch(&key)? {
        return sealed(&bytes);
    }
    let bytes = compile(launcher, module, walls()?)?;
    cache.store(&key, &bytes)?;
    sealed(&bytes)
}

fn key_of(launcher: &Launcher, module: &Module<'_>) -> Key {
    let compilers = launcher.host().engines.iter();
    let compiler = compilers
        .filter(|(engine, _)| *engine == Engine::CompileWasm)
        .map(|(_, digest)| digest.as_str())
        .next();
    let hooks: Vec<&str> = module.hooks.iter().map(|hook| hook.as_str()).collect();
    Key::of(&[
        module.digest,
        ENGINE_ID.as_bytes(),
        module.abi.as_str().as_bytes(),
        compiler.unwrap_or_default().as_bytes(),
        format!("{:?}", module.host_ops).as_bytes(),
        hooks.join(",").as_bytes(),
        module.commands.join(",").as_bytes(),
    ])
}

fn io(what: &str, error: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::InternalPanic, format!("could not {what}: {error}"))
}

fn sealed(bytes: &[u8]) -> Result<Artifact, Refusal> {
    use std::io::Write;
    let fd = memfd("gm-code").map_err(|error| io("make memory for the artifact", error))?;
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes)
        .map_err(|error| io("keep the artifact", error))?;
    let fd = OwnedFd::from(file);
    seal(&fd).map_err(|error| io("seal the artifact", error))?;
    Ok(Artifact {
        fd,
        len: bytes.len().try_into().unwrap_or(u64::MAX),
    })
}

fn compile(launcher: &Launcher, module: &Module<'_>, walls: Walls) -> Result<Vec<u8>, Refusal> {
    let output = memfd("gm-artifact").map_err(|error| io("make memory for the artifact", error))?;
    let most = walls.limits.file_bytes;
    let order = Order {
        engine: Engine::CompileWasm,
        limits: walls.limits,
        fds: vec![
            (FdKind::Module, module.code),
            (FdKind::Output, output.as_fd()),
        ],
        assets: &[],
        budget: BUDGET,
        wake: None,
        mounted: (0, false),
    };
    let mut process = Process::start(launcher, order).map_err(|error| match error {
        SpawnError::Fault(fault) => refusal_of(&fault),
        SpawnError::Dead(why) => Refusal::new(Code::InternalLauncher, why),
    })?;
    let said = process.wall_in(walls.setup).and_then(|_| {
        let wait = process.until(walls.time);
        process.recv(wait)
    });
    // Only a dead compiler can no longer change what it wrote.
    match said {
        Ok(FromRunner::Compiled { len }) => {
            let dead = process.end(Cause::Stopped);
            if dead.ending.kind == EndingKind::Finished && len <= most {
                return read_back(output, len);
            }
            Err(fault::of_ending(&dead.ending, walls.time))
        }
        Ok(FromRunner::Refused(fault)) => {
            let _ = process.end(Cause::Gone);
            Err(fault::of_module(&fault))
        }
        Ok(_) => Err(ended(
            process,
            Cause::Link("a result was due".into()),
            walls.time,
        )),
        Err(cause) => Err(ended(process, cause, walls.time)),
    }
}

fn ended(process: Process<'_>, cause: Cause, time: Duration) -> Refusal {
    fault::of_ending(&process.end(cause).ending, time)
}

fn read_back(output: OwnedFd, len: u64) -> Result<Vec<u8>, Refusal> {
    use std::io::{Read, Seek};
    seal(&output).map_err(|error| io("seal the artifact", error))?;
    let mut file = std::fs::File::from(output);
    file.rewind()
        .map_err(|error| io("read the artifact", error))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|error| io("read the artifact", error))?;
    if u64::try_from(bytes.len()) != Ok(len) || bytes.is_empty() {
        return Err(Refusal::new(
            Code::ArtifactMalformedCode,
            "the compiler's output is not what it said",
        ));
    }
    Ok(bytes)
}
