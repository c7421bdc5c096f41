/* VARIANTS 3 : files that a constructor opens: one of the host's, its own memory, the
 * broker's directory through the root. */
#include "gm_native.h"
#include "probe.h"

static long said;

__attribute__((constructor)) static void construct(void)
{
#if VARIANT == 0
    said = gm_open("/etc/passwd", GM_O_RDONLY);
#elif VARIANT == 1
    said = gm_open("/proc/self/maps", GM_O_RDONLY);
#else
    said = gm_open("/", GM_O_RDONLY);
#endif
}

#include "answer.h"
