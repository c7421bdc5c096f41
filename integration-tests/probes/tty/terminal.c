#include "probe.h"

enum { TIOCSTI = 0x5412, TIOCLINUX = 0x541c, TIOCSCTTY = 0x540e, TIOCGPTPEER = 0x5441,
       TIOCSPTLCK = 0x40045431 };

/* Bytes as if somebody had typed them, into a terminal of its own. */
static long typed_into_own(long command)
{
    int unlock = 0;
    long said;
    CALL(__NR_setsid);
    long master = gm_open("/dev/ptmx", GM_O_RDWR | 0400 /* O_NOCTTY */);
    if (master < 0)
        return master;
    CALL(__NR_ioctl, master, TIOCSPTLCK, &unlock);
    long terminal = CALL(__NR_ioctl, master, TIOCGPTPEER, GM_O_RDWR | 0400);
    if (terminal < 0)
        return terminal;
    said = CALL(__NR_ioctl, terminal, TIOCSCTTY, 0);
    if (said >= 0)
        said = CALL(__NR_ioctl, terminal, command, "x");
    return said;
}

PROBE(tty_tiocsti)
{
    long variant = gm_variant(args), child;
    const u64 ignore[4] = {1, 0, 0, 0};
    switch (variant) {
    case 0:
        report->said = CALL(__NR_ioctl, 9999, TIOCSTI, "x");
        return GM_DONE;
    case 1:
        report->said = CALL(__NR_ioctl, 9999, 1L << 32 | TIOCSTI, "x");
        return GM_DONE;
    case 2:
        report->said = CALL(__NR_ioctl, 9999, TIOCLINUX, "\2");
        return GM_DONE;
    case 3:
        report->said = CALL(__NR_ioctl, 9999, TIOCSCTTY, 0);
        return GM_DONE;
    default:
        break;
    }
    /* Live: in a child, since the first of a group can't begin a session. */
    report->live = 1;
    child = gm_fork();
    if (child < 0) {
        report->said = child;
        return GM_DONE;
    }
    if (child == 0) {
        CALL(__NR_rt_sigaction, 1 /* SIGHUP */, ignore, 0, 8);
        long said = typed_into_own(variant == 5 ? 1L << 32 | TIOCSTI : TIOCSTI);
        gm_exit(said < 0 ? (int)-said : 0);
    }
    long status = gm_wait(child);
    report->said = -(status >> 8 & 255);
    return GM_DONE;
}

/* Descriptors that were left open, counted without a call that a plugin lacks. The
 * first three and what the plan gives count too: the host knows how many those are. */
PROBE(fd_leak)
{
    u8 stat[256];
    report->live = 1;
    for (long fd = 0; fd < 65536; fd++) {
        long said = gm_variant(args) ? CALL(__NR_fcntl, fd, 1 /* F_GETFD */)
                                     : CALL(__NR_newfstatat, fd, "", stat, 0x1000);
        report->value += said >= 0;
    }
    report->said = report->value ? 0 : -GM_EBADF;
    return GM_DONE;
}

/* A directory that was left open is a way out of any tree. */
PROBE(fd_dirfd)
{
    u32 stat[64];
    report->live = 1;
    report->said = -GM_EBADF;
    for (long fd = 0; fd < 65536; fd++) {
        if (CALL(__NR_newfstatat, fd, "", stat, 0x1000) < 0 || (stat[6] & 0170000) != 0040000)
            continue;
        report->value++;
        long up = CALL(__NR_openat, fd, "..", GM_O_CLOEXEC, 0);
        report->said = up;
        gm_close(up);
    }
    return GM_DONE;
}
