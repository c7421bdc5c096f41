-- Calls itself a hundred million times: by itself, and through the host's functions.
function attack(variant)
    local function deep(left)
        if left == 0 then
            return 0
        end
        if variant == 0 then
            return 1 + deep(left - 1)
        end
        local sum = 0
        string.gsub("a", "a", function()
            sum = 1 + deep(left - 1)
        end)
        return sum
    end
    return "ok", deep(1e8)
end
