/* What bombs of children share: each child waits until its pipe is closed, and is
 * reaped, so that nothing is left whatever the wall allowed. */
#ifndef GM_BOMB_H
#define GM_BOMB_H

#include "probe.h"

/* In the child: until the parent lets go, or dies. */
static inline void __attribute__((noreturn)) gm_held(const int hold[2])
{
    char byte;
    gm_close(hold[1]);
    while (CALL(__NR_read, hold[0], &byte, 1) == -GM_EINTR)
        ;
    gm_exit(0);
}

static inline void gm_let_go(const int hold[2])
{
    gm_close(hold[1]);
    gm_close(hold[0]);
    while (CALL(__NR_wait4, -1, 0, 0, 0) > 0)
        ;
}

/* A task with a stack of its own, in this memory. It ends when `run` returns. */
static inline long gm_task(long flags, void *stack, long size, void (*run)(void *), void *with)
{
    void **top = (void **)((char *)stack + size - 16);
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    long said;
    top[0] = (void *)run;
    top[1] = with;
    __asm__ volatile("syscall\n"
                     "test %%rax, %%rax\n"
                     "jnz 1f\n"
                     "xor %%ebp, %%ebp\n"
                     "pop %%rax\n"
                     "pop %%rdi\n"
                     "call *%%rax\n"
                     "mov $60, %%eax\n"
                     "xor %%edi, %%edi\n"
                     "syscall\n"
                     "1:"
                     : "=a"(said)
                     : "a"((long)__NR_clone), "D"(flags), "S"(top), "d"(0L), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return said;
}

enum {
    GM_STACK = 16384,
    GM_THREAD = 0x50f00,            /* memory, files, signals, one thread group */
    GM_VFORK = 0x4100 | GM_SIGCHLD  /* memory, and the parent waits */
};

#endif
