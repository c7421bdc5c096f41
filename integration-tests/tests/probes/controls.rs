//! The controls: each probe of machine code must succeed where nothing stops it, or
//! be listed as vacuous for this kernel. What nobody can do no wall stops.

use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gm_integration_tests::kernel::within;
use gm_integration_tests::probes::{self, ControlClass, Kind, Oracle, Probe, Said, State, Vacuous};
use gm_integration_tests::skip;
use tempfile::TempDir;

/// Nobody.
const UID: u32 = 65534;

const CANARY: &str = "canary-7f3a-of-the-host";

/// What the host has that probes go for.
struct Stage {
    dir: TempDir,
    words: Vec<String>,
    victim: Child,
    _tcp: TcpListener,
    _udp: UdpSocket,
    _unix: [UnixListener; 2],
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the control has no wall to start it"
)]
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .uid(UID)
        .gid(UID)
        .stdin(Stdio::null())
        .env_clear()
        .current_dir("/");
    command
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

impl Stage {
    fn set() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("gm-probes-")
            .tempdir()
            .unwrap();
        let at = |name: &str| dir.path().join(name);
        mode(dir.path(), 0o755);
        std::fs::write(at("gm-probe"), probes::ELF).unwrap();
        mode(&at("gm-probe"), 0o755);
        for name in ["outside", "granted", "data"] {
            std::fs::create_dir(at(name)).unwrap();
            std::os::unix::fs::chown(at(name), Some(UID), Some(UID)).unwrap();
        }
        for name in ["outside/canary", "granted/file"] {
            std::fs::write(at(name), CANARY).unwrap();
            std::os::unix::fs::chown(at(name), Some(UID), Some(UID)).unwrap();
        }
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let name = format!("gm-probes-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let unix = [
            UnixListener::bind_addr(&address).unwrap(),
            UnixListener::bind(at("socket")).unwrap(),
        ];
        mode(&at("socket"), 0o777);
        let victim = as_nobody(Path::new("/bin/sleep"))
            .arg("600")
            .spawn()
            .unwrap();
        let path = |name: &str| at(name).display().to_string();
        let words = vec![
            format!("canary={}", path("outside/canary")),
            format!("pid={}", victim.id()),
            format!("tcp={}", tcp.local_addr().unwrap().port()),
            format!("udp={}", udp.local_addr().unwrap().port()),
            format!("abstract={name}"),
            format!("unix={}", path("socket")),
            format!("data={}", path("data")),
            format!("granted={}", path("granted")),
            "pids_max=24".to_owned(),
            format!("memory={}", 32 << 20),
        ];
        Self {
            dir,
            words,
            victim,
            _tcp: tcp,
            _udp: udp,
            _unix: unix,
        }
    }

    fn probe(&self) -> PathBuf {
        self.dir.path().join("gm-probe")
    }

    /// The report of a variant, or what came instead.
    fn said(&self, row: &Probe, variant: u32) -> Result<Said, String> {
        let mut command = as_nobody(&self.probe());
        command
            .arg(&row.id)
            .arg(format!("variant={variant}"))
            .args(&self.words);
        // What is only there if the host leaves it open.
        if row.control == ControlClass::H {
            command.stdin(std::fs::File::open("/").unwrap());
        }
        if row.control == ControlClass::U {
            command.arg("in=userns");
        }
        command.stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        let seconds = if row.is_reached("no-end") {
            1
        } else {
            row.limit_s
        };
        let limit = Duration::from_secs(seconds);
        let mut status = None;
        within(limit, || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        let Some(status) = status else {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err("no end".to_owned());
        };
        let text = reader.join().unwrap().unwrap();
        let said = Said::read(&text).ok_or(format!("{status}: {text:?}"))?;
        if status.success() {
            Ok(said)
        } else {
            Err(format!("{status}: {text:?}"))
        }
    }
}

/// Why a control is no proof, if it isn't.
fn fault(row: &Probe, variant: u32, said: &Result<Said, String>) -> Option<String> {
    let said = match said {
        Ok(said) => said,
        // It ends by a signal of its own, or not at all.
        Err(ending) if ending.contains("signal") && row.is_reached("signal") => return None,
        Err(ending) if ending == "no end" && row.is_reached("no-end") => return None,
        Err(why) => return Some(why.clone()),
    };
    let canary = row.oracle == Oracle::State(State::CanaryBytes);
    if said.id != row.id {
        return Some(format!("variant {variant} answers as {}", said.id));
    }
    if !row.is_reached(&said.said) {
        return Some(format!("said {} value {}", said.said, said.value));
    }
    let seen = said.seen.as_deref().unwrap_or_default();
    let proved = !canary || row.control != ControlClass::N || seen.contains(CANARY);
    (!proved).then(|| format!("no canary in {seen:?}"))
}

fn release() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    text.trim().to_owned()
}

#[test]
fn each_probe_succeeds_where_nothing_stops_it_or_is_known_to_be_vacuous() {
    if skip::lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let stage = Stage::set();
    let (release, vacuous) = (release(), probes::vacuous());
    let only = std::env::var("GM_PROBE").unwrap_or_default();
    let mut wrong = Vec::new();
    for row in probes::table() {
        let of_code = row.kinds.contains(&Kind::Native) && !row.constructor;
        if !of_code || row.vm_only || !row.id.starts_with(&only) {
            continue;
        }
        for variant in 0..row.variants {
            let fault = fault(&row, variant, &stage.said(&row, variant));
            let known = |list: &Vacuous| list.covers(&release, &row.id, variant);
            match (vacuous.iter().any(known), fault) {
                (false, None) | (true, Some(_)) => {}
                (false, Some(why)) => wrong.push(format!("{}.{variant}: {why}", row.id)),
                (true, None) => wrong.push(format!("{}.{variant} isn't vacuous", row.id)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn probe_of_itself_answers_and_an_unknown_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let probe = dir.path().join("gm-probe");
    std::fs::write(&probe, probes::ELF).unwrap();
    mode(&probe, 0o755);
    let run = |words: &[&str]| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the control has no wall to start it"
        )]
        let done = Command::new(&probe).args(words).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(
        run(&["self", "n0nce"]),
        (Some(0), "self=n0nce\n".to_owned())
    );
    assert_eq!(run(&["no-such"]), (Some(64), String::new()));
    assert_eq!(run(&[]), (Some(64), String::new()));
    assert_eq!(run(&["fs-read-outside"]), (Some(65), String::new()));
}
