/* The rest of a plugin whose constructor has `said` something. The words of the
 * command don't matter; the id is the one that the build gives. */
GM_HOOK(gm_command)
{
    static char reply[256];
    (void)input, (void)length;
    char *at = gm_join(reply, "{\"status\":0,\"text\":\"probe=" PROBE_ID " form=live said=");
    at = gm_join(at, said < 0 && said > -4096 ? gm_errno(-said) : "ok");
    at = gm_join(at, " value=");
    at = gm_decimal(at, said);
    at = gm_join(at, "\"}");
    return gm_reply(reply, (size_t)(at - reply));
}

GM_PLUGIN("com.test.probe", {"gm_command", gm_command})
