-- Each call of the host, with nothing granted.
local calls = {
    function() gm.log("info", "a line") end,
    function() gm.config_get("any.key") end,
    function() gm.node_get("file:a") end,
    function() gm.node_query({ kind = "file" }) end,
    function() gm.node_put({ id = "file:a", kind = "file" }) end,
    function() gm.edge_get({ src = "a", dst = "b", kind = "c" }) end,
    function() gm.edge_query({ kind = "c" }) end,
    function() gm.edge_put({ src = "a", dst = "b", kind = "c" }) end,
    function() gm.event_emit("topic", {}) end,
    function() gm.storage_get("key") end,
    function() gm.storage_set("key", "value") end,
    function() gm.storage_list("") end,
    function() gm.file_read("$REPO/README.md") end,
    function() gm.file_list("$REPO") end,
    function() gm.file_write("$DATA/x", "x", { create = true }) end,
    function() gm.http_request({ method = "GET", url = "https://example.com/" }) end,
    function() gm.file_read(string.rep("a", 100000)) end,
    function() gm.file_read("$REPO/\xff\xfe") end,
    function() gm.asset_read("../plugin.manifest.toml") end,
    function() gm.asset_read("/etc/passwd") end,
}

function attack(variant)
    local got = calls[variant + 1]()
    return variant < 18 and "ok" or got and "ok" or "nil"
end
