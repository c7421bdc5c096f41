/**
 * The plugin's end of the ABI gm-2, for AssemblyScript.
 *
 * The entrypoint exports its hooks and `gm_alloc`, and is compiled with its own
 * `abort`, since the host has none to import:
 *
 *   export { gm_alloc } from "./gm";
 *   asc index.ts -o plugin.wasm -O --runtime incremental --use abort=gm/gm_abort
 *
 * A function of the host that the code doesn't call is not imported; one that it
 * calls needs the permission in the manifest that stands above it here.
 */

// @ts-ignore: decorator
@external("gm", "reply") declare function host_reply(text: usize, length: usize): i32;
// @ts-ignore: decorator
@external("gm", "fail") declare function host_fail(text: usize, length: usize): i32;
// @ts-ignore: decorator
@external("gm", "result") declare function host_result(to: usize, room: usize): i32;
// @ts-ignore: decorator
@external("gm", "asset_read") declare function host_asset_read(name: usize, nameLength: usize, offset: i64, most: i32): i64;
// @ts-ignore: decorator
@external("gm", "log") declare function host_log(level: i32, text: usize, length: usize): i32;
// @ts-ignore: decorator
@external("gm", "config_get") declare function host_config_get(key: usize, length: usize): i64;
// @ts-ignore: decorator
@external("gm", "node_get") declare function host_node_get(id: usize, length: usize): i64;
// @ts-ignore: decorator
@external("gm", "node_put") declare function host_node_put(nodes: usize, length: usize): i32;
// @ts-ignore: decorator
@external("gm", "node_query") declare function host_node_query(query: usize, length: usize): i64;
// @ts-ignore: decorator
@external("gm", "edge_get") declare function host_edge_get(key: usize, length: usize): i64;
// @ts-ignore: decorator
@external("gm", "edge_put") declare function host_edge_put(edges: usize, length: usize): i32;
// @ts-ignore: decorator
@external("gm", "edge_query") declare function host_edge_query(query: usize, length: usize): i64;
// @ts-ignore: decorator
@external("gm", "event_emit") declare function host_event_emit(topic: usize, topicLength: usize, data: usize, length: usize): i32;
// @ts-ignore: decorator
@external("gm", "file_read") declare function host_file_read(path: usize, pathLength: usize, offset: i64, most: i32): i64;
// @ts-ignore: decorator
@external("gm", "file_list") declare function host_file_list(path: usize, length: usize): i64;
// @ts-ignore: decorator
@external("gm", "file_write") declare function host_file_write(path: usize, pathLength: usize, offset: i64, bytes: usize, length: usize, flags: i32): i32;
// @ts-ignore: decorator
@external("gm", "storage_get") declare function host_storage_get(key: usize, length: usize): i64;
// @ts-ignore: decorator
@external("gm", "storage_list") declare function host_storage_list(prefix: usize, length: usize): i64;
// @ts-ignore: decorator
@external("gm", "storage_set") declare function host_storage_set(key: usize, keyLength: usize, bytes: usize, length: usize): i32;
// @ts-ignore: decorator
@external("gm", "storage_delete") declare function host_storage_delete(key: usize, length: usize): i32;
// @ts-ignore: decorator
@external("gm", "http_request") declare function host_http_request(request: usize, length: usize): i64;

/** What the host answers instead of a result. Nothing was done then. */
export const DENIED: i64 = -1;
export const NOT_FOUND: i64 = -2;
export const INVALID: i64 = -3;
export const TOO_BIG: i64 = -4;
export const QUOTA: i64 = -5;
export const LIMIT: i64 = -6;
export const IO: i64 = -7;
export const NET: i64 = -8;
export const INTERNAL: i64 = -9;
export const STOPPING: i64 = -10;

export const TRACE: i32 = 0;
export const DEBUG: i32 = 1;
export const INFO: i32 = 2;
export const WARN: i32 = 3;
export const ERROR: i32 = 4;

// -- memory ---------------------------------------------------------------------

/** Keeps the input alive until the next call. */
let input: StaticArray<u8> = new StaticArray<u8>(0);

/** The export through which the host hands over a document. */
export function gm_alloc(size: i32): usize {
  input = new StaticArray<u8>(size);
  return changetype<usize>(input);
}

/** In place of the `abort` that AssemblyScript would import: a trap. */
export function gm_abort(message: string | null, file: string | null, line: u32, column: u32): void {
  unreachable();
}

/** The text of a hook's arguments. */
export function textOf(pointer: usize, length: usize): string {
  return String.UTF8.decodeUnsafe(pointer, length);
}

function utf8(text: string): ArrayBuffer {
  return String.UTF8.encode(text);
}

/** The bytes that `status` announces; null for an error. */
function fetch(status: i64): ArrayBuffer | null {
  if (status < 0) return null;
  const bytes = new ArrayBuffer(<i32>status);
  host_result(changetype<usize>(bytes), <usize>status);
  return bytes;
}

// -- host calls -----------------------------------------------------------------

/** What a call that has a result answered: its code if it failed, else its text. */
export class Answer {
  constructor(
    public status: i64,
    public bytes: ArrayBuffer | null,
  ) {}

  get failed(): bool {
    return this.status < 0;
  }

  get text(): string {
    const bytes = this.bytes;
    return bytes === null ? "" : String.UTF8.decode(bytes);
  }
}

function answer(status: i64): Answer {
  return new Answer(status, fetch(status));
}

/** No permission. The call's reply, one JSON object; the last one counts. */
export function reply(document: string): void {
  const bytes = utf8(document);
  host_reply(changetype<usize>(bytes), bytes.byteLength);
}

/** No permission. An error: `return fail("why")` out of a hook. */
export function fail(text: string): i32 {
  const bytes = utf8(text);
  host_fail(changetype<usize>(bytes), bytes.byteLength);
  return 1;
}

/** No permission. Bytes of a file of the package. */
export function assetRead(name: string, offset: i64, most: i32): Answer {
  const bytes = utf8(name);
  return answer(host_asset_read(changetype<usize>(bytes), bytes.byteLength, offset, most));
}

/** log:write */
export function log(level: i32, text: string): void {
  const bytes = utf8(text);
  host_log(level, changetype<usize>(bytes), bytes.byteLength);
}

/** config:read. A JSON value. */
export function configGet(key: string): Answer {
  const bytes = utf8(key);
  return answer(host_config_get(changetype<usize>(bytes), bytes.byteLength));
}

/** nodes:read */
export function nodeGet(id: string): Answer {
  const bytes = utf8(id);
  return answer(host_node_get(changetype<usize>(bytes), bytes.byteLength));
}

/** nodes:write. One node or a list of at most 256; how many are new, or an error. */
export function nodePut(nodes: string): i32 {
  const bytes = utf8(nodes);
  return host_node_put(changetype<usize>(bytes), bytes.byteLength);
}

/** nodes:read */
export function nodeQuery(query: string): Answer {
  const bytes = utf8(query);
  return answer(host_node_query(changetype<usize>(bytes), bytes.byteLength));
}

/** edges:read. Takes {"src","dst","kind"}. */
export function edgeGet(key: string): Answer {
  const bytes = utf8(key);
  return answer(host_edge_get(changetype<usize>(bytes), bytes.byteLength));
}

/** edges:write. One edge or a list of at most 256; how many are new, or an error. */
export function edgePut(edges: string): i32 {
  const bytes = utf8(edges);
  return host_edge_put(changetype<usize>(bytes), bytes.byteLength);
}

/** edges:read */
export function edgeQuery(query: string): Answer {
  const bytes = utf8(query);
  return answer(host_edge_query(changetype<usize>(bytes), bytes.byteLength));
}

/** events:emit. A record of the run, under a topic such as lint.finding. */
export function eventEmit(topic: string, data: string): i32 {
  const name = utf8(topic);
  const bytes = utf8(data);
  return host_event_emit(changetype<usize>(name), name.byteLength, changetype<usize>(bytes), bytes.byteLength);
}

/** filesystem. A granted file, such as $REPO/docs/a.md. */
export function fileRead(path: string, offset: i64, most: i32): Answer {
  const bytes = utf8(path);
  return answer(host_file_read(changetype<usize>(bytes), bytes.byteLength, offset, most));
}

/** filesystem. A granted directory: [{"name","type","bytes"}], sorted. */
export function fileList(path: string): Answer {
  const bytes = utf8(path);
  return answer(host_file_list(changetype<usize>(bytes), bytes.byteLength));
}

/** filesystem, below $DATA only. Flags: 1 create, 2 truncate. */
export function fileWrite(path: string, offset: i64, content: ArrayBuffer, flags: i32): i32 {
  const bytes = utf8(path);
  return host_file_write(
    changetype<usize>(bytes), bytes.byteLength, offset,
    changetype<usize>(content), content.byteLength, flags,
  );
}

/** storage. */
export function storageGet(key: string): Answer {
  const bytes = utf8(key);
  return answer(host_storage_get(changetype<usize>(bytes), bytes.byteLength));
}

/** storage. The keys that begin with `prefix`, a JSON list. */
export function storageList(prefix: string): Answer {
  const bytes = utf8(prefix);
  return answer(host_storage_list(changetype<usize>(bytes), bytes.byteLength));
}

/** storage. */
export function storageSet(key: string, value: ArrayBuffer): i32 {
  const bytes = utf8(key);
  return host_storage_set(changetype<usize>(bytes), bytes.byteLength, changetype<usize>(value), value.byteLength);
}

/** storage. 1 if it was there. */
export function storageDelete(key: string): i32 {
  const bytes = utf8(key);
  return host_storage_delete(changetype<usize>(bytes), bytes.byteLength);
}

/** network. {"method","url","headers","body"} to {"status","headers","body"}. */
export function httpRequest(request: string): Answer {
  const bytes = utf8(request);
  return answer(host_http_request(changetype<usize>(bytes), bytes.byteLength));
}

// -- JSON -----------------------------------------------------------------------

/** A value of JSON. What isn't there, or is of another type, reads as empty. */
export class Json {
  /** One of n(ull) b(oolean) #(number) s(tring) [ {, or ? for what is not there. */
  kind: i32 = CODE_MISSING;
  number: f64 = 0;
  text: string = "";
  items: Json[] = [];
  keys: string[] = [];

  static parse(text: string): Json {
    return new Reader(text).value(0);
  }

  get isMissing(): bool {
    return this.kind == CODE_MISSING;
  }

  get isTrue(): bool {
    return this.kind == CODE_BOOLEAN && this.number != 0;
  }

  get isNumber(): bool {
    return this.kind == CODE_NUMBER;
  }

  get integer(): i64 {
    return <i64>this.number;
  }

  /** The member of an object. */
  get(name: string): Json {
    for (let i = 0; i < this.keys.length; i++) {
      if (this.keys[i] == name) return this.items[i];
    }
    return new Json();
  }
}

const CODE_MISSING: i32 = 63; // ?
const CODE_NULL: i32 = 110; // n
const CODE_BOOLEAN: i32 = 98; // b
const CODE_NUMBER: i32 = 35; // #
const CODE_STRING: i32 = 115; // s
const CODE_LIST: i32 = 91; // [
const CODE_OBJECT: i32 = 123; // {

/** As deep as the host's own documents may be. */
const MOST_DEPTH: i32 = 128;

/** Reads a text that the host wrote; on any other it finds nothing. */
class Reader {
  at: i32 = 0;

  constructor(private text: string) {}

  private peek(): i32 {
    while (this.at < this.text.length) {
      const c = this.text.charCodeAt(this.at);
      if (c != 32 && c != 10 && c != 9 && c != 13) return c;
      this.at++;
    }
    return -1;
  }

  private take(c: i32): bool {
    if (this.peek() != c) return false;
    this.at++;
    return true;
  }

  value(depth: i32): Json {
    const json = new Json();
    const c = this.peek();
    if (depth > MOST_DEPTH || c < 0) return json;
    if (c == CODE_OBJECT) {
      this.at++;
      json.kind = CODE_OBJECT;
      while (this.peek() == 34) {
        json.keys.push(this.string());
        this.take(58);
        json.items.push(this.value(depth + 1));
        this.take(44);
      }
      this.take(125);
    } else if (c == CODE_LIST) {
      this.at++;
      json.kind = CODE_LIST;
      while (this.peek() != 93) {
        const item = this.value(depth + 1);
        if (item.isMissing) break;
        json.items.push(item);
        this.take(44);
      }
      this.take(93);
    } else if (c == 34) {
      json.kind = CODE_STRING;
      json.text = this.string();
    } else {
      this.word(json);
    }
    return json;
  }

  private word(json: Json): void {
    const start = this.at;
    while (this.at < this.text.length) {
      const c = this.text.charCodeAt(this.at);
      if (c == 44 || c == 125 || c == 93 || c <= 32) break;
      this.at++;
    }
    const word = this.text.substring(start, this.at);
    if (word == "null") {
      json.kind = CODE_NULL;
    } else if (word == "true" || word == "false") {
      json.kind = CODE_BOOLEAN;
      json.number = word == "true" ? 1 : 0;
    } else if (word.length > 0) {
      json.kind = CODE_NUMBER;
      json.number = parseFloat(word);
    }
  }

  private string(): string {
    this.at++;
    let text = "";
    let from = this.at;
    while (this.at < this.text.length) {
      const c = this.text.charCodeAt(this.at);
      if (c == 34) break;
      if (c != 92) {
        this.at++;
        continue;
      }
      text += this.text.substring(from, this.at);
      text += this.escape();
      from = this.at;
    }
    text += this.text.substring(from, this.at);
    this.at++;
    return text;
  }

  private escape(): string {
    const c = this.text.charCodeAt(this.at + 1);
    this.at += 2;
    if (c == 117) {
      const unit = <i32>parseInt(this.text.substring(this.at, this.at + 4), 16);
      this.at += 4;
      return String.fromCharCode(unit);
    }
    if (c == 110) return "\n";
    if (c == 116) return "\t";
    if (c == 114) return "\r";
    if (c == 98) return "\b";
    if (c == 102) return "\f";
    return String.fromCharCode(c);
  }
}

/** `text` as a JSON string with its quotes. */
export function quote(text: string): string {
  let quoted = '"';
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 32 && c != 34 && c != 92) continue;
    quoted += text.substring(from, i);
    from = i + 1;
    if (c < 32) quoted += "\\u00" + (c < 16 ? "0" : "1") + HEX.charAt(c & 15);
    else quoted += "\\" + String.fromCharCode(c);
  }
  return quoted + text.substring(from) + '"';
}

const HEX = "0123456789abcdef";
