/* One attempt of each kind, by name; whether it was let through. */
#ifndef ATTACK_H
#define ATTACK_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void ignore(int signal) { (void)signal; }

static int eat_stack(volatile char *up) {
  volatile char here[4096];
  here[0] = up ? up[0] : 1;
  return eat_stack(here) + here[0];
}

/* 0 = it was made; else its errno; -1 = there is no such attempt. */
static int attack(const char *what) {
  long done = 0;
  errno = 0;
  if (!strcmp(what, "open"))
    done = open("/etc/passwd", O_RDONLY);
  else if (!strcmp(what, "open-quietly"))
    done = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
  else if (!strcmp(what, "open-to-write"))
    done = open("/assets/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  else if (!strcmp(what, "connect")) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = 80};
    done = fd < 0 ? fd : connect(fd, (struct sockaddr *)&to, sizeof to);
  } else if (!strcmp(what, "fork"))
    done = fork();
  else if (!strcmp(what, "vfork"))
    done = syscall(SYS_vfork);
  else if (!strcmp(what, "thread"))
    done = syscall(SYS_clone, 0x3d0f00, 0, 0, 0, 0);
  else if (!strcmp(what, "exec")) {
    char *argv[] = {"/bin/true", NULL};
    done = execve(argv[0], argv, argv + 1);
  } else if (!strcmp(what, "exec-again")) {
    char *argv[] = {"/code", NULL};
    done = syscall(SYS_execveat, 63, "", argv, argv + 1, AT_EMPTY_PATH);
  } else if (!strcmp(what, "exec-by-path")) {
    char *argv[] = {"/code", NULL};
    done = syscall(SYS_execveat, 63, "/assets/program", argv, argv + 1,
                   AT_EMPTY_PATH);
  } else if (!strcmp(what, "handler"))
    done = signal(SIGSYS, ignore) == SIG_ERR ? -1 : 0;
  else if (!strcmp(what, "kill"))
    done = kill(1, SIGKILL);
  else if (!strcmp(what, "strike")) {
    for (int number = 1; number < 65; number++)
      syscall(SYS_tgkill, 1, 1, number);
  } else if (!strcmp(what, "ptrace"))
    done = ptrace(PTRACE_TRACEME, 0, 0, 0);
  else if (!strcmp(what, "unshare"))
    done = unshare(CLONE_NEWUSER);
  else if (!strcmp(what, "memfd"))
    done = memfd_create("x", 0);
  else if (!strcmp(what, "prctl"))
    done = prctl(PR_SET_DUMPABLE, 1);
  else if (!strcmp(what, "map-code"))
    done = (long)mmap(NULL, 4096, PROT_READ | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  else if (!strcmp(what, "protect-code"))
    done = mprotect((void *)((uintptr_t)&attack & ~4095ul), 4096,
                    PROT_READ | PROT_WRITE | PROT_EXEC);
  else if (!strcmp(what, "io_uring"))
    done = syscall(SYS_io_uring_setup, 1, NULL);
  else if (!strcmp(what, "spin"))
    for (;;)
      __asm__ volatile("");
  else if (!strcmp(what, "memory")) {
    for (;;) {
      char *piece = malloc(1 << 20);
      if (!piece)
        return ENOMEM;
      memset(piece, 1, 1 << 20);
    }
  } else if (!strcmp(what, "stack"))
    return eat_stack(NULL);
  else if (!strcmp(what, "segv"))
    *(volatile int *)8 = 1;
  else if (!strcmp(what, "abort"))
    abort();
  else if (!strcmp(what, "exit"))
    _exit(7);
  else
    return -1;
  return done == -1 ? errno : 0;
}
#endif
