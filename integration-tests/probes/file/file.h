/* Paths of the probes of files. */
#ifndef GM_FILE_H
#define GM_FILE_H

#include "probe.h"

enum { GM_PATH = 4200 };

/* The value of `key`, a path, with `name` behind it; 0 if it wasn't given. */
static inline int gm_path(char *to, const struct gm_args *args, const char *key, const char *name)
{
    const char *path = gm_text(args, key);
    if (!path || gm_length(path) > GM_PATH - 100)
        return 0;
    gm_join(gm_join(to, path), name);
    return 1;
}

static inline void gm_unlink(const char *path)
{
    CALL(__NR_unlinkat, GM_AT_FDCWD, path, 0);
}

#endif
