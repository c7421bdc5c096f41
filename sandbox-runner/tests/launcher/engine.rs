//! The engine's side: answers questions about its own walls over the link.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use gm_protocol::plan::{FD_LINK, FD_OUTPUT};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Serves questions until the other end hangs up.
pub(crate) fn live() -> ExitCode {
    let link = borrowed(FD_LINK);
    let mut buffer = vec![0; 4096];
    loop {
        let n = rustix::io::read(link, &mut buffer).unwrap_or(0);
        if n == 0 {
            return ExitCode::SUCCESS;
        }
        let question = String::from_utf8_lossy(&buffer[..n]).into_owned();
        let answer = answer(&question);
        let _ = rustix::io::write(link, answer.as_bytes());
    }
}

/// The descriptor of a number. A copy kept here would be one too many.
fn borrowed(fd: i32) -> BorrowedFd<'static> {
    // SAFETY: nothing here closes it, and the kernel says EBADF if it isn't open.
    #[expect(unsafe_code, reason = "the engine is handed bare numbers")]
    unsafe {
        BorrowedFd::borrow_raw(fd)
    }
}

/// Whether it is open, through a copy that is closed again.
fn number(fd: i32) -> Option<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(borrowed(fd), 32).ok()
}

fn answer(question: &str) -> String {
    let (verb, rest) = question.split_once(' ').unwrap_or((question, ""));
    match verb {
        "ids" => format!(
            "{} {} {} {}",
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
            rustix::process::getpid().as_raw_nonzero(),
            rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get()),
        ),
        "host" => rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        "argv" => std::env::args().collect::<Vec<_>>().join(" "),
        "env" => std::env::vars_os().count().to_string(),
        "cwd" => said(std::env::current_dir().map(|dir| dir.display().to_string())),
        "ls" => said(list(rest)),
        "cat" => said(std::fs::read_to_string(rest)),
        "write" => said(std::fs::write(rest, b"x").map(|()| "written".to_owned())),
        "chmod" => errno(rustix::fs::chmod(rest, Mode::from_raw_mode(0o777))),
        "mount" => errno(rustix::mount::mount(
            "tmpfs",
            "/",
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            c"",
        )),
        "fds" => (0..64)
            .filter(|fd| number(*fd).is_some())
            .map(|fd| format!("{fd} "))
            .collect(),
        "open" => (0..)
            .map_while(|_| open_self())
            .collect::<Vec<_>>()
            .len()
            .to_string(),
        "filters" => filters(rest.parse().unwrap()),
        "output" => errno(
            rustix::io::write(number(FD_OUTPUT).unwrap(), &vec![1; rest.parse().unwrap()])
                .map(drop),
        ),
        "thread" => said(
            std::thread::Builder::new()
                .spawn(|| ())
                .map(|_| "a thread".to_owned()),
        ),
        "eat" => eat(rest.parse().unwrap()),
        "spin" => loop {
            std::hint::spin_loop();
        },
        "exit" => rest.parse().map(std::process::exit).unwrap(),
        other => format!("unknown question {other}"),
    }
}

fn open_self() -> Option<OwnedFd> {
    number(FD_LINK).inspect(|fd| {
        let _ = fd.as_fd().try_clone_to_owned().map(std::mem::forget);
    })
}

fn said(result: std::io::Result<String>) -> String {
    result.unwrap_or_else(|e| format!("errno {}", e.raw_os_error().unwrap_or(0)))
}

fn errno(result: Result<(), Errno>) -> String {
    result.map_or_else(
        |e| format!("errno {}", e.raw_os_error()),
        |()| "done".into(),
    )
}

/// Names in a directory, itself read with `O_DIRECTORY`.
fn list(dir: &str) -> std::io::Result<String> {
    let fd = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let entries = rustix::fs::Dir::read_from(fd)?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names.join(" "))
}

/// Installs `n` seccomp filters that allow everything.
fn filters(n: u32) -> String {
    const ALLOW: seccompiler::sock_filter = seccompiler::sock_filter {
        code: 6,
        jt: 0,
        jf: 0,
        k: 0x7fff_0000,
    };
    for _ in 0..n {
        if let Err(e) = seccompiler::apply_filter(&[ALLOW]) {
            return e.to_string();
        }
    }
    "installed".into()
}

/// Touches `bytes` of memory, page by page.
fn eat(bytes: usize) -> String {
    let mut held = vec![0_u8; bytes];
    for page in held.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&held).len().to_string()
}
