//! The rules for a `Start`: what a broker may ask for at all.
//!
//! Pure judgement over the order and its descriptors. Whatever isn't listed
//! here is refused; an order can't name a path, id, flag or namespace.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use gm_protocol::orders::{Fault, FdKind};
use gm_protocol::plan::{
    Engine, FD_ASSETS, FD_CODE, FD_LINK, FD_MODULE, FD_OUTPUT, Limits, MAX_GRANTS, MAX_HIDDEN,
};
use rustix::fs::{FileType, OFlags, SealFlags, fcntl_get_seals, fcntl_getfl, fstat};
use rustix::net::SocketType;
use rustix::net::sockopt::{socket_domain, socket_type};

use super::cgroup::GroupLimits;
use super::fault::refused;
use super::limits::Bounds;

/// Whatever broker.toml's ceilings say, no child gets more than this.
const MEMORY: std::ops::RangeInclusive<u64> = 4 << 20..=64 << 30;
/// A one-shot process: ten minutes of one core are beyond any `compile_time`.
const CPU_SECONDS: u64 = 600;
/// The largest artifact.
const OUTPUT_BYTES: u64 = 1 << 30;
/// The largest sealed memfd that comes with an order.
const CONTENT_BYTES: u64 = 1 << 30;
/// The compiler's threads, and a few for its run-time.
const COMPILE_PIDS: u32 = 8;

/// All seals: nobody can change what was verified.
const SEALED: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// A `Start` that keeps the rules.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    /// The link's end.
    link: OwnedFd,
    /// `/code`, with its length, for an engine that has it there.
    pub(crate) code: Option<(OwnedFd, u64)>,
    /// Granted files and directories, in the order of their numbers.
    pub(crate) reads: Vec<Granted>,
    /// Directories that no grant may show.
    pub(crate) hidden: Vec<(u64, u64)>,
    /// All others, by their number in the engine.
    others: Vec<(i32, OwnedFd)>,
}

/// A granted file or directory.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) fd: OwnedFd,
    pub(crate) directory: bool,
    /// Who owns it on the host.
    pub(crate) owner: (u32, u32),
    /// Device and inode.
    pub(crate) id: (u64, u64),
}

impl Accepted {
    /// Judges an order.
    pub(crate) fn judge(
        engine: Engine,
        limits: Limits,
        kinds: &[FdKind],
        fds: Vec<OwnedFd>,
    ) -> Result<Self, Fault> {
        check_limits(engine, &limits)?;
        if kinds.len() != fds.len() {
            return Err(refused(
                "descriptors",
                "another number than the order names",
            ));
        }
        check_kinds(engine, kinds)?;
        let mut link = None;
        let mut code = None;
        let mut others = Vec::new();
        let (mut reads, mut hidden) = (Vec::new(), Vec::new());
        for (kind, fd) in kinds.iter().zip(fds) {
            match kind {
                FdKind::Link => link = Some(check_link(fd)?),
                FdKind::Code if engine.has_code_file() => code = Some(sealed(fd)?),
                FdKind::Code => others.push((FD_CODE, sealed(fd)?.0)),
                FdKind::Assets => others.push((FD_ASSETS, sealed(fd)?.0)),
                FdKind::Module => others.push((FD_MODULE, sealed(fd)?.0)),
                FdKind::Output => others.push((FD_OUTPUT, writable(fd)?)),
                FdKind::Read => reads.push(granted(fd)?),
                FdKind::Hide => hidden.push(granted(fd)?.id),
            }
        }
        others.sort_by_key(|(number, _)| *number);
        let link = link.ok_or_else(|| refused("descriptors", "no link"))?;
        Ok(Self {
            engine,
            limits,
            link,
            code,
            reads,
            hidden,
            others,
        })
    }

    /// Descriptors by their number in the engine, ascending.
    pub(crate) fn fds(&self) -> Vec<(i32, BorrowedFd<'_>)> {
        let others = self.others.iter().map(|(number, fd)| (*number, fd.as_fd()));
        std::iter::once((FD_LINK, self.link.as_fd()))
            .chain(others)
            .collect()
    }

    /// Size of the plugin's `$DATA`; 0 = it has none. What a compile process
    /// writes is its output alone.
    pub(crate) fn data_bytes(&self) -> u64 {
        match self.engine.runs_plugin() {
            true => self.limits.file_bytes,
            false => 0,
        }
    }

    /// The group's part of the limits.
    pub(crate) fn group_limits(&self) -> GroupLimits {
        let page = rustix::param::page_size() as u64;
        GroupLimits {
            // The kernel would round it down itself, and the read-back differ.
            memory_bytes: self.limits.memory_bytes / page * page,
            pids: self.limits.pids,
            cpu_percent: self.limits.cpu_percent,
        }
    }

    /// The resource limits; `own_uid`: the kernel's count by uid is ours alone.
    pub(crate) fn bounds(&self, own_uid: bool) -> Bounds {
        Bounds {
            file_bytes: self.limits.file_bytes,
            memory_bytes: self.limits.memory_bytes,
            processes: own_uid.then_some(self.limits.pids.into()),
            cpu_seconds: (self.limits.cpu_seconds > 0).then_some(self.limits.cpu_seconds),
        }
    }
}

fn check_limits(engine: Engine, limits: &Limits) -> Result<(), Fault> {
    let (pids, file, one_shot) = match engine {
        // What it may write is its $DATA, half of its memory at most.
        Engine::Wasm | Engine::Lua | Engine::Js => (1..=1, 0..=limits.memory_bytes / 2, false),
        Engine::CompileWasm => (1..=COMPILE_PIDS, 1..=OUTPUT_BYTES, true),
        Engine::Http => (1..=1, 0..=0, false),
    };
    let rules = [
        ("memory_bytes", MEMORY.contains(&limits.memory_bytes)),
        ("pids", pids.contains(&limits.pids)),
        ("cpu_percent", (5..=100).contains(&limits.cpu_percent)),
        ("file_bytes", file.contains(&limits.file_bytes)),
        (
            "cpu_seconds",
            limits.cpu_seconds <= CPU_SECONDS && one_shot == (limits.cpu_seconds > 0),
        ),
    ];
    match rules.iter().find(|(_, kept)| !kept) {
        Some((name, _)) => Err(refused(
            "limits",
            format!("{name} is out of range: {limits:?}"),
        )),
        None => Ok(()),
    }
}

/// Which kinds an engine takes: each at most once, and those that it can't do
/// without.
fn check_kinds(engine: Engine, kinds: &[FdKind]) -> Result<(), Fault> {
    let (needed, optional): (&[FdKind], &[FdKind]) = match engine {
        Engine::Wasm | Engine::Lua | Engine::Js => (
            &[FdKind::Link, FdKind::Code],
            &[FdKind::Assets, FdKind::Read, FdKind::Hide],
        ),
        Engine::CompileWasm => (&[FdKind::Link, FdKind::Module, FdKind::Output], &[]),
        // The one in the host's network namespace: nothing but the link goes in.
        Engine::Http => (&[FdKind::Link], &[]),
    };
    let count = |kind: &FdKind| kinds.iter().filter(|k| *k == kind).count();
    let whole = needed.iter().all(|kind| count(kind) == 1);
    let others = kinds.iter().filter(|kind| !needed.contains(kind));
    let known = others.into_iter().all(|kind| {
        let most = match kind {
            FdKind::Read => MAX_GRANTS,
            FdKind::Hide => MAX_HIDDEN,
            _ => 1,
        };
        optional.contains(kind) && count(kind) <= most
    });
    if whole && known {
        return Ok(());
    }
    Err(refused(
        "descriptors",
        format!("{engine} doesn't take {kinds:?}"),
    ))
}

/// The link: a connected pair made by the broker, not a way to the outside.
fn check_link(fd: OwnedFd) -> Result<OwnedFd, Fault> {
    let unix = socket_domain(&fd).is_ok_and(|d| d == rustix::net::AddressFamily::UNIX);
    let packets = socket_type(&fd).is_ok_and(|t| t == SocketType::SEQPACKET);
    let paired = rustix::net::getpeername(&fd).is_ok_and(|_| true);
    if unix && packets && paired {
        return Ok(fd);
    }
    Err(refused(
        "descriptors",
        "the link is no connected SOCK_SEQPACKET pair",
    ))
}

/// A memfd that nobody can change any more, and its length.
fn sealed(fd: OwnedFd) -> Result<(OwnedFd, u64), Fault> {
    // Only a memfd has seals at all: any other file gives EINVAL.
    let seals = fcntl_get_seals(&fd).map_err(|_| refused("descriptors", "not a memfd"))?;
    if !seals.contains(SEALED) {
        return Err(refused("descriptors", "a memfd without all its seals"));
    }
    let bytes = length(&fd)?;
    Ok((fd, bytes))
}

/// A memfd that takes the compile process's output: writable, and empty, so
/// that nothing is there that the process didn't write.
fn writable(fd: OwnedFd) -> Result<OwnedFd, Fault> {
    let seals = fcntl_get_seals(&fd).map_err(|_| refused("descriptors", "not a memfd"))?;
    let open = !seals.intersects(SealFlags::WRITE | SealFlags::GROW | SealFlags::FUTURE_WRITE);
    let mode = fcntl_getfl(&fd).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR);
    if open && mode && length(&fd)? == 0 {
        return Ok(fd);
    }
    Err(refused(
        "descriptors",
        "the output is no empty, writable memfd",
    ))
}

/// A plain file or a directory; never a device, a FIFO or a socket.
fn granted(fd: OwnedFd) -> Result<Granted, Fault> {
    let found = fstat(&fd).map_err(|e| refused("descriptors", e.to_string()))?;
    let kind = FileType::from_raw_mode(found.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::Directory) {
        return Err(refused(
            "descriptors",
            "a grant of neither a file nor a directory",
        ));
    }
    Ok(Granted {
        directory: kind == FileType::Directory,
        owner: (found.st_uid, found.st_gid),
        id: (found.st_dev, found.st_ino),
        fd,
    })
}

fn length(fd: &OwnedFd) -> Result<u64, Fault> {
    let found = fstat(fd).map_err(|e| refused("descriptors", e.to_string()))?;
    let regular = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    let bytes = u64::try_from(found.st_size).unwrap_or(u64::MAX);
    if regular && bytes <= CONTENT_BYTES {
        return Ok(bytes);
    }
    Err(refused("descriptors", "a memfd of more than 1 GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};

    const WASM: Limits = Limits {
        memory_bytes: 32 << 20,
        pids: 1,
        cpu_percent: 100,
        file_bytes: 0,
        cpu_seconds: 0,
    };
    const COMPILE: Limits = Limits {
        memory_bytes: 512 << 20,
        pids: 8,
        cpu_percent: 100,
        file_bytes: 1 << 20,
        cpu_seconds: 60,
    };

    fn memfd(seals: SealFlags) -> OwnedFd {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let fd = memfd_create("test", flags).unwrap();
        fcntl_add_seals(&fd, seals).unwrap();
        fd
    }

    fn code() -> OwnedFd {
        memfd(SEALED)
    }

    fn link() -> OwnedFd {
        gm_protocol::link::pair().unwrap().1
    }

    /// Keeps the other end, so that the socket stays connected.
    fn pair() -> (OwnedFd, OwnedFd) {
        gm_protocol::link::pair().unwrap()
    }

    fn why(engine: Engine, limits: Limits, kinds: &[FdKind], fds: Vec<OwnedFd>) -> String {
        Accepted::judge(engine, limits, kinds, fds)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_modest_order_is_accepted() {
        let (_broker, link) = pair();
        let kinds = [FdKind::Link, FdKind::Code];
        let order = Accepted::judge(Engine::Wasm, WASM, &kinds, vec![link, code()]).unwrap();
        assert_eq!(order.fds().len(), 1);
        assert_eq!(order.bounds(true).processes, Some(1));
    }

    #[test]
    fn a_compile_order_has_its_output() {
        let (_broker, link) = pair();
        let kinds = [FdKind::Link, FdKind::Output, FdKind::Module];
        let fds = vec![link, memfd(SealFlags::empty()), code()];
        let order = Accepted::judge(Engine::CompileWasm, COMPILE, &kinds, fds).unwrap();
        let numbers: Vec<i32> = order.fds().iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 4, 5]);
    }

    #[test]
    fn a_process_in_the_hosts_network_takes_nothing_but_its_link() {
        let (_broker, good) = pair();
        assert!(Accepted::judge(Engine::Http, WASM, &[FdKind::Link], vec![good]).is_ok());
        for kind in [FdKind::Code, FdKind::Assets, FdKind::Read, FdKind::Output] {
            let fds = vec![link(), code()];
            let said = why(Engine::Http, WASM, &[FdKind::Link, kind], fds);
            assert!(said.contains("doesn't take"), "{said}");
        }
        let writes = Limits {
            file_bytes: 1,
            ..WASM
        };
        let said = why(Engine::Http, writes, &[FdKind::Link], vec![link()]);
        assert!(said.contains("file_bytes"), "{said}");
    }

    #[test]
    fn greedy_limits_are_refused_by_name() {
        for (name, limits) in [
            (
                "memory_bytes",
                Limits {
                    memory_bytes: u64::MAX,
                    ..WASM
                },
            ),
            (
                "memory_bytes",
                Limits {
                    memory_bytes: 0,
                    ..WASM
                },
            ),
            ("pids", Limits { pids: 2, ..WASM }),
            ("pids", Limits { pids: 0, ..WASM }),
            (
                "cpu_percent",
                Limits {
                    cpu_percent: 101,
                    ..WASM
                },
            ),
            (
                "cpu_percent",
                Limits {
                    cpu_percent: 0,
                    ..WASM
                },
            ),
            (
                "file_bytes",
                Limits {
                    file_bytes: (16 << 20) + 1,
                    ..WASM
                },
            ),
            (
                "cpu_seconds",
                Limits {
                    cpu_seconds: 1,
                    ..WASM
                },
            ),
        ] {
            let said = why(
                Engine::Wasm,
                limits,
                &[FdKind::Link, FdKind::Code],
                vec![link(), code()],
            );
            assert!(said.contains(name), "{name}: {said}");
        }
        for limits in [
            Limits { pids: 9, ..COMPILE },
            Limits {
                file_bytes: 0,
                ..COMPILE
            },
            Limits {
                file_bytes: u64::MAX,
                ..COMPILE
            },
            Limits {
                cpu_seconds: 0,
                ..COMPILE
            },
            Limits {
                cpu_seconds: 601,
                ..COMPILE
            },
        ] {
            let kinds = [FdKind::Link, FdKind::Module, FdKind::Output];
            let said = why(Engine::CompileWasm, limits, &kinds, vec![]);
            assert!(said.contains("out of range"), "{said}");
        }
    }

    #[test]
    fn descriptors_of_another_count_or_kind_are_refused() {
        let kinds = [FdKind::Link, FdKind::Code];
        assert!(why(Engine::Wasm, WASM, &kinds, vec![link()]).contains("another number"));
        assert!(why(Engine::Wasm, WASM, &[FdKind::Link], vec![link()]).contains("doesn't take"));
        let twice = [FdKind::Link, FdKind::Code, FdKind::Code];
        assert!(
            why(Engine::Wasm, WASM, &twice, vec![link(), code(), code()]).contains("doesn't take")
        );
        let foreign = [FdKind::Link, FdKind::Code, FdKind::Output];
        assert!(
            why(Engine::Wasm, WASM, &foreign, vec![link(), code(), code()])
                .contains("doesn't take")
        );
    }

    #[test]
    fn descriptors_of_the_wrong_type_are_refused() {
        let kinds = [FdKind::Link, FdKind::Code];
        let file = || OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap());
        let (_broker, good) = pair();
        assert!(why(Engine::Wasm, WASM, &kinds, vec![good, file()]).contains("not a memfd"));
        let (_broker, good) = pair();
        let half = memfd(SealFlags::WRITE | SealFlags::GROW);
        assert!(
            why(Engine::Wasm, WASM, &kinds, vec![good, half]).contains("without all its seals")
        );
        assert!(why(Engine::Wasm, WASM, &kinds, vec![file(), code()]).contains("no connected"));
        let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(
            why(Engine::Wasm, WASM, &kinds, vec![stream.into(), code()]).contains("no connected")
        );
        let compile = [FdKind::Link, FdKind::Module, FdKind::Output];
        let (_broker, good) = pair();
        assert!(
            why(
                Engine::CompileWasm,
                COMPILE,
                &compile,
                vec![good, code(), code()]
            )
            .contains("writable memfd")
        );
    }
}
