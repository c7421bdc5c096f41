// What takes all time or memory inside of one call of a library.
const bombs = [
  () => Array.prototype.reverse.call({ length: 2 ** 53 - 1 }),
  () => { const kept = []; for (;;) kept.push("x".padEnd(2 ** 28)); },
  () => { for (;;) { try { "x".repeat(2 ** 29); } catch {} } },
  () => /^(a+)+$/.test("a".repeat(60) + "b"),
  () => new RegExp("(x+x+)+y").test("x".repeat(60)),
  () => Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1),
  () => { for (;;) { try { let n = 3n; for (;;) n *= n; } catch {} } },
  () => { const again = () => { Promise.resolve().then(again); Promise.resolve().then(again); }; again(); },
  () => { const map = new Map(); for (let n = 0; ; n++) map.set(n, "v" + n); },
  () => new Array(1e8).fill(0).length,
  () => { let text = "ab"; for (;;) text = (text + text).split("").reverse().join(""); },
  () => { const kept = []; for (;;) kept.push(new ArrayBuffer(1 << 20)); },
];

function attack(variant) {
  bombs[variant]();
  return ["ok"];
}
