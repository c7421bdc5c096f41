#include "probe.h"

enum { X32 = 0x40000000, BAD = -1 };

/* A number that no kernel has, and the newest one's next. The kernel's own ENOSYS
 * means that it was asked. */
PROBE(sc_default_unknown)
{
    static const long NUMBERS[] = {10000, 475};
    report->said = CALL(NUMBERS[gm_variant(args) & 1], 0);
    return GM_DONE;
}

/* The x32 names of calls that a filter by number alone would let through. */
PROBE(sc_x32)
{
    switch (gm_variant(args)) {
    case 0:
        report->said = CALL(X32 | 520, 0, 0, 0); /* execve */
        break;
    case 1:
        report->said = CALL(X32 | __NR_socket, 2, 1, 0);
        break;
    case 2:
        report->said = CALL(X32 | 521, BAD, 0, 0, 0); /* ptrace */
        break;
    case 3:
        report->said = CALL(X32 | __NR_unshare, 0);
        break;
    case 4:
        report->said = CALL(X32 | __NR_openat, BAD, 0, 0, 0);
        break;
    default:
        report->said = CALL(X32 | 516, BAD, 0, 0); /* writev */
    }
    return GM_DONE;
}

static long by_int80(long nr, long a, long b, long c)
{
    long said;
    __asm__ volatile("int $0x80"
                     : "=a"(said)
                     : "a"(nr), "b"(a), "c"(b), "d"(c)
                     : "r8", "r9", "r10", "r11", "memory");
    return (int)said;
}

/* The 32-bit door, whose numbers mean other calls. */
PROBE(sc_int80)
{
    if (gm_variant(args) == 1)
        report->said = by_int80(11, 0, 0, 0); /* execve, no path */
    else if (gm_variant(args) == 2)
        report->said = by_int80(5, 0, 0, 0); /* open, no path */
    else if (gm_variant(args) == 3)
        report->said = by_int80(3, BAD, 0, 0); /* read: close's number, which all may use */
    else
        report->said = report->value = by_int80(20, 0, 0, 0); /* getpid */
    return GM_DONE;
}

#define VSYSCALL 0xffffffffff600000UL

/* Where no such page is executed (vsyscall=none), who calls it dies of SIGSEGV: then the
 * call returns as one that the kernel has not. Any other fault is what it is. */
static void no_page(int signal, void *info, u64 *context)
{
    enum { RAX = 5 + 13, RSP = 5 + 15, RIP = 5 + 16 }; /* struct ucontext, in words */
    (void)signal;
    (void)info;
    if (context[RIP] != VSYSCALL)
        return;
    context[RIP] = *(u64 *)context[RSP];
    context[RSP] += 8;
    context[RAX] = (u64)-GM_ENOSYS;
}

__asm__(".pushsection .text\n"
        ".type gm_fault_return, @function\n"
        "gm_fault_return:\n"
        "    mov $15, %eax\n" /* rt_sigreturn */
        "    syscall\n"
        ".size gm_fault_return, . - gm_fault_return\n"
        ".popsection\n");
__attribute__((visibility("hidden"))) void gm_fault_return(void);

/* The fixed page that stands for three calls, and the call itself. */
PROBE(sc_vsyscall)
{
    enum { SIGSEGV = 11 };
    static const u64 FLAGS = 0x4 | 0x04000000 | 0x80000000; /* SIGINFO, RESTORER, RESETHAND */
    struct {
        void (*handler)(int, void *, u64 *);
        u64 flags;
        void (*restorer)(void);
        u64 mask;
    } action = {no_page, FLAGS, gm_fault_return, 0};
    long time[2] = {0, 0}, said;
    if (gm_variant(args) == 1) {
        report->said = CALL(__NR_gettimeofday, time, 0);
    } else {
        if (!gm_text(args, "self")) /* a plugin may not, and needs none: its call is denied */
            CALL(__NR_rt_sigaction, SIGSEGV, &action, 0, 8);
        __asm__ volatile("call *%1"
                         : "=a"(said)
                         : "r"(VSYSCALL), "D"(time), "S"(0L)
                         : "rcx", "r8", "r9", "r10", "r11", "memory");
        report->said = said;
    }
    report->value = time[0];
    return GM_DONE;
}

/* The kernel reads 32 bits of what a filter may compare as 64. */
PROBE(sc_high_half)
{
    const long high = 1L << 32;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_socket, high | 1, 1, 0);
        break;
    case 2:
        report->said = CALL(__NR_prctl, high | 4, 1);
        break;
    case 3:
        report->said = CALL(__NR_clone, high | 0x10000000 | GM_SIGCHLD, 0, 0, 0, 0);
        if (report->said == 0)
            gm_exit(0);
        if (report->said > 0)
            gm_wait(report->said);
        break;
    case 4:
        report->said = CALL(__NR_personality, high | 0x0040000);
        break;
    default:
        report->said = CALL(__NR_ioctl, high | 9999, high | 0x5412, "x");
    }
    return GM_DONE;
}
