#include "file.h"

/* Out of a tree that may be read into one that may be written. What moved is put
 * back. */
PROBE(fs_refer)
{
    char from[GM_PATH], to[GM_PATH];
    if (!gm_path(from, args, "granted", "/file") || !gm_path(to, args, "data", "/.probe-moved"))
        return GM_NEEDS;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_linkat, GM_AT_FDCWD, from, GM_AT_FDCWD, to, 0);
        if (report->said >= 0)
            gm_unlink(to);
        break;
    case 2: /* RENAME_NOREPLACE */
        report->said = CALL(__NR_renameat2, GM_AT_FDCWD, from, GM_AT_FDCWD, to, 1);
        if (report->said >= 0)
            CALL(__NR_renameat2, GM_AT_FDCWD, to, GM_AT_FDCWD, from, 1);
        break;
    default:
        report->said = CALL(__NR_rename, from, to);
        if (report->said >= 0)
            CALL(__NR_rename, to, from);
    }
    return GM_DONE;
}

/* A second name, in a tree that may be written, for a file that may not. Its first
 * byte is written over with itself. */
PROBE(fs_hardlink)
{
    char from[GM_PATH], to[GM_PATH], byte;
    if (!gm_path(from, args, "granted", "/file") || !gm_path(to, args, "data", "/.probe-link"))
        return GM_NEEDS;
    report->live = 1;
    report->said = CALL(__NR_linkat, GM_AT_FDCWD, from, GM_AT_FDCWD, to, 0);
    if (report->said < 0)
        return GM_DONE;
    long fd = report->said = gm_open(to, GM_O_RDWR);
    if (fd >= 0) {
        report->said = CALL(__NR_pread64, fd, &byte, 1, 0);
        if (report->said == 1)
            report->said = CALL(__NR_pwrite64, fd, &byte, 1, 0);
        gm_close(fd);
    }
    gm_unlink(to);
    return GM_DONE;
}

/* One process swaps a component of the path between a directory and a link to the
 * outside, another opens through it. */
PROBE(fs_symlink_race)
{
    char outside[GM_PATH], swapped[GM_PATH], spare[GM_PATH], link[GM_PATH], file[GM_PATH + 256];
    const char *canary = gm_text(args, "canary");
    if (!canary || !gm_path(outside, args, "canary", "") ||
        !gm_path(swapped, args, "data", "/.probe-swap") ||
        !gm_path(spare, args, "data", "/.probe-spare") ||
        !gm_path(link, args, "data", "/.probe-link"))
        return GM_NEEDS;
    char *slash = outside;
    for (char *at = outside; *at; at++)
        if (*at == '/')
            slash = at;
    const char *name = canary + (slash - outside) + 1;
    *slash = 0;
    if (gm_length(name) > 200)
        return GM_NEEDS;
    gm_join(gm_join(gm_join(file, swapped), "/"), name);
    report->live = 1;
    long swapper = gm_fork();
    if (swapper < 0) {
        report->said = swapper;
        return GM_DONE;
    }
    if (swapper == 0) {
        CALL(__NR_mkdir, swapped, 0700);
        CALL(__NR_symlink, outside, link);
        for (int n = 0; n < 100000; n++) {
            CALL(__NR_rename, swapped, spare);
            CALL(__NR_rename, link, swapped);
            CALL(__NR_rename, swapped, link);
            CALL(__NR_rename, spare, swapped);
        }
        gm_exit(0);
    }
    report->said = -GM_ENOENT;
    for (int n = 0; n < 100000 && !report->length; n++) {
        long fd = gm_open(file, GM_O_RDONLY);
        if (fd < 0)
            continue;
        report->said = gm_see_descriptor(report, (int)fd);
        gm_close(fd);
    }
    report->value = report->length;
    CALL(__NR_kill, swapper, GM_SIGKILL);
    gm_wait(swapper);
    gm_unlink(link);
    gm_unlink(swapped);
    CALL(__NR_unlinkat, GM_AT_FDCWD, swapped, 0x200);
    CALL(__NR_unlinkat, GM_AT_FDCWD, spare, 0x200);
    return GM_DONE;
}

/* Flags that no reader or writer needs. */
PROBE(fs_open_flags)
{
    char path[GM_PATH];
    const char *data = gm_text(args, "data");
    if (!gm_path(path, args, "data", "/.probe-made"))
        return GM_NEEDS;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1: /* __O_TMPFILE | O_DIRECTORY */
        report->said = gm_open(data, GM_O_RDWR | 020000000 | GM_O_DIRECTORY);
        gm_close(report->said);
        break;
    case 2: /* set-uid */
        report->said = CALL(__NR_openat, GM_AT_FDCWD, path, GM_O_RDWR | GM_O_CREAT, 04755);
        gm_close(report->said);
        gm_unlink(path);
        break;
    case 3:
        report->said = CALL(__NR_mkdirat, GM_AT_FDCWD, path, 02777);
        CALL(__NR_unlinkat, GM_AT_FDCWD, path, 0x200);
        break;
    default:
        report->said = gm_open(data, GM_O_PATH);
        gm_close(report->said);
    }
    return GM_DONE;
}

/* Shortens a file that it may only read; what else an ioctl does to one. */
PROBE(fs_truncate_ioctl)
{
    char path[GM_PATH];
    if (!gm_path(path, args, "granted", "/file"))
        return GM_NEEDS;
    int none = 0;
    switch (gm_variant(args)) {
    case 1: /* FS_IOC_SETFLAGS */
        report->said = CALL(__NR_ioctl, 9999, 0x40086602, &none);
        break;
    case 2: /* FICLONE */
        report->said = CALL(__NR_ioctl, 9999, 0x40049409, 9999);
        break;
    case 3: /* FIONREAD */
        report->said = CALL(__NR_ioctl, 9999, 0x541b, &none);
        break;
    case 4:
        report->said = CALL(__NR_ftruncate, 9999, 0);
        break;
    case 5:
        report->said = CALL(__NR_fallocate, 9999, 0, 0, 1);
        break;
    default: { /* to the length that it has, or to none that there is */
        u64 stat[18];
        report->live = 1;
        report->said = CALL(__NR_newfstatat, GM_AT_FDCWD, path, stat, 0);
        report->said = CALL(__NR_truncate, path, report->said < 0 ? -1 : (long)stat[6]);
    }
    }
    return GM_DONE;
}
