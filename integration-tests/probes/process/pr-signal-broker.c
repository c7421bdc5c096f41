#include "probe.h"

enum { KILL, TGKILL, QUEUE, TKILL, OWNER, PIDFD, EVERY };

/* A signal to a process outside. The number 0 asks whether it could be sent. */
PROBE(pr_signal_broker)
{
    long victim = gm_number(args, "pid", 0);
    long variant = gm_variant(args), own = gm_own(args), fd;
    int ends[2];
    u8 info[128];
    if (!victim)
        return GM_NEEDS;
    switch (variant) {
    case TGKILL:
        report->said = CALL(__NR_tgkill, victim, victim, 0);
        break;
    case QUEUE:
        gm_zero(info, sizeof info);
        *(int *)(info + 8) = -1; /* SI_QUEUE */
        report->said = CALL(__NR_rt_sigqueueinfo, victim, 0, info);
        break;
    case TKILL:
        report->said = CALL(__NR_tkill, victim, 0);
        break;
    case OWNER: /* who gets the SIGIO of a pipe */
        report->said = CALL(__NR_pipe2, ends, 0);
        if (report->said < 0)
            break;
        report->said = CALL(__NR_fcntl, ends[0], 8, victim);
        gm_close(ends[0]);
        gm_close(ends[1]);
        break;
    case PIDFD:
        fd = CALL(__NR_pidfd_open, victim, 0);
        report->said = fd < 0 ? fd : CALL(__NR_pidfd_send_signal, fd, 0, 0, 0);
        break;
    case EVERY:
        report->said = -GM_ESRCH;
        for (long pid = 1; pid <= 4194304; pid++) {
            if (pid == own || CALL(__NR_kill, pid, 0) != 0)
                continue;
            report->said = 0;
            report->value++; /* processes that it could signal */
        }
        break;
    default:
        report->said = CALL(__NR_kill, victim, 0);
    }
    return GM_DONE;
}
