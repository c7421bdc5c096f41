/* Files that change together, in C: the example `co-change` once more, with the
 * same settings, graph and report. Built for WebAssembly, and as native code.
 *
 * All that is put is an absolute value, so a run over the same history leaves the
 * same graph. Never holds more than MOST_PAIRS and PATH_BYTES bound.
 */
#ifdef __wasm__
#include "gm.h"
#else
#include "gm_native.h"
#endif

#include "gm_json.h"

enum {
    BATCH = 256,               /* as many records as one put takes */
    LONGEST_PATH = 507,        /* a node's id is file: and the path, 512 at most */
    PATH_BYTES = 16 << 20,     /* new paths are not followed beyond that */
    BESIDE_A_PATH = 64,        /* what a path takes beside its own bytes */
    MOST_PAIRS = 435000,       /* with more of them, the weakest are forgotten */
    MOST_SHOWN = 200
};

/* What the operator may set: keys cochange.* of the host's configuration. */
static int64_t max_files = 30, min_weight = 1, top = 20;

static int64_t counted, merges, too_large, left_out, forgotten;

typedef struct {
    const char *path;
    uint32_t length, commits;
    int waits; /* the graph doesn't have it as it is */
} file_t;

/* Two files, the lower path first. An empty place weighs nothing. */
typedef struct {
    uint32_t a, b, weight;
    int waits;
} pair_t;

static file_t *files;
static uint32_t files_count, files_room;
static uint32_t *numbers; /* places of a hash table: a file's number + 1 */
static uint32_t numbers_room;
static int64_t room_for_paths = PATH_BYTES;

static pair_t *pairs; /* a hash table with linear probing */
static uint32_t pairs_count, pairs_room;

static uint32_t files_waiting, pairs_waiting;

/* -- small help ---------------------------------------------------------------- */

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int compare(const char *a, uint32_t a_length, const char *b, uint32_t b_length)
{
    int order = memcmp(a, b, smaller(a_length, b_length));
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static uint32_t hash_text(const char *text, uint32_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (uint32_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

static uint32_t hash_pair(uint32_t a, uint32_t b)
{
    uint64_t key = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(key >> 32);
}

static int32_t failed(const char *what, int64_t code)
{
    gm_text text = {0};
    gm_add(&text, what);
    gm_add(&text, ": error ");
    gm_add_number(&text, code);
    gm_fail(text.at, text.length);
    return 1;
}

/* -- counting ------------------------------------------------------------------ */

/* The place of a path among the numbers: its own, or the empty one for it. */
static uint32_t *place_of_path(const char *path, uint32_t length)
{
    uint32_t at = hash_text(path, length) & (numbers_room - 1);
    while (numbers[at]) {
        file_t *file = &files[numbers[at] - 1];
        if (!compare(file->path, file->length, path, length))
            break;
        at = (at + 1) & (numbers_room - 1);
    }
    return &numbers[at];
}

static void make_room_for_a_file(void)
{
    if (files_count < files_room)
        return;
    file_t *old = files;
    files_room = files_room ? files_room * 2 : 256;
    files = gm_keep(files_room * sizeof *files);
    if (files_count)
        memcpy(files, old, files_count * sizeof *files);
    numbers_room = files_room * 2;
    numbers = gm_keep(numbers_room * sizeof *numbers);
    for (uint32_t i = 0; i < files_count; i++)
        *place_of_path(files[i].path, files[i].length) = i + 1;
}

/* The number of a path; -1 for a new one without room. */
static int64_t number_of(const char *path, uint32_t length)
{
    make_room_for_a_file();
    uint32_t *place = place_of_path(path, length);
    if (*place)
        return *place - 1;
    if (room_for_paths < (int64_t)length + BESIDE_A_PATH)
        return -1;
    room_for_paths -= (int64_t)length + BESIDE_A_PATH;
    char *kept = gm_keep(length);
    memcpy(kept, path, length);
    file_t file = {kept, length, 0, 0};
    files[files_count] = file;
    *place = ++files_count;
    return *place - 1;
}

/* The place of a pair: its own, or the empty one for it. */
static pair_t *place_of_pair(uint32_t a, uint32_t b)
{
    uint32_t at = hash_pair(a, b) & (pairs_room - 1);
    while (pairs[at].weight && (pairs[at].a != a || pairs[at].b != b))
        at = (at + 1) & (pairs_room - 1);
    return &pairs[at];
}

static void move_pairs(pair_t *old, uint32_t old_room, uint32_t floor)
{
    pairs_count = 0;
    for (uint32_t i = 0; i < old_room; i++) {
        if (old[i].weight > floor) {
            *place_of_pair(old[i].a, old[i].b) = old[i];
            pairs_count++;
        }
    }
}

static void make_room_for_a_pair(void)
{
    if (pairs_room && pairs_count < pairs_room / 8 * 7)
        return;
    pair_t *old = pairs;
    uint32_t old_room = pairs_room;
    pairs_room = pairs_room ? pairs_room * 2 : 1024;
    pairs = gm_keep(pairs_room * sizeof *pairs);
    move_pairs(old, old_room, 0);
}

static void count_pair(uint32_t a, uint32_t b)
{
    make_room_for_a_pair();
    pair_t *pair = place_of_pair(a, b);
    if (!pair->weight) {
        pair->a = a;
        pair->b = b;
        pairs_count++;
    }
    pair->weight++;
    pairs_waiting += !pair->waits;
    pair->waits = 1;
}

/* Forgets the weakest pairs until a quarter of the room is free again. */
static void forget_the_weakest(void)
{
    static pair_t *other; /* as large as the table ever is when it is full */
    static uint32_t other_room;
    for (uint32_t floor = 1; pairs_count > MOST_PAIRS / 4 * 3; floor *= 2) {
        pair_t *old = pairs;
        uint32_t before = pairs_count;
        if (other_room != pairs_room) {
            other = gm_keep(pairs_room * sizeof *other);
            other_room = pairs_room;
        }
        pairs = other;
        other = old;
        memset(pairs, 0, pairs_room * sizeof *pairs);
        move_pairs(old, pairs_room, floor);
        forgotten += before - pairs_count;
    }
}

typedef struct {
    const char *path;
    uint32_t length;
} path_t;

static void sort_paths(path_t *paths, uint32_t count)
{
    /* By insertion: git gives them sorted, and there are 200 at most. */
    for (uint32_t i = 1; i < count; i++) {
        path_t path = paths[i];
        uint32_t at = i;
        for (; at && compare(paths[at - 1].path, paths[at - 1].length, path.path, path.length) > 0; at--)
            paths[at] = paths[at - 1];
        paths[at] = path;
    }
}

/* Whether a path can be a node's id: exact, not too long, no control character. */
static int is_an_id(const char *path, size_t length)
{
    if (length > LONGEST_PATH)
        return 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)path[i];
        unsigned char next = i + 1 < length ? (unsigned char)path[i + 1] : 0;
        if (c < 32 || c == 127 || (c == 0xc2 && next < 0xa0))
            return 0;
    }
    return 1;
}

/* -- putting ------------------------------------------------------------------- */

static void add_id(gm_text *text, const file_t *file)
{
    gm_text id = {0};
    gm_add(&id, "file:");
    gm_add_bytes(&id, file->path, file->length);
    gm_add_string(text, id.at, id.length);
}

/* Sends a list that is full, or its rest. */
static int32_t send(int32_t (*put)(const char *, size_t), gm_text *list, uint32_t *listed, uint32_t most)
{
    if (!*listed || *listed < most)
        return 0;
    gm_add(list, "]");
    int32_t status = put(list->at, list->length);
    list->length = *listed = 0;
    return status < 0 ? status : 0;
}

static int32_t put_files(void)
{
    gm_text list = {0};
    uint32_t listed = 0;
    int32_t status = 0;
    for (uint32_t i = 0; i < files_count && !status; i++) {
        if (!files[i].waits)
            continue;
        files[i].waits = 0;
        gm_add(&list, listed++ ? ",{\"id\":" : "[{\"id\":");
        add_id(&list, &files[i]);
        gm_add(&list, ",\"kind\":\"file\",\"data\":{\"commits\":");
        gm_add_number(&list, files[i].commits);
        gm_add(&list, "}}");
        status = send(gm_node_put, &list, &listed, BATCH);
    }
    files_waiting = 0;
    return status ? status : send(gm_node_put, &list, &listed, 1);
}

static int32_t put_pairs(void)
{
    gm_text list = {0};
    uint32_t listed = 0;
    int32_t status = 0;
    for (uint32_t i = 0; i < pairs_room && !status; i++) {
        pair_t *pair = &pairs[i];
        if (!pair->weight || !pair->waits)
            continue;
        pair->waits = 0;
        if (pair->weight < min_weight)
            continue;
        gm_add(&list, listed++ ? ",{\"src\":" : "[{\"src\":");
        add_id(&list, &files[pair->a]);
        gm_add(&list, ",\"dst\":");
        add_id(&list, &files[pair->b]);
        gm_add(&list, ",\"kind\":\"co-change\",\"weight\":");
        gm_add_number(&list, pair->weight);
        gm_add(&list, "}");
        status = send(gm_edge_put, &list, &listed, BATCH);
    }
    pairs_waiting = 0;
    return status ? status : send(gm_edge_put, &list, &listed, 1);
}

static int32_t put(void)
{
    int32_t status = put_files();
    if (status)
        return failed("node_put", status);
    status = put_pairs();
    return status ? failed("edge_put", status) : 0;
}

/* -- hooks --------------------------------------------------------------------- */

/* A number of the configuration within its range, if the operator set it. */
static int32_t setting(const char *key, int64_t least, int64_t most, int64_t *value)
{
    size_t key_length = 0, length = 0;
    while (key[key_length])
        key_length++;
    int64_t status = gm_config_get(key, key_length);
    if (status == GM_NOT_FOUND)
        return 0;
    char *text = gm_fetch(status, &length);
    if (!text)
        return failed(key, status);
    *value = gm_json_number(gm_json_of(text, length), -1);
    if (*value >= least && *value <= most)
        return 0;
    gm_text why = {0};
    gm_add(&why, key);
    gm_add(&why, " must be ");
    gm_add_number(&why, least);
    gm_add(&why, " to ");
    gm_add_number(&why, most);
    gm_fail(why.at, why.length);
    return 1;
}

GM_HOOK(init)
{
    (void)input;
    (void)length;
    if (setting("cochange.max_files", 2, 200, &max_files))
        return 1;
    if (setting("cochange.min_weight", 1, 1000000, &min_weight))
        return 1;
    return setting("cochange.top", 0, MOST_SHOWN, &top);
}

/* The paths of a commit that can be ids, sorted, each once. */
static uint32_t paths_of(gm_json list, path_t *paths, uint32_t room)
{
    gm_json file, value;
    uint32_t count = 0, kept = 0;
    while (gm_json_item(&list, &file)) {
        gm_text path = {0};
        int exact = !gm_json_member(file, "path_base64", &value);
        if (!gm_json_member(file, "path", &value) || !gm_json_text(value, &path) || !exact ||
            !is_an_id(path.at, path.length) || count == room) {
            left_out++;
            continue;
        }
        path_t found = {path.at, (uint32_t)path.length};
        paths[count++] = found;
    }
    sort_paths(paths, count);
    for (uint32_t i = 0; i < count; i++)
        if (!i || compare(paths[i].path, paths[i].length, paths[i - 1].path, paths[i - 1].length))
            paths[kept++] = paths[i];
    return kept;
}

static void count(const path_t *paths, uint32_t count)
{
    uint32_t known[MOST_SHOWN], found = 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t number = number_of(paths[i].path, paths[i].length);
        if (number < 0)
            left_out++;
        else
            known[found++] = (uint32_t)number;
    }
    for (uint32_t i = 0; i < found; i++) {
        file_t *file = &files[known[i]];
        file->commits++;
        files_waiting += !file->waits;
        file->waits = 1;
        for (uint32_t j = i + 1; j < found; j++)
            count_pair(known[i], known[j]);
    }
}

GM_HOOK(on_commit_analyzed)
{
    gm_json commit = gm_json_of(input, length), value, list = {0, 0}, item, rest;
    path_t paths[MOST_SHOWN];
    int64_t listed = 0, total = 0;
    /* A merge's difference is the sum of commits that were counted already; at a
     * boundary it is the whole tree. */
    if ((gm_json_member(commit, "merge", &value) && gm_json_is_true(value)) ||
        (gm_json_member(commit, "boundary", &value) && gm_json_is_true(value))) {
        merges++;
        return 0;
    }
    if (gm_json_member(commit, "files_total", &value))
        total = gm_json_number(value, 0);
    if (gm_json_member(commit, "files", &list))
        for (rest = list; gm_json_item(&rest, &item);)
            listed++;
    if (listed > max_files || total > max_files) {
        too_large++;
        return 0;
    }
    counted++;
    count(paths, paths_of(list, paths, MOST_SHOWN));
    if (pairs_count > MOST_PAIRS) {
        if (put()) /* first, so that the graph keeps their last weights */
            return 1;
        forget_the_weakest();
    } else if (files_waiting >= BATCH || pairs_waiting >= BATCH) {
        return put();
    }
    return 0;
}

/* -- the report ---------------------------------------------------------------- */

/* Whether a pair stands before another: heavier, or of the lower paths. */
static int is_before(const pair_t *a, const pair_t *b)
{
    if (a->weight != b->weight)
        return a->weight > b->weight;
    int order = compare(files[a->a].path, files[a->a].length, files[b->a].path, files[b->a].length);
    if (!order)
        order = compare(files[a->b].path, files[a->b].length, files[b->b].path, files[b->b].length);
    return order < 0;
}

static uint32_t strongest(const pair_t **best)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < pairs_room; i++) {
        const pair_t *pair = &pairs[i];
        uint32_t at = found;
        if (!pair->weight)
            continue;
        while (at && is_before(pair, best[at - 1]))
            at--;
        if (at >= top)
            continue;
        if (found < top)
            found++;
        for (uint32_t j = found - 1; j > at; j--)
            best[j] = best[j - 1];
        best[at] = pair;
    }
    return found;
}

static void add_right(gm_text *text, int64_t number, size_t width)
{
    gm_text digits = {0};
    gm_add_number(&digits, number);
    for (size_t i = digits.length; i < width; i++)
        gm_add(text, " ");
    gm_add_bytes(text, digits.at, digits.length);
}

static void add_pair(gm_text *text, const pair_t *pair)
{
    const file_t *a = &files[pair->a], *b = &files[pair->b];
    gm_add(text, "  ");
    add_right(text, pair->weight, 7);
    gm_add(text, "  ");
    add_right(text, (int64_t)pair->weight * 100 / a->commits, 5);
    gm_add(text, "%  ");
    add_right(text, (int64_t)pair->weight * 100 / b->commits, 5);
    gm_add(text, "%  ");
    gm_add_bytes(text, a->path, a->length);
    gm_add(text, " + ");
    gm_add_bytes(text, b->path, b->length);
    gm_add(text, "\n");
}

static void add_counted(gm_text *text, const char *before, int64_t number, const char *after)
{
    gm_add(text, before);
    gm_add_number(text, number);
    gm_add(text, after);
}

GM_HOOK(shutdown)
{
    (void)input;
    (void)length;
    if (put())
        return 1;
    const pair_t *best[MOST_SHOWN];
    uint32_t shown = strongest(best);
    gm_text text = {0}, reply = {0};
    add_counted(&text, "", pairs_count, " pairs of ");
    add_counted(&text, "", files_count, " files that change together, from ");
    add_counted(&text, "", counted, " commits\n");
    add_counted(&text, "passed over: ", merges, " merges and boundaries, ");
    add_counted(&text, "", too_large, " commits of more than ");
    add_counted(&text, "", max_files, " files\n");
    if (shown)
        gm_add(&text, "\n  commits  of a's  of b's  a + b (commits that changed both)\n");
    for (uint32_t i = 0; i < shown; i++)
        add_pair(&text, best[i]);
    if (forgotten)
        add_counted(&text, "\n", forgotten,
                    " of the weakest pairs were forgotten to save memory; their weights may be too low\n");
    if (left_out)
        add_counted(&text, "\n", left_out,
                    " changes of files were left out: their paths can't be a node's id, or there are too many\n");
    gm_add(&reply, "{\"report\":");
    gm_add_string(&reply, text.at, text.length);
    gm_add(&reply, "}");
    gm_reply(reply.at, reply.length);
    return 0;
}

GM_PLUGIN("com.example.co-change-native",
          {"init", init},
          {"on_commit_analyzed", on_commit_analyzed},
          {"shutdown", shutdown})
