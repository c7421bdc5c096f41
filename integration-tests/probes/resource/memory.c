#include "bomb.h"

enum { PAGE = 4096, MIB = 1 << 20, HUGE = 2 << 20 };

static long twice(const struct gm_args *args)
{
    return 2 * gm_number(args, "memory", 32 << 20);
}

/* Touches memory, a MiB after the other; value: how many. */
PROBE(rb_anon)
{
    long most = twice(args) / MIB;
    report->live = 1;
    for (; report->value < most; report->value++) {
        u8 *at = gm_memory(MIB);
        if (!at) {
            report->said = -GM_ENOMEM;
            return GM_DONE;
        }
        for (long n = 0; n < MIB; n += PAGE)
            ((volatile u8 *)at)[n] = 1;
    }
    return GM_DONE;
}

/* Memory that can't be taken back. */
PROBE(rb_mlock)
{
    void *page = gm_memory(PAGE);
    report->live = 1;
    switch (gm_variant(args)) {
    case 1: /* what will be mapped later */
        report->said = CALL(__NR_mlockall, 2);
        CALL(__NR_munlockall);
        break;
    case 2:
        report->said = CALL(447, 0); /* memfd_secret */
        gm_close(report->said);
        break;
    case 3:
        report->said = CALL(__NR_mlock2, page, PAGE, 1);
        break;
    default:
        report->said = CALL(__NR_mlock, page, PAGE);
    }
    return GM_DONE;
}

/* The same by a flag of a call that each plugin has: MAP_LOCKED. */
PROBE(rb_mlock_map)
{
    report->live = 1;
    long at = CALL(__NR_mmap, 0, PAGE, 3, 0x2022, -1, 0);
    report->said = at < 0 ? at : 0;
    return GM_DONE;
}

/* One page in each two MiB: for each a table of the kernel's. */
PROBE(rb_pagetables)
{
    long most = twice(args) / (2 * PAGE);
    report->live = 1;
    for (; report->value < most && report->value < 30000; report->value++) {
        long at = CALL(__NR_mmap, 0x200000000000L + report->value * HUGE, PAGE, 3,
                       0x100022 /* fixed, and nothing is there */, -1, 0);
        if (at < 0) {
            report->said = at;
            return GM_DONE;
        }
        *(volatile u8 *)at = 1;
    }
    return GM_DONE;
}

/* A file that is nowhere, and never mapped. */
PROBE(rb_memfd)
{
    static u8 piece[1 << 16];
    long most = twice(args);
    long fd = report->said = CALL(__NR_memfd_create, "probe", 1);
    report->live = 1;
    while (fd >= 0 && report->value < most) {
        long said = CALL(__NR_write, fd, piece, sizeof piece);
        if (said <= 0) {
            report->said = said;
            break;
        }
        report->value += said;
    }
    gm_close(fd);
    return GM_DONE;
}

/* Reads a granted file again and again, twice the memory in all. */
PROBE(rb_io)
{
    static u8 piece[1 << 16];
    const char *granted = gm_text(args, "granted");
    char path[4200];
    long most = 16 * twice(args); /* long enough for its neighbour to notice */
    if (!granted || gm_length(granted) > 4000)
        return GM_NEEDS;
    gm_join(gm_join(path, granted), "/file");
    report->live = 1;
    for (long opened = 0; report->value < most && opened < 200000; opened++) {
        long fd = report->said = gm_open(path, GM_O_RDONLY), got;
        if (fd < 0)
            return GM_DONE;
        while ((got = CALL(__NR_read, fd, piece, sizeof piece)) > 0)
            report->value += got;
        gm_close(fd);
    }
    report->said = 0;
    return GM_DONE;
}
