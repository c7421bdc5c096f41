/* Counts the commits that fix something. */
#include "@HEADER@"

#include "gm_json.h"

/* What is remembered from call to call. Every run starts anew. */
static int64_t fixes;

GM_HOOK(on_commit_analyzed)
{
    static const char reply[] = "{\"fix\":true}";
    gm_json commit = gm_json_of(input, length), value;
    gm_text message = {0}, line = {0};
    if (!gm_json_member(commit, "message", &value) || !gm_json_text(value, &message) ||
        message.length < 3 || memcmp(message.at, "fix", 3))
        return 0;
    fixes++;
    if (gm_json_member(commit, "id", &value))
        gm_json_text(value, &line);
    gm_add(&line, " is a fix");
    gm_log(GM_INFO, line.at, line.length);
    gm_reply(reply, sizeof reply - 1);
    return 0;
}

GM_HOOK(shutdown)
{
    gm_json value;
    gm_text reply = {0};
    gm_add(&reply, "{\"report\":\"");
    gm_add_number(&reply, fixes);
    gm_add(&reply, " of ");
    if (gm_json_member(gm_json_of(input, length), "events", &value))
        gm_add_number(&reply, gm_json_number(value, 0));
    gm_add(&reply, " commits are fixes\"}");
    gm_reply(reply.at, reply.length);
    return 0;
}

GM_PLUGIN("@ID@", {"on_commit_analyzed", on_commit_analyzed}, {"shutdown", shutdown})
