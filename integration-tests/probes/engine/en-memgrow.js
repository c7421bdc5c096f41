// Keeps text until there is no more memory; asks for all of it at once, whatever
// that throws.
function attack(variant) {
  const kept = [];
  if (variant === 0) for (;;) kept.push("x".repeat(1e5) + kept.length);
  for (;;) { try { kept.push(new Uint8Array(2 ** 29).fill(1)); } catch {} }
}
