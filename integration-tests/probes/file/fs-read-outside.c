#include "probe.h"

enum { PLAIN, DOTS, LINK, SELF_ROOT, REOPENED };

/* A file of the host's, by five names. */
PROBE(fs_read_outside)
{
    const char *canary = gm_text(args, "canary");
    const char *data = gm_text(args, "data");
    char path[4200];
    if (!canary || gm_length(canary) > 4000)
        return GM_NEEDS;
    report->live = 1;
    long fd;
    switch (gm_variant(args)) {
    case DOTS:
        gm_join(gm_join(path, "/proc/../tmp/../../../.."), canary);
        fd = gm_open(path, GM_O_RDONLY);
        if (fd == -GM_ENOENT) { /* where no /proc is to go through */
            gm_join(gm_join(path, "../../../../../../../.."), canary);
            fd = gm_open(path, GM_O_RDONLY);
        }
        break;
    case LINK:
        if (!data || gm_length(data) > 100)
            return GM_NEEDS;
        gm_join(gm_join(path, data), "/.probe-link");
        fd = CALL(__NR_symlink, canary, path);
        if (fd < 0)
            break;
        fd = gm_open(path, GM_O_RDONLY);
        CALL(__NR_unlink, path);
        break;
    case SELF_ROOT:
        gm_join(gm_join(path, "/proc/self/root"), canary);
        fd = gm_open(path, GM_O_RDONLY);
        break;
    case REOPENED:
        fd = gm_open(canary, GM_O_PATH);
        if (fd < 0)
            break;
        gm_decimal(gm_join(path, "/proc/self/fd/"), fd);
        fd = gm_open(path, GM_O_RDONLY);
        break;
    default:
        fd = gm_open(canary, GM_O_RDONLY);
    }
    report->said = fd < 0 ? fd : gm_see_descriptor(report, (int)fd);
    report->value = report->length;
    return GM_DONE;
}
