#include "file.h"

enum { PIECE = 1 << 16 };

/* Not where it may not ask for it: the end would be the filter's, not the disk's. */
static void cleared(const struct gm_args *args, const char *path)
{
    if (!gm_text(args, "self"))
        gm_unlink(path);
}

static long filled(const struct gm_args *args, const char *path, long most, long *value)
{
    static u8 piece[PIECE];
    long fd = gm_open(path, GM_O_WRONLY | GM_O_CREAT | GM_O_TRUNC), said = fd;
    for (long done = 0; fd >= 0 && done < most; done += said) {
        said = CALL(__NR_write, fd, piece, PIECE);
        if (said <= 0)
            break;
        *value = done + said;
    }
    gm_close(fd);
    cleared(args, path);
    return said;
}

static long many(char *path, long most, long *value)
{
    char *end = path + gm_length(path);
    long said = 0;
    for (*value = 0; *value < most; ++*value) {
        gm_decimal(end, *value);
        said = CALL(__NR_mknodat, GM_AT_FDCWD, path, 0100600, 0);
        if (said < 0)
            break;
    }
    for (long n = 0; n < *value; n++) {
        gm_decimal(end, n);
        gm_unlink(path);
    }
    return said;
}

/* Bytes, names, and holes, up to twice `memory` and 40,000 names. */
PROBE(fs_disk_fill)
{
    char path[GM_PATH];
    long most = 2 * gm_number(args, "memory", 32 << 20), fd;
    if (!gm_path(path, args, "data", "/.probe-fill-"))
        return GM_NEEDS;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        report->said = many(path, 40000, &report->value);
        break;
    case 2: /* a file of a terabyte that has one byte */
        fd = report->said = gm_open(path, GM_O_WRONLY | GM_O_CREAT);
        if (fd < 0)
            break;
        report->said = CALL(__NR_pwrite64, fd, "x", 1, 1L << 40);
        gm_close(fd);
        cleared(args, path);
        break;
    default:
        report->said = filled(args, path, most, &report->value);
    }
    return GM_DONE;
}

/* The same bytes, where $DATA is memory: whose is it? */
PROBE(rb_tmpfs)
{
    char path[GM_PATH];
    if (!gm_path(path, args, "data", "/.probe-fill"))
        return GM_NEEDS;
    report->live = 1;
    report->said = filled(args, path, 2 * gm_number(args, "memory", 32 << 20), &report->value);
    return GM_DONE;
}
