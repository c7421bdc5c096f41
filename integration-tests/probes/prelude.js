// What scripts share: a command with the words ID [KEY=VALUE]... calls `attack` with
// the number of the variant and the words. It returns [said, value, seen] or nothing;
// what it throws is said by its code.
export function gm_command(command) {
  const words = Object.fromEntries(command.args.slice(1).map((word) => {
    const at = word.indexOf("=");
    return [word.slice(0, at), word.slice(at + 1)];
  }));
  let said = "ok", value = 0, seen;
  try {
    [said = "ok", value = 0, seen] = attack(Number(words.variant ?? 0), words) ?? [];
  } catch (error) {
    said = error?.code ?? "error";
  }
  let text = `probe=${command.args[0]} form=live said=${said} value=${value}`;
  if (seen !== undefined) {
    const plain = /[^\w\-./:]/g;
    text = "seen=" + String(seen).replace(plain, (letter) => "%" + letter.charCodeAt(0).toString(16).padStart(2, "0")) + "\n" + text;
  }
  return { status: 0, text };
}
