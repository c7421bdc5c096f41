/* What a probe of machine code is written with.
 *
 * A probe does one thing from inside and tells what the kernel said; who started it
 * decides. It is a function in probes/GROUP/ID.c (related ones may share a file):
 *
 *   PROBE(sc_io_uring)                      // the id, with _ for -
 *   {
 *       report->said = CALL(__NR_io_uring_setup, 1, 0);
 *       return GM_DONE;
 *   }
 *
 * and a row in probes.toml, whose head says what a row holds. The table of all probes
 * is made from those rows, so a row without a function doesn't link. The same objects
 * become the executable gm-probe, the plugin gm-probe.so and a library for the host
 * of probes.
 *
 * What it is told, each optional (a probe that can't do without returns GM_NEEDS):
 * variant= which action; canary= a file outside with a secret; pid= a process of the
 * same uid; tcp=, udp= ports of listeners on 127.0.0.1; abstract=, unix= sockets that
 * listen; data= a directory to write to; granted= one to read, with `file` in it;
 * pids_max=, memory= limits; self= its own id, where it may not ask for it. Rules:
 *
 * - No libc: only CALL and what this header has. A libc's own calls would blur what
 *   the wall said. Kernel headers (<linux/...>, <asm/...>) are there for the structs.
 * - The harmless form first: an argument that the kernel refuses (EBADF, EFAULT)
 *   after it has let the call in. `reached` of the row lists what that is. Only where
 *   it can't tell the two apart, the live form: then `report->live = 1`.
 * - One action in a process: the first call that is denied ends it. More forms of one
 *   attack are variants: the row says `variants = N`, gm_variant(args) is which.
 *   What is needed on the way must be harmless, and is part of the action.
 * - What it makes it removes; what it can exhaust it stops at twice the limit that it
 *   was told (pids_max=, memory=); nobody but the process pid= is touched.
 * - Unconfined, as an unprivileged uid, it must succeed (`said` is in `reached`), or
 *   probes/vacuous.toml says why it can't: stopping what nobody can do proves nothing.
 */
#ifndef GM_PROBE_H
#define GM_PROBE_H

#include <asm/unistd_64.h>

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

enum {
    GM_DONE = 0,     /* the report is filled */
    GM_UNKNOWN = 64, /* no such probe */
    GM_NEEDS = 65    /* a KEY=VALUE that it can't do without wasn't given */
};

/* The words behind the id, each KEY=VALUE. */
struct gm_args {
    int count;
    char **words;
};

#define GM_SEEN 1024

struct gm_report {
    int live;    /* 0: harmless form */
    long said;   /* what the kernel said: -errno, or 0 and more for ok */
    long value;  /* a number that goes with it; which, says the probe */
    long length; /* bytes that the probe got hold of: printed for the host to search */
    char seen[GM_SEEN];
};

#define PROBE(name)                                                            \
    int gm_probe_##name(const struct gm_args *args, struct gm_report *report); \
    int gm_probe_##name(const struct gm_args *args __attribute__((unused)),    \
                        struct gm_report *report __attribute__((unused)))

/* One action of a probe that has several. */
typedef long gm_action(const struct gm_args *args, struct gm_report *report);

/* The value of a key, or null; as a number, or `otherwise`. */
const char *gm_text(const struct gm_args *args, const char *key);
long gm_number(const struct gm_args *args, const char *key, long otherwise);
static inline long gm_variant(const struct gm_args *args)
{
    return gm_number(args, "variant", 0);
}

/* -- system calls ------------------------------------------------------------- */

static inline long gm_call(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long said;
    __asm__ volatile("syscall"
                     : "=a"(said)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return said;
}

/* Its own id: `self=` where asking for it is denied (a plugin is the first of its
 * namespace, and its first thread), else what the kernel says. */
static inline long gm_own(const struct gm_args *args)
{
    long own = gm_number(args, "self", 0);
    return own ? own : gm_call(__NR_getpid, 0, 0, 0, 0, 0, 0);
}

/* Notes bytes that were read. */
void gm_see(struct gm_report *report, const void *bytes, long length);
/* Reads a file to its beginning and notes what was there; 0, or -errno. */
long gm_see_file(struct gm_report *report, const char *path);
long gm_see_descriptor(struct gm_report *report, int fd);

/* Text without a libc. gm_join and gm_decimal return where the text now ends. */
long gm_length(const char *text);
int gm_same(const char *one, const char *other);
char *gm_join(char *to, const char *text);
char *gm_decimal(char *to, long number);
void gm_zero(void *to, long length);

/* The name of an errno; `ok` for 0. */
const char *gm_errno(long number);

/* The library's only door: writes the report to a descriptor; an exit code. */
int gm_probe_main(int argc, char **argv, int out_fd);
/* The same as text: its length, or less than 0: the exit code, negated. */
#define GM_LINE 8192
long gm_probe_text(int argc, char **argv, char *to);

#define GM_CALL_7(nr, a, b, c, d, e, f, ...)                                 \
    gm_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* A call by number with up to six arguments; absent ones are 0. */
#define CALL(...) GM_CALL_7(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* Errno values and flags that more than one probe uses. */
enum {
    GM_EPERM = 1, GM_ENOENT = 2, GM_ESRCH = 3, GM_EINTR = 4, GM_EBADF = 9,
    GM_EAGAIN = 11, GM_ENOMEM = 12, GM_EACCES = 13, GM_EFAULT = 14, GM_EEXIST = 17,
    GM_EINVAL = 22, GM_EMFILE = 24, GM_ENOSYS = 38, GM_ETIMEDOUT = 110
};
enum {
    GM_AT_FDCWD = -100,
    GM_O_RDONLY = 0, GM_O_WRONLY = 1, GM_O_RDWR = 2, GM_O_CREAT = 0100,
    GM_O_EXCL = 0200, GM_O_TRUNC = 01000, GM_O_NONBLOCK = 04000,
    GM_O_DIRECTORY = 0200000, GM_O_NOFOLLOW = 0400000, GM_O_CLOEXEC = 02000000,
    GM_O_PATH = 010000000,
    GM_SIGCHLD = 17, GM_SIGKILL = 9
};

static inline long gm_open(const char *path, int flags)
{
    return CALL(__NR_openat, GM_AT_FDCWD, path, flags | GM_O_CLOEXEC, 0600);
}

static inline long gm_close(long fd)
{
    return CALL(__NR_close, fd);
}

/* A child as fork makes it: 0 in the child. Only where that is part of the action. */
static inline long gm_fork(void)
{
    return CALL(__NR_clone, GM_SIGCHLD);
}

static inline void __attribute__((noreturn)) gm_exit(int status)
{
    for (;;)
        CALL(__NR_exit_group, status);
}

/* Waits for a child; its wait status, or -errno. */
static inline long gm_wait(long pid)
{
    int status = 0;
    long said;
    do
        said = CALL(__NR_wait4, pid, &status, 0, 0);
    while (said == -GM_EINTR);
    return said < 0 ? said : status;
}

/* Memory of its own, zeroed, or 0. */
static inline void *gm_memory(long length)
{
    long at = CALL(__NR_mmap, 0, length, 3, 0x22, -1, 0);
    return at < 0 && at > -4096 ? 0 : (void *)at;
}

#endif
