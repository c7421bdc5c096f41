// Asks the broker to write where the plugin may not: over the canary, out of $DATA,
// into the repository, through /proc, and into what the broker reads itself.
const names = [
  (canary) => canary,
  (canary) => "$DATA/../../../../../../../../.." + canary,
  () => "$REPO/.git/config",
  () => "/proc/self/fd/3",
  () => "$HOME/broker.toml",
  () => "$DATA/../broker.toml",
  () => "$DATA",
  () => "$ASSETS/plugin.js",
];

function attack(variant, words) {
  const options = { create: true, truncate: true };
  return ["ok", gm.file_write(names[variant](words.canary), "overwritten", options)];
}
