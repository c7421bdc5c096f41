//! File grants in scripts: the kernel gives the same in every language, and the
//! same errors have the same names.

use gm_integration_tests::{Home, Package, Repository};
use serde_json::json;

/// What each script tries, in its own language; each answer is a value or the
/// name of an error.
const LUA: &str = "
local function try(f, ...)
  local ok, v = pcall(f, ...)
  if not ok then return v.code end
  return v == nil and 'none' or v
end
function on_commit_analyzed()
  local small = try(gm.file_write, '$DATA/small', 'abc', {create = true})
  local written, part = 0, ('x'):rep(65536)
  local why
  repeat
    local ok, e = pcall(gm.file_write, '$DATA/big', part, {create = true, offset = written})
    if ok then written = written + e else why = e.code end
  until why
  return {
    whole = try(gm.file_read, '$REPO/docs/a.txt'),
    part = try(gm.file_read, '$REPO/docs/a.txt', 2, 3),
    beside = try(gm.file_read, '$REPO/docs/b.txt'),
    up = try(gm.file_read, '$REPO/docs/../docs/a.txt'),
    list = try(gm.file_list, '$REPO/docs'),
    host = try(gm.file_read, '/etc/passwd'),
    proc = try(gm.file_read, '/proc/self/root/etc/passwd'),
    code = try(gm.file_read, '/code'),
    over = try(gm.file_write, '$REPO/docs/a.txt', 'x'),
    put = small,
    back = try(gm.file_read, '$DATA/small', 1),
    gone = try(gm.file_read, '$DATA/none'),
    full = why, some = written > 8000000, most = written <= 16777216,
  }
end";

const JS: &str = "
function attempt(f, ...given) {
  try { const v = f(...given); return v === null ? 'none' : v; } catch (e) { return e.code; }
}
export function on_commit_analyzed() {
  const small = attempt(gm.file_write, '$DATA/small', 'abc', {create: true});
  const part = 'x'.repeat(65536);
  let written = 0, why = null;
  while (why === null) {
    try { written += gm.file_write('$DATA/big', part, {create: true, offset: written}); }
    catch (e) { why = e.code; }
  }
  return {
    whole: attempt(gm.file_read, '$REPO/docs/a.txt'),
    part: attempt(gm.file_read, '$REPO/docs/a.txt', 2, 3),
    beside: attempt(gm.file_read, '$REPO/docs/b.txt'),
    up: attempt(gm.file_read, '$REPO/docs/../docs/a.txt'),
    list: attempt(gm.file_list, '$REPO/docs'),
    host: attempt(gm.file_read, '/etc/passwd'),
    proc: attempt(gm.file_read, '/proc/self/root/etc/passwd'),
    code: attempt(gm.file_read, '/code'),
    over: attempt(gm.file_write, '$REPO/docs/a.txt', 'x'),
    put: small,
    back: attempt(gm.file_read, '$DATA/small', 1),
    gone: attempt(gm.file_read, '$DATA/none'),
    full: why, some: written > 8000000, most: written <= 16777216,
  };
}";

fn expect_just_the_grant(kind: &str, text: &str) {
    let mut repository = Repository::of(1);
    repository.commit(&[("docs/a.txt", "abcdef"), ("docs/b.txt", "secret")]);
    let home = Home::new();
    let grants = "{ read = [\"$REPO/docs/a.txt\"], write = [\"$DATA\"] }";
    let package = Package::script("reader", kind, text).permission("filesystem", grants);
    home.load(&package);

    let run = home.run(&repository, &["--last", "1"]);

    run.expect_exit(0);
    let reply = &run.replies(package.plugin(), "on_commit_analyzed")[0]["reply"];
    let expected = json!({
        "whole": "abcdef", "part": "cde",
        "beside": "denied", "up": "invalid", "list": "denied",
        "host": "denied", "proc": "denied", "code": "denied",
        "over": "denied", "put": 3, "back": "bc", "gone": "none",
        "full": "quota", "some": true, "most": true,
    });
    assert_eq!(*reply, expected);
    let kept = std::fs::read(std::path::Path::new(repository.text()).join("docs/a.txt")).unwrap();
    assert_eq!(kept, b"abcdef");
}

#[test]
fn a_lua_script_reads_just_what_is_granted_and_fills_its_data_to_the_brim() {
    expect_just_the_grant("lua", LUA);
}

#[test]
fn a_js_script_reads_just_what_is_granted_and_fills_its_data_to_the_brim() {
    expect_just_the_grant("js", JS);
}
