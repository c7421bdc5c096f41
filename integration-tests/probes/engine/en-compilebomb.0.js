// Parentheses in parentheses.
let deep = @repeat 50000 (@1@repeat 50000 )@;
