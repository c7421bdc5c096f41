/* Just enough JSON for a plugin: members of the host's documents, and texts that
 * are put together. Include gm.h or gm_native.h first.
 *
 * The host's documents are well formed; on any other text these functions find
 * nothing, and never read past its end.
 */
#ifndef GM_JSON_H
#define GM_JSON_H

/* -- reading ----------------------------------------------------------------- */

/* The text of one value, or of what follows it. */
typedef struct {
    const char *at, *end;
} gm_json;

static inline gm_json gm_json_of(const char *text, size_t length)
{
    gm_json value = {text, text + length};
    return value;
}

static inline void gm_json_blanks(gm_json *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' ||
                                *in->at == '\t' || *in->at == '\r'))
        in->at++;
}

/* Whether `in` goes on with this character, which is passed over then. */
static inline int gm_json_take(gm_json *in, char wanted)
{
    gm_json_blanks(in);
    if (in->at == in->end || *in->at != wanted)
        return 0;
    in->at++;
    return 1;
}

/* Passes over one value, however deep it is; its text. Empty = there is none. */
static inline gm_json gm_json_value(gm_json *in)
{
    gm_json_blanks(in);
    gm_json value = {in->at, in->at};
    size_t depth = 0;
    do {
        if (in->at == in->end)
            return value;
        char c = *in->at++;
        if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (!depth)
                return value;
            depth--;
        } else if (c == '"') {
            while (in->at < in->end && *in->at != '"')
                in->at += *in->at == '\\' && in->at + 1 < in->end ? 2 : 1;
            if (in->at < in->end)
                in->at++;
        } else if (!depth) {
            while (in->at < in->end && *in->at != ',' && *in->at != '}' &&
                   *in->at != ']' && *in->at != ' ' && *in->at != '\n' &&
                   *in->at != '\t' && *in->at != '\r')
                in->at++;
        }
    } while (depth);
    value.end = in->at;
    return value;
}

/* The next item of a list: begin with a copy of the list's text. */
static inline int gm_json_item(gm_json *list, gm_json *item)
{
    if (!gm_json_take(list, '[') && !gm_json_take(list, ','))
        return 0;
    *item = gm_json_value(list);
    return item->at != item->end;
}

/* The member of an object with this name; names are plain ASCII in all documents
 * of the host. */
static inline int gm_json_member(gm_json object, const char *name, gm_json *value)
{
    size_t length = 0;
    while (name[length])
        length++;
    while (gm_json_take(&object, '{') || gm_json_take(&object, ',')) {
        gm_json key = gm_json_value(&object);
        if (key.at == key.end || !gm_json_take(&object, ':'))
            return 0;
        *value = gm_json_value(&object);
        if ((size_t)(key.end - key.at) == length + 2 &&
            !memcmp(key.at + 1, name, length))
            return value->at != value->end;
    }
    return 0;
}

/* A whole number; `otherwise` for what isn't one or doesn't fit. */
static inline int64_t gm_json_number(gm_json value, int64_t otherwise)
{
    int negative = value.at < value.end && *value.at == '-';
    int64_t number = 0;
    if (negative)
        value.at++;
    if (value.at == value.end)
        return otherwise;
    for (; value.at < value.end; value.at++) {
        if (*value.at < '0' || *value.at > '9' || number > (INT64_MAX - 9) / 10)
            return otherwise;
        number = number * 10 + (*value.at - '0');
    }
    return negative ? -number : number;
}

static inline int gm_json_is_true(gm_json value)
{
    return value.end - value.at == 4 && !memcmp(value.at, "true", 4);
}

static inline int gm_json_is_null(gm_json value)
{
    return value.end - value.at == 4 && !memcmp(value.at, "null", 4);
}

/* -- writing ----------------------------------------------------------------- */

/* A text that grows: gm_text text = {0}; gm_add(&text, "...") */
typedef struct {
    char *at;
    size_t length, room;
} gm_text;

static inline void gm_add_bytes(gm_text *text, const char *bytes, size_t count)
{
    if (count > text->room - text->length) {
        size_t room = text->room ? text->room * 2 : 256;
        while (room - text->length < count)
            room *= 2;
        text->at = gm_more_room(text->at, text->length, room);
        text->room = room;
    }
    memcpy(text->at + text->length, bytes, count);
    text->length += count;
}

static inline void gm_add_byte(gm_text *text, char byte)
{
    gm_add_bytes(text, &byte, 1);
}

static inline void gm_add(gm_text *text, const char *words)
{
    size_t length = 0;
    while (words[length])
        length++;
    gm_add_bytes(text, words, length);
}

static inline void gm_add_number(gm_text *text, int64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        gm_add_byte(text, '-');
    gm_add_bytes(text, digits + at, sizeof digits - at);
}

/* `bytes`, which are UTF-8, as a JSON string with its quotes. */
static inline void gm_add_string(gm_text *text, const char *bytes, size_t count)
{
    static const char hex[] = "0123456789abcdef";
    gm_add_byte(text, '"');
    for (size_t i = 0; i < count; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '"' || c == '\\') {
            gm_add_byte(text, '\\');
            gm_add_byte(text, (char)c);
        } else if (c < 32) {
            gm_add(text, "\\u00");
            gm_add_byte(text, hex[c >> 4]);
            gm_add_byte(text, hex[c & 15]);
        } else {
            gm_add_byte(text, (char)c);
        }
    }
    gm_add_byte(text, '"');
}

static inline void gm_add_utf8(gm_text *text, uint32_t c)
{
    if (c < 0x80) {
        gm_add_byte(text, (char)c);
    } else if (c < 0x800) {
        gm_add_byte(text, (char)(0xc0 | c >> 6));
        gm_add_byte(text, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        gm_add_byte(text, (char)(0xe0 | c >> 12));
        gm_add_byte(text, (char)(0x80 | (c >> 6 & 63)));
        gm_add_byte(text, (char)(0x80 | (c & 63)));
    } else {
        gm_add_byte(text, (char)(0xf0 | c >> 18));
        gm_add_byte(text, (char)(0x80 | (c >> 12 & 63)));
        gm_add_byte(text, (char)(0x80 | (c >> 6 & 63)));
        gm_add_byte(text, (char)(0x80 | (c & 63)));
    }
}

/* Four hex digits at `at`; -1 if they aren't. */
static inline int32_t gm_json_hex(const char *at, const char *end)
{
    int32_t value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The UTF-8 that a JSON string stands for, added to `text`. 0 if it is no string. */
static inline int gm_json_text(gm_json value, gm_text *text)
{
    if (value.end - value.at < 2 || *value.at != '"')
        return 0;
    const char *at = value.at + 1, *end = value.end - 1;
    while (at < end) {
        if (*at != '\\' || at + 1 == end) {
            gm_add_byte(text, *at++);
            continue;
        }
        char c = at[1];
        at += 2;
        if (c == 'u') {
            int32_t unit = gm_json_hex(at, end);
            if (unit < 0)
                return 0;
            at += 4;
            uint32_t code = (uint32_t)unit;
            if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 &&
                at[0] == '\\' && at[1] == 'u') {
                int32_t low = gm_json_hex(at + 2, end);
                if (low >= 0xdc00 && low < 0xe000) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
                    at += 6;
                }
            }
            /* Half a pair stands for no character. */
            gm_add_utf8(text, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
        } else {
            gm_add_byte(text, c == 'n'   ? '\n'
                              : c == 't' ? '\t'
                              : c == 'r' ? '\r'
                              : c == 'b' ? '\b'
                              : c == 'f' ? '\f'
                                         : c);
        }
    }
    return 1;
}

#endif
