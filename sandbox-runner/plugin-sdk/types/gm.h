/* The plugin's end of the ABI gm-2, for C compiled to WebAssembly.
 *
 *   clang --target=wasm32 -O2 -nostdlib -mbulk-memory -Wl,--no-entry plugin.c -o plugin.wasm
 *
 * No libc is needed. A function of the host that the code doesn't call is not
 * imported; one that it calls needs the permission in the manifest that stands
 * above it here. SDK README: the same table, limits, endings.
 *
 * Include it in one source file of the plugin: it defines gm_alloc and the heap.
 *
 * Memory: gm_keep() gives what lasts as long as the process, gm_scratch() what lasts
 * until the next call. Neither is ever given back by hand.
 */
#ifndef GM_H
#define GM_H

#include <stddef.h>
#include <stdint.h>

/* What the host answers instead of a result. Nothing was done then. */
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

/* Defines a hook and exports it: GM_HOOK(on_commit_analyzed) { ... return 0; }
 * `input` is the document, JSON of `length` bytes. 0 = done, other = error. */
#define GM_HOOK(name)                                                          \
    __attribute__((export_name(#name))) int32_t name(const char *input,        \
                                                     size_t length)

/* For WebAssembly each GM_HOOK is an export, and that is all. A source that is also
 * built as native code ends with GM_PLUGIN (gm_native.h). */
#define GM_PLUGIN(plugin_id, ...)

#define GM_IMPORT(name)                                                        \
    __attribute__((import_module("gm"), import_name(#name))) extern

/* No permission. The call's reply, one JSON object; the last one counts. */
GM_IMPORT(reply) int32_t gm_reply(const char *text, size_t length);
/* No permission. The text of the error, for a hook that returns other than 0. */
GM_IMPORT(fail) int32_t gm_fail(const char *text, size_t length);
/* No permission. Copies the last result, at most `room` bytes; how many. */
GM_IMPORT(result) int32_t gm_result(void *to, size_t room);
/* No permission. Bytes of a file of the package. */
GM_IMPORT(asset_read) int64_t gm_asset_read(const char *name, size_t name_length,
                                            int64_t offset, int32_t most);
/* log:write */
GM_IMPORT(log) int32_t gm_log(int32_t level, const char *text, size_t length);
/* config:read. A JSON value. */
GM_IMPORT(config_get) int64_t gm_config_get(const char *key, size_t length);
/* nodes:read */
GM_IMPORT(node_get) int64_t gm_node_get(const char *id, size_t length);
GM_IMPORT(node_query) int64_t gm_node_query(const char *query, size_t length);
/* nodes:write. One node or a list of at most 256; how many are new. */
GM_IMPORT(node_put) int32_t gm_node_put(const char *nodes, size_t length);
/* edges:read. gm_edge_get takes {"src","dst","kind"}. */
GM_IMPORT(edge_get) int64_t gm_edge_get(const char *key, size_t length);
GM_IMPORT(edge_query) int64_t gm_edge_query(const char *query, size_t length);
/* edges:write. One edge or a list of at most 256; how many are new. */
GM_IMPORT(edge_put) int32_t gm_edge_put(const char *edges, size_t length);
/* events:emit */
GM_IMPORT(event_emit) int32_t gm_event_emit(const char *topic, size_t topic_length,
                                            const char *data, size_t length);
/* filesystem. Paths as in the manifest: $REPO/docs/a.md */
GM_IMPORT(file_read) int64_t gm_file_read(const char *path, size_t path_length,
                                          int64_t offset, int32_t most);
GM_IMPORT(file_list) int64_t gm_file_list(const char *path, size_t path_length);
/* filesystem, below $DATA only. Flags: 1 create, 2 truncate. */
GM_IMPORT(file_write) int32_t gm_file_write(const char *path, size_t path_length,
                                            int64_t offset, const void *bytes,
                                            size_t length, int32_t flags);
/* storage. Bytes of a key; a JSON list of the keys with a prefix; set; delete, which
 * answers whether it was there. */
GM_IMPORT(storage_get) int64_t gm_storage_get(const char *key, size_t length);
GM_IMPORT(storage_list) int64_t gm_storage_list(const char *prefix, size_t length);
GM_IMPORT(storage_set) int32_t gm_storage_set(const char *key, size_t key_length,
                                              const void *bytes, size_t length);
GM_IMPORT(storage_delete) int32_t gm_storage_delete(const char *key, size_t length);
/* network. {"method","url","headers":[[k,v]],"body"|"body_base64"} ->
 * {"status","headers","body"|"body_base64"} */
GM_IMPORT(http_request) int64_t gm_http_request(const char *request, size_t length);

/* -- memory ------------------------------------------------------------------ */

/* Where the linker says that memory is free. */
extern unsigned char __heap_base;

/* The compiler calls these for loops and structs that look like them. */
__attribute__((weak)) void *memcpy(void *to, const void *from, size_t count)
{
    unsigned char *a = to;
    const unsigned char *b = from;
    while (count--)
        *a++ = *b++;
    return to;
}

__attribute__((weak)) void *memset(void *to, int byte, size_t count)
{
    unsigned char *a = to;
    while (count--)
        *a++ = (unsigned char)byte;
    return to;
}

__attribute__((weak)) int memcmp(const void *a, const void *b, size_t count)
{
    const unsigned char *x = a, *y = b;
    for (; count; count--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

/* `size` bytes, aligned to 8, zeroed, for as long as the process lives. Without
 * memory the process traps: there is nothing sensible that a plugin could do. */
static inline void *gm_keep(size_t size)
{
    static uintptr_t top, end;
    if (!top) {
        top = ((uintptr_t)&__heap_base + 7) & ~(uintptr_t)7;
        end = __builtin_wasm_memory_size(0) << 16;
    }
    if (size > SIZE_MAX - 65543)
        __builtin_trap();
    size = (size + 7) & ~(size_t)7;
    if (size > end - top) {
        size_t pages = (size - (end - top) + 65535) >> 16;
        if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX)
            __builtin_trap();
        end += pages << 16;
    }
    void *given = (void *)top;
    top += size;
    return given; /* fresh pages are zero, and none is used twice */
}

struct gm_scratch_state {
    char *block;
    size_t room, used;
};

static inline struct gm_scratch_state *gm_scratch_state(void)
{
    static struct gm_scratch_state state;
    return &state;
}

/* `size` bytes, aligned to 8, not zeroed, until the next call. */
static inline void *gm_scratch(size_t size)
{
    struct gm_scratch_state *state = gm_scratch_state();
    if (size > SIZE_MAX / 4)
        __builtin_trap();
    size = (size + 7) & ~(size_t)7;
    if (size > state->room - state->used) {
        /* Twice as large each time: what the smaller ones took is no more than that. */
        size_t room = state->room ? state->room * 2 : 65536;
        while (room < size)
            room *= 2;
        state->block = gm_keep(room);
        state->room = room;
        state->used = 0;
    }
    void *given = state->block + state->used;
    state->used += size;
    return given;
}

/* The export through which the host hands over a document: a new call begins. */
__attribute__((export_name("gm_alloc"))) void *gm_alloc(size_t size)
{
    gm_scratch_state()->used = 0;
    return gm_scratch(size);
}

/* The result of `status`, what a call answered; null for an error. */
static inline char *gm_fetch(int64_t status, size_t *length)
{
    if (status < 0)
        return 0;
    char *text = gm_scratch((size_t)status + 1);
    *length = (size_t)gm_result(text, (size_t)status);
    text[*length] = 0;
    return text;
}

/* How gm_json.h's texts grow. */
static inline void *gm_more_room(void *old, size_t used, size_t room)
{
    void *more = gm_scratch(room);
    memcpy(more, old, used);
    return more;
}

#endif
