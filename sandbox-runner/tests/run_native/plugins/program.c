/* A program that answers each line; the word behind "do" says how. */
#include "attack.h"
#include <stdio.h>
#include <sys/wait.h>

#define EMIT                                                                   \
  "{\"host\":\"event_emit\",\"args\":{\"topic\":\"t\",\"data\":{}},"               \
  "\"id\":8}"

static char line[2 << 20];

static long number(const char *key) {
  const char *at = strstr(line, key);
  return at ? atol(at + strlen(key)) : 0;
}

static void ask(const char *question) {
  printf("%s\n", question);
  fflush(stdout);
}

int main(void) {
  int lingers = 0;
#ifdef AT_START
  attack(AT_START);
#endif
  while (fgets(line, sizeof line, stdin)) {
    long call = number("\"call\":");
    char what[64] = "";
    const char *at = strstr(line, "\"do\":\"");
    if (at)
      sscanf(at, "\"do\":\"%63[^\"]", what);
    if (!what[0])
      printf("{\"call\":%ld,\"reply\":null}\n", call);
    else if (!strcmp(what, "reply"))
      printf("{\"call\":%ld,\"reply\":{\"hello\":true}}\n", call);
    else if (!strcmp(what, "error"))
      printf("{\"call\":%ld,\"error\":\"not today\"}\n", call);
    else if (!strcmp(what, "length"))
      printf("{\"call\":%ld,\"reply\":{\"bytes\":%zu}}\n", call, strlen(line));
    else if (!strcmp(what, "host")) {
      ask("{\"host\":\"node_get\",\"args\":{\"id\":\"file:a\"},\"id\":7}");
      if (!fgets(line, sizeof line, stdin))
        return 3;
      line[strcspn(line, "\n")] = 0;
      printf("{\"call\":%ld,\"reply\":{\"got\":%s}}\n", call, line);
    } else if (!strcmp(what, "many")) {
      for (int n = 0; n < 1000; n++)
        printf("{\"host\":\"log\",\"args\":{\"level\":\"info\",\"text\":\"%d\"},"
               "\"id\":%d}\n",
               n, n);
      fflush(stdout);
      for (int n = 0; n < 1000; n++)
        if (!fgets(line, sizeof line, stdin))
          return 3;
      printf("{\"call\":%ld,\"reply\":{\"lines\":1000}}\n", call);
    } else if (!strcmp(what, "unread")) {
      /* Asks for more than is kept for who doesn't read. */
      for (int n = 0; n < 200000; n++)
        printf("{\"host\":\"asset_read\",\"args\":{\"name\":\"none\"},"
               "\"id\":%d}\n",
               n);
      printf("{\"call\":%ld,\"reply\":null}\n", call);
    } else if (!strcmp(what, "stderr")) {
      fprintf(stderr, "one line\nand another\n");
      printf("{\"call\":%ld,\"reply\":null}\n", call);
    } else if (!strcmp(what, "asset")) {
      FILE *file = fopen("/assets/lists/words.txt", "r");
      char text[64] = "";
      if (file)
        text[fread(text, 1, sizeof text - 1, file)] = 0;
      printf("{\"call\":%ld,\"reply\":{\"text\":%s}}\n", call, text);
    } else if (!strcmp(what, "child")) {
      int status = -1;
      pid_t child = fork();
      if (child == 0)
        _exit(5);
      waitpid(child, &status, 0);
      printf("{\"call\":%ld,\"reply\":{\"status\":%d}}\n", call,
             WEXITSTATUS(status));
    } else if (!strcmp(what, "hungry-child")) {
      int status = -1;
      pid_t child = fork();
      if (child == 0)
        _exit(attack("memory"));
      waitpid(child, &status, 0);
      printf("{\"call\":%ld,\"reply\":{\"signal\":%d}}\n", call,
             WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    } else if (!strcmp(what, "linger")) {
      lingers = 1;
      printf("{\"call\":%ld,\"reply\":null}\n", call);
    } else if (!strcmp(what, "orphans")) {
      /* Each leaves a process to the first of the namespace. */
      for (int n = 0; n < 40; n++) {
        pid_t child = fork();
        if (child == 0)
          _exit(fork() > 0 ? 0 : 0);
        if (child < 0 || waitpid(child, NULL, 0) < 0) {
          n--;
          usleep(20000);
        }
      }
      printf("{\"call\":%ld,\"reply\":null}\n", call);
    } else if (!strcmp(what, "bomb")) {
      for (;;)
        if (fork() < 0)
          return 4;
    } else if (!strcmp(what, "patient-bomb")) {
      for (;;)
        fork();
    } else if (!strcmp(what, "not-json"))
      printf("hello\n");
    else if (!strcmp(what, "out-of-turn"))
      printf("{\"call\":%ld,\"reply\":null}\n", call + 1);
    else if (!strcmp(what, "emit")) {
      ask(EMIT);
      if (!fgets(line, sizeof line, stdin))
        return 3;
      printf("{\"call\":%ld,\"reply\":null}\n", call);
    } else if (!strcmp(what, "emit-ahead"))
      /* In the name of the next event. */
      printf("{\"call\":%ld,\"reply\":null}\n" EMIT "\n", call);
    else if (!strcmp(what, "reply-ahead"))
      printf("{\"call\":%ld,\"reply\":null}\n"
             "{\"call\":%ld,\"reply\":{\"blind\":true}}\n",
             call, call + 1);
    else if (!strcmp(what, "begun-ahead"))
      printf("{\"call\":%ld,\"reply\":null}\n{", call);
    else if (!strcmp(what, "long-line")) {
      memset(line, 'x', sizeof line - 1);
      printf("%s\n", line);
    } else if (!strcmp(what, "deaf")) {
      fclose(stdin);
      close(0);
      printf("{\"call\":%ld,\"reply\":null}\n", call);
      fflush(stdout);
      for (;;)
        sleep(1);
    } else
      printf("{\"call\":%ld,\"reply\":{\"errno\":%d}}\n", call, attack(what));
    fflush(stdout);
  }
  while (lingers)
    sleep(1);
  return 0;
}
