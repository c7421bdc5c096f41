// What would lead out of the language, or change what others stand on: each is
// undefined, or an error.
const ways = [
  () => eval("1 + 1"),
  () => new Function("return 1")(),
  () => (function () {}).constructor("return 1")(),
  () => (async function () {}).constructor("return 1"),
  () => (function* () {}).constructor("return 1"),
  () => globalThis.process ?? globalThis.require ?? globalThis.std ?? globalThis.os ?? globalThis.Deno,
  () => globalThis.fetch ?? globalThis.XMLHttpRequest ?? globalThis.setTimeout,
  () => globalThis.SharedArrayBuffer && Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10),
  () => globalThis.WebAssembly,
  () => globalThis.Worker,
  () => { gm.log = () => {}; return gm.log.length === 0 || undefined; },
  () => { Object.defineProperty(gm, "log", { value: 1 }); return true; },
  () => { Object.setPrototypeOf(gm, { escaped: true }); return gm.escaped; },
  () => Object.getPrototypeOf(gm.log) === Function.prototype ? gm.log.constructor("return 1")() : undefined,
];

function attack(variant) {
  return [ways[variant]() === undefined ? "undefined" : "ok"];
}
