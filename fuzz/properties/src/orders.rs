//! Orders to the launcher, as a broker could send them that somebody has subverted.

use std::os::fd::{AsFd as _, OwnedFd};

use gm_protocol::link::pair;
use gm_protocol::orders::{Doorbell, FdKind};
use gm_protocol::plan::{Asset, Engine, Limits};
use gm_sandbox_runner::launcher::judged;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::SendFlags;

use crate::bytes::Bytes;

const KINDS: [FdKind; 7] = [
    FdKind::Link,
    FdKind::Code,
    FdKind::Assets,
    FdKind::Read,
    FdKind::Hide,
    FdKind::Module,
    FdKind::Output,
];

/// A `Start` made of choices: refused, or within every rule; and a packet of the
/// doorbell made of the rest.
pub fn launcher_order(data: &[u8]) -> bool {
    let mut from = Bytes::new(data);
    let engine = from.pick(Engine::ALL);
    let limits = limits(&mut from);
    let kinds: Vec<FdKind> = (0..from.byte() % 8).map(|_| from.pick(&KINDS)).collect();
    let asset_bytes = u64::from(from.byte());
    let fds: Vec<OwnedFd> = kinds
        .iter()
        .map(|kind| descriptor(&mut from, *kind, asset_bytes))
        .collect();
    let assets: Vec<Asset> = (0..from.byte() % 5).map(|_| asset(&mut from)).collect();
    let surplus = (from.byte() == 1).then(|| descriptor(&mut from, FdKind::Link, 0));
    let exact = surplus.is_none();
    let fds = fds.into_iter().chain(surplus).collect();
    let judged = judged(engine, limits.clone(), &kinds, fds, assets.clone());
    if let Ok(numbers) = &judged {
        assert!(exact, "a descriptor that no kind names");
        check(engine, &limits, &kinds, &assets);
        assert!(
            numbers.is_sorted() && numbers.first() == Some(&3),
            "{numbers:?}"
        );
        assert!(
            numbers
                .iter()
                .all(|number| engine.descriptors().contains(number))
        );
        for asset in &assets {
            assert!(asset.offset + asset.len <= asset_bytes, "{asset:?}");
        }
    }
    rung(&mut from);
    judged.is_ok()
}

/// The rules once more, from the documentation of an order.
fn check(engine: Engine, limits: &Limits, kinds: &[FdKind], assets: &[Asset]) {
    assert!((1..=100).contains(&limits.cpu_percent), "{limits:?}");
    assert!(
        (1..=engine.most_pids()).contains(&limits.pids),
        "{limits:?}"
    );
    assert!(
        limits.memory_bytes <= 64 << 30 && limits.cpu_seconds <= 600,
        "{limits:?}"
    );
    let writes = limits.file_bytes > 0;
    assert!(!writes || engine.runs_plugin() || engine == Engine::CompileWasm);
    assert!(!engine.runs_plugin() || limits.file_bytes <= limits.memory_bytes / 2);
    let has = |kind| kinds.contains(&kind);
    assert!(has(FdKind::Link));
    assert_eq!(has(FdKind::Code), engine.runs_plugin());
    assert_eq!(has(FdKind::Output), engine == Engine::CompileWasm);
    if engine.shares_network() {
        assert_eq!(kinds.len(), 1, "nothing but the link goes to the network");
    }
    assert!(assets.is_empty() || engine.is_machine_code());
    for asset in assets {
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        assert!(
            asset.path.split('/').all(plain) && !asset.path.contains('\0'),
            "{asset:?}"
        );
    }
}

fn limits(from: &mut Bytes<'_>) -> Limits {
    let modest = from.byte();
    let size = |from: &mut Bytes<'_>, usual: u64| match from.byte() {
        0..=127 => usual,
        128..=191 => 1 << (from.byte() % 64),
        _ => from.word(),
    };
    Limits {
        memory_bytes: size(from, 64 << 20),
        pids: u32::from(from.byte() % 20),
        cpu_percent: u32::from(from.byte()),
        file_bytes: size(from, u64::from(modest % 2)),
        cpu_seconds: size(from, u64::from(modest / 2 % 2)),
    }
}

fn asset(from: &mut Bytes<'_>) -> Asset {
    let len = usize::from(from.byte() % 16);
    let number = |from: &mut Bytes<'_>| match from.byte() % 4 {
        3 => from.word(),
        _ => u64::from(from.byte()),
    };
    Asset {
        path: String::from_utf8_lossy(from.take(len)).into_owned(),
        offset: number(from),
        len: number(from),
    }
}

/// Mostly what the kind asks for, sometimes something else.
fn descriptor(from: &mut Bytes<'_>, kind: FdKind, len: u64) -> OwnedFd {
    let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let odd = from.byte();
    let memory = |seals| {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let fd = memfd_create(c"fuzz", flags).unwrap();
        ftruncate(&fd, len).unwrap();
        fcntl_add_seals(&fd, seals).unwrap();
        fd
    };
    match (odd, kind) {
        (0xf0.., _) => OwnedFd::from(std::fs::File::open("/dev/null").unwrap()),
        (0xe0.., _) => memory(SealFlags::WRITE),
        (0xd0.., _) | (_, FdKind::Link) => pair().unwrap().0,
        (_, FdKind::Output) => memory(SealFlags::empty()),
        (_, FdKind::Read | FdKind::Hide) => {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
            rustix::fs::open("/usr", flags, rustix::fs::Mode::empty()).unwrap()
        }
        (_, FdKind::Code | FdKind::Assets | FdKind::Module) => memory(all),
    }
}

/// A packet on the doorbell: its number and as many descriptors as it claims, or an
/// error.
fn rung(from: &mut Bytes<'_>) {
    let (broker, launcher) = pair().unwrap();
    let extra = from.byte() % 3;
    let packet = from.take(16);
    if packet.is_empty() {
        return;
    }
    if extra == 2 {
        let bell = Doorbell::new(broker);
        let fds: Vec<_> = (0..from.byte() % 8).map(|_| pair().unwrap().0).collect();
        let borrowed: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
        bell.ring(7, &borrowed).unwrap();
        let ring = Doorbell::new(launcher).answer(None).unwrap().unwrap();
        assert_eq!((ring.no, ring.fds.len()), (7, fds.len()));
        return;
    }
    rustix::net::send(&broker, packet, SendFlags::NOSIGNAL).unwrap();
    drop(broker);
    match Doorbell::new(launcher).answer(None) {
        Ok(Some(ring)) => {
            assert!(ring.fds.is_empty() && packet.len() == 12);
            assert_eq!(packet[..8], ring.no.to_le_bytes());
            assert_eq!(packet[8..], [0; 4]);
        }
        Ok(None) => panic!("a packet was taken for the end"),
        Err(_) => {}
    }
}
