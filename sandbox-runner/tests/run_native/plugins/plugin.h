/* The tables of version 2, as a plugin sees them. */
#ifndef PLUGIN_H
#define PLUGIN_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t size, version;
  void *ctx;
  int64_t (*call)(void *ctx, const char *name, const uint8_t *a, size_t a_len,
                  const uint8_t *b, size_t b_len, int64_t x, int64_t y);
  size_t (*result)(void *ctx, uint8_t *to, size_t cap);
} gm_host_v2_t;

typedef struct {
  uint32_t size, version;
  const char *id;
  int32_t (*init)(const gm_host_v2_t *, void **state);
  int32_t (*call)(void *state, const char *hook, const uint8_t *in, size_t len,
                  uint8_t **out, size_t *out_len);
  void (*free_buf)(void *state, uint8_t *, size_t);
  void (*fini)(void *state);
} gm_plugin_v2_t;
#endif
