#include "bomb.h"

/* Children until no more are made, or twice the limit. */
PROBE(rb_fork)
{
    long most = 2 * gm_number(args, "pids_max", 64), made = 0, said = 0;
    int hold[2];
    report->live = 1;
    if ((report->said = CALL(__NR_pipe2, hold, 0)) < 0)
        return GM_DONE;
    while (made < most) {
        said = gm_fork();
        if (said < 0)
            break;
        if (said == 0)
            gm_held(hold);
        made++;
    }
    gm_let_go(hold);
    report->value = made;
    report->said = made < most ? said : 0;
    return GM_DONE;
}
