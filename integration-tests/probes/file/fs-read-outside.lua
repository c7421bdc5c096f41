-- A file of the host's, by five names. What is granted is $DATA alone.
local names = {
    function(canary) return canary end,
    function(canary) return "$DATA/../../../../../../../../.." .. canary end,
    function(canary) return "$DATA/./" .. canary end,
    function(canary) return "/proc/self/root" .. canary end,
    function(canary) return "$DATA/x\0" .. canary end,
}

function attack(variant, words)
    local read = gm.file_read(names[variant + 1](words.canary))
    return read and "ok" or "nil", read and #read or 0, read
end
