/* The plugin's end of the ABI gm-2, for native code: a shared object that the
 * host's walled process loads.
 *
 *   cc -O2 -fPIC -shared -fvisibility=hidden plugin.c -o plugin.so
 *
 * The structs are the ABI; what stands below them is help, with the same names as
 * gm.h has for WebAssembly, so that one source serves both. Include this in one
 * source file of the plugin.
 *
 *   GM_HOOK(on_commit_analyzed) { ... return 0; }
 *   GM_PLUGIN("com.example.hello", {"on_commit_analyzed", on_commit_analyzed})
 */
#ifndef GM_NATIVE_H
#define GM_NATIVE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* -- the ABI ----------------------------------------------------------------- */

/* The host's side. It may grow at its end: look at `size` before you use what a
 * later version added. */
typedef struct {
    uint32_t size, version; /* version == 2 */
    void *ctx;              /* first argument of every call */
    /* A host call by its name, as in the SDK's README. `a` and `b` are its texts in
     * their order, null and 0 where it has none; x, y: offset and most, or level,
     * or flags. 0 and more = done, with what the README says; negative = an error. */
    int64_t (*call)(void *ctx, const char *name, const uint8_t *a, size_t a_len,
                    const uint8_t *b, size_t b_len, int64_t x, int64_t y);
    /* Copies the last result, at most `cap` bytes; how many. */
    size_t (*result)(void *ctx, uint8_t *to, size_t cap);
} gm_host_v2_t;

/* The plugin's side. */
typedef struct {
    uint32_t size, version; /* sizeof(gm_plugin_v2_t), 2 */
    const char *id;         /* the manifest's plugin_id */
    /* Once, first. The init document is the host's first `result`; an error's text
     * is said by the call "fail". 0 = done. */
    int32_t (*init)(const gm_host_v2_t *host, void **state);
    /* Calls a hook with the document `in`. *out = null is no reply. 0 = done,
     * other = error, and `out` then holds its text. */
    int32_t (*call)(void *state, const char *hook, const uint8_t *in, size_t len,
                    uint8_t **out, size_t *out_len);
    void (*free_buf)(void *state, uint8_t *buffer, size_t len);
    void (*fini)(void *state);
} gm_plugin_v2_t;

/* The one symbol that the host looks for. */
__attribute__((visibility("default"))) const gm_plugin_v2_t *gm_plugin_v2(void);

/* -- help: the same names as in gm.h ------------------------------------------ */

enum {
    GM_DENIED = -1,    /* outside what was granted */
    GM_NOT_FOUND = -2,
    GM_INVALID = -3,   /* not UTF-8, not JSON, a wrong field, a value out of range */
    GM_TOO_BIG = -4,
    GM_QUOTA = -5,
    GM_LIMIT = -6,     /* a rate, count or depth */
    GM_IO = -7,
    GM_NET = -8,
    GM_INTERNAL = -9,
    GM_STOPPING = -10  /* the host is ending this plugin */
};

enum { GM_TRACE, GM_DEBUG, GM_INFO, GM_WARN, GM_ERROR };

/* Defines a hook; GM_PLUGIN names it to the host. */
#define GM_HOOK(name) static int32_t name(const char *input, size_t length)

/* What lies between one call and the next. */
static struct {
    const gm_host_v2_t *host;
    char *reply, *failure;
    size_t reply_length, failure_length;
    void *scratch; /* a list: each block begins with the one before it */
} gm_now;

static inline int64_t gm_ask(const char *name, const void *a, size_t a_len,
                             const void *b, size_t b_len, int64_t x, int64_t y)
{
    return gm_now.host->call(gm_now.host->ctx, name, a, a_len, b, b_len, x, y);
}

/* `size` bytes, zeroed, for as long as the process lives. */
static inline void *gm_keep(size_t size)
{
    void *given = calloc(1, size ? size : 1);
    if (!given)
        abort();
    return given;
}

/* `size` bytes until the next call. */
static inline void *gm_scratch(size_t size)
{
    if (size > SIZE_MAX - 16)
        abort();
    void **block = malloc(size + 16);
    if (!block)
        abort();
    *block = gm_now.scratch;
    gm_now.scratch = block;
    return (char *)block + 16;
}

static inline void gm_scratch_clear(void)
{
    while (gm_now.scratch) {
        void *before = *(void **)gm_now.scratch;
        free(gm_now.scratch);
        gm_now.scratch = before;
    }
}

/* How gm_json.h's texts grow. */
static inline void *gm_more_room(void *old, size_t used, size_t room)
{
    void *more = gm_scratch(room);
    if (used)
        memcpy(more, old, used);
    return more;
}

/* A copy that the host gives back by free_buf. */
static inline char *gm_hand_over(const char *text, size_t length)
{
    char *copy = malloc(length ? length : 1);
    if (!copy)
        abort();
    memcpy(copy, text, length);
    return copy;
}

/* The call's reply, one JSON object; the last one counts. */
static inline int32_t gm_reply(const char *text, size_t length)
{
    free(gm_now.reply);
    gm_now.reply = gm_hand_over(text, length);
    gm_now.reply_length = length;
    return 0;
}

/* The text of the error, for a hook that returns other than 0. */
static inline int32_t gm_fail(const char *text, size_t length)
{
    free(gm_now.failure);
    gm_now.failure = gm_hand_over(text, length);
    gm_now.failure_length = length;
    return 0;
}

static inline int32_t gm_result(void *to, size_t room)
{
    return (int32_t)gm_now.host->result(gm_now.host->ctx, to, room);
}

/* The result of `status`, what a call answered; null for an error. */
static inline char *gm_fetch(int64_t status, size_t *length)
{
    if (status < 0)
        return NULL;
    char *text = gm_scratch((size_t)status + 1);
    *length = (size_t)gm_result(text, (size_t)status);
    text[*length] = 0;
    return text;
}

static inline int64_t gm_asset_read(const char *name, size_t length,
                                    int64_t offset, int32_t most)
{
    return gm_ask("asset_read", name, length, NULL, 0, offset, most);
}

/* log:write */
static inline int32_t gm_log(int32_t level, const char *text, size_t length)
{
    return (int32_t)gm_ask("log", text, length, NULL, 0, level, 0);
}

/* config:read */
static inline int64_t gm_config_get(const char *key, size_t length)
{
    return gm_ask("config_get", key, length, NULL, 0, 0, 0);
}

/* nodes:read, nodes:write, edges:read, edges:write */
static inline int64_t gm_node_get(const char *id, size_t length)
{
    return gm_ask("node_get", id, length, NULL, 0, 0, 0);
}

static inline int64_t gm_node_query(const char *query, size_t length)
{
    return gm_ask("node_query", query, length, NULL, 0, 0, 0);
}

static inline int32_t gm_node_put(const char *nodes, size_t length)
{
    return (int32_t)gm_ask("node_put", nodes, length, NULL, 0, 0, 0);
}

static inline int64_t gm_edge_get(const char *key, size_t length)
{
    return gm_ask("edge_get", key, length, NULL, 0, 0, 0);
}

static inline int64_t gm_edge_query(const char *query, size_t length)
{
    return gm_ask("edge_query", query, length, NULL, 0, 0, 0);
}

static inline int32_t gm_edge_put(const char *edges, size_t length)
{
    return (int32_t)gm_ask("edge_put", edges, length, NULL, 0, 0, 0);
}

/* events:emit */
static inline int32_t gm_event_emit(const char *topic, size_t topic_length,
                                    const char *data, size_t length)
{
    return (int32_t)gm_ask("event_emit", topic, topic_length, data, length, 0, 0);
}

/* filesystem. Paths as in the manifest: $REPO/docs/a.md */
static inline int64_t gm_file_read(const char *path, size_t path_length,
                                   int64_t offset, int32_t most)
{
    return gm_ask("file_read", path, path_length, NULL, 0, offset, most);
}

static inline int64_t gm_file_list(const char *path, size_t path_length)
{
    return gm_ask("file_list", path, path_length, NULL, 0, 0, 0);
}

/* Below $DATA only. Flags: 1 create, 2 truncate. */
static inline int32_t gm_file_write(const char *path, size_t path_length,
                                    int64_t offset, const void *bytes,
                                    size_t length, int32_t flags)
{
    return (int32_t)gm_ask("file_write", path, path_length, bytes, length, offset, flags);
}

/* storage */
static inline int64_t gm_storage_get(const char *key, size_t length)
{
    return gm_ask("storage_get", key, length, NULL, 0, 0, 0);
}

static inline int64_t gm_storage_list(const char *prefix, size_t length)
{
    return gm_ask("storage_list", prefix, length, NULL, 0, 0, 0);
}

static inline int32_t gm_storage_set(const char *key, size_t key_length,
                                     const void *bytes, size_t length)
{
    return (int32_t)gm_ask("storage_set", key, key_length, bytes, length, 0, 0);
}

static inline int32_t gm_storage_delete(const char *key, size_t length)
{
    return (int32_t)gm_ask("storage_delete", key, length, NULL, 0, 0, 0);
}

/* network */
static inline int64_t gm_http_request(const char *request, size_t length)
{
    return gm_ask("http_request", request, length, NULL, 0, 0, 0);
}

/* -- help: the plugin's struct ------------------------------------------------ */

/* A hook and its name. */
typedef struct {
    const char *name;
    int32_t (*hook)(const char *input, size_t length);
} gm_hook_t;

static inline int32_t gm_native_run(const gm_hook_t *hooks, size_t count,
                             const char *name, const char *in, size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(hooks[i].name, name))
            return hooks[i].hook(in, len);
    return 0;
}

static inline int32_t gm_native_init(const gm_hook_t *hooks, size_t count,
                                     const gm_host_v2_t *host, void **state)
{
    size_t room = 4096, length;
    char *document;
    *state = NULL;
    if (host->version != 2 || host->size < sizeof *host)
        return 1;
    gm_now.host = host;
    /* How long it is isn't told: it is whole once there is room left. */
    do {
        room *= 2;
        document = gm_scratch(room);
        length = (size_t)gm_result(document, room);
    } while (length == room);
    int32_t status = gm_native_run(hooks, count, "init", document, length);
    if (status && gm_now.failure)
        gm_ask("fail", gm_now.failure, gm_now.failure_length, NULL, 0, 0, 0);
    return status;
}

static inline int32_t gm_native_call(const gm_hook_t *hooks, size_t count,
                                     const char *name, const uint8_t *in, size_t len,
                                     uint8_t **out, size_t *out_len)
{
    gm_scratch_clear();
    int32_t status = gm_native_run(hooks, count, name, (const char *)in, len);
    char **said = status ? &gm_now.failure : &gm_now.reply;
    *out = (uint8_t *)*said;
    *out_len = status ? gm_now.failure_length : gm_now.reply_length;
    *said = NULL;
    free(gm_now.reply);
    free(gm_now.failure);
    gm_now.reply = gm_now.failure = NULL;
    gm_now.reply_length = gm_now.failure_length = 0;
    return status;
}

static inline void gm_native_free(void *state, uint8_t *buffer, size_t len)
{
    (void)state;
    (void)len;
    free(buffer);
}

static inline void gm_native_fini(void *state)
{
    (void)state;
    gm_scratch_clear();
}

/* The plugin: its id, and each hook with its name. Once, at the end of the file. */
#define GM_PLUGIN(plugin_id, ...)                                              \
    static const gm_hook_t gm_native_hooks[] = {__VA_ARGS__};                  \
    static int32_t gm_native_first(const gm_host_v2_t *host, void **state)     \
    {                                                                          \
        return gm_native_init(gm_native_hooks,                                 \
                              sizeof gm_native_hooks / sizeof *gm_native_hooks, \
                              host, state);                                    \
    }                                                                          \
    static int32_t gm_native_hook(void *state, const char *name,               \
                                  const uint8_t *in, size_t len,               \
                                  uint8_t **out, size_t *out_len)              \
    {                                                                          \
        (void)state;                                                           \
        return gm_native_call(gm_native_hooks,                                 \
                              sizeof gm_native_hooks / sizeof *gm_native_hooks, \
                              name, in, len, out, out_len);                    \
    }                                                                          \
    const gm_plugin_v2_t *gm_plugin_v2(void)                                   \
    {                                                                          \
        static const gm_plugin_v2_t plugin = {                                 \
            sizeof(gm_plugin_v2_t), 2,              plugin_id,                 \
            gm_native_first,        gm_native_hook, gm_native_free,            \
            gm_native_fini,                                                    \
        };                                                                     \
        return &plugin;                                                        \
    }

#endif
