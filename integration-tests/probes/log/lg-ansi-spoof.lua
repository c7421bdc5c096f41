-- Lines that a terminal obeys, or that look like another's.
local lines = {
    "\27[2J\27[31mred", "\27]8;;http://evil.example\7link\27]8;;\7", "\27]52;c;ZXZpbA==\7", "over\rwritten",
    "first\ncom.example.other \u{2502} forged", "\u{202e}desrever", "zero\u{200b}width", "bad \xff\xfe bytes",
    "\"},{\"event\":\"ended\",\"forged\":true", "\u{9b}31m", "tab\tand\0nul", "\u{2028}line\u{2029}paragraph",
}

function attack(variant)
    gm.log("error", lines[variant + 1])
    return "ok"
end
