-- What would lead out of the language: each expression is nil, or an error.
local ways = {
    function() return load end,
    function() return loadstring end,
    function() return os and os.execute end,
    function() return io and io.open end,
    function() return debug and debug.getregistry end,
    function() return package and package.loadlib end,
    function() return string.dump end,
    function() return dofile or loadfile end,
    function() return require("/etc/passwd") end,
    function() return require("../plugin") end,
    function() getmetatable("").__index = function() return "mine" end return true end,
    function() rawset(string, "upper", print) return true end,
    function() gm.log = print return true end,
    function() setmetatable(gm, {}) return true end,
    function() collectgarbage("stop") return true end,
    function() return newproxy(true) and getmetatable(newproxy(true)).__gc end,
    function() return getfenv(pcall).os end,
}

function attack(variant)
    local got = ways[variant + 1]()
    return got == nil and "nil" or "ok"
end
