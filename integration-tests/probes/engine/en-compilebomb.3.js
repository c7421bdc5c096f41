// A hundred thousand functions.
const functions = [ @repeat 100000 (a) => a + 1,
@ ];
