/* A plugin that does what the document says: {"do":"..."}. With CONSTRUCTOR it
   does that while it is loaded. */
#include "attack.h"
#include "plugin.h"
#include <stdio.h>

#ifndef VERSION
#define VERSION 2
#endif
#ifndef SIZE
#define SIZE sizeof(gm_plugin_v2_t)
#endif
#ifndef SYMBOL
#define SYMBOL gm_plugin_v2
#endif

static const gm_host_v2_t *host;
static char init_document[256];
static int calls;

#ifdef CONSTRUCTOR
__attribute__((constructor)) static void construct(void) {
  if (attack(CONSTRUCTOR) == 0)
    _exit(99);
}
#endif

static int32_t say(uint8_t **out, size_t *len, const char *text) {
  *out = (uint8_t *)strdup(text);
  *len = strlen(text);
  return 0;
}

static int64_t ask(const char *name, const char *a, const char *b, int64_t x,
                   int64_t y) {
  return host->call(host->ctx, name, (const uint8_t *)a, strlen(a),
                    (const uint8_t *)b, strlen(b), x, y);
}

static int32_t init(const gm_host_v2_t *given, void **state) {
  host = given;
  *state = &calls;
  if (host->version != 2 || host->size < sizeof *host)
    return 1;
  size_t len = host->result(host->ctx, (uint8_t *)init_document,
                            sizeof init_document - 1);
  init_document[len] = 0;
#ifdef INIT_FAILS
  ask("fail", "no lamp", "", 0, 0);
  return 3;
#endif
  return 0;
}

static int32_t call(void *state, const char *hook, const uint8_t *in,
                    size_t len, uint8_t **out, size_t *out_len) {
  char what[256] = "", text[4096];
  char *document = strndup((const char *)in, len);
  const char *at = strstr(document, "\"do\":\"");
  if (at)
    sscanf(at, "\"do\":\"%255[^\"]", what);
  free(document);
  ++*(int *)state;
  if (!strcmp(hook, "shutdown")) {
    snprintf(text, sizeof text, "{\"report\":\"%d calls\"}", calls);
    return say(out, out_len, text);
  }
  if (!what[0])
    return 0;
  if (!strcmp(what, "reply"))
    return say(out, out_len, "{\"hello\":true}");
  if (!strcmp(what, "echo")) {
    *out = malloc(len);
    memcpy(*out, in, len);
    *out_len = len;
    return 0;
  }
  if (!strcmp(what, "say-by-name"))
    return (int32_t)ask("reply", "{\"by\":\"name\"}", "", 0, 0);
  if (!strcmp(what, "not-json"))
    return say(out, out_len, "hello");
  if (!strcmp(what, "too-long")) {
    *out_len = 2 << 20;
    *out = calloc(1, *out_len);
    return 0;
  }
  if (!strcmp(what, "error")) {
    say(out, out_len, "not today");
    return 5;
  }
  if (!strcmp(what, "init-document"))
    return say(out, out_len, init_document);
  if (!strcmp(what, "print")) {
    printf("into nothing\n");
    return fflush(stdout);
  }
  if (!strcmp(what, "reallocate")) {
    char *piece = malloc(1 << 20);
    memset(piece, 7, 1 << 20);
    piece = realloc(piece, 3 << 20);
    int kept = piece && piece[(1 << 20) - 1] == 7;
    free(piece);
    return kept ? 0 : 9;
  }
  if (!strcmp(what, "fill")) {
    for (int n = 0; n < 64; n++)
      if (!malloc(64 << 10))
        return 9;
    return 0;
  }
  if (!strcmp(what, "asset")) {
    FILE *file = fopen("/assets/lists/words.txt", "re");
    size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[got] = 0;
    if (file)
      fclose(file);
    return say(out, out_len, text);
  }
  if (!strcmp(what, "grant")) {
    FILE *file = fopen("/grant/0", "r");
    text[file ? fread(text, 1, sizeof text - 1, file) : 0] = 0;
    if (file)
      fclose(file);
    return say(out, out_len, text);
  }
  if (!strncmp(what, "read:", 5)) {
    int64_t got = ask("file_read", what + 5, "", 0, 1000);
    if (got < 0)
      return (int32_t)got;
    host->result(host->ctx, (uint8_t *)text, sizeof text);
    text[got] = 0;
    return say(out, out_len, text);
  }
  if (!strncmp(what, "host:", 5)) {
    const char *name = what + 5;
    int64_t status = -99;
    if (!strcmp(name, "log"))
      status = ask("log", "a line", "", 3, 0);
    else if (!strcmp(name, "event_emit"))
      status = ask("event_emit", "topic", "{\"n\":1}", 0, 0);
    else if (!strcmp(name, "asset_read"))
      status = ask("asset_read", "lists/words.txt", "", 1, 3);
    else if (!strcmp(name, "file_read"))
      status = ask("file_read", "/etc/passwd", "", 0, 10);
    else if (!strcmp(name, "bad-level"))
      status = ask("log", "a line", "", 9, 0);
    else
      status = ask(name, "file:a", "", 0, 0);
    uint8_t result[512];
    size_t got = host->result(host->ctx, result, sizeof result);
    for (size_t n = 0; n < got; n++)
      if (result[n] == '"')
        result[n] = '\'';
    snprintf(text, sizeof text, "{\"status\":%lld,\"result\":\"%.*s\"}",
             (long long)status, (int)got, result);
    return say(out, out_len, text);
  }
  snprintf(text, sizeof text, "{\"errno\":%d}", attack(what));
  return say(out, out_len, text);
}

static void free_buf(void *state, uint8_t *buffer, size_t len) {
  (void)state, (void)len;
  free(buffer);
}

static void fini(void *state) { (void)state; }

static const gm_plugin_v2_t table = {SIZE,   VERSION, "com.test.native",
                                     init,   call,    free_buf,
                                     fini};

const gm_plugin_v2_t *SYMBOL(void) { return &table; }
