/* VARIANTS 6 : what a constructor tries while the plugin is loaded. Who comes through
 * keeps what was said, and the command `probe` answers it. */
#include "gm_native.h"
#include "probe.h"

static long said;

__attribute__((constructor)) static void construct(void)
{
    u64 action[4] = {1, 0, 0, 0};
#if VARIANT == 0
    said = CALL(__NR_socket, 2, 1, 0);
#elif VARIANT == 1
    said = CALL(__NR_rt_sigaction, 31, action, 0, 8);
#elif VARIANT == 2
    said = CALL(__NR_mmap, 0, 4096, 7, 0x22, -1, 0);
#elif VARIANT == 3
    said = CALL(__NR_clone, GM_SIGCHLD, 0, 0, 0, 0);
    if (said == 0)
        gm_exit(0);
    if (said > 0)
        gm_wait(said);
#elif VARIANT == 4
    said = CALL(__NR_execve, 0, 0, 0);
#else
    said = CALL(__NR_unshare, 0x10000000);
#endif
    (void)action;
}

#include "answer.h"
