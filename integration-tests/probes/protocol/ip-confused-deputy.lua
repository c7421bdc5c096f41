-- Asks the broker to write where the plugin may not: over the canary, out of $DATA,
-- into the repository, through /proc, and into what the broker reads itself.
local names = {
    function(canary) return canary end,
    function(canary) return "$DATA/../../../../../../../../.." .. canary end,
    function() return "$REPO/.git/config" end,
    function() return "/proc/self/fd/3" end,
    function() return "$HOME/broker.toml" end,
    function() return "$DATA/../broker.toml" end,
    function() return "$DATA" end,
    function() return "$ASSETS/plugin.lua" end,
}

function attack(variant, words)
    return "ok", gm.file_write(names[variant + 1](words.canary), "overwritten", { create = true, truncate = true })
end
