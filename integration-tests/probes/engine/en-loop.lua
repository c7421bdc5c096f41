-- Loops that never end: a plain one, one that catches what would end it, one of a
-- coroutine.
function attack(variant)
    if variant == 0 then
        while true do end
    elseif variant == 1 then
        while true do
            pcall(function()
                while true do end
            end)
        end
    end
    coroutine.wrap(function()
        while true do end
    end)()
end
