/**
 * What a JavaScript plugin finds: the global `gm`, and the documents of its hooks.
 * For editors and type checkers; nothing of it is needed to run.
 *
 * A hook is a function that the entrypoint exports, or sets on globalThis, under
 * the hook's name. What it returns is the reply; what it throws is its error.
 * In a checked file: `/// <reference path="./gm.d.ts" />`
 */

/** A value of JSON. */
type GmJson = null | boolean | number | string | GmJson[] | { [key: string]: GmJson };

/** A hook's reply: one JSON object, or none. */
type GmReply = { [key: string]: GmJson } | null | undefined | void;

interface GmNode {
  id: string;
  kind: string;
  data?: { [key: string]: GmJson };
}

interface GmEdge {
  src: string;
  dst: string;
  kind: string;
  /** A whole number, 1 if absent. */
  weight?: number;
  data?: { [key: string]: GmJson };
}

interface GmNodeQuery {
  kind?: string;
  /** Ids that begin with this. */
  prefix?: string;
  /** `next` of the page before. */
  after?: string;
  /** 1 to 1000; 100 if absent. */
  limit?: number;
}

interface GmEdgeQuery {
  src?: string;
  dst?: string;
  kind?: string;
  min_weight?: number;
  order?: "key" | "weight";
  after?: string;
  limit?: number;
}

interface GmPage<Item> {
  items: Item[];
  /** For `after` of the next query; null at the end. */
  next: string | null;
}

interface GmPerson {
  name: string;
  email: string;
  /** Seconds since 1970. */
  time: number;
  /** Minutes east of UTC. */
  offset: number;
}

/** For `init`, the first call. */
interface GmInit {
  schema: "gm.init/1";
  api: string;
  plugin: { id: string; version: string };
  repo: null | { object_format: string; bare: boolean; shallow: boolean; head: string | null };
  total: number | null;
  granted: string[];
  limits: { memory_bytes: number; time_ms: number; reply_bytes: number; storage_bytes: number };
  assets: { path: string; bytes: number }[];
}

/** A file that a commit changed. */
interface GmFile {
  path: string;
  /** The exact bytes, if the path isn't UTF-8. */
  path_base64?: string;
  status: "A" | "M" | "D" | "T";
  mode: string | null;
  old_mode: string | null;
  /** Null for a binary file. */
  added: number | null;
  deleted: number | null;
  binary: boolean;
  bytes: number | null;
  missing: boolean;
}

/** For `on_commit_analyzed`: a commit, after all its parents. */
interface GmCommit {
  schema: "gm.commit/1";
  id: string;
  parents: string[];
  tree: string;
  merge: boolean;
  /** The history is cut off here: the commit is described as a root. */
  boundary: boolean;
  author: GmPerson;
  committer: GmPerson;
  /** At most 64 KiB. */
  message: string;
  message_base64?: string;
  message_cut: boolean;
  /** The difference to the first parent, sorted by path; perhaps not all of it. */
  files: GmFile[];
  files_total: number;
  index: number;
  total: number | null;
}

/** For `on_edge_created`. */
interface GmEdgeCreated {
  schema: "gm.edge_created/1";
  edge: Required<GmEdge>;
  by: string;
}

/** For `on_node_updated`. */
interface GmNodeUpdated {
  schema: "gm.node_updated/1";
  node: Required<GmNode>;
  old: Required<GmNode> | null;
  by: string;
}

/** For `on_node_accessed`. */
interface GmNodeAccessed {
  schema: "gm.node_accessed/1";
  id: string;
  by: string;
}

/** For `on_graph_query`. */
interface GmGraphQuery {
  schema: "gm.graph_query/1";
  of: "node" | "edge";
  query: { [key: string]: GmJson };
  results: number;
  by: string;
}

/** For `gm_command`; its reply is `{ status, text }` or `{ status, data }`. */
interface GmCommand {
  schema: "gm.command/1";
  name: string;
  args: string[];
}

/** For `shutdown`, the last call; people are shown `report` of its reply. */
interface GmShutdown {
  schema: "gm.shutdown/1";
  reason: "end" | "interrupted";
  events: number;
}

/** What a host call throws: `code` is the ABI's name for it. */
interface GmError extends Error {
  code:
    | "denied"
    | "not_found"
    | "invalid"
    | "too_big"
    | "quota"
    | "limit"
    | "io"
    | "net"
    | "internal"
    | "stopping";
  /** The name of the call, as `node_put`. */
  call: string;
}

/**
 * The host. Every call is synchronous and needs the permission that its line names;
 * without it, it throws a {@link GmError} with the code `denied`.
 */
declare const gm: {
  /** log:write */
  log(level: "trace" | "debug" | "info" | "warn" | "error", text: string): void;
  /** config:read. Null if there is no such key. */
  config_get(key: string): GmJson;
  /** nodes:read. Null if there is none. */
  node_get(id: string): Required<GmNode> | null;
  /** nodes:write. One, or a list of at most 256; how many are new. */
  node_put(nodes: GmNode | GmNode[]): number;
  /** nodes:read */
  node_query(query: GmNodeQuery): GmPage<Required<GmNode>>;
  /** edges:read. Null if there is none. */
  edge_get(key: { src: string; dst: string; kind: string }): Required<GmEdge> | null;
  /** edges:write. One, or a list of at most 256; how many are new. */
  edge_put(edges: GmEdge | GmEdge[]): number;
  /** edges:read */
  edge_query(query: GmEdgeQuery): GmPage<Required<GmEdge>>;
  /** events:emit. A record of the run, under a topic such as `lint.finding`. */
  event_emit(topic: string, data: { [key: string]: GmJson }): void;
  /** storage. Null if there is no such key; throws `invalid` if it isn't UTF-8. */
  storage_get(key: string): string | null;
  storage_get_bytes(key: string): Uint8Array | null;
  storage_set(key: string, value: string | Uint8Array): void;
  /** 1 if it was there, else 0. */
  storage_delete(key: string): 0 | 1;
  /** The keys that begin with `prefix`. */
  storage_list(prefix: string): string[];
  /** filesystem. A granted file, such as `$REPO/docs/a.md`; null if it isn't there. */
  file_read(path: string, offset?: number, max?: number): string | null;
  file_read_bytes(path: string, offset?: number, max?: number): Uint8Array | null;
  /** The entries of a granted directory, sorted by name. */
  file_list(path: string): { name: string; type: "file" | "dir" | "other"; bytes: number }[] | null;
  /** Below $DATA only. */
  file_write(
    path: string,
    bytes: string | Uint8Array,
    options?: { offset?: number; create?: boolean; truncate?: boolean },
  ): number;
  /** No permission. A file of the manifest's `files`. */
  asset_read(name: string, offset?: number, max?: number): string | null;
  asset_read_bytes(name: string, offset?: number, max?: number): Uint8Array | null;
  /** network */
  http_request(request: {
    method: string;
    url: string;
    headers?: [string, string][];
    body?: string;
    body_base64?: string;
  }): { status: number; headers: [string, string][]; body?: string; body_base64?: string };
};
