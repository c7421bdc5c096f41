// @ts-check
/// <reference path="../gm.d.ts" />
// Counts the commits that fix something.

// What is remembered from call to call. Every run starts anew.
let fixes = 0;

/** @param {GmCommit} commit @returns {GmReply} */
export function on_commit_analyzed(commit) {
  if (!commit.message.startsWith("fix")) return null;
  fixes += 1;
  gm.log("info", `${commit.id} is a fix`);
  return { fix: true };
}

/** @param {GmShutdown} stop @returns {GmReply} */
export function shutdown(stop) {
  return { report: `${fixes} of ${stop.events} commits are fixes` };
}
