//! A shipped binary in an otherwise empty root, and the host's end of its link.
//!
//! What the launcher adds (namespaces, cgroup) is not here: these tests are
//! about what the binaries do to themselves.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gm_protocol::PROTOCOL;
use gm_protocol::link::{Budget, Link, LinkError, Wait, pair};
use gm_protocol::message::{FromRunner, Last, Report, ToRunner};
use gm_protocol::plan::{Filters, LandlockRule, Place, Role, Setup};
use tempfile::TempDir;

/// `LANDLOCK_ACCESS_FS_READ_FILE` of linux/landlock.h.
const READ_FILE: u64 = 1 << 2;

/// One of the shipped binaries.
pub(crate) fn binary(name: &str) -> PathBuf {
    let linked = match name {
        "gm-run-native" => "dynamic",
        _ => "static",
    };
    let place = format!("../target/engines/{linked}/x86_64-unknown-linux-gnu/release/{name}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    assert!(
        path.exists(),
        "no {}: run scripts/build first",
        path.display()
    );
    path
}

/// A started process and the host's end of its link.
pub(crate) struct Peer {
    pub(crate) link: Link,
    pub(crate) child: Child,
    /// What Landlock lets it open.
    pub(crate) landlock: Vec<LandlockRule>,
    _root: TempDir,
}

pub(crate) fn soon() -> Wait<'static> {
    Wait {
        deadline: Instant::now() + Duration::from_secs(20),
        wake: None,
    }
}

impl Peer {
    /// Starts `name` in a root that holds only itself and `files`, as an
    /// ordinary user without privileges. Descriptor 4 and 5 may be given.
    #[expect(clippy::disallowed_methods, reason = "this test is the host")]
    pub(crate) fn start(
        name: &str,
        memory: u64,
        files: &[(&str, &[u8])],
        fds: [Option<OwnedFd>; 2],
    ) -> Self {
        // A child that another thread forks meanwhile would hold the copy open for
        // writing, and what is can't be executed.
        static COPIES: Mutex<()> = Mutex::new(());
        let _alone = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
        let root = TempDir::new_in("/tmp").unwrap();
        std::fs::copy(binary(name), root.path().join("bin")).unwrap();
        let all = |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o755));
        all(root.path()).unwrap();
        for (file, bytes) in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            all(&path).unwrap();
        }
        let (ours, theirs) = pair().unwrap();
        let [fourth, fifth] = fds.map(|fd| fd.map_or_else(Stdio::null, Stdio::from));
        let (close4, close5) = ("4>&1", "5>&2");
        let script = format!(
            "exec setpriv --no-new-privs chroot --userspec=1000:1000 {} /bin {memory} \
             3<&0 {close4} {close5} </dev/null >/dev/null 2>/dev/null",
            root.path().display()
        );
        let child = Command::new("sh")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(Stdio::from(theirs))
            .stdout(fourth)
            .stderr(fifth)
            .spawn()
            .unwrap();
        let budget = Budget {
            frames: 20_000,
            bytes: 64 << 20,
        };
        let code = LandlockRule {
            path: Place::Code,
            rights: READ_FILE,
        };
        let has_code = files.iter().any(|(name, _)| *name == "code");
        Self {
            link: Link::new(ours, budget),
            child,
            landlock: Vec::from_iter(has_code.then_some(code)),
            _root: root,
        }
    }

    pub(crate) fn send(&mut self, message: &ToRunner) {
        self.link.send(message, soon()).unwrap();
    }

    pub(crate) fn recv(&mut self) -> FromRunner {
        self.link.recv(soon()).unwrap()
    }

    /// Setup to Report.
    pub(crate) fn wall_in(&mut self, filters: Filters, role: Role) -> Report {
        self.set_up(filters, role);
        match self.recv() {
            FromRunner::Report(report) => report,
            other => panic!("{other:?} instead of a report"),
        }
    }

    /// Setup alone.
    pub(crate) fn set_up(&mut self, filters: Filters, role: Role) {
        let setup = Setup {
            protocol: PROTOCOL,
            filters,
            landlock_abi: 7,
            landlock: self.landlock.clone(),
            role,
        };
        self.send(&ToRunner::Setup(Box::new(setup)));
    }

    /// How it ended: what it said last, exit status, signal.
    pub(crate) fn ending(mut self) -> (Option<Last>, Option<i32>, Option<i32>) {
        let last = loop {
            match self.link.recv(soon()) {
                Ok(FromRunner::Last(last)) => break Some(last),
                Ok(_) => {}
                Err(LinkError::Closed) => break None,
                Err(error) => panic!("{error}"),
            }
        };
        let status = self.child.wait().unwrap();
        (last, status.code(), status.signal())
    }
}
