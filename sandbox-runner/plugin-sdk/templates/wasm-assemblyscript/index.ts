/** Counts the commits that fix something. */
import { INFO, Json, log, quote, reply, textOf } from "./gm";
export { gm_alloc } from "./gm";

/** What is remembered from call to call. Every run starts anew. */
let fixes: i64 = 0;

export function on_commit_analyzed(pointer: usize, length: usize): i32 {
  const commit = Json.parse(textOf(pointer, length));
  if (!commit.get("message").text.startsWith("fix")) return 0;
  fixes++;
  log(INFO, commit.get("id").text + " is a fix");
  reply('{"fix":true}');
  return 0;
}

export function shutdown(pointer: usize, length: usize): i32 {
  const events = Json.parse(textOf(pointer, length)).get("events").integer;
  const text = fixes.toString() + " of " + events.toString() + " commits are fixes";
  reply('{"report":' + quote(text) + "}");
  return 0;
}
