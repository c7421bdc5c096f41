/* VARIANTS 2 : constructors that never return: by work, and by waiting for a read. */
#include "gm_native.h"
#include "probe.h"

static long said;

__attribute__((constructor)) static void construct(void)
{
#if VARIANT == 0
    for (;;)
        __asm__ volatile("pause");
#else
    char byte;
    for (;;)
        said = CALL(__NR_read, 9999, &byte, 1);
#endif
}

#include "answer.h"
