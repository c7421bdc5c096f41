// Bytes, names and holes in $DATA, up to twice the memory and 40,000 names.
function attack(variant, words) {
  const most = 2 * Number(words.memory ?? 33554432);
  if (variant === 0) {
    const piece = "x".repeat(65536);
    let done = 0;
    for (; done < most; done += piece.length) {
      gm.file_write("$DATA/fill", piece, { offset: done, create: true });
    }
    return ["ok", done];
  }
  if (variant === 1) {
    for (let at = 0; at < 40000; at++) gm.file_write("$DATA/fill-" + at, "", { create: true });
    return ["ok", 40000];
  }
  return ["ok", gm.file_write("$DATA/fill", "x", { offset: 2 ** 40, create: true })];
}
