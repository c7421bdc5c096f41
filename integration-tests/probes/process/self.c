#include "../resource/bomb.h"

/* It would outlive who started it. */
PROBE(pr_pdeathsig_clear)
{
    report->live = 1;
    report->said = CALL(__NR_prctl, 1, 0, 0, 0, 0);
    return GM_DONE;
}

/* Opens itself to others, or its own layout to itself. */
PROBE(pr_dumpable)
{
    u32 size = 0;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1: /* PR_SET_MM, PR_SET_MM_MAP_SIZE */
        report->said = CALL(__NR_prctl, 35, 15, &size, 0, 0);
        break;
    case 2: /* PR_SET_PTRACER of Yama */
        report->said = CALL(__NR_prctl, 0x59616d61, -1, 0, 0, 0);
        break;
    case 3: /* PR_SET_MDWE */
        report->said = CALL(__NR_prctl, 65, 1, 0, 0, 0);
        break;
    default:
        report->said = CALL(__NR_prctl, 4, 1, 0, 0, 0);
    }
    return GM_DONE;
}

/* A grandchild in a session of its own, which nobody waits for. It ends by itself. */
PROBE(pr_subreaper_daemon)
{
    report->live = 1;
    if (gm_variant(args) == 1) {
        report->said = CALL(__NR_prctl, 36, 1, 0, 0, 0);
        return GM_DONE;
    }
    long child = gm_fork();
    report->said = report->value = child;
    if (child != 0) {
        if (child > 0)
            gm_wait(child);
        return GM_DONE;
    }
    CALL(__NR_setsid);
    if (gm_fork() != 0)
        gm_exit(0);
    for (int fd = 0; fd < 3; fd++)
        gm_close(fd);
    long time[2] = {4, 0};
    CALL(__NR_nanosleep, time, 0);
    gm_exit(0);
}

/* Children that ended and are not waited for. */
PROBE(pr_zombies)
{
    long most = 2 * gm_number(args, "pids_max", 64), made = 0, said = 0;
    report->live = 1;
    while (made < most) {
        said = gm_fork();
        if (said < 0)
            break;
        if (said == 0)
            gm_exit(0);
        made++;
    }
    while (CALL(__NR_wait4, -1, 0, 0, 0) > 0)
        ;
    report->value = made;
    report->said = made < most ? said : 0;
    return GM_DONE;
}

/* Another's name in ps and in the log of the kernel. */
PROBE(pr_comm_spoof)
{
    report->live = 1;
    report->said = CALL(__NR_prctl, 15, "gm-broker", 0, 0, 0);
    return GM_DONE;
}
