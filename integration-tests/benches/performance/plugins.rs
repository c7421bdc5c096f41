//! The plugins that are measured. Each does as little as it can: what they do
//! themselves is not what is asked here.

use std::fmt::Write as _;

use gm_integration_tests::Home;

use crate::stage::package;

/// Answers each event with the event.
pub(crate) const ECHO: &str = "com.test.echo";
/// The same after one host call.
pub(crate) const ASKS: &str = "com.test.asks";
/// The same with some 600 KB of code that is never called.
pub(crate) const LARGE: &str = "com.test.large";
/// The same with an asset of 10 MB.
pub(crate) const HEAVY: &str = "com.test.heavy";
/// Plugins of the replay; they answer nothing.
pub(crate) const QUIET: usize = 10;
/// Bytes of [`HEAVY`]'s asset.
pub(crate) const ASSET: usize = 10_000_000;

/// What [`ASKS`] asks for.
pub(crate) const CONFIG: &str = "[config]\n\"bench.key\" = \"value\"\n";

/// The id of a plugin of the replay.
pub(crate) fn quiet(number: usize) -> String {
    format!("com.test.quiet-{number}")
}

/// Signs and loads all of them, which also compiles them.
pub(crate) fn load_all(home: &Home) {
    home.load(&package("echo", &module("", REPLY)));
    let asks = package("asks", &module("", ASK))
        .permission("host_api", "[\"config:read\"]")
        .permission("config", "[\"bench.*\"]");
    home.load(&asks);
    let large = package("large", &module(&ballast(), REPLY));
    home.load(&large.permission("memory_limit", "\"64mb\""));
    let heavy = package("heavy", &module("", REPLY));
    home.load(&heavy.asset("heavy.bin", &noise(ASSET)));
    for number in 0..QUIET {
        home.load(&package(
            &format!("quiet-{number}"),
            &module("", QUIET_HOOK),
        ));
    }
}

const REPLY: &str = "(i32.ne (call $reply (local.get 0) (local.get 1)) (i32.const 0))";
const ASK: &str = "(drop (call $config_get (i32.const 16) (i32.const 9)))
    (i32.ne (call $reply (local.get 0) (local.get 1)) (i32.const 0))";
const QUIET_HOOK: &str = "(i32.const 0)";

fn module(more: &str, hook: &str) -> String {
    let ask = if hook == ASK {
        "(import \"gm\" \"config_get\" (func $config_get (param i32 i32) (result i64)))"
    } else {
        ""
    };
    format!(
        "(module
          (import \"gm\" \"reply\" (func $reply (param i32 i32) (result i32)))
          {ask}
          (memory (export \"memory\") 4)
          (data (i32.const 16) \"bench.key\")
          (func (export \"gm_alloc\") (param i32) (result i32) (i32.const 4096))
          (func (export \"on_commit_analyzed\") (param i32 i32) (result i32) {hook})
          {more})"
    )
}

/// Functions of some 200 bytes each that nothing calls.
fn ballast() -> String {
    let mut text = String::new();
    for function in 0..3000 {
        text.push_str("(func (param i32) (result i32) (local.get 0)");
        for step in 0..24 {
            let constant = 1_000_000 + function * 24 + step;
            let _ = write!(
                text,
                "(i32.const {constant}) i32.add (i32.const {step}) i32.rotl"
            );
        }
        text.push_str(")\n");
    }
    text
}

/// Bytes without a pattern that a file system or a hash could use; always the same.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(next).collect()
}
