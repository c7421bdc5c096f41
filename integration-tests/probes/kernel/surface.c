#include "probe.h"

/* Programs and maps in the kernel; no attributes are there to read. */
PROBE(ks_bpf)
{
    static const int COMMANDS[] = {0 /* MAP_CREATE */, 5 /* PROG_LOAD */, 7 /* OBJ_GET */,
                                   18 /* BTF_LOAD */, 13 /* PROG_GET_FD_BY_ID */,
                                   36 /* TOKEN_CREATE */};
    long variant = gm_variant(args);
    if (variant >= (long)(sizeof COMMANDS / sizeof *COMMANDS))
        return GM_UNKNOWN;
    report->said = CALL(__NR_bpf, COMMANDS[variant], 0, 16);
    return GM_DONE;
}

PROBE(ks_perf)
{
    u32 attributes[32];
    gm_zero(attributes, sizeof attributes);
    attributes[0] = 1; /* PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK */
    attributes[1] = sizeof attributes;
    attributes[10] = 1 << 5 | 1 << 6; /* neither kernel nor hypervisor */
    if (gm_variant(args) == 1) {
        report->live = 1;
        report->said = CALL(__NR_perf_event_open, attributes, 0, -1, -1, 0);
        gm_close(report->said);
    } else {
        report->said = CALL(__NR_perf_event_open, 0, 0, -1, -1, 0);
    }
    return GM_DONE;
}

PROBE(ks_uffd)
{
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_userfaultfd, 0);
        break;
    case 2:
        report->said = gm_open("/dev/userfaultfd", GM_O_RDWR);
        break;
    default:
        report->said = CALL(__NR_userfaultfd, 1); /* USER_MODE_ONLY */
    }
    gm_close(report->said);
    return GM_DONE;
}

/* Further walls of its own are as much kernel code as any. */
PROBE(ks_landlockctl)
{
    if (gm_variant(args) == 1)
        report->said = CALL(445, 9999, 1, 0, 0); /* landlock_add_rule */
    else if (gm_variant(args) == 2) { /* landlock_restrict_self */
        report->said = CALL(446, 9999, 0);
        if (report->said == -GM_EPERM) { /* without no_new_privs it isn't even read */
            CALL(__NR_prctl, 38, 1, 0, 0, 0);
            report->said = CALL(446, 9999, 0);
        }
    } else
        report->said = report->value = CALL(444, 0, 0, 1); /* which version? */
    return GM_DONE;
}

/* Segments and ports; the port is only given back. */
PROBE(ks_modldt_iopl)
{
    u8 table[64];
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_iopl, 0);
        break;
    case 2:
        report->said = CALL(__NR_ioperm, 0x80, 1, 0);
        break;
    case 3:
        report->said = CALL(__NR_arch_prctl, 0x1003 /* ARCH_GET_FS */, table);
        break;
    default:
        report->said = CALL(__NR_modify_ldt, 0, table, sizeof table);
    }
    return GM_DONE;
}

/* Pages that are moved instead of copied. */
PROBE(ks_splice_family)
{
    int ends[2];
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_tee, 9999, 9998, 1, 0);
        break;
    case 2:
        report->said = CALL(__NR_splice, 9999, 0, 9998, 0, 1, 0);
        break;
    case 3: /* O_NOTIFICATION_PIPE */
        report->said = CALL(__NR_pipe2, ends, 0200);
        break;
    default:
        report->said = CALL(__NR_vmsplice, 9999, 0, 0, 0);
    }
    return GM_DONE;
}

/* Calls that no plugin needs, with arguments that change nothing. The last ones are
 * for root alone, and are asked with what even root would be refused. */
PROBE(ks_numa_misc)
{
    u8 room[256];
    gm_zero(room, sizeof room);
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_set_mempolicy, 0, 0, 0);
        break;
    case 2:
        report->said = CALL(__NR_migrate_pages, 0, 0, 0, 0);
        break;
    case 3:
        report->said = CALL(__NR_get_mempolicy, 0, 0, 0, 0, 0);
        break;
    case 4:
        report->said = CALL(__NR_adjtimex, room);
        break;
    case 5:
        report->said = CALL(__NR_syslog, 10, 0, 0); /* the size of its buffer */
        break;
    case 6:
        report->said = CALL(__NR_membarrier, 0, 0, 0); /* which commands? */
        break;
    case 7:
        report->said = CALL(461, 0, room, 0); /* lsm_list_modules, no size */
        break;
    case 8:
        report->said = CALL(__NR_quotactl, 0x80000700, "/no-such", 0, 0);
        break;
    case 9:
        report->said = CALL(__NR_acct, "/no-such");
        break;
    case 10:
        report->said = CALL(__NR_swapon, 0, 0);
        break;
    case 11:
        report->said = CALL(__NR_reboot, 0, 0, 0, 0);
        break;
    case 12:
        report->said = CALL(__NR_kexec_load, 0, 1, 0, 0);
        break;
    case 13:
        report->said = CALL(__NR_init_module, 0, 0, 0);
        break;
    default:
        report->said = CALL(__NR_move_pages, 0, 0, 0, 0, 0, 0);
    }
    return GM_DONE;
}

/* Timers: for itself, without end, and of the old kind. All are gone with it. */
PROBE(ks_timers)
{
    struct {
        u64 value;
        int signal, notify, tid, pad[11];
    } event = {0, 10, 4 /* SIGEV_THREAD_ID */, (int)gm_own(args), {0}};
    u64 interval[4] = {0, 0, 1000, 0};
    int timer = 0;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        event.notify = 1; /* SIGEV_NONE */
        for (report->value = 0; report->value < 4096; report->value++) {
            report->said = CALL(__NR_timer_create, 1, &event, &timer);
            if (report->said < 0)
                break;
        }
        break;
    case 2:
        report->said = CALL(__NR_setitimer, 0, interval, 0);
        gm_zero(interval, sizeof interval);
        CALL(__NR_setitimer, 0, interval, 0);
        break;
    case 3:
        report->said = CALL(283, 1, 0); /* timerfd_create */
        gm_close(report->said);
        break;
    default:
        report->said = CALL(__NR_timer_create, 1, &event, &timer);
    }
    return GM_DONE;
}

/* It dies so that the kernel would write down its memory, or start a handler. */
PROBE(ks_core)
{
    static volatile const char secret[] = "secret-of-the-plugin-in-its-core";
    report->live = 1;
    if (gm_variant(args) == 1)
        CALL(__NR_tgkill, gm_own(args), gm_own(args), 6);
    else if (gm_variant(args) == 2)
        *(volatile int *)16 = secret[0];
    __asm__ volatile("ud2");
    return GM_DONE;
}
