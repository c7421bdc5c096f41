/* Starts a program behind a filter of somebody else's, as containers do:
 *
 *     behind CALL=ERRNO... -- PROGRAM ARGUMENTS...
 *
 * CALL is a name below; `newuser` is clone(2) and unshare(2) with CLONE_NEWUSER. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 64

static struct sock_filter program[MOST];
static unsigned short length;

static void add(unsigned short code, unsigned char jt, unsigned char jf, unsigned int k)
{
    if (length < MOST)
        program[length++] = (struct sock_filter){code, jt, jf, k};
}

static void refuse(unsigned int number, int error)
{
    add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number);
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (unsigned int)error);
}

static void refuse_flag(unsigned int number, unsigned int flag, int error)
{
    add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, number);
    add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args[0]));
    add(BPF_JMP | BPF_JSET | BPF_K, 0, 1, flag);
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (unsigned int)error);
}

static int rule(const char *word)
{
    const char *at = strchr(word, '=');
    if (!at)
        return -1;
    int error = strcmp(at + 1, "ENOSYS") == 0 ? ENOSYS : EPERM;
    size_t name = (size_t)(at - word);
#define IS(text) (name == strlen(text) && strncmp(word, text, name) == 0)
    if (IS("clone3"))
        refuse(SYS_clone3, error);
    else if (IS("landlock"))
        refuse(444, error); /* landlock_create_ruleset */
    else if (IS("seccomp"))
        refuse(SYS_seccomp, error);
    else if (IS("newuser")) {
        refuse_flag(SYS_clone, CLONE_NEWUSER, error);
        refuse_flag(SYS_unshare, CLONE_NEWUSER, error);
    } else
        return -1;
    return 0;
}

int main(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (rule(argv[i])) {
            fprintf(stderr, "behind: %s?\n", argv[i]);
            return 2;
        }
    if (i + 1 >= argc)
        return 2;
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    struct sock_fprog prog = {.len = length, .filter = program};
    /* Not by seccomp(2), which may be among those that are refused from here on. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
        perror("behind");
        return 2;
    }
    execv(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 127;
}
