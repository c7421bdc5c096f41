-- Asks the host without end: for a file of the package that isn't there, and inside
-- of what the host calls back.
function attack(variant)
    if variant == 0 then
        while true do
            pcall(gm.asset_read, "missing")
        end
    end
    local words = string.rep("a", 1000)
    while true do
        string.gsub(words, "a", function()
            pcall(gm.asset_read, "missing")
        end)
    end
end
