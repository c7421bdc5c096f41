//! What a probe may find outside if a wall is missing: a file, a directory, listeners
//! and a process of root's. All of it is gone when this is dropped.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Child;

use tempfile::TempDir;

use crate::process::command;

/// See the module.
#[derive(Debug)]
pub(super) struct Bait {
    dir: TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    _abstract: UnixListener,
    _path: UnixListener,
    victim: Child,
    name: String,
}

impl Bait {
    pub(super) fn set_out() -> std::io::Result<Self> {
        let dir = TempDir::new()?;
        let open =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode));
        open(dir.path(), 0o755)?;
        let canary = dir.path().join("canary");
        std::fs::write(&canary, "a canary that nobody was granted\n")?;
        open(&canary, 0o666)?;
        lay_out(dir.path())?;
        let socket = dir.path().join("socket");
        let path = UnixListener::bind(&socket)?;
        open(&socket, 0o777)?;
        let name = format!("gm-mutation-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name)?;
        Ok(Self {
            _abstract: UnixListener::bind_addr(&address)?,
            _path: path,
            tcp: TcpListener::bind("127.0.0.1:0")?,
            udp: UdpSocket::bind("127.0.0.1:0")?,
            victim: command("sleep", dir.path()).arg("600").spawn()?,
            name,
            dir,
        })
    }

    /// As words of a probe, with limits that it stops at the double of.
    /// No run finds what an earlier one made, moved or cut.
    pub(super) fn words(&self) -> std::io::Result<Vec<String>> {
        lay_out(self.dir.path())?;
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        Ok(vec![
            format!("canary={}", at("canary")),
            format!("pid={}", self.victim.id()),
            format!("tcp={}", self.tcp.local_addr()?.port()),
            format!("udp={}", self.udp.local_addr()?.port()),
            format!("abstract={}", self.name),
            format!("unix={}", at("socket")),
            format!("data={}", at("data")),
            format!("granted={}", at("granted")),
            format!("pids_max={PIDS}"),
            format!("memory={MEMORY}"),
        ])
    }
}

/// The directories of a run, new. Whose code runs may write them as far as their modes go:
/// nothing but a wall is to stop it.
fn lay_out(dir: &Path) -> std::io::Result<()> {
    let open = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode));
    for name in ["data", "granted"] {
        let below = dir.join(name);
        if below.exists() {
            std::fs::remove_dir_all(&below)?;
        }
        std::fs::create_dir(&below)?;
        open(&below, 0o777)?;
    }
    let file = dir.join("granted/file");
    std::fs::write(&file, vec![b'g'; GRANTED_BYTES])?;
    open(&file, 0o666)
}

/// Of the granted file.
const GRANTED_BYTES: usize = 256 << 10;
/// Twice of it is above what a process of machine code may start.
const PIDS: u32 = 40;
/// Twice of it is above what it may use, and below ten times of that.
const MEMORY: u64 = 100 << 20;

impl Drop for Bait {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}
