// Loops that never end: a plain one, one that catches what would end it, one of a
// generator that is told to return.
function attack(variant) {
  if (variant === 0) for (;;) {}
  if (variant === 1) for (;;) { try { for (;;) {} } catch {} finally { continue; } }
  function* endless() { try { yield; } finally { for (;;) {} } }
  const one = endless();
  one.next();
  one.return();
}
