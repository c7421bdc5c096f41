-- A sum of half a million, each of its own line.
local sum = 0 @repeat 500000 + 1
@
