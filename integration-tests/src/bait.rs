//! What a probe is let loose on: a secret, a victim, listeners. Afterwards it is looked
//! at from outside, where no probe can forge what happened.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::process::command;

/// Whom a control is run as: nobody.
pub const NOBODY: u32 = 65_534;

/// Whose the baits are, where root sets them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Of whom a control is: it may do with them what an owner may.
    Nobody,
    /// Root's, with modes by which everybody may write: nothing but a wall is to stop it.
    Root,
}

/// The limits of a probe's plugin, which it tries to pass.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Processes.
    pub pids: u32,
    /// Bytes.
    pub memory: u64,
}

/// How long what is already on its way to a listener may take.
const SETTLE: Duration = Duration::from_millis(20);

/// One set of baits. What happened is told once, at the end.
pub struct Bait {
    dir: TempDir,
    whose: Whose,
    secret: String,
    before: [State; 2],
    victim: Victim,
    listeners: Listeners,
}

impl Bait {
    /// Sets everything out.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn set_out(whose: Whose) -> std::io::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("gm-harness-bait-")
            .tempdir()?;
        allow(dir.path(), 0o755)?;
        let secret = format!("gm-canary-{}", random_name()?);
        let canary = dir.path().join("canary");
        std::fs::write(&canary, &secret)?;
        allow(&canary, 0o666)?;
        whose.give(&canary)?;
        lay_out(dir.path(), whose)?;
        Ok(Self {
            before: [
                State::of(&canary)?,
                State::of(&dir.path().join(GRANTED_FILE))?,
            ],
            victim: Victim::start(&secret, whose)?,
            listeners: Listeners::start(dir.path())?,
            secret,
            whose,
            dir,
        })
    }

    /// Empties the writable directory and fills the granted one anew, for a further run
    /// that must not find what an earlier one made, moved or cut.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn lay_out_again(&mut self) -> std::io::Result<()> {
        lay_out(self.dir.path(), self.whose)?;
        self.before[1] = State::of(&self.dir.path().join(GRANTED_FILE))?;
        Ok(())
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The writable directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The directory of which a probe is told that it may read it.
    #[must_use]
    pub fn granted(&self) -> PathBuf {
        self.dir.path().join("granted")
    }

    /// What a probe is told that sees the directories where they are.
    #[must_use]
    pub fn words(&self, bounds: Bounds) -> Vec<String> {
        let at = |path: PathBuf| path.display().to_string();
        self.words_seen_at(&at(self.data()), &at(self.granted()), bounds)
    }

    /// What a probe is told that sees the two directories there.
    #[must_use]
    pub fn words_seen_at(&self, data: &str, granted: &str, bounds: Bounds) -> Vec<String> {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        vec![
            format!("canary={}", at("canary")),
            format!("pid={}", self.victim.pid()),
            format!("tcp={}", self.listeners.tcp_port()),
            format!("udp={}", self.listeners.udp_port()),
            format!("abstract={}", self.listeners.name),
            format!("unix={}", at("socket")),
            format!("data={data}"),
            format!("granted={granted}"),
            format!("pids_max={}", bounds.pids),
            format!("memory={}", bounds.memory),
        ]
    }

    /// What happened outside: nothing of it may, behind walls.
    #[must_use]
    pub fn effects(mut self, said: &[u8]) -> Vec<String> {
        let mut effects = Vec::new();
        if holds(said, self.secret.as_bytes()) {
            effects.push("canary-bytes: the secret is in what was said".to_owned());
        }
        for (name, before) in ["canary", GRANTED_FILE].iter().zip(&self.before) {
            if State::of(&self.dir.path().join(name)).ok().as_ref() != Some(before) {
                effects.push(format!("host-file: {name} was changed"));
            }
        }
        effects.extend(self.victim.harm());
        effects.extend(self.listeners.heard());
        effects
    }
}

/// Whether these bytes are in there, also as hexadecimal digits.
#[must_use]
pub fn holds(said: &[u8], secret: &[u8]) -> bool {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_in = |part: &[u8]| said.windows(part.len().max(1)).any(|window| window == part);
    is_in(secret) || is_in(hex.as_bytes())
}

/// A name that nobody guesses.
///
/// # Errors
/// If the kernel gives no random bytes.
pub fn random_name() -> std::io::Result<String> {
    let mut bytes = [0_u8; 24];
    let mut file = std::fs::File::open("/dev/urandom")?;
    file.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Whose {
    /// Who it is. None = who sets out keeps it.
    fn uid(self) -> Option<u32> {
        (self == Self::Nobody && rustix::process::geteuid().is_root()).then_some(NOBODY)
    }

    /// Has a command run as them.
    pub(crate) fn run_as(self, command: &mut Command) {
        if let Some(uid) = self.uid() {
            command.uid(uid).gid(uid);
        }
    }

    fn give(self, path: &Path) -> std::io::Result<()> {
        match self.uid() {
            Some(uid) => std::os::unix::fs::chown(path, Some(uid), Some(uid)),
            None => Ok(()),
        }
    }
}

const GRANTED_FILE: &str = "granted/file";
/// Of the granted file: read again and again, it is a storm.
pub const GRANTED_BYTES: usize = 256 << 10;

/// The two directories, new.
fn lay_out(dir: &Path, whose: Whose) -> std::io::Result<()> {
    let (granted, file) = match whose {
        Whose::Nobody => (0o755, 0o644),
        Whose::Root => (0o777, 0o666),
    };
    for (name, mode) in [("data", 0o777), ("granted", granted)] {
        let below = dir.join(name);
        if below.exists() {
            std::fs::remove_dir_all(&below)?;
        }
        std::fs::create_dir(&below)?;
        allow(&below, mode)?;
    }
    let empty = dir.join("granted/empty");
    std::fs::create_dir(&empty)?;
    allow(&empty, granted)?;
    whose.give(&empty)?;
    let path = dir.join(GRANTED_FILE);
    std::fs::write(&path, vec![b'g'; GRANTED_BYTES])?;
    allow(&path, file)?;
    whose.give(&path)?;
    whose.give(&dir.join("granted"))
}

/// A file's bytes and what else can be changed of it; not when it was read.
#[derive(Debug, PartialEq, Eq)]
struct State {
    digest: [u8; 32],
    numbers: [u64; 5],
    changed: (i64, i64),
}

impl State {
    fn of(file: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let bytes = std::fs::read(file)?;
        let it = std::fs::metadata(file)?;
        let numbers = [
            it.ino(),
            it.nlink(),
            it.mode().into(),
            it.uid().into(),
            it.gid().into(),
        ];
        Ok(Self {
            digest: Sha256::digest(bytes).into(),
            numbers,
            // Also of a link, an attribute or an owner that was put back.
            changed: (it.ctime(), it.ctime_nsec()),
        })
    }
}

fn allow(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
}

/// A process that sleeps, with the secret in its environment.
pub(crate) struct Victim {
    child: Child,
}

impl Victim {
    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn start(secret: &str, whose: Whose) -> std::io::Result<Self> {
        let mut sleep = command("sleep", Path::new("/"));
        sleep
            .arg("600")
            .env("GM_CANARY", secret)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        whose.run_as(&mut sleep);
        Ok(Self {
            child: sleep.spawn()?,
        })
    }

    fn harm(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => {}
            _ => return Some("victim: it was killed".to_owned()),
        }
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        matches!(state, Some('t' | 'T')).then(|| "victim: it was stopped".to_owned())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Listeners on loopback and on sockets of the machine. Nobody is waited for: the
/// backlog keeps who came until they are counted.
struct Listeners {
    tcp: TcpListener,
    udp: UdpSocket,
    path: UnixListener,
    hidden: UnixListener,
    name: String,
}

impl Listeners {
    fn start(dir: &Path) -> std::io::Result<Self> {
        let name = format!("gm-harness-{}", random_name()?);
        let own = Self {
            tcp: TcpListener::bind("127.0.0.1:0")?,
            udp: UdpSocket::bind("127.0.0.1:0")?,
            path: UnixListener::bind(dir.join("socket"))?,
            hidden: UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?,
            name,
        };
        allow(&dir.join("socket"), 0o777)?;
        own.tcp.set_nonblocking(true)?;
        own.udp.set_nonblocking(true)?;
        own.path.set_nonblocking(true)?;
        own.hidden.set_nonblocking(true)?;
        Ok(own)
    }

    fn tcp_port(&self) -> u16 {
        self.tcp.local_addr().map_or(0, |address| address.port())
    }

    fn udp_port(&self) -> u16 {
        self.udp.local_addr().map_or(0, |address| address.port())
    }

    fn heard(&self) -> Vec<String> {
        std::thread::sleep(SETTLE);
        let count = |came: &dyn Fn() -> bool| std::iter::from_fn(|| came().then_some(())).count();
        let all = [
            ("tcp", count(&|| self.tcp.accept().is_ok())),
            ("udp", count(&|| self.udp.recv(&mut [0; 64]).is_ok())),
            ("unix", count(&|| self.path.accept().is_ok())),
            ("abstract", count(&|| self.hidden.accept().is_ok())),
        ];
        let came = all.into_iter().filter(|(_, number)| *number > 0);
        came.map(|(name, number)| format!("listener-{name}: {number} came"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn untouched_baits_show_nothing() {
        let mut bait = Bait::set_out(Whose::Nobody).unwrap();
        std::fs::write(bait.path().join(GRANTED_FILE), "other").unwrap();
        bait.lay_out_again().unwrap();
        assert_eq!(bait.effects(b"probe=x form=live said=ok value=0"), [""; 0]);
    }

    #[test]
    fn every_touch_is_seen() {
        let bait = Bait::set_out(Whose::Root).unwrap();
        let secret = std::fs::read(bait.path().join("canary")).unwrap();
        std::fs::write(bait.path().join("canary"), "other").unwrap();
        let _a = std::net::TcpStream::connect(("127.0.0.1", bait.listeners.tcp_port())).unwrap();
        let _b = UnixStream::connect(bait.path().join("socket")).unwrap();
        let effects = bait.effects(&secret).join("\n");
        for what in ["canary-bytes", "host-file", "listener-tcp", "listener-unix"] {
            assert!(effects.contains(what), "{effects}");
        }
        assert!(!effects.contains("victim"), "{effects}");
    }

    #[test]
    fn a_secret_is_also_found_in_hexadecimal() {
        assert!(holds(b"..616263..", b"abc"));
        assert!(!holds(b"ab", b"abc"));
    }
}
