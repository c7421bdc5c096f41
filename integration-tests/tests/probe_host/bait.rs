//! What a probe may find outside if a wall is missing.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Child;

use gm_integration_tests::process::command;
use tempfile::TempDir;

/// A file that everybody may read, listeners, and a process of root's.
pub(crate) struct Bait {
    dir: TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    victim: Child,
}

impl Bait {
    pub(crate) fn set_out() -> Self {
        let dir = TempDir::new().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let canary = dir.path().join("canary");
        std::fs::write(&canary, "a canary\n").unwrap();
        std::fs::set_permissions(&canary, std::fs::Permissions::from_mode(0o644)).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        Self {
            tcp,
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            victim: command("sleep", dir.path()).arg("600").spawn().unwrap(),
            dir,
        }
    }

    pub(crate) fn canary(&self) -> String {
        format!("canary={}", self.dir.path().join("canary").display())
    }

    pub(crate) fn victim(&self) -> String {
        format!("pid={}", self.victim.id())
    }

    pub(crate) fn ports(&self) -> [String; 2] {
        let tcp = self.tcp.local_addr().unwrap().port();
        let udp = self.udp.local_addr().unwrap().port();
        [format!("tcp={tcp}"), format!("udp={udp}")]
    }

    /// Whether somebody has connected.
    pub(crate) fn was_reached(&self) -> bool {
        self.tcp.accept().is_ok()
    }
}

impl Drop for Bait {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}
