/* Honest acts: each makes one call that a policy lets through, and tells whether it did
 * what it is there for. What allows less than the policy must change one of them. A C
 * library makes some of these calls only on other machines (a clock without a vDSO),
 * so the engines with honest code don't show all. The order is that of PERMITTED in
 * src/probes.rs. */
#include "probe.h"

enum { PAGE = 4096, SIGUSR1 = 10, SA_RESTORER = 0x04000000, DONTNEED = 4 };

static long clock_goes_on(void)
{
    long one[2] = {-1, -1}, other[2] = {-1, -1};
    long said = CALL(__NR_clock_gettime, 1, one);
    if (said == 0)
        said = CALL(__NR_clock_gettime, 1, other);
    if (said == 0 && (one[0] < 0 || other[0] < one[0]))
        said = -GM_EINVAL;
    return said;
}

static long day_is_known(void)
{
    long now[2] = {0, 0};
    long said = CALL(__NR_gettimeofday, now, 0);
    return said == 0 && now[0] <= 0 ? -GM_EINVAL : said;
}

static long bytes_are_random(void)
{
    u8 bytes[16];
    long said = CALL(__NR_getrandom, bytes, sizeof bytes, 0);
    return said == sizeof bytes ? 0 : said < 0 ? said : -GM_EINVAL;
}

/* A struct stat has 144 bytes. */
static long descriptor_is_asked(void)
{
    u8 stat[256];
    return CALL(__NR_fstat, 1, stat);
}

static long path_is_asked(void)
{
    u8 stat[256];
    return CALL(__NR_newfstatat, GM_AT_FDCWD, "/", stat, 0);
}

static long memory_is_given_back(void)
{
    u8 *page = gm_memory(PAGE);
    return page ? CALL(__NR_munmap, page, PAGE) : -GM_ENOMEM;
}

static long memory_is_emptied(void)
{
    volatile u8 *page = gm_memory(PAGE);
    if (!page)
        return -GM_ENOMEM;
    page[0] = 1;
    long said = CALL(__NR_madvise, page, PAGE, DONTNEED);
    return said == 0 && page[0] != 0 ? -GM_EINVAL : said;
}

/* Where it is refused with an errno, it must be that: an allocator goes on with mmap. */
static long heap_grows(void)
{
    long end = CALL(__NR_brk, 0);
    if (end < 0)
        return end;
    return CALL(__NR_brk, end + PAGE) == end + PAGE ? 0 : -GM_ENOMEM;
}

static long place_is_asked(void)
{
    return CALL(__NR_lseek, 0, 0, 1);
}

static long input_is_read(void)
{
    u8 one[1], other[1];
    struct {
        void *at;
        u64 length;
    } parts[2] = {{one, 1}, {other, 1}};
    return CALL(__NR_readv, 0, parts, 2);
}

static long nothing_is_written(void)
{
    struct {
        const void *at;
        u64 length;
    } parts[2] = {{"", 0}, {"", 0}};
    return CALL(__NR_writev, 1, parts, 2);
}

static long own_number(void)
{
    long own = CALL(__NR_getpid);
    return own > 0 ? 0 : own;
}

/* To itself: nobody else is in its namespace. */
static long thread_is_signalled(void)
{
    long own = CALL(__NR_getpid);
    return own < 0 ? own : CALL(__NR_tgkill, own, own, 0);
}

static volatile int handled;

static void handler(int signal __attribute__((unused)))
{
    handled = 1;
}

__asm__(".pushsection .text\n"
        ".type gm_permitted_return, @function\n"
        "gm_permitted_return:\n"
        "    mov $15, %eax\n" /* rt_sigreturn */
        "    syscall\n"
        ".size gm_permitted_return, . - gm_permitted_return\n"
        ".popsection\n");
__attribute__((visibility("hidden"))) void gm_permitted_return(void);

static long handler_returns(void)
{
    struct {
        void (*handler)(int);
        u64 flags;
        void (*restorer)(void);
        u64 mask;
    } action = {handler, SA_RESTORER, gm_permitted_return, 0};
    long said = CALL(__NR_rt_sigaction, SIGUSR1, &action, 0, 8);
    long own = CALL(__NR_getpid);
    if (said == 0)
        said = CALL(__NR_tgkill, own, own, SIGUSR1);
    return said == 0 && !handled ? -GM_EINVAL : said;
}

static long thread_ends(void)
{
    return CALL(__NR_exit, 0);
}

PROBE(t_permitted)
{
    static long (*const ACTS[])(void) = {
        clock_goes_on,      day_is_known,        bytes_are_random, descriptor_is_asked,
        path_is_asked,      memory_is_given_back, memory_is_emptied, heap_grows,
        place_is_asked,     input_is_read,       nothing_is_written, own_number,
        thread_is_signalled, handler_returns,    thread_ends,
    };
    long act = gm_variant(args);
    if (act < 0 || act >= (long)(sizeof ACTS / sizeof *ACTS))
        return GM_NEEDS;
    report->live = 1;
    report->said = ACTS[act]();
    return GM_DONE;
}
