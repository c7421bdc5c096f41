-- A hundred thousand functions.
local list = { @repeat 100000 function(a) return a + 1 end,
@ }
