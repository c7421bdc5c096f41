//! The launcher's start: the binary by descriptor, the doorbell as its
//! standard input, the bootstrap pipe, the one-shot server, the nonce.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use gm_manifest::{Code, Refusal};
use gm_protocol::orders::{Bootstrap, Doorbell, Ready};
use gm_protocol::wire;
use ipc_channel::ipc::{IpcOneShotServer, IpcSender};
use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

/// How long the launcher may take to answer at its start: it hashes the engines.
const START_TIME: Duration = Duration::from_secs(5);
/// The same where it also tries each thing by itself.
const EXAMINE_TIME: Duration = Duration::from_secs(30);
/// Name of the launcher's binary, beside the broker's.
const LAUNCHER: &str = "gm-launcher";

/// A launcher that has answered.
pub(super) struct Begun {
    pub(super) process: Child,
    pub(super) bell: Doorbell,
    pub(super) ready: Ready,
}

/// Starts the launcher and waits for its first message. `examine` = it shall also try
/// each thing by itself.
pub(super) fn begin(home: &Path, instance: &str, examine: bool) -> Result<Begun, Refusal> {
    let binary = open_launcher()?;
    let _rendezvous =
        rendezvous(instance).map_err(|error| internal("make the rendezvous directory", &error))?;
    let (server, path) = IpcOneShotServer::<Ready>::new()
        .map_err(|error| internal("make the one-shot server", &error))?;
    let (ours, theirs) =
        gm_protocol::link::pair().map_err(|error| internal("make the doorbell", &error))?;
    let (pipe, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| internal("make the bootstrap pipe", &error))?;
    let mut process =
        exec(&binary, theirs, pipe).map_err(|error| internal("start gm-launcher", &error))?;
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| internal("make a nonce", &error))?;
    let hello = Bootstrap {
        server: path.clone(),
        nonce,
        instance: instance.to_owned(),
        home: home.to_string_lossy().into_owned(),
        examine,
    };
    let at_most = if examine { EXAMINE_TIME } else { START_TIME };
    let ready = tell(&write, &hello).and_then(|()| {
        drop(write);
        accept(server, path, at_most)
    });
    let ready = ready.and_then(|ready| checked(ready, &nonce));
    match ready {
        Ok(ready) => Ok(Begun {
            process,
            bell: Doorbell::new(ours),
            ready,
        }),
        Err(refusal) => {
            let _ = process.kill();
            let _ = process.wait();
            Err(refusal)
        }
    }
}

fn internal(what: &str, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Code::InternalLauncher, format!("could not {what}: {error}"))
}

/// The launcher lies beside the broker's own executable and nowhere else.
fn open_launcher() -> Result<OwnedFd, Refusal> {
    let missing = |why: String| Refusal::new(Code::WallEngineMissing, format!("{LAUNCHER}: {why}"));
    let own = std::fs::read_link("/proc/self/exe").map_err(|error| missing(error.to_string()))?;
    let dir = own
        .parent()
        .ok_or_else(|| missing("the broker has no directory".into()))?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(dir.join(LAUNCHER), flags, Mode::empty())
        .map_err(|error| missing(format!("{}: {error}", dir.join(LAUNCHER).display())))?;
    let stat = rustix::fs::fstat(&file).map_err(|error| missing(error.to_string()))?;
    let euid = rustix::process::geteuid().as_raw();
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    if !regular || (stat.st_uid != 0 && stat.st_uid != euid) || stat.st_mode & 0o022 != 0 {
        return Err(missing(
            "not a regular file of root or the caller that only its owner may write".into(),
        ));
    }
    Ok(file)
}

/// A directory of mode 0700 for the one-shot server's socket. ipc-channel puts
/// it where `tempfile` says, so `tempfile` is told, once for the process.
fn rendezvous(instance: &str) -> std::io::Result<TempDir> {
    // Said, since tempfile leaves a directory's mode to the umask.
    let private = std::fs::Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new()
        .prefix(&prefix(instance))
        .permissions(private)
        .tempdir_in(base())?;
    match tempfile::env::override_temp_dir(dir.path()) {
        Ok(()) => Ok(dir),
        Err(_) => Err(std::io::Error::other(
            "a launcher was started before in this process",
        )),
    }
}

fn base() -> &'static str {
    match rustix::process::geteuid().is_root() {
        true => "/run",
        false => "/tmp",
    }
}

fn prefix(instance: &str) -> String {
    format!("gm-launch-{instance}-")
}

/// Removes the directory of an instance that was killed before its launcher had
/// answered. No link is followed.
pub(crate) fn sweep(instance: &str) {
    let prefix = prefix(instance);
    let entries = std::fs::read_dir(base()).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // What is another's, or gone already, stays so.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn exec(binary: &OwnedFd, bell: OwnedFd, pipe: OwnedFd) -> std::io::Result<Child> {
    // The path is resolved by the child, whose descriptor table still holds
    // `binary`: what was checked is what runs.
    let path = format!("/proc/self/fd/{}", binary.as_raw_fd());
    #[expect(
        clippy::disallowed_methods,
        reason = "the one process that the broker starts"
    )]
    let mut command = Command::new(path);
    command
        .arg0("gm-launcher")
        .env_clear()
        .stdin(Stdio::from(bell))
        .stdout(Stdio::from(pipe))
        // A signal from the terminal is for the broker to carry out.
        .process_group(0)
        .current_dir("/");
    command.spawn()
}

fn tell(pipe: &OwnedFd, hello: &Bootstrap) -> Result<(), Refusal> {
    // PIPE_BUF: one write that is never split.
    let mut bytes = [0; 4096];
    let used = wire::encode(hello, &mut bytes)
        .map_err(|error| internal("tell the launcher its home", &error))?;
    rustix::io::write(pipe, bytes.get(..used).unwrap_or_default())
        .map(|_| ())
        .map_err(|error| internal("tell the launcher its home", &error))
}

fn accept(
    server: IpcOneShotServer<Ready>,
    path: String,
    at_most: Duration,
) -> Result<Ready, Refusal> {
    let (done, result) = channel();
    let waiting = std::thread::spawn(move || {
        let _ = done.send(server.accept().map(|(_, ready)| ready));
    });
    match result.recv_timeout(at_most) {
        // Gone before privileges are dropped: it would keep its own.
        Ok(Ok(ready)) => waiting
            .join()
            .map(|()| ready)
            .map_err(|_| internal("hear the launcher", &"panic")),
        Ok(Err(error)) => Err(internal("hear the launcher", &error)),
        Err(_) => {
            // Frees the thread inside accept().
            drop(IpcSender::<Ready>::connect(path));
            Err(Refusal::new(
                Code::InternalLauncher,
                format!("gm-launcher did not answer in {} s", at_most.as_secs()),
            ))
        }
    }
}

fn checked(ready: Ready, nonce: &[u8; 32]) -> Result<Ready, Refusal> {
    let differ = ready
        .nonce
        .iter()
        .zip(nonce)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    if differ != 0 {
        return Err(Refusal::new(
            Code::InternalLauncher,
            "somebody else answered in the launcher's place",
        ));
    }
    if ready.protocol != gm_protocol::PROTOCOL {
        let detail = format!(
            "gm-launcher speaks protocol {}, this broker {}",
            ready.protocol,
            gm_protocol::PROTOCOL
        );
        return Err(Refusal::new(Code::InternalLauncher, detail));
    }
    Ok(ready)
}
