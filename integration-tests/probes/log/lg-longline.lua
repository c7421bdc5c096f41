-- One line of sixteen MiB, and one of four: more than any line may have.
function attack(variant)
    gm.log("info", string.rep("x", variant == 0 and 4194304 or 16777216))
    return "ok"
end
