/* Reads a JSON list on stdin and prints it again, item by item, through
 * gm_json.h: strings and whole numbers anew, all else as it stands. */
#include <stdio.h>
#include <string.h>

#include "gm_native.h"

#include "gm_json.h"

int main(void)
{
    static char room[1 << 20];
    size_t length = fread(room, 1, sizeof room, stdin);
    /* Of its own, so that a byte read beyond its end is seen. */
    char *input = malloc(length ? length : 1);
    memcpy(input, room, length);
    gm_text out = {0};
    gm_json list = gm_json_of(input, length), item, member;
    const char *separator = "[";
    while (gm_json_item(&list, &item)) {
        gm_text text = {0};
        gm_add(&out, separator);
        separator = ",";
        if (gm_json_member(item, "wanted", &member))
            item = member;
        if (gm_json_text(item, &text))
            gm_add_string(&out, text.at, text.length);
        else if (gm_json_number(item, INT64_MIN) != INT64_MIN)
            gm_add_number(&out, gm_json_number(item, 0));
        else
            gm_add_bytes(&out, item.at, (size_t)(item.end - item.at));
    }
    gm_add(&out, *separator == '[' ? "[]" : "]");
    fwrite(out.at, 1, out.length, stdout);
    gm_scratch_clear();
    free(input);
    return 0;
}
