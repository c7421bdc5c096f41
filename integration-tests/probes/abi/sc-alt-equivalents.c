#include "probe.h"

/* Other names of what a profile denies, with arguments that the kernel refuses. */
static const struct {
    long nr, a, b, c, d, e;
} CALLS[] = {
    {437, GM_AT_FDCWD, 0, 0, 0, 0},                   /* openat2 */
    {__NR_open, 0, 0, 0, 0, 0},
    {__NR_creat, 0, 0, 0, 0, 0},
    {__NR_execveat, 9999, (long)"", 0, 0, 0x1000},
    {__NR_preadv2, 9999, 0, 0, 0, 0},
    {__NR_pwritev2, 9999, 0, 0, 0, 0},
    {__NR_sendmmsg, 9999, 0, 0, 0, 0},
    {__NR_recvmmsg, 9999, 0, 0, 0, 0},
    {440, 9999, 0, 0, 0, 0},                          /* process_madvise */
    {439, 9999, (long)"x", 0, 0, 0},                  /* faccessat2 */
    {__NR_statx, 9999, (long)"x", 0, 0, 0},
    {__NR_renameat2, 9999, (long)"x", 9999, (long)"y", 0},
    {436, 9999, 1, 0, 0, 0},                          /* close_range, end before begin */
    {449, 0, 0, 0, 0, 0},                             /* futex_waitv */
    {441, 9999, 0, 0, 0, 0},                          /* epoll_pwait2 */
    {452, 9999, (long)"x", 0, 0, 0},                  /* fchmodat2 */
    {__NR_copy_file_range, 9999, 0, 9999, 0, 1},
    {__NR_sendfile, 9999, 9999, 0, 1, 0},
    {448, 9999, 0, 0, 0, 0},                          /* process_mrelease */
    {463, 9999, (long)"", 0, 0, 0},                   /* setxattrat */
};

PROBE(sc_alt_equivalents)
{
    long variant = gm_variant(args);
    if (variant >= (long)(sizeof CALLS / sizeof *CALLS)) {
        if (variant > (long)(sizeof CALLS / sizeof *CALLS))
            return GM_UNKNOWN;
        /* vfork: the child has this stack, so it may not return. */
        long said = __NR_vfork;
        __asm__ volatile("syscall\n"
                         "test %%eax, %%eax\n"
                         "jnz 1f\n"
                         "mov $60, %%eax\n"
                         "xor %%edi, %%edi\n"
                         "syscall\n"
                         "1:"
                         : "+a"(said)
                         :
                         : "rcx", "rdi", "r11", "memory");
        report->live = 1;
        report->said = said;
        if (said > 0)
            gm_wait(said);
        return GM_DONE;
    }
    report->said = CALL(CALLS[variant].nr, CALLS[variant].a, CALLS[variant].b,
                        CALLS[variant].c, CALLS[variant].d, CALLS[variant].e);
    return GM_DONE;
}
