// Calls itself a hundred million times: by itself, and through the engine's functions.
function attack(variant) {
  const deep = (left) => (left === 0 ? 0 : 1 + deep(left - 1));
  const through = (left) => (left === 0 ? 0 : [1, 2].sort(() => through(left - 1)).length);
  return ["ok", variant === 0 ? deep(1e8) : through(1e8)];
}
