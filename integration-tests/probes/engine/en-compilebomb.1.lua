-- Tables in tables.
local deep = @repeat 50000 {@1@repeat 50000 }@
