-- Bytes, names and holes in $DATA, up to twice the memory and 40,000 names.
function attack(variant, words)
    local most = 2 * (tonumber(words.memory) or 33554432)
    if variant == 0 then
        local piece, done = string.rep("x", 65536), 0
        while done < most do
            gm.file_write("$DATA/fill", piece, { offset = done, create = true })
            done += #piece
        end
        return "ok", done
    elseif variant == 1 then
        for at = 1, 40000 do
            gm.file_write("$DATA/fill-" .. at, "", { create = true })
        end
        return "ok", 40000
    end
    return "ok", gm.file_write("$DATA/fill", "x", { offset = 2 ^ 40, create = true })
end
