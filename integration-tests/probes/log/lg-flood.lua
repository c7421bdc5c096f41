-- Lines without end: short ones, and as long as a line may be. What the host does with
-- them is the host's to bound.
function attack(variant)
    local line = variant == 0 and "line" or string.rep("x", 4000)
    for at = 1, 1e6 do
        gm.log("info", line .. at)
    end
    return "ok", 1e6
end
