/* What bombs of children share: each child waits until its pipe is closed, and is
 * reaped, so that nothing is left whatever the wall allowed. */
#ifndef GM_BOMB_H
#define GM_BOMB_H

#include "probe.h"

/* In the child: until the parent lets go, or dies. */
static inline void __attribute__((noreturn)) gm_held(const int hold[2])
{
    char byte;
    gm_close(hold[1]);
    while (CALL(__NR_read, hold[0], &byte, 1) == -GM_EINTR)
        ;
    gm_exit(0);
}

static inline void gm_let_go(const int hold[2])
{
    gm_close(hold[1]);
    gm_close(hold[0]);
    while (CALL(__NR_wait4, -1, 0, 0, 0) > 0)
        ;
}

#endif
