// Lists in lists.
let list = @repeat 50000 [@1@repeat 50000 ]@;
