// Lines without end: short ones, and as long as a line may be. What the host does with
// them is the host's to bound.
function attack(variant) {
  const line = variant === 0 ? "line" : "x".repeat(4000);
  for (let at = 0; at < 1e6; at++) gm.log("info", line + at);
  return ["ok", 1e6];
}
