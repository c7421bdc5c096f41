// One line of sixteen MiB, and one of four: more than any line may have.
function attack(variant) {
  gm.log("info", "x".repeat(variant === 0 ? 4194304 : 16777216));
  return ["ok"];
}
