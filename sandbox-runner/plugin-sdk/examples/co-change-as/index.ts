/**
 * Files that change together, in AssemblyScript: the example `co-change` once
 * more, with the same settings, graph and report.
 *
 * All that is put is an absolute value, so a run over the same history leaves the
 * same graph. Never holds more than MOST_PAIRS and PATH_BYTES bound.
 */
import { Json, NOT_FOUND, configGet, edgePut, fail, nodePut, quote, reply, textOf } from "./gm";
export { gm_alloc } from "./gm";

/** As many records as one put takes. */
const BATCH: i32 = 256;
/** A node's id is file: and the path, 512 bytes at most. */
const LONGEST_PATH: i32 = 507;
/** New paths are not followed when the known ones take so many bytes. */
const PATH_BYTES: i32 = 16 << 20;
/** What a path takes beside its own bytes. */
const BESIDE_A_PATH: i32 = 64;
/** With more pairs than this, the weakest are forgotten. */
const MOST_PAIRS: i32 = 435000;

/** What the operator may set: keys cochange.* of the host's configuration. */
let maxFiles: i64 = 30;
let minWeight: i64 = 1;
let top: i64 = 20;

let counted: i64 = 0;
let merges: i64 = 0;
let tooLarge: i64 = 0;
let leftOut: i64 = 0;
let forgotten: i64 = 0;

const numbers = new Map<string, u32>();
const paths: string[] = [];
const commits: u32[] = [];
let roomForPaths: i32 = PATH_BYTES;

/** Weights by pair: the number of the lower path, then that of the other. */
let weights = new Map<u64, u32>();
const waitingFiles = new Set<u32>();
const waitingPairs = new Set<u64>();

function pairOf(a: u32, b: u32): u64 {
  return ((<u64>a) << 32) | b;
}

// -- counting -------------------------------------------------------------------

/** By bytes of UTF-8: a surrogate stands for what comes after all other units. */
function compare(a: string, b: string): i32 {
  const shorter = min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x != y) return rank(x) < rank(y) ? -1 : 1;
  }
  return a.length - b.length;
}

function rank(unit: i32): i32 {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}

/** Whether a path can be a node's id: exact, not too long, no control character. */
function isAnId(path: string): bool {
  if (String.UTF8.byteLength(path) > LONGEST_PATH) return false;
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i);
    if (c < 32 || (c >= 127 && c < 160)) return false;
  }
  return true;
}

/** The number of a path; -1 for a new one without room. */
function numberOf(path: string): i64 {
  if (numbers.has(path)) return numbers.get(path);
  const takes = String.UTF8.byteLength(path) + BESIDE_A_PATH;
  if (takes > roomForPaths) return -1;
  roomForPaths -= takes;
  const number: u32 = paths.length;
  numbers.set(path, number);
  paths.push(path);
  commits.push(0);
  return number;
}

function count(changed: string[]): void {
  const known: u32[] = [];
  for (let i = 0; i < changed.length; i++) {
    const number = numberOf(changed[i]);
    if (number < 0) leftOut++;
    else known.push(<u32>number);
  }
  for (let i = 0; i < known.length; i++) {
    commits[known[i]] += 1;
    waitingFiles.add(known[i]);
    for (let j = i + 1; j < known.length; j++) {
      const pair = pairOf(known[i], known[j]);
      weights.set(pair, weights.has(pair) ? weights.get(pair) + 1 : 1);
      waitingPairs.add(pair);
    }
  }
}

/** Forgets the weakest pairs until a quarter of the room is free again. */
function forgetTheWeakest(): void {
  for (let floor: u32 = 1; weights.size > (MOST_PAIRS / 4) * 3; floor *= 2) {
    const kept = new Map<u64, u32>();
    const pairs = weights.keys();
    for (let i = 0; i < pairs.length; i++) {
      const weight = weights.get(pairs[i]);
      if (weight > floor) kept.set(pairs[i], weight);
    }
    forgotten += weights.size - kept.size;
    weights = kept;
  }
}

// -- putting --------------------------------------------------------------------

function idOf(number: u32): string {
  return quote("file:" + paths[number]);
}

function put(): i32 {
  let records: string[] = [];
  const files = waitingFiles.values();
  waitingFiles.clear();
  for (let i = 0; i < files.length; i++) {
    const data = '","data":{"commits":' + commits[files[i]].toString() + "}}";
    records.push('{"id":' + idOf(files[i]) + ',"kind":"file' + data);
    if (records.length == BATCH || i + 1 == files.length) {
      const status = nodePut("[" + records.join(",") + "]");
      if (status < 0) return fail("node_put: error " + status.toString());
      records = [];
    }
  }
  const pairs = waitingPairs.values();
  waitingPairs.clear();
  for (let i = 0; i < pairs.length; i++) {
    const weight = weights.get(pairs[i]);
    if (<i64>weight >= minWeight) {
      const ends = '{"src":' + idOf(<u32>(pairs[i] >> 32)) + ',"dst":' + idOf(<u32>pairs[i]);
      records.push(ends + ',"kind":"co-change","weight":' + weight.toString() + "}");
    }
    if (records.length == BATCH || (i + 1 == pairs.length && records.length > 0)) {
      const status = edgePut("[" + records.join(",") + "]");
      if (status < 0) return fail("edge_put: error " + status.toString());
      records = [];
    }
  }
  return 0;
}

// -- hooks ----------------------------------------------------------------------

let wrongSetting: string = "";

/** A number of the configuration within its range, if the operator set it. */
function setting(key: string, least: i64, most: i64, otherwise: i64): i64 {
  const answer = configGet(key);
  if (answer.status == NOT_FOUND) return otherwise;
  const value = Json.parse(answer.text);
  const whole = value.isNumber && value.number == <f64>value.integer;
  if (!answer.failed && whole && value.integer >= least && value.integer <= most) return value.integer;
  wrongSetting = key + " must be " + least.toString() + " to " + most.toString();
  return otherwise;
}

export function init(pointer: usize, length: usize): i32 {
  maxFiles = setting("cochange.max_files", 2, 200, maxFiles);
  minWeight = setting("cochange.min_weight", 1, 1000000, minWeight);
  top = setting("cochange.top", 0, 200, top);
  return wrongSetting == "" ? 0 : fail(wrongSetting);
}

export function on_commit_analyzed(pointer: usize, length: usize): i32 {
  const commit = Json.parse(textOf(pointer, length));
  // A merge's difference is the sum of commits that were counted already; at a
  // boundary it is the whole tree.
  if (commit.get("merge").isTrue || commit.get("boundary").isTrue) {
    merges++;
    return 0;
  }
  const files = commit.get("files").items;
  if (files.length > maxFiles || commit.get("files_total").integer > maxFiles) {
    tooLarge++;
    return 0;
  }
  counted++;
  const changed: string[] = [];
  for (let i = 0; i < files.length; i++) {
    const path = files[i].get("path").text;
    if (!files[i].get("path_base64").isMissing || !isAnId(path)) leftOut++;
    else changed.push(path);
  }
  changed.sort(compare);
  const unique: string[] = [];
  for (let i = 0; i < changed.length; i++) {
    if (i == 0 || changed[i] != changed[i - 1]) unique.push(changed[i]);
  }
  count(unique);
  if (weights.size > MOST_PAIRS) {
    if (put() != 0) return 1; // first, so that the graph keeps their last weights
    forgetTheWeakest();
  } else if (waitingFiles.size >= BATCH || waitingPairs.size >= BATCH) {
    return put();
  }
  return 0;
}

// -- the report -----------------------------------------------------------------

/** The heavier pair first, equal ones by path. */
function byStrength(a: u64, b: u64): i32 {
  const x = weights.get(a);
  const y = weights.get(b);
  if (x != y) return x > y ? -1 : 1;
  const first = compare(paths[<i32>(a >> 32)], paths[<i32>(b >> 32)]);
  return first != 0 ? first : compare(paths[<i32>(<u32>a)], paths[<i32>(<u32>b)]);
}

function row(pair: u64): string {
  const weight: u64 = weights.get(pair);
  const a = <i32>(pair >> 32);
  const b = <i32>(<u32>pair);
  const ofA = ((weight * 100) / commits[a]).toString().padStart(5);
  const ofB = ((weight * 100) / commits[b]).toString().padStart(5);
  return "  " + weight.toString().padStart(7) + "  " + ofA + "%  " + ofB + "%  " + paths[a] + " + " + paths[b] + "\n";
}

export function shutdown(pointer: usize, length: usize): i32 {
  if (put() != 0) return 1;
  const strongest = weights.keys().sort(byStrength);
  let text = weights.size.toString() + " pairs of " + paths.length.toString();
  text += " files that change together, from " + counted.toString() + " commits\n";
  text += "passed over: " + merges.toString() + " merges and boundaries, " + tooLarge.toString();
  text += " commits of more than " + maxFiles.toString() + " files\n";
  const shown = <i32>min(<i64>strongest.length, top);
  if (shown > 0) text += "\n  commits  of a's  of b's  a + b (commits that changed both)\n";
  for (let i = 0; i < shown; i++) text += row(strongest[i]);
  if (forgotten > 0) {
    text += "\n" + forgotten.toString();
    text += " of the weakest pairs were forgotten to save memory; their weights may be too low\n";
  }
  if (leftOut > 0) {
    text += "\n" + leftOut.toString();
    text += " changes of files were left out: their paths can't be a node's id, or there are too many\n";
  }
  reply('{"report":' + quote(text) + "}");
  return 0;
}
