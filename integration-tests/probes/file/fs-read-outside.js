// A file of the host's, by five names. What is granted is $DATA alone.
const names = [
  (canary) => canary,
  (canary) => "$DATA/../../../../../../../../.." + canary,
  (canary) => "$DATA/./" + canary,
  (canary) => "/proc/self/root" + canary,
  (canary) => "$DATA/x\0" + canary,
];

function attack(variant, words) {
  const read = gm.file_read(names[variant](words.canary));
  return read === null ? ["null"] : ["ok", read.length, read];
}
