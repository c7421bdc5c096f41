-- Keeps text until there is no more memory; asks for all of it at once, whatever
-- that raises.
function attack(variant)
    local kept = {}
    if variant == 0 then
        while true do
            kept[#kept + 1] = string.rep("x", 1e5) .. #kept
        end
    end
    while true do
        pcall(function()
            kept[#kept + 1] = string.rep("x", 5e8)
        end)
    end
end
