#include "probe.h"

enum { ALL = 0x10000000 | 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x20000000 | 0x40000000 };

PROBE(ns_userns)
{
    report->live = 1;
    report->said = CALL(__NR_unshare, gm_variant(args) ? ALL : 0x10000000);
    return GM_DONE;
}

/* Into another namespace by a descriptor of it, or of a process in it. */
PROBE(ns_setns)
{
    if (gm_variant(args) == 0) {
        report->said = CALL(__NR_setns, 9999, 0);
        return GM_DONE;
    }
    report->live = 1;
    long fd = CALL(434, gm_own(args), 0);
    report->said = fd < 0 ? fd : CALL(__NR_setns, fd, 0x40000000);
    return GM_DONE;
}

/* What changes the meaning of paths. */
PROBE(ns_mount)
{
    u64 attributes[4] = {0, 0, 0, 0};
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(430, "tmpfs", 0); /* fsopen */
        break;
    case 2:
        report->said = CALL(428, GM_AT_FDCWD, "/", 0x8001); /* open_tree, a clone */
        break;
    case 3:
        report->said = CALL(429, 9999, "x", 9999, "y", 0); /* move_mount */
        break;
    case 4:
        report->said = CALL(442, 9999, "x", 0, attributes, sizeof attributes);
        break;
    case 5:
        report->said = CALL(__NR_umount2, "/no-such-mount", 0);
        break;
    case 6:
        report->said = CALL(__NR_pivot_root, "/no-such", "/no-such");
        break;
    case 7:
        report->live = 1;
        report->said = CALL(__NR_chroot, "/");
        break;
    case 8:
        report->said = CALL(431, 9999, 6, 0, 0, 0); /* fsconfig */
        break;
    case 9:
        report->said = CALL(432, 9999, 0, 0); /* fsmount */
        break;
    case 10:
        report->said = CALL(433, 9999, "x", 0); /* fspick */
        break;
    default:
        report->live = 1;
        report->said = CALL(__NR_mount, "probe", "/tmp", "tmpfs", 0, 0);
    }
    return GM_DONE;
}

/* Mounts and files by number. */
PROBE(ns_listmount)
{
    u32 handle[34] = {0};
    int mount = 0;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(457, 0, 0, 0, 0); /* statmount */
        break;
    case 2:
        report->said = CALL(__NR_name_to_handle_at, GM_AT_FDCWD, "/", handle, &mount, 0);
        break;
    case 3:
        report->said = CALL(__NR_open_by_handle_at, 9999, handle, 0);
        break;
    default:
        report->said = CALL(458, 0, 0, 0, 0); /* listmount */
    }
    return GM_DONE;
}

/* Files that root of the host may write, whatever namespace it is in. */
PROBE(ns_host_root_uid)
{
    static const char *const PATHS[] = {
        "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/memory/cgroup.procs",
        "/sys/fs/cgroup/cgroup.procs",   "/dev/kmsg",
        "/proc/sysrq-trigger",           "/sys/kernel/uevent_helper",
    };
    long variant = gm_variant(args);
    if (variant >= (long)(sizeof PATHS / sizeof *PATHS))
        return GM_UNKNOWN;
    report->live = 1;
    report->said = gm_open(PATHS[variant], GM_O_WRONLY);
    gm_close(report->said);
    return GM_DONE;
}

/* Capabilities that it has, or can get. */
PROBE(ns_caps)
{
    u32 header[2] = {0x20080522, 0};
    u32 sets[6] = {0};
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_setuid, 0);
        break;
    case 2:
        report->said = CALL(__NR_setresuid, 0, 0, 0);
        break;
    case 3:
        report->said = CALL(__NR_setresgid, 0, 0, 0);
        break;
    case 4:
        report->said = CALL(__NR_prctl, 23, 21, 0, 0, 0); /* CAP_SYS_ADMIN in the bounding set? */
        if (report->said == 0)
            report->said = -GM_EPERM;
        break;
    case 5:
        report->said = CALL(__NR_capget, header, sets);
        report->value = sets[0] | (long)sets[3] << 32;
        if (report->said == 0 && !report->value)
            report->said = -GM_EPERM;
        break;
    default:
        sets[0] = sets[1] = 1u << 21;
        report->said = CALL(__NR_capset, header, sets);
    }
    return GM_DONE;
}

/* Nodes in a directory that it may write; each is gone at once. */
PROBE(ns_mknod)
{
    static const u32 MODES[] = {0010600, 0140600, 0020600, 0020600, 0060600};
    static const long DEVICES[] = {0, 0, 0, 1 << 8 | 5, 7 << 8};
    const char *data = gm_text(args, "data");
    char path[4200];
    long variant = gm_variant(args);
    if (!data || gm_length(data) > 4000)
        return GM_NEEDS;
    gm_join(gm_join(path, data), "/.probe-node");
    if (variant >= 5) { /* RENAME_WHITEOUT of what isn't there */
        report->said = CALL(__NR_renameat2, GM_AT_FDCWD, path, GM_AT_FDCWD, "x", 4);
        return GM_DONE;
    }
    report->live = 1;
    report->said = CALL(__NR_mknodat, GM_AT_FDCWD, path, MODES[variant], DEVICES[variant]);
    if (report->said >= 0)
        CALL(__NR_unlinkat, GM_AT_FDCWD, path, 0);
    return GM_DONE;
}

/* Turns off what makes addresses hard to guess, or data not executable. */
PROBE(ns_personality)
{
    static const long FLAGS[] = {0x0040000, 0x0400000, 8};
    long variant = gm_variant(args);
    if (variant > 2)
        return GM_UNKNOWN;
    report->live = 1;
    report->said = CALL(__NR_personality, FLAGS[variant]);
    return GM_DONE;
}

/* What tells one machine from another. */
PROBE(ns_uts_id)
{
    static const char *const PATHS[] = {
        "/proc/sys/kernel/random/boot_id", "/proc/cmdline", "/proc/sys/kernel/hostname",
        "/sys/class/net/lo/address",       "/etc/machine-id",
    };
    char name[6][65];
    long variant = gm_variant(args);
    report->live = 1;
    if (variant >= (long)(sizeof PATHS / sizeof *PATHS)) {
        report->said = CALL(__NR_uname, name);
        if (report->said >= 0)
            gm_see(report, name[1], gm_length(name[1]));
    } else {
        report->said = gm_see_file(report, PATHS[variant]);
    }
    report->value = report->length;
    return GM_DONE;
}
