// Runs once before the walls: touches whatever the engine or libc makes lazily.
// Leaves nothing behind; what goes wrong here is a missing wall.
function* counted(most) {
  for (let n = 0; n < most; n += 1) yield n;
}

class Thing {
  #held = new Map([["a", 1n]]);
  get held() {
    return this.#held.get("a") ** 70n;
  }
}

function deep(n) {
  return n === 0 ? 0 : 1 + deep(n - 1);
}

async function later() {
  await null;
  return [...counted(3)].sort((a, b) => b - a);
}

const local = new Date(1700000000000);
if (local.getTimezoneOffset() !== 0 || !local.toString().includes("GMT+0000")) {
  throw new Error("local time is not UTC");
}
local.toISOString();
Date.parse("2026-01-02T03:04:05Z");
new Date().getTime();

const found = /^(a+)(?<rest>.*)$/u.exec("aab");
const again = new RegExp("b{2}", "gi");
"xbBx".replace(again, found.groups.rest).normalize("NFKD").split(/x/);

const text = JSON.stringify({ number: 1.5e-7, list: [1, "ä", null], big: String(new Thing().held) });
if (JSON.parse(text).list[1] !== "ä") throw new Error("JSON");

Math.pow(2, 0.5) + Math.sin(1) + Math.random() + Number("0x10") + parseFloat("1e3");
(0.1 + 0.2).toFixed(10);
deep(100);
new WeakRef(local).deref();
new Uint8Array([3, 1, 2]).sort();
new Proxy({}, {}).missing;
new Set([1, 2]).has(2);

for (const wrong of [() => null.field, () => gm.node_get("a"), () => eval("1"), () => JSON.parse("{")]) {
  let thrown = false;
  try {
    wrong();
  } catch (error) {
    thrown = String(error.stack).length > 0;
  }
  if (!thrown) throw new Error("an error was due");
}
gm.log("info", "warm");

const list = await later();
if (list[0] !== 2) throw new Error("a promise was due");
await Promise.reject(new Error("caught")).catch(() => {});
