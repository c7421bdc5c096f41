#include "file.h"

static long asked(long variant, const char *path)
{
    static char buffer[256];
    switch (variant) {
    case 1:
        return CALL(__NR_access, path, 0);
    case 2:
        return CALL(__NR_readlink, path, buffer, sizeof buffer);
    case 3:
        return CALL(__NR_getxattr, path, "user.none", buffer, sizeof buffer);
    case 4:
        return CALL(__NR_chdir, path);
    case 5:
        return CALL(__NR_statx, GM_AT_FDCWD, path, 0, 0x7ff, buffer);
    case 6:
        return CALL(__NR_statfs, path, buffer);
    default:
        return CALL(__NR_newfstatat, GM_AT_FDCWD, path, buffer, 0);
    }
}

/* Whether a file is there can be told without opening it, if what is said of it
 * differs from what is said of a missing one. */
PROBE(fs_stat_oracle)
{
    char there[GM_PATH], missing[GM_PATH];
    if (!gm_path(there, args, "canary", "") || !gm_path(missing, args, "canary", ".missing"))
        return GM_NEEDS;
    long of_there = asked(gm_variant(args), there);
    long of_missing = asked(gm_variant(args), missing);
    report->live = 1;
    report->value = of_there;
    report->said = of_there == of_missing ? of_there : 0;
    return GM_DONE;
}

/* What Landlock doesn't cover: a file's attributes, set to what does no harm. */
PROBE(fs_attr_outside)
{
    char path[GM_PATH];
    u64 stat[18];
    long fd;
    if (!gm_path(path, args, "canary", ""))
        return GM_NEEDS;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_fchownat, GM_AT_FDCWD, path, -1, -1, 0);
        break;
    case 2:
        report->said = CALL(__NR_utimensat, GM_AT_FDCWD, path, 0, 0);
        break;
    case 3:
        report->said = CALL(__NR_setxattr, path, "user.probe", "x", 1, 0);
        if (report->said >= 0)
            CALL(__NR_removexattr, path, "user.probe");
        break;
    case 4:
        fd = gm_open(path, GM_O_RDONLY);
        report->said = fd < 0 ? fd : CALL(__NR_flock, fd, 2 | 4);
        gm_close(fd);
        break;
    case 5:
        /* to the length that it has */
        report->said = CALL(__NR_newfstatat, GM_AT_FDCWD, path, stat, 0);
        if (report->said >= 0)
            report->said = CALL(__NR_truncate, path, stat[6]);
        break;
    default:
        report->said = CALL(__NR_fchmodat, GM_AT_FDCWD, path, 0600);
    }
    return GM_DONE;
}

/* A program of the host's in a child: 0 if it was executed. */
static long executed(const char *path)
{
    enum { NOT = 128 };
    long child = gm_fork(), status;
    if (child < 0)
        return child;
    if (child == 0)
        gm_exit(NOT - CALL(__NR_execve, path, 0, 0));
    status = gm_wait(child);
    if (status < 0)
        return status;
    long exit = status >> 8 & 0xff;
    return exit > NOT ? NOT - exit : 0;
}

/* What may be done to a directory that all may write, and to what lies there, where only
 * paths keep it away. */
PROBE(fs_write_outside)
{
    static char entries[1024];
    char path[GM_PATH];
    static const char *const NAMES[] = {"/../canary", "/..", "/file", "/empty", "/link", "/made"};
    long variant = gm_variant(args);
    report->live = 1;
    if (variant == 6) {
        report->said = executed("/bin/true");
        return GM_DONE;
    }
    if (variant > 6 || !gm_path(path, args, "granted", NAMES[variant]))
        return variant > 6 ? GM_UNKNOWN : GM_NEEDS;
    switch (variant) {
    case 1:
        report->said = gm_open(path, GM_O_RDONLY | GM_O_DIRECTORY);
        if (report->said >= 0)
            report->said = CALL(__NR_getdents64, report->said, entries, sizeof entries);
        break;
    case 2:
        report->said = CALL(__NR_unlinkat, GM_AT_FDCWD, path, 0);
        break;
    case 3:
        report->said = CALL(__NR_unlinkat, GM_AT_FDCWD, path, 0x200 /* AT_REMOVEDIR */);
        break;
    case 4:
        report->said = CALL(__NR_symlinkat, "canary", GM_AT_FDCWD, path);
        break;
    case 5:
        report->said = CALL(__NR_mkdirat, GM_AT_FDCWD, path, 0700);
        break;
    default:
        report->said = gm_open(path, GM_O_WRONLY);
        gm_close(report->said);
    }
    if (report->said > 0)
        report->said = 0;
    return GM_DONE;
}

/* Watches what others do. */
PROBE(fs_inotify)
{
    if (gm_variant(args) == 1)
        report->said = CALL(__NR_fanotify_init, 0x200, 0);
    else
        report->said = CALL(__NR_inotify_init1, 0);
    return GM_DONE;
}

/* Directories that others share. */
PROBE(fs_dev_shm)
{
    const char *path = gm_variant(args) ? "/tmp/.gm-probe-shared" : "/dev/shm/.gm-probe-shared";
    report->live = 1;
    report->said = gm_open(path, GM_O_RDWR | GM_O_CREAT | GM_O_EXCL);
    if (report->said >= 0)
        gm_unlink(path);
    gm_close(report->said);
    return GM_DONE;
}
