#include "probe.h"

enum { NEW_LISTENER = 8, SET_MODE_FILTER = 1, GET_ACTION_AVAIL = 2 };

/* A filter of its own, which could answer for a child's calls. */
PROBE(sc_stack_filter)
{
    u32 action = 0x7fff0000;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_seccomp, SET_MODE_FILTER, NEW_LISTENER, 0);
        break;
    case 2:
        report->said = CALL(__NR_prctl, 22, 2, 0, 0, 0); /* PR_SET_SECCOMP */
        break;
    case 3:
        report->said = CALL(__NR_seccomp, GET_ACTION_AVAIL, 0, &action);
        break;
    default:
        report->said = CALL(__NR_seccomp, SET_MODE_FILTER, 0, 0);
    }
    return GM_DONE;
}

/* Calls that come back as signals, before any filter sees them. */
PROBE(sc_sud)
{
    enum { DISPATCH = 59, OFF = 0, ON = 1 };
    if (gm_variant(args) == 1) {
        report->live = 1; /* nothing is outside of this range, so nothing comes back */
        report->said = CALL(__NR_prctl, DISPATCH, ON, 4096, 0x7fffffff0000L, 0);
    } else {
        report->said = CALL(__NR_prctl, DISPATCH, OFF, 0, 0, 0);
    }
    return GM_DONE;
}

/* What would let it live on after a TRAP. */
PROBE(sc_handler)
{
    u64 action[4] = {1 /* SIG_IGN */, 0, 0, 0};
    u64 stack[3] = {0, 2 /* SS_DISABLE */, 0};
    u64 set = 1UL << 30; /* SIGSYS */
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_sigaltstack, stack, 0);
        break;
    case 2:
        report->said = CALL(__NR_rt_sigprocmask, 0, &set, 0, 8);
        break;
    case 3:
        report->said = CALL(__NR_rt_sigtimedwait, &set, 0, stack + 2, 4);
        break;
    case 4:
        report->said = CALL(__NR_signalfd4, -1, &set, 8, 0);
        break;
    default:
        report->said = CALL(__NR_rt_sigaction, 31, action, 0, 8);
    }
    return GM_DONE;
}

/* A tracer changes the number of a call that a filter has passed. */
PROBE(sc_ptrace_rewrite)
{
    enum { TRACEME = 0, CONT = 7, SYSCALL = 24, PEEKUSER = 3, POKEUSER = 6, ORIG_RAX = 120 };
    if (gm_variant(args) == 1) {
        report->said = CALL(__NR_ptrace, POKEUSER, -1, ORIG_RAX, __NR_getppid);
        return GM_DONE;
    }
    report->live = 1;
    long child = gm_fork();
    if (child < 0) {
        report->said = child;
        return GM_DONE;
    }
    if (child == 0) {
        CALL(__NR_ptrace, TRACEME, 0, 0, 0);
        CALL(__NR_kill, CALL(__NR_getpid), 19 /* SIGSTOP */);
        long said = CALL(__NR_getuid); /* the tracer makes it getpid */
        gm_exit(said == CALL(__NR_getpid) ? 42 : 1);
    }
    gm_wait(child);
    report->said = CALL(__NR_ptrace, SYSCALL, child, 0, 0);
    gm_wait(child);
    if (report->said >= 0)
        report->said = CALL(__NR_ptrace, POKEUSER, child, ORIG_RAX, __NR_getpid);
    if (report->said >= 0)
        report->said = CALL(__NR_ptrace, CONT, child, 0, 0);
    else
        CALL(__NR_kill, child, GM_SIGKILL);
    report->value = gm_wait(child) >> 8; /* 42: another call was made than the filter saw */
    if (report->said >= 0 && report->value != 42)
        report->said = -GM_EPERM;
    return GM_DONE;
}
