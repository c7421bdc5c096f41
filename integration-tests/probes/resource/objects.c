#include "bomb.h"

enum { MOST = 256, PIPE_SIZE = 1031, PIPE_BYTES = 1 << 20 };

/* Pipes as large as they may be, and sockets that are full. */
PROBE(rb_pipe_sock)
{
    static u8 piece[1 << 16];
    int ends[2];
    int pairs = gm_variant(args) == 1;
    report->live = 1;
    for (; report->value < MOST / 4; report->value++) {
        report->said = pairs ? CALL(__NR_socketpair, 1, 1, 0, ends)
                             : CALL(__NR_pipe2, ends, GM_O_NONBLOCK);
        if (report->said < 0)
            return GM_DONE;
        if (!pairs)
            CALL(__NR_fcntl, ends[1], PIPE_SIZE, PIPE_BYTES);
        for (int n = 0; n < 16; n++)
            if (pairs ? CALL(__NR_sendto, ends[1], piece, sizeof piece, 0x40, 0, 0) <= 0
                      : CALL(__NR_write, ends[1], piece, sizeof piece) <= 0)
                break;
    }
    return GM_DONE;
}

/* Objects of the kernel that a process holds by number. All are gone with it. */
PROBE(rb_kmem_slab)
{
    u32 event[3] = {1, 0, 0};
    struct {
        short kind, whence;
        long from, length;
        int pid;
    } lock = {1 /* F_WRLCK */, 0, 0, 1, 0};
    char name[32];
    long first, variant = gm_variant(args), said = 0;
    report->live = 1;
    first = variant == 0   ? CALL(__NR_epoll_create1, 0)
            : variant == 2 ? CALL(__NR_memfd_create, "probe", 1)
                           : 0;
    for (; first >= 0 && report->value < MOST; report->value++) {
        switch (variant) {
        case 0:
            said = CALL(__NR_eventfd2, 0, 0);
            if (said >= 0)
                said = CALL(__NR_epoll_ctl, first, 1, said, event);
            break;
        case 1:
            said = CALL(__NR_eventfd2, 0, 0);
            break;
        case 2:
            lock.from = 2 * report->value; /* none touches another */
            said = CALL(__NR_fcntl, first, 6 /* F_SETLK */, &lock);
            break;
        default:
            if (report->value == MOST / 4)
                return GM_DONE;
            gm_decimal(gm_join(name, "gm-probe-"), report->value);
            said = CALL(__NR_add_key, "user", name, "x", 1, -2);
        }
        if (said < 0)
            break;
    }
    report->said = first < 0 ? first : said;
    return GM_DONE;
}

/* Names that aren't there, each remembered by the kernel. */
PROBE(rb_dentries)
{
    const char *granted = gm_text(args, "granted");
    u8 stat[256];
    char path[4200];
    if (!granted || gm_length(granted) > 4000)
        return GM_NEEDS;
    report->live = 1;
    char *end = gm_join(gm_join(path, granted), "/missing-");
    for (; report->value < 100000; report->value++) {
        gm_decimal(end, report->value);
        report->said = CALL(__NR_newfstatat, GM_AT_FDCWD, path, stat, 0);
        if (report->said != -GM_ENOENT)
            return GM_DONE;
    }
    report->said = 0;
    return GM_DONE;
}

/* Descriptors until no more are given, or 256: by copies, and by opening. */
PROBE(rb_fds)
{
    report->live = 1;
    while (report->value < MOST) {
        report->said = gm_variant(args) ? gm_open("/", GM_O_RDONLY) : CALL(__NR_dup, 1);
        if (report->said < 0)
            return GM_DONE;
        report->value++;
    }
    report->said = 0;
    return GM_DONE;
}
