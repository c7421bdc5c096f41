//! The rules for a `Start`: what a broker may ask for at all.
//!
//! Pure judgement over the order and its descriptors. Whatever isn't listed
//! here is refused; an order can't name a path, id, flag or namespace.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use gm_protocol::orders::{Fault, FdKind};
use gm_protocol::plan::{
    Asset, Engine, FD_ASSETS, FD_CODE, FD_LINK, FD_MODULE, FD_OUTPUT, Limits, MAX_GRANTS,
    MAX_HIDDEN,
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
/// The most files of a package, and the most bytes of the path of one.
const MOST_ASSETS: usize = 254;
const MOST_PATH: usize = 255;

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
    /// The code, with its length, for an engine that has it in its tree or gets it
    /// from there.
    pub(crate) code: Option<(OwnedFd, u64)>,
    /// Files of the package, for an engine that has them in its tree.
    assets: Vec<Asset>,
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
        assets: Vec<Asset>,
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
        let mut asset_bytes = 0;
        for (kind, fd) in kinds.iter().zip(fds) {
            match kind {
                FdKind::Link => link = Some(check_link(fd)?),
                FdKind::Code if engine.has_code_file() || engine.starts_program() => {
                    code = Some(sealed(fd)?);
                }
                FdKind::Code => others.push((FD_CODE, sealed(fd)?.0)),
                FdKind::Assets => {
                    let (fd, bytes) = sealed(fd)?;
                    asset_bytes = bytes;
                    others.push((FD_ASSETS, fd));
                }
                FdKind::Module => others.push((FD_MODULE, sealed(fd)?.0)),
                FdKind::Output => others.push((FD_OUTPUT, writable(fd)?)),
                FdKind::Read => reads.push(granted(fd)?),
                FdKind::Hide => hidden.push(granted(fd)?.id),
            }
        }
        others.sort_by_key(|(number, _)| *number);
        check_assets(engine, &assets, asset_bytes)?;
        let link = link.ok_or_else(|| refused("descriptors", "no link"))?;
        Ok(Self {
            engine,
            limits,
            link,
            code,
            assets,
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

    /// Files of the package that lie in the tree, and what they are copied from.
    pub(crate) fn assets(&self) -> impl Iterator<Item = (BorrowedFd<'_>, &Asset)> {
        let from = self.others.iter().filter(|(fd, _)| *fd == FD_ASSETS);
        from.flat_map(|(_, fd)| self.assets.iter().map(|asset| (fd.as_fd(), asset)))
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
        group_limits(&self.limits)
    }

    /// The resource limits; `own_uid`: the kernel's count by uid is ours alone. (From
    /// 5.14 on it is anyway, in a user namespace of its own; before, what else runs of
    /// this uid counts, too.) A program is held to it all the same: where there is no
    /// group nothing else bounds its processes.
    pub(crate) fn bounds(&self, own_uid: bool) -> Bounds {
        bounds(&self.limits, own_uid || self.engine.starts_program())
    }
}

pub(super) fn group_limits(limits: &Limits) -> GroupLimits {
    let page = rustix::param::page_size() as u64;
    GroupLimits {
        // The kernel would round it down itself, and the read-back differ.
        memory_bytes: limits.memory_bytes / page * page,
        pids: limits.pids,
        cpu_percent: limits.cpu_percent,
    }
}

pub(super) fn bounds(limits: &Limits, counted: bool) -> Bounds {
    Bounds {
        file_bytes: limits.file_bytes,
        memory_bytes: limits.memory_bytes,
        processes: counted.then_some(limits.pids.into()),
        cpu_seconds: (limits.cpu_seconds > 0).then_some(limits.cpu_seconds),
    }
}

/// Judges an order and starts nothing: the numbers that its descriptors would have
/// in the engine, ascending.
///
/// # Errors
/// The order breaks a rule.
pub fn judged(
    engine: Engine,
    limits: Limits,
    kinds: &[FdKind],
    fds: Vec<OwnedFd>,
    assets: Vec<Asset>,
) -> Result<Vec<i32>, Fault> {
    let order = Accepted::judge(engine, limits, kinds, fds, assets)?;
    Ok(order.fds().iter().map(|(number, _)| *number).collect())
}

fn check_limits(engine: Engine, limits: &Limits) -> Result<(), Fault> {
    let (file, one_shot) = match engine {
        // What it may write is its $DATA, half of its memory at most.
        Engine::Wasm | Engine::Lua | Engine::Js | Engine::Native | Engine::Program => {
            (0..=limits.memory_bytes / 2, false)
        }
        Engine::CompileWasm => (1..=OUTPUT_BYTES, true),
        Engine::Http => (0..=0, false),
    };
    let pids = 1..=engine.most_pids();
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
        Engine::Wasm | Engine::Lua | Engine::Js | Engine::Native | Engine::Program => (
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

/// Files that an order names: of an engine that takes them, at plain paths, each
/// within what came with it. They are made in the child's own empty tree.
fn check_assets(engine: Engine, assets: &[Asset], bytes: u64) -> Result<(), Fault> {
    let takes = engine.is_machine_code() || assets.is_empty();
    let fits = |asset: &Asset| {
        let end = asset.offset.checked_add(asset.len);
        is_plain(&asset.path) && end.is_some_and(|end| end <= bytes)
    };
    if takes && assets.len() <= MOST_ASSETS && assets.iter().all(fits) {
        return Ok(());
    }
    Err(refused(
        "assets",
        "files that the engine doesn't take, too many, or one that isn't there",
    ))
}

/// A path of a package, below the directory that it is made in.
fn is_plain(path: &str) -> bool {
    path.len() <= MOST_PATH
        && !path.contains('\0')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
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
pub(crate) fn granted(fd: OwnedFd) -> Result<Granted, Fault> {
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
        Accepted::judge(engine, limits, kinds, fds, Vec::new())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_modest_order_is_accepted() {
        let (_broker, link) = pair();
        let kinds = [FdKind::Link, FdKind::Code];
        let order =
            Accepted::judge(Engine::Wasm, WASM, &kinds, vec![link, code()], vec![]).unwrap();
        assert_eq!(order.fds().len(), 1);
        assert_eq!(order.bounds(true).processes, Some(1));
    }

    #[test]
    fn a_compile_order_has_its_output() {
        let (_broker, link) = pair();
        let kinds = [FdKind::Link, FdKind::Output, FdKind::Module];
        let fds = vec![link, memfd(SealFlags::empty()), code()];
        let order = Accepted::judge(Engine::CompileWasm, COMPILE, &kinds, fds, vec![]).unwrap();
        let numbers: Vec<i32> = order.fds().iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 4, 5]);
    }

    #[test]
    fn a_process_in_the_hosts_network_takes_nothing_but_its_link() {
        let (_broker, good) = pair();
        assert!(Accepted::judge(Engine::Http, WASM, &[FdKind::Link], vec![good], vec![]).is_ok());
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
    fn files_of_a_package_are_made_at_plain_paths_and_by_machine_code_alone() {
        let asset = |path: &str, offset, len| Asset {
            path: path.to_owned(),
            offset,
            len,
        };
        let judge = |engine, assets: Vec<Asset>| {
            let (_broker, link) = pair();
            let kinds = [FdKind::Link, FdKind::Code, FdKind::Assets];
            let fds = vec![link, code(), code()];
            Accepted::judge(engine, WASM, &kinds, fds, assets)
        };
        let order = judge(Engine::Native, vec![asset("a/b.txt", 0, 0)]).unwrap();
        assert_eq!(order.assets().count(), 1);
        assert!(judge(Engine::Program, vec![asset("a", 0, 0)]).is_ok());
        assert!(judge(Engine::Wasm, vec![asset("a", 0, 0)]).is_err());
        for path in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0"] {
            assert!(
                judge(Engine::Native, vec![asset(path, 0, 0)]).is_err(),
                "{path:?}"
            );
        }
        for (offset, len) in [(0, 1), (1, 0), (u64::MAX, 1)] {
            assert!(judge(Engine::Native, vec![asset("a", offset, len)]).is_err());
        }
        let many = (0..=MOST_ASSETS).map(|n| asset(&n.to_string(), 0, 0));
        assert!(judge(Engine::Native, many.collect()).is_err());
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
