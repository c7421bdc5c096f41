-- What scripts share: a command with the words ID [KEY=VALUE]... calls `attack` with
-- the number of the variant and the words. It returns what it has to say, a number
-- that goes with it, and what it got hold of; what it raises is said by its code.
function gm_command(command)
    local words = {}
    for at = 2, #command.args do
        local key, value = string.match(command.args[at], "^([%w_]+)=(.*)$")
        if key then
            words[key] = value
        end
    end
    local variant = tonumber(words.variant) or 0
    local done, said, value, seen = pcall(attack, variant, words)
    if not done then
        said = type(said) == "table" and said.code or "error"
    end
    local text = string.format("probe=%s form=live said=%s value=%d", command.args[1], said or "ok", value or 0)
    if seen then
        seen = string.gsub(seen, "[^%w%-_./:]", function(byte)
            return string.format("%%%02x", string.byte(byte))
        end)
        text = "seen=" .. seen .. "\n" .. text
    end
    return { status = 0, text = text }
end
