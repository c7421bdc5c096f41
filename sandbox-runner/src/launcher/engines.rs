//! The engine binaries: opened once, beside our own executable, and hashed.
//!
//! Never found through PATH, an option or an order, and never opened again:
//! what was hashed is what a child executes.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use gm_protocol::orders::{Fault, FaultKind};
use gm_protocol::plan::{Engine, LIBRARIES};
use rustix::fs::{AtFlags, Mode, OFlags};
use sha2::{Digest as _, Sha256};

/// Our own few-KB artifact for the engine's warm-up, made by the set-up.
const WARM: &str = "warm.artifact";
/// Where the C library of a machine lies: Debian's places, then those of others.
const LIBRARY_PLACES: [&str; 6] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
/// More than any engine, less than would fill memory.
const MOST_BYTES: u64 = 512 << 20;

/// The file name of an engine, which is also its `argv[0]`.
pub(crate) const fn file_name(engine: Engine) -> &'static CStr {
    match engine {
        Engine::Wasm => c"gm-run-wasm",
        Engine::CompileWasm => c"gm-compile-wasm",
        Engine::Lua => c"gm-run-lua",
        Engine::Js => c"gm-run-js",
        Engine::Http => c"gm-http",
        Engine::Native => c"gm-run-native",
        Engine::Program => c"gm-init",
    }
}

/// A binary (or our own artifact) that passed the checks.
#[derive(Debug)]
pub(crate) struct Vetted {
    file: File,
    /// Device and inode.
    pub(crate) id: (u64, u64),
    /// Length in bytes.
    pub(crate) bytes: u64,
    /// SHA-256 in hex.
    pub(crate) digest: String,
}

impl Vetted {
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What lies beside our executable, each with the reason if it can't be used.
#[derive(Debug)]
pub(crate) struct Engines {
    found: Vec<(Engine, Result<Vetted, String>)>,
    warm: Result<Vetted, String>,
    libraries: Result<Vec<Vetted>, String>,
}

impl Engines {
    /// Opens, checks and hashes them. Reading each to its end here also puts
    /// its pages into our group's cache, so that no plugin is charged for
    /// them and a memory limit means the same each time.
    pub(crate) fn open() -> std::io::Result<Self> {
        let own = std::fs::read_link("/proc/self/exe")?;
        let dir = own.parent().ok_or(std::io::ErrorKind::NotFound)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, Mode::empty())?;
        let found = Engine::ALL.iter().map(|engine| {
            let name = file_name(*engine).to_str().unwrap_or_default();
            (*engine, vet(&dir, name, 0o555, OFlags::NOFOLLOW))
        });
        Ok(Self {
            found: found.collect(),
            warm: vet(&dir, WARM, 0o444, OFlags::NOFOLLOW),
            libraries: libraries(),
        })
    }

    /// The binary of `engine`.
    pub(crate) fn binary(&self, engine: Engine) -> Result<&Vetted, Fault> {
        let found = self.found.iter().find(|(known, _)| *known == engine);
        match found.map(|(_, vetted)| vetted) {
            Some(Ok(vetted)) => Ok(vetted),
            Some(Err(why)) => Err(missing(engine.as_str(), why)),
            None => Err(missing(engine.as_str(), "unknown engine")),
        }
    }

    /// The warm-up artifact, for the engine that needs one.
    pub(crate) fn warm(&self, engine: Engine) -> Result<Option<&Vetted>, Fault> {
        match (engine, &self.warm) {
            (Engine::Wasm, Ok(vetted)) => Ok(Some(vetted)),
            (Engine::Wasm, Err(why)) => Err(missing(WARM, why)),
            (
                Engine::CompileWasm
                | Engine::Lua
                | Engine::Js
                | Engine::Http
                | Engine::Native
                | Engine::Program,
                _,
            ) => Ok(None),
        }
    }

    /// The libraries, in the order of their names in the plan, for the engine that
    /// is linked with them; none for others.
    pub(crate) fn libraries(&self, engine: Engine) -> Result<&[Vetted], Fault> {
        match (engine.has_libraries(), &self.libraries) {
            (false, _) => Ok(&[]),
            (true, Ok(found)) => Ok(found),
            (true, Err(why)) => Err(missing(engine.as_str(), why)),
        }
    }

    /// Those that can be started, with their digests, and those that can't,
    /// with the reason.
    pub(crate) fn report(&self) -> (Named, Named) {
        let mut there = Vec::new();
        let mut missing = Vec::new();
        for (engine, found) in &self.found {
            let beside = self.warm(*engine).map(drop);
            let beside = beside.and_then(|()| self.libraries(*engine).map(drop));
            match (found, beside) {
                (Ok(vetted), Ok(())) => there.push((*engine, vetted.digest.clone())),
                (Ok(_), Err(fault)) => missing.push((*engine, fault.detail)),
                (Err(why), _) => missing.push((*engine, why.clone())),
            }
        }
        (there, missing)
    }
}

/// Engines with what is said of each.
type Named = Vec<(Engine, String)>;

fn missing(step: &str, detail: &str) -> Fault {
    Fault {
        kind: FaultKind::EngineMissing,
        step: step.to_owned(),
        errno: 0,
        detail: detail.to_owned(),
    }
}

/// The C library's family of this machine, as a dynamic binary is linked with it.
/// A name may be a link there; what it leads to is held to the same rules as an
/// engine, and only its descriptor counts from here on.
pub(super) fn libraries() -> Result<Vec<Vetted>, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |place: &&str| rustix::fs::open(*place, flags, Mode::empty()).ok();
    let places: Vec<OwnedFd> = LIBRARY_PLACES.iter().filter_map(open).collect();
    let find = |name: &&str| {
        let mut why = format!("{name}: not in {}", LIBRARY_PLACES.join(", "));
        for place in &places {
            match vet(place, name, 0o444, OFlags::empty()) {
                Ok(found) => return Ok(found),
                Err(refusal) if is_there(place, name) => why = refusal,
                Err(_) => {}
            }
        }
        Err(why)
    };
    LIBRARIES.iter().map(find).collect()
}

fn is_there(dir: &OwnedFd, name: &str) -> bool {
    rustix::fs::statat(dir, name, AtFlags::empty()).is_ok()
}

/// Opens `name` in `dir` if nobody but root or the caller could have put it
/// there, and a plugin's uid may read (and execute) it: `mode` are the bits
/// that it must have.
fn vet(dir: &OwnedFd, name: &str, mode: u32, links: OFlags) -> Result<Vetted, String> {
    let told = |e: std::io::Error| format!("{name}: {e}");
    // NONBLOCK: a FIFO of that name must not hold us up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | links;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(|e| told(e.into()))?;
    let mut file = File::from(fd);
    let found = file.metadata().map_err(told)?;
    let caller = rustix::process::geteuid().as_raw();
    if !found.is_file() || found.len() > MOST_BYTES {
        return Err(format!("{name}: not a regular file of a sensible size"));
    }
    if found.uid() != 0 && found.uid() != caller {
        return Err(format!(
            "{name}: owned by uid {}, not by root or the caller",
            found.uid()
        ));
    }
    if found.mode() & 0o022 != 0 {
        return Err(format!("{name}: writable by group or others"));
    }
    if found.mode() & mode != mode {
        return Err(format!(
            "{name}: mode must include {mode:04o}, since plugins run as other uids"
        ));
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0_u64;
    loop {
        let n = file.read(&mut buffer).map_err(told)?;
        if n == 0 {
            break;
        }
        bytes = bytes.saturating_add(n as u64);
        hash.update(buffer.get(..n).unwrap_or_default());
    }
    let digest = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(Vetted {
        file,
        id: (found.dev(), found.ino()),
        bytes,
        digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    struct Dir(std::path::PathBuf);

    impl Dir {
        fn new(name: &str) -> (Self, OwnedFd) {
            let path =
                std::env::temp_dir().join(format!("gm-engines-{}-{name}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            let fd = rustix::fs::open(&path, OFlags::RDONLY, Mode::empty()).unwrap();
            (Self(path), fd)
        }

        fn file(&self, name: &str, mode: u32) {
            let path = self.0.join(name);
            std::fs::write(&path, "abc").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_safe_binary_is_hashed() {
        let (dir, fd) = Dir::new("safe");
        dir.file("x", 0o755);
        let vetted = vet(&fd, "x", 0o555, OFlags::NOFOLLOW).unwrap();
        // SHA-256 of "abc", FIPS 180-2 appendix B.1.
        assert!(vetted.digest.starts_with("ba7816bf8f01cfea"));
        assert_eq!(vetted.bytes, 3);
    }

    #[test]
    fn libraries_of_this_machine_are_found_in_their_order() {
        let found = libraries().unwrap();
        assert_eq!(found.len(), LIBRARIES.len());
        assert!(found.iter().all(|library| library.bytes > 0));
    }

    #[test]
    fn a_binary_that_somebody_else_could_change_is_refused() {
        let (dir, fd) = Dir::new("unsafe");
        dir.file("world", 0o757);
        dir.file("group", 0o775);
        dir.file("private", 0o700);
        dir.file("real", 0o755);
        symlink("real", dir.0.join("link")).unwrap();
        std::fs::create_dir(dir.0.join("dir")).unwrap();
        for (name, why) in [
            ("world", "writable"),
            ("group", "writable"),
            ("private", "0555"),
            ("link", "symbolic links"),
            ("dir", "not a regular file"),
            ("absent", "No such file"),
        ] {
            let refusal = vet(&fd, name, 0o555, OFlags::NOFOLLOW).unwrap_err();
            assert!(refusal.contains(why), "{name}: {refusal}");
        }
    }
}
