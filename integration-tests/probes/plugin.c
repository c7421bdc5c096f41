/* The plugin: command `probe` with the words ID [KEY=VALUE]..., answered by the
 * report as text. */
#include "gm_native.h"
#include "probe.h"

enum { WORDS = 32, MOST = 4096 };

/* A document's list "args": its words, cut out of `text` in place; how many. Paths,
 * numbers and names have no escape, so a backslash ends the list. */
static int words_of(char *text, size_t length, char **words)
{
    static const char KEY[] = "\"args\":[";
    int count = 0;
    char *at = NULL, *end = text + length;
    for (size_t n = 0; n + sizeof KEY - 1 <= length; n++)
        if (!memcmp(text + n, KEY, sizeof KEY - 1)) {
            at = text + n + sizeof KEY - 1;
            break;
        }
    while (at && at < end && *at == '"' && count < WORDS) {
        char *word = ++at;
        while (at < end && *at != '"' && *at != '\\')
            at++;
        if (at >= end || *at != '"')
            break;
        *at++ = 0;
        words[count++] = word;
        if (at < end && *at == ',')
            at++;
    }
    return count;
}

GM_HOOK(gm_command)
{
    static char text[MOST], line[GM_LINE], reply[2 * GM_LINE + 64];
    char *words[WORDS];
    if (length >= sizeof text)
        return gm_fail("too long", 8), 1;
    memcpy(text, input, length);
    int count = words_of(text, length, words);
    long said = gm_probe_text(count, words, line);
    char *at = gm_join(reply, "{\"status\":");
    at = gm_decimal(at, said < 0 ? -said : 0);
    at = gm_join(at, ",\"text\":\"");
    for (long n = 0; n < said; n++) {
        char byte = line[n];
        if (byte == '\n') {
            *at++ = '\\';
            byte = 'n';
        }
        *at++ = byte;
    }
    at = gm_join(at, "\"}");
    return gm_reply(reply, (size_t)(at - reply));
}

GM_PLUGIN("com.test.probe", {"gm_command", gm_command})
