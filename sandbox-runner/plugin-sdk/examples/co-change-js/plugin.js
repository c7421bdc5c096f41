// @ts-check
/// <reference path="../../types/gm.d.ts" />
/*
 * Files that change together, in JavaScript: the example `co-change` once more, with
 * the same settings, graph and report.
 *
 * All that is put is an absolute value, so a run over the same history leaves the
 * same graph. Never holds more than MOST_PAIRS and PATH_BYTES bound.
 */

/** As many records as one put takes. */
const BATCH = 256;
/** A node's id is file: and the path, 512 bytes at most. */
const LONGEST_PATH = 507;
/** New paths are not followed when the known ones take so many bytes. */
const PATH_BYTES = 16 * 1024 * 1024;
/** What a path takes beside its own bytes. */
const BESIDE_A_PATH = 64;
/** With more pairs than this, the weakest are forgotten. */
const MOST_PAIRS = 435000;
/** What the operator may set: keys cochange.* of the host's configuration. */
const settings = { max_files: 30, min_weight: 1, top: 20 };

const seen = { counted: 0, merges: 0, tooLarge: 0, leftOut: 0, forgotten: 0 };

/** @type {Map<string, number>} */
const numbers = new Map();
/** @type {string[]} */
const paths = [];
/** @type {number[]} */
const commits = [];
let roomForPaths = PATH_BYTES;

/**
 * Weights by the number of the lower path, then by that of the other: small numbers
 * make quick keys.
 * @type {Map<number, number>[]}
 */
const weights = [];
let weightsCount = 0;
/** @type {Set<number>} */
const waitingFiles = new Set();
/** @type {Set<number>[]} */
const waitingPairs = [];
let waitingPairsCount = 0;

// -- counting -------------------------------------------------------------------

/**
 * By bytes of UTF-8: a surrogate stands for what comes after all other units.
 * @param {string} a @param {string} b
 */
function compare(a, b) {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** @param {number} unit */
function rank(unit) {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}

/** @param {string} text */
function utf8Length(text) {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}

/**
 * Whether a path can be a node's id: exact, not too long, no control character.
 * @param {GmFile} file
 */
function isAnId(file) {
  const exact = file.path_base64 === undefined;
  return exact && utf8Length(file.path) <= LONGEST_PATH && !/[\u0000-\u001f\u007f-\u009f]/.test(file.path);
}

/**
 * The number of a path; undefined for a new one without room.
 * @param {string} path
 */
function numberOf(path) {
  const known = numbers.get(path);
  if (known !== undefined) return known;
  const takes = utf8Length(path) + BESIDE_A_PATH;
  if (takes > roomForPaths) return undefined;
  roomForPaths -= takes;
  numbers.set(path, paths.length);
  commits.push(0);
  weights.push(new Map());
  waitingPairs.push(new Set());
  return paths.push(path) - 1;
}

/**
 * Counts a commit that changed these paths: sorted, each once.
 * @param {string[]} changed
 */
function count(changed) {
  const known = [];
  for (const path of changed) {
    const number = numberOf(path);
    if (number === undefined) seen.leftOut++;
    else known.push(number);
  }
  for (const [at, a] of known.entries()) {
    commits[a]++;
    waitingFiles.add(a);
    const [row, waiting] = [weights[a], waitingPairs[a]];
    const [before, waited] = [row.size, waiting.size];
    for (let other = at + 1; other < known.length; other++) {
      const b = known[other];
      row.set(b, (row.get(b) ?? 0) + 1);
      waiting.add(b);
    }
    weightsCount += row.size - before;
    waitingPairsCount += waiting.size - waited;
  }
}

/** Forgets the weakest pairs until a quarter of the room is free again. */
function forgetTheWeakest() {
  for (let floor = 1; weightsCount > Math.floor(MOST_PAIRS / 4) * 3; floor *= 2) {
    for (const row of weights) {
      const before = row.size;
      for (const [b, weight] of row) if (weight <= floor) row.delete(b);
      seen.forgotten += before - row.size;
      weightsCount -= before - row.size;
    }
  }
}

// -- putting --------------------------------------------------------------------

/** @param {number} number */
function idOf(number) {
  return "file:" + paths[number];
}

function put() {
  /** @type {GmNode[]} */
  let nodes = [];
  for (const number of waitingFiles) {
    nodes.push({ id: idOf(number), kind: "file", data: { commits: commits[number] } });
    if (nodes.length === BATCH) {
      gm.node_put(nodes);
      nodes = [];
    }
  }
  if (nodes.length > 0) gm.node_put(nodes);
  waitingFiles.clear();
  /** @type {GmEdge[]} */
  let edges = [];
  for (const [a, waiting] of waitingPairs.entries()) {
    for (const b of waiting) {
      const weight = weights[a].get(b) ?? 0;
      if (weight < settings.min_weight) continue;
      edges.push({ src: idOf(a), dst: idOf(b), kind: "co-change", weight });
      if (edges.length === BATCH) {
        gm.edge_put(edges);
        edges = [];
      }
    }
    waiting.clear();
  }
  if (edges.length > 0) gm.edge_put(edges);
  waitingPairsCount = 0;
}

// -- hooks ----------------------------------------------------------------------

/**
 * A number of the configuration within its range, if the operator set it.
 * @param {string} key @param {number} least @param {number} most @param {number} otherwise
 */
function setting(key, least, most, otherwise) {
  const value = gm.config_get(key);
  if (value === null) return otherwise;
  if (typeof value === "number" && value >= least && value <= most) return value;
  throw new Error(`${key} must be ${least} to ${most}`);
}

export function init() {
  settings.max_files = setting("cochange.max_files", 2, 200, settings.max_files);
  settings.min_weight = setting("cochange.min_weight", 1, 1000000, settings.min_weight);
  settings.top = setting("cochange.top", 0, 200, settings.top);
}

/** @param {GmCommit} commit */
export function on_commit_analyzed(commit) {
  // A merge's difference is the sum of commits that were counted already; at a
  // boundary it is the whole tree.
  if (commit.merge || commit.boundary) {
    seen.merges++;
    return;
  }
  if (Math.max(commit.files.length, commit.files_total ?? 0) > settings.max_files) {
    seen.tooLarge++;
    return;
  }
  seen.counted++;
  const named = commit.files.filter(isAnId);
  seen.leftOut += commit.files.length - named.length;
  count([...new Set(named.map((file) => file.path))].sort(compare));
  if (weightsCount > MOST_PAIRS) {
    put(); // first, so that the graph keeps their last weights
    forgetTheWeakest();
  } else if (waitingFiles.size >= BATCH || waitingPairsCount >= BATCH) {
    put();
  }
}

// -- the report -----------------------------------------------------------------

/**
 * The heavier pair first, equal ones by path.
 * @param {{a: number, b: number, weight: number}} x @param {{a: number, b: number, weight: number}} y
 */
function byStrength(x, y) {
  return y.weight - x.weight || compare(paths[x.a], paths[y.a]) || compare(paths[x.b], paths[y.b]);
}

function strongest() {
  /** @type {{a: number, b: number, weight: number}[]} */
  const best = [];
  for (const [a, row] of weights.entries()) {
    for (const [b, weight] of row) {
      const pair = { a, b, weight };
      let at = best.length;
      while (at > 0 && byStrength(pair, best[at - 1]) < 0) at--;
      if (at >= settings.top) continue;
      best.splice(at, 0, pair);
      best.length = Math.min(best.length, settings.top);
    }
  }
  return best;
}

/** @returns {GmReply} */
export function shutdown() {
  put();
  let text = `${weightsCount} pairs of ${paths.length} files that change together, from ${seen.counted} commits\n`;
  text += `passed over: ${seen.merges} merges and boundaries, ${seen.tooLarge} commits of more than ${settings.max_files} files\n`;
  const best = strongest();
  if (best.length > 0) text += "\n  commits  of a's  of b's  a + b (commits that changed both)\n";
  for (const { a, b, weight } of best) {
    const [ofA, ofB] = [a, b].map((number) => String(Math.floor((weight * 100) / commits[number])).padStart(5));
    text += `  ${String(weight).padStart(7)}  ${ofA}%  ${ofB}%  ${paths[a]} + ${paths[b]}\n`;
  }
  if (seen.forgotten > 0) {
    text += `\n${seen.forgotten} of the weakest pairs were forgotten to save memory; their weights may be too low\n`;
  }
  if (seen.leftOut > 0) {
    text += `\n${seen.leftOut} changes of files were left out: their paths can't be a node's id, or there are too many\n`;
  }
  return { report: text };
}
