#include "file.h"

/* A whole program: exit(42). */
static const u8 PROGRAM[] = {
    0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    2, 0, 62, 0, 1, 0, 0, 0, 0x78, 0, 0x40, 0, 0, 0, 0, 0,
    64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0,
    132, 0, 0, 0, 0, 0, 0, 0, 132, 0, 0, 0, 0, 0, 0, 0,
    0, 0x10, 0, 0, 0, 0, 0, 0,
    0xb8, 60, 0, 0, 0, 0xbf, 42, 0, 0, 0, 0x0f, 5,
};

static long executed(const char *path, char *const *words, int fd)
{
    char *none[] = {0};
    if (fd >= 0)
        return CALL(__NR_execveat, fd, "", words, none, 0x1000);
    return CALL(__NR_execve, path, words, none);
}

/* Whether a child that executes it ends with `status`. A plugin may have no child, and
 * that isn't the question: it executes it in its own place. */
static long ran(const struct gm_args *args, const char *path, char *const *words, int fd, int status)
{
    if (gm_number(args, "self", 0))
        return executed(path, words, fd);
    long child = gm_fork();
    if (child == 0) {
        executed(path, words, fd);
        gm_exit(111);
    }
    if (child < 0)
        return child;
    return gm_wait(child) == status << 8 ? 0 : -GM_EACCES;
}

/* Code that it made itself becomes a program. */
PROBE(fs_exec_granted)
{
    char path[GM_PATH];
    char *words[] = {"probe", 0}, *loaded[] = {"ld.so", path, 0};
    long variant = gm_variant(args), fd;
    if (!gm_path(path, args, "data", "/.probe-program"))
        return GM_NEEDS;
    switch (variant) {
    case 0:
        report->said = CALL(__NR_execve, 0, 0, 0);
        return GM_DONE;
    case 1:
        report->said = CALL(__NR_execveat, 9999, "", 0, 0, 0x1000);
        return GM_DONE;
    case 2: /* a program that is no file */
        report->live = 1;
        fd = CALL(__NR_memfd_create, "probe", 1);
        if (fd >= 0 && CALL(__NR_write, fd, PROGRAM, sizeof PROGRAM) >= 0)
            report->said = ran(args, 0, words, (int)fd, 42);
        else
            report->said = fd;
        gm_close(fd);
        return GM_DONE;
    default:
        break;
    }
    report->live = 1;
    fd = CALL(__NR_openat, GM_AT_FDCWD, path, GM_O_WRONLY | GM_O_CREAT | GM_O_TRUNC, 0700);
    if (fd < 0) {
        report->said = fd;
        return GM_DONE;
    }
    if (variant == 4)
        CALL(__NR_write, fd, "#!/bin/sh\nexit 42\n", 18);
    else
        CALL(__NR_write, fd, PROGRAM, sizeof PROGRAM);
    gm_close(fd);
    if (variant == 5) /* the loader maps it, whoever may not execute it */
        report->said = ran(args, "/lib64/ld-linux-x86-64.so.2", loaded, -1, 42);
    else
        report->said = ran(args, path, words, -1, 42);
    gm_unlink(path);
    return GM_DONE;
}

/* Memory that is written and then executed. */
PROBE(fs_wx)
{
    static const u8 RET[] = {0xb8, 7, 0, 0, 0, 0xc3}; /* return 7 */
    long at, fd;
    report->live = 1;
    switch (gm_variant(args)) {
    case 1:
        at = CALL(__NR_mmap, 0, 4096, 3, 0x22, -1, 0);
        for (int n = 0; n < 6; n++)
            ((volatile u8 *)at)[n] = RET[n];
        report->said = CALL(__NR_mprotect, at, 4096, 5);
        break;
    case 2: /* one memory, two mappings */
        fd = report->said = CALL(__NR_memfd_create, "probe", 1);
        if (fd < 0)
            return GM_DONE;
        CALL(__NR_write, fd, RET, sizeof RET);
        at = report->said = CALL(__NR_mmap, 0, 4096, 5, 1, fd, 0);
        gm_close(fd);
        break;
    case 3:
        at = CALL(__NR_mmap, 0, 4096, 3, 0x22, -1, 0);
        for (int n = 0; n < 6; n++)
            ((volatile u8 *)at)[n] = RET[n];
        report->said = CALL(__NR_pkey_mprotect, at, 4096, 5, -1);
        break;
    default:
        at = report->said = CALL(__NR_mmap, 0, 4096, 7, 0x22, -1, 0);
        if (at >= 0)
            for (int n = 0; n < 6; n++)
                ((volatile u8 *)at)[n] = RET[n];
    }
    if (report->said >= 0) {
        report->said = 0;
        report->value = ((long (*)(void))at)();
    }
    return GM_DONE;
}
