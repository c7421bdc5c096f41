// Each call of the host, with nothing granted.
const calls = [
  () => gm.log("info", "a line"),
  () => gm.config_get("any.key"),
  () => gm.node_get("file:a"),
  () => gm.node_query({ kind: "file" }),
  () => gm.node_put({ id: "file:a", kind: "file" }),
  () => gm.edge_get({ src: "a", dst: "b", kind: "c" }),
  () => gm.edge_query({ kind: "c" }),
  () => gm.edge_put({ src: "a", dst: "b", kind: "c" }),
  () => gm.event_emit("topic", {}),
  () => gm.storage_get("key"),
  () => gm.storage_set("key", "value"),
  () => gm.storage_list(""),
  () => gm.file_read("$REPO/README.md"),
  () => gm.file_list("$REPO"),
  () => gm.file_write("$DATA/x", "x", { create: true }),
  () => gm.http_request({ method: "GET", url: "https://example.com/" }),
  () => gm.file_read("a".repeat(100000)),
  () => gm.file_read("$REPO/\ud800"),
  () => gm.asset_read("../plugin.manifest.toml"),
  () => gm.asset_read("/etc/passwd"),
];

function attack(variant) {
  const got = calls[variant]();
  return [variant < 18 || got ? "ok" : "null"];
}
