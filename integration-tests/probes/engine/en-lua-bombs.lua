-- What takes all time or memory inside of one call of a library.
local bombs = {
    function() return #string.rep("x", 1e9) end,
    function() return string.match(string.rep("a", 30000) .. "b", string.rep("a*", 30) .. "c") end,
    function() while true do pcall(function() while true do end end) end end,
    function() return xpcall(function() error("x") end, function() while true do end end) end,
    function()
        local kept = {}
        for at = 1, 3e5 do kept[at] = at end
        while true do table.sort(kept, function(a, b) return a > b end) end
    end,
    function()
        local kept = {}
        while true do kept[#kept + 1] = coroutine.create(function() end) end
    end,
    function()
        local text = string.rep("a", 1e4)
        while true do text = string.gsub(text, "a", "aa") end
    end,
    function() return buffer.len(buffer.create(2 ^ 30 - 1)) end,
    function() while true do table.move({}, 1, 1e9, 2, {}) end end,
    function()
        local text = "x"
        while true do text = text .. text end
    end,
    function() while true do string.format("%99.99f", 1e300) end end,
    function() while true do table.concat(table.create(1e5, "x")) end end,
}

function attack(variant)
    return "ok", tonumber(bombs[variant + 1]()) or 0
end
