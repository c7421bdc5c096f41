#include "bomb.h"

static volatile int over;
static volatile long running;

static void wait_until_over(void *with)
{
    const long time[2] = {0, 5000000};
    (void)with;
    while (!over)
        CALL(__NR_nanosleep, time, 0);
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
}

/* Threads until no more are made, or twice the limit. */
PROBE(rb_threads)
{
    long most = 2 * gm_number(args, "pids_max", 64), made = 0, said = 0;
    const long time[2] = {0, 1000000};
    char *stacks = gm_memory(most * GM_STACK);
    report->live = 1;
    if (!stacks) {
        report->said = -GM_ENOMEM;
        return GM_DONE;
    }
    while (made < most) {
        __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
        said = gm_task(GM_THREAD, stacks + made * GM_STACK, GM_STACK, wait_until_over, 0);
        if (said < 0) {
            __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
            break;
        }
        made++;
    }
    over = 1;
    while (running > 0)
        CALL(__NR_nanosleep, time, 0);
    report->value = made;
    report->said = made < most ? said : 0;
    return GM_DONE;
}

struct chain {
    char *stacks;
    long most;
    volatile long made, said;
};

/* Each link waits for the next, which it made. */
static void link_of_chain(void *with)
{
    struct chain *chain = with;
    if (chain->made >= chain->most)
        return;
    long said = gm_task(GM_VFORK, chain->stacks + chain->made++ * GM_STACK, GM_STACK,
                        link_of_chain, chain);
    if (said < 0) {
        chain->made--;
        chain->said = said;
    } else {
        gm_wait(said);
    }
}

/* A chain of processes that all have one memory and all wait. */
PROBE(rb_clone_vm)
{
    struct chain chain = {0, 2 * gm_number(args, "pids_max", 64), 0, 0};
    report->live = 1;
    chain.stacks = gm_memory(chain.most * GM_STACK);
    if (!chain.stacks) {
        report->said = -GM_ENOMEM;
        return GM_DONE;
    }
    link_of_chain(&chain);
    report->value = chain.made;
    report->said = chain.said;
    return GM_DONE;
}

static void spin(void *with)
{
    volatile u64 *count = with;
    for (u64 n = 0; n < 1500000000UL; n++)
        __asm__ volatile("" ::: "memory");
    *count += 1;
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
}

/* Work for some seconds: alone, and as four threads. */
PROBE(rb_cpu)
{
    volatile u64 done = 0;
    long threads = gm_variant(args) == 1 ? 4 : 0;
    char *stacks = threads ? gm_memory(threads * GM_STACK) : 0;
    report->live = 1;
    for (long n = 0; n < threads && stacks; n++) {
        __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
        long said = gm_task(GM_THREAD, stacks + n * GM_STACK, GM_STACK, spin, (void *)&done);
        if (said < 0) {
            __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
            report->said = said;
        }
    }
    __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
    spin((void *)&done);
    while (running > 0)
        __asm__ volatile("pause");
    report->value = (long)done;
    return GM_DONE;
}

/* One byte to and fro between two processes; yielding without end; waking nobody. */
PROBE(rb_ctxsw)
{
    enum { ROUNDS = 100000 };
    int there[2], back[2], word = 0;
    char byte = 'x';
    report->live = 1;
    if (gm_variant(args) == 0) {
        for (long n = 0; n < 5 * ROUNDS && report->said >= 0; n++, report->value++)
            report->said = CALL(__NR_sched_yield);
        return GM_DONE;
    }
    if (gm_variant(args) == 2) {
        for (long n = 0; n < 5 * ROUNDS && report->said >= 0; n++, report->value++)
            report->said = CALL(__NR_futex, &word, 129 /* WAKE, private */, 1, 0, 0, 0);
        return GM_DONE;
    }
    if ((report->said = CALL(__NR_pipe2, there, 0)) < 0)
        return GM_DONE;
    if ((report->said = CALL(__NR_pipe2, back, 0)) < 0)
        return GM_DONE;
    long child = report->said = gm_fork();
    if (child < 0)
        return GM_DONE;
    if (child == 0) {
        gm_close(there[1]);
        while (CALL(__NR_read, there[0], &byte, 1) == 1)
            CALL(__NR_write, back[1], &byte, 1);
        gm_exit(0);
    }
    for (; report->value < ROUNDS; report->value++) {
        CALL(__NR_write, there[1], &byte, 1);
        if (CALL(__NR_read, back[0], &byte, 1) != 1)
            break;
    }
    gm_close(there[1]);
    gm_wait(child);
    return GM_DONE;
}

/* Goes to sleep and doesn't wake up. The last form needs no call at all. */
PROBE(rb_sleep)
{
    const long day[2] = {86400, 0};
    int word = 0;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_pause);
        break;
    case 2:
        report->said = CALL(__NR_futex, &word, 128, 0, 0, 0, 0);
        break;
    case 3:
        report->said = CALL(__NR_poll, 0, 0, -1);
        break;
    case 4:
        for (;;)
            __asm__ volatile("pause");
    default:
        report->said = CALL(__NR_nanosleep, day, 0);
    }
    return GM_DONE;
}

PROBE(rb_stop)
{
    report->live = 1;
    report->said = CALL(__NR_tgkill, gm_own(args), gm_own(args), 19 /* SIGSTOP */);
    return GM_DONE;
}

/* Deaf to what asks it to end. */
PROBE(rb_sigignore)
{
    u64 action[4] = {1, 0, 0, 0};
    report->live = 1;
    report->said = CALL(__NR_rt_sigaction, 15, action, 0, 8);
    if (report->said < 0)
        return GM_DONE;
    for (;;)
        __asm__ volatile("pause");
}

/* Before all others on the processor. */
PROBE(rb_rt)
{
    int priority = 1;
    u64 mask = 1;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        report->said = CALL(__NR_setpriority, 0, 0, -20);
        break;
    case 2: /* IOPRIO_CLASS_RT */
        report->said = CALL(__NR_ioprio_set, 1, 0, 1 << 13);
        break;
    case 3:
        report->said = CALL(__NR_sched_setaffinity, 0, sizeof mask, &mask);
        break;
    case 4: /* SCHED_BATCH, priority 0 */
        priority = 0;
        report->said = CALL(__NR_sched_setscheduler, 0, 3, &priority);
        break;
    case 5:
        report->live = 0;
        report->said = CALL(__NR_sched_setattr, 0, 0, 0);
        break;
    default: /* SCHED_FIFO */
        report->said = CALL(__NR_sched_setscheduler, 0, 1, &priority);
    }
    return GM_DONE;
}
