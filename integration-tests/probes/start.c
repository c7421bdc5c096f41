/* The executable: gm-probe ID [KEY=VALUE]... Static and without a libc, so that what
 * the probe does is all that the process does.
 *
 * `in=userns` is taken here: root in a user namespace of its own, with further
 * namespaces below it, for the control of what only such a root can do. */
#include "probe.h"

/* The compiler may ask for these even without a libc. */
void *memcpy(void *to, const void *from, u64 length);
void *memset(void *to, int value, u64 length);

void *memcpy(void *to, const void *from, u64 length)
{
    volatile u8 *at = to;
    const u8 *source = from;
    while (length--)
        *at++ = *source++;
    return to;
}

void *memset(void *to, int value, u64 length)
{
    volatile u8 *at = to;
    while (length--)
        *at++ = (u8)value;
    return to;
}

static long write_file(const char *path, const char *text)
{
    long fd = gm_open(path, GM_O_WRONLY);
    if (fd < 0)
        return fd;
    long said = CALL(__NR_write, fd, text, gm_length(text));
    gm_close(fd);
    return said;
}

static char *mapping(char *to, long id)
{
    gm_join(gm_decimal(gm_join(to, "0 "), id), " 1");
    return to;
}

/* User, mount, UTS, IPC and network namespaces, with its own id as 0. */
static long become_root_in_userns(void)
{
    char text[64];
    long uid = CALL(__NR_geteuid), gid = CALL(__NR_getegid);
    long said = CALL(__NR_unshare, 0x10000000 | 0x00020000 | 0x04000000 | 0x08000000 | 0x40000000);
    if (said < 0)
        return said;
    if ((said = write_file("/proc/self/setgroups", "deny")) < 0)
        return said;
    if ((said = write_file("/proc/self/uid_map", mapping(text, uid))) < 0)
        return said;
    return write_file("/proc/self/gid_map", mapping(text, gid));
}

__attribute__((used, noreturn)) void gm_begin(long *stack)
{
    int argc = (int)stack[0];
    char **argv = (char **)(stack + 1);
    if (argc < 1)
        gm_exit(GM_UNKNOWN);
    struct gm_args args = {argc - 1, argv + 1};
    const char *in = gm_text(&args, "in");
    if (in && gm_same(in, "userns") && become_root_in_userns() < 0)
        gm_exit(71); /* EX_OSERR: no control can be run */
    gm_exit(gm_probe_main(argc - 1, argv + 1, 1));
}

__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "  xor %ebp, %ebp\n"
        "  mov %rsp, %rdi\n"
        "  and $-16, %rsp\n"
        "  call gm_begin\n"
        "  hlt\n");
