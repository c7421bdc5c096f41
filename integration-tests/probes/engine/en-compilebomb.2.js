// A sum of half a million.
let sum = 0 @repeat 500000 + 1
@;
