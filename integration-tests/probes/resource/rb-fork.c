#include "bomb.h"

/* Children until no more are made, or twice the limit. */
PROBE(rb_fork)
{
    long most = 2 * gm_number(args, "pids_max", 64), made = 0, said = 0;
    int hold[2], in_a_plugin = gm_number(args, "self", 0) != 0;
    report->live = 1;
    /* A plugin may have no pipe either, and that isn't the question. */
    if (!in_a_plugin && (report->said = CALL(__NR_pipe2, hold, 0)) < 0)
        return GM_DONE;
    while (made < most) {
        said = gm_fork();
        if (said < 0)
            break;
        if (said == 0 && in_a_plugin)
            gm_exit(0);
        if (said == 0)
            gm_held(hold);
        made++;
    }
    if (!in_a_plugin)
        gm_let_go(hold);
    report->value = made;
    report->said = made < most ? said : 0;
    return GM_DONE;
}
