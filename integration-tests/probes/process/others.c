#include "probe.h"

/* Stops a process outside, or takes hold of it without stopping it. */
PROBE(pr_ptrace_attach)
{
    enum { ATTACH = 16, DETACH = 17, SEIZE = 0x4206 };
    long victim = gm_number(args, "pid", 0);
    if (!victim)
        return GM_NEEDS;
    report->live = 1;
    if (gm_variant(args) == 1) {
        report->said = CALL(__NR_ptrace, SEIZE, victim, 0, 0);
        if (report->said >= 0) {
            /* What is seized must stop before it can be let go. */
            CALL(__NR_ptrace, 0x4207, victim, 0, 0);
            CALL(__NR_wait4, victim, 0, 0x40000000, 0);
        }
    } else {
        report->said = CALL(__NR_ptrace, ATTACH, victim, 0, 0);
        if (report->said >= 0)
            CALL(__NR_wait4, victim, 0, 0x40000000, 0);
    }
    if (report->said >= 0)
        CALL(__NR_ptrace, DETACH, victim, 0, 0);
    return GM_DONE;
}

/* Its parent becomes its tracer, and would have to wait for it in another way. */
PROBE(pr_traceme_wedge)
{
    report->live = 1;
    report->said = CALL(__NR_ptrace, 0, 0, 0, 0);
    return GM_DONE;
}

/* Memory of a process outside, at an address where nothing is: EFAULT is a yes. */
PROBE(pr_vm_rw)
{
    long victim = gm_number(args, "pid", 0);
    char byte = 0;
    struct {
        void *at;
        u64 length;
    } here = {&byte, 1}, there = {(void *)16, 1};
    if (!victim)
        return GM_NEEDS;
    report->said = CALL(gm_variant(args) ? __NR_process_vm_writev : __NR_process_vm_readv,
                        victim, &here, 1, &there, 1, 0);
    return GM_DONE;
}

static char *of_proc(char *to, long pid, const char *name)
{
    gm_join(gm_join(gm_decimal(gm_join(to, "/proc/"), pid), "/"), name);
    return to;
}

/* A process's memory as a file: its own would undo W^X, another's anything. */
PROBE(pr_proc_mem)
{
    long victim = gm_number(args, "pid", 0);
    char path[64];
    long fd;
    if (!victim)
        return GM_NEEDS;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        fd = gm_open(of_proc(path, victim, "mem"), GM_O_RDWR);
        break;
    case 2: /* as it is allowed for other files */
        fd = gm_open("/proc/self/mem", GM_O_RDONLY);
        break;
    default:
        fd = gm_open("/proc/self/mem", GM_O_RDWR);
    }
    report->said = fd;
    gm_close(fd);
    return GM_DONE;
}

/* What /proc tells of a process outside: secrets are in its environment. */
PROBE(pr_proc_environ)
{
    static const char *const NAMES[] = {"environ", "cmdline", "maps", "auxv"};
    long victim = gm_number(args, "pid", 0), variant = gm_variant(args), fd;
    const char *canary = gm_text(args, "canary");
    char path[4200];
    if (!victim || !canary || gm_length(canary) > 4000)
        return GM_NEEDS;
    report->live = 1;
    if (variant < 4) {
        report->said = gm_see_file(report, of_proc(path, victim, NAMES[variant]));
    } else if (variant == 4) { /* a file through its root */
        gm_join(path + gm_length(of_proc(path, victim, "root")), canary);
        report->said = gm_see_file(report, path);
    } else { /* its descriptors */
        fd = gm_open(of_proc(path, victim, "fd"), GM_O_RDONLY);
        report->said = fd;
        gm_close(fd);
    }
    report->value = report->length;
    return GM_DONE;
}

/* A descriptor out of another process. */
PROBE(pr_pidfd_getfd)
{
    long victim = gm_number(args, "pid", 0), fd;
    if (!victim)
        return GM_NEEDS;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(438, 9999, 0, 0);
        break;
    case 2:
        report->live = 1;
        fd = CALL(434, victim, 0);
        report->said = fd < 0 ? fd : CALL(438, fd, 0, 0);
        break;
    default:
        report->said = CALL(434, victim, 0);
    }
    return GM_DONE;
}

/* Limits, priority and place of a process outside, set to what they are. */
PROBE(pr_kcmp_prlimit)
{
    long victim = gm_number(args, "pid", 0);
    long own = gm_own(args), priority;
    u64 limit[2];
    u64 mask[16];
    int none = 0;
    if (!victim)
        return GM_NEEDS;
    gm_zero(mask, sizeof mask);
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_prlimit64, victim, 7, 0, limit);
        break;
    case 2:
        report->said = CALL(__NR_sched_getaffinity, victim, sizeof mask, mask);
        break;
    case 3:
        report->live = 1;
        for (int n = 0; n < 16; n++)
            mask[n] = ~0UL;
        report->said = CALL(__NR_sched_setaffinity, victim, sizeof mask, mask);
        break;
    case 4:
        report->live = 1;
        priority = 20 - CALL(__NR_getpriority, 0, victim);
        report->said = CALL(__NR_setpriority, 0, victim, priority);
        break;
    case 5:
        report->live = 1;
        report->said = CALL(__NR_sched_setscheduler, victim, 0, &none);
        break;
    case 6:
        report->live = 1;
        report->said = CALL(__NR_ioprio_set, 1, victim, 2 << 13 | 4);
        break;
    default:
        report->said = CALL(__NR_kcmp, own, victim, 1, 0, 0);
        report->value = report->said;
    }
    return GM_DONE;
}
