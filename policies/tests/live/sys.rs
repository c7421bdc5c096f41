//! One fork, one mapping, one handler and two ways to ask for a system call:
//! the unsafe part of the live probe.
#![expect(
    unsafe_code,
    reason = "system calls by number, a fork and a signal handler have no safe wrapper"
)]

use std::arch::global_asm;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicUsize};

// i64 ask(u64 nr, const u64 args[6]): one call, and what came back.
//
// All registers that a caller may expect back are saved first and the stack
// pointer is kept, so that the handler of SIGSYS can leave here directly: a
// return from the handler would itself be a call that the filters stop.
global_asm!(
    ".macro gm_save",
    "push rbx; push rbp; push r12; push r13; push r14; push r15",
    "mov [rip + gm_stack], rsp",
    ".endm",
    ".globl gm_ask, gm_ask_site, gm_ask_i386, gm_ask_i386_site, gm_trapped",
    "gm_ask:",
    "gm_save",
    "mov rax, rdi",
    "mov r11, rsi",
    "mov rdi, [r11]",
    "mov rsi, [r11 + 8]",
    "mov rdx, [r11 + 16]",
    "mov r10, [r11 + 24]",
    "mov r8,  [r11 + 32]",
    "mov r9,  [r11 + 40]",
    "syscall",
    "gm_ask_site:",
    "jmp 2f",
    "gm_ask_i386:",
    "gm_save",
    "mov rax, rdi",
    "mov r11, rsi",
    "mov rbx, [r11]",
    "mov rcx, [r11 + 8]",
    "mov rdx, [r11 + 16]",
    "mov rsi, [r11 + 24]",
    "mov rdi, [r11 + 32]",
    "mov rbp, [r11 + 40]",
    "int 0x80",
    "gm_ask_i386_site:",
    "cdqe",
    "jmp 2f",
    // The handler of SIGSYS: the call was trapped. No value that a call
    // returns has this bit alone.
    "gm_trapped:",
    "mov rsp, [rip + gm_stack]",
    "mov rax, 1",
    "shl rax, 62",
    "2:",
    "pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx",
    "ret",
    ".local gm_stack",
    ".comm gm_stack, 8, 8",
    ".purgem gm_save",
);

unsafe extern "C" {
    fn gm_ask(nr: u64, args: *const u64) -> i64;
    fn gm_ask_i386(nr: u64, args: *const u64) -> i64;
    safe static gm_ask_site: u8;
    safe static gm_ask_i386_site: u8;
    fn gm_trapped();
}

/// What [`ask`] gives for a call that ended in the handler.
pub(crate) const TRAPPED: i64 = 1 << 62;

/// By which instruction a call is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Syscall,
    Int80,
}

/// Addresses that the kernel shows a filter for a call asked here: the
/// instruction behind the one that asks.
pub(crate) fn sites() -> [u64; 2] {
    [&raw const gm_ask_site, &raw const gm_ask_i386_site].map(|site| site.addr() as u64)
}

/// Asks for one call. A filter must keep the kernel from making it.
pub(crate) fn ask(door: Door, nr: u32, args: &[u64; 6]) -> i64 {
    match door {
        // SAFETY: `args` is six live words, and the code above gives every
        // register back. The call itself is made by no one: the only caller
        // is `ask::child`, behind its own filter for these two sites.
        Door::Syscall => unsafe { gm_ask(nr.into(), args.as_ptr()) },
        // SAFETY: as above.
        Door::Int80 => unsafe { gm_ask_i386(nr.into(), args.as_ptr()) },
    }
}

/// What child and parent both see.
#[repr(C)]
pub(crate) struct Shared<const N: usize> {
    /// The question that is being asked.
    pub(crate) at: AtomicUsize,
    /// What came back, in the order of the questions.
    pub(crate) answers: [AtomicI64; N],
}

/// Zeroed memory that stays shared over a fork; never unmapped.
pub(crate) fn share<const N: usize>() -> io::Result<&'static Shared<N>> {
    // SAFETY: a new mapping, of nothing that exists.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<Shared<N>>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a page-aligned mapping of this size that is never given up; all
    // zeroes are a value of every atomic integer.
    Ok(unsafe { &*at.cast::<Shared<N>>() })
}

/// Runs `work` in a child, and gives its wait status.
pub(crate) fn in_a_child(work: impl FnOnce() -> i32) -> io::Result<i32> {
    // SAFETY: this process has one thread, so the child is a whole copy.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let status = work();
        // SAFETY: never returns and runs nothing of ours.
        unsafe { libc::_exit(status) }
    }
    let mut status = 0;
    // SAFETY: `status` is live, and the kernel writes it before it returns.
    if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
        Ok(status)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// No core file, no new privileges, and SIGSYS leads back to the question.
pub(crate) fn prepare() -> io::Result<()> {
    for (option, value) in [
        (libc::PR_SET_DUMPABLE, 0_u64),
        (libc::PR_SET_NO_NEW_PRIVS, 1),
    ] {
        // SAFETY: integers only.
        if unsafe { libc::prctl(option, value, 0_u64, 0_u64, 0_u64) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: all zeroes are a valid `sigaction`: default, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = gm_trapped as unsafe extern "C" fn() as usize;
    // Not blocked meanwhile: the handler never returns, so nothing would
    // unblock it, and the next SIGSYS would kill.
    action.sa_flags = libc::SA_NODEFER;
    // SAFETY: `action` is live; the handler touches no memory but the stack
    // that the question was asked from, which waits for it.
    if unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Adds one filter to this process.
pub(crate) fn install(program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let prog = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `prog` and its `len` instructions live until the call returns;
    // the kernel copies them (seccomp(2)) and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0_u32,
            &raw const prog,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
