//! The memory cap: growth up to it, refusal beyond, and what a trap after a
//! refusal is called.

use gm_protocol::message::{Last, TrapClass};

use crate::broker::hook;
use crate::broker::{Plugin, task};
use crate::filters::of_profile;

/// Grows by as many pages as the event has bytes; answers 0 if that went well.
const GROW: &str = "(i32.eq (memory.grow (local.get $len)) (i32.const -1))";

#[test]
fn memory_grows_to_the_cap_and_not_beyond() {
    // The cap is 8 MiB, 128 pages, of which the module has one.
    let mut plugin = Plugin::start(&hook("", GROW)).loaded();
    assert_eq!(plugin.call(&[b' '; 100]).status, 0);
    assert_eq!(plugin.call(&[b' '; 100]).status, 1);
    assert_eq!(plugin.call(&[b' '; 27]).status, 0);
    assert_eq!(plugin.call(&[b' '; 1]).status, 1);
    assert_eq!(plugin.stop(), (None, Some(0), None));
}

#[test]
fn grown_memory_can_be_used_and_begins_as_zeroes() {
    let body = "(drop (memory.grow (i32.const 3)))
        (i32.add (i32.load (i32.const 262140)) (i32.store8 (i32.const 262143) (i32.const 9)) (i32.load8_u (i32.const 262143)))";
    let body = body.replace("(i32.add (i32.load (i32.const 262140)) (i32.store8 (i32.const 262143) (i32.const 9)) (i32.load8_u (i32.const 262143)))",
        "(i32.load (i32.const 262140)) (i32.store8 (i32.const 262143) (i32.const 9)) (i32.load8_u (i32.const 262143)) i32.add");
    let mut plugin = Plugin::start(&hook("", &body)).loaded();
    assert_eq!(plugin.call(b"{}").status, 9);
}

#[test]
fn a_trap_after_a_refused_growth_is_a_matter_of_memory() {
    let body = "(drop (memory.grow (i32.const 1000))) unreachable";
    let seen = Plugin::start(&hook("", body)).loaded().dies(b"{}");
    let trap = Last::Trap {
        class: TrapClass::Unreachable,
        refused_grow: true,
    };
    assert_eq!(seen, (Some(trap), Some(102), None));
}

#[test]
fn a_refusal_of_an_earlier_call_is_forgotten() {
    let body = "(if (i32.eq (local.get $len) (i32.const 1)) (then unreachable))
        (i32.ne (memory.grow (i32.const 1000)) (i32.const -1))";
    let mut plugin = Plugin::start(&hook("", body)).loaded();
    assert_eq!(plugin.call(b"{}").status, 0);
    let trap = Last::Trap {
        class: TrapClass::Unreachable,
        refused_grow: false,
    };
    assert_eq!(plugin.dies(b" "), (Some(trap), Some(102), None));
}

#[test]
fn a_module_that_begins_above_its_cap_is_out_of_memory() {
    let mut small = task();
    small.memory_bytes = 32 << 10;
    let seen = Plugin::with(
        &hook("", "(i32.const 0)"),
        small,
        of_profile("wasm", None),
        b"",
    )
    .peer
    .ending();
    let trap = Last::Trap {
        class: TrapClass::Other,
        refused_grow: true,
    };
    assert_eq!(seen, (Some(trap), Some(102), None));
}

#[test]
fn a_table_grows_only_within_the_cap() {
    let table = "(table $t 1 funcref)";
    let body = "(i32.eq (table.grow $t (ref.null func) (i32.mul (local.get $len) (i32.const 1000))) (i32.const -1))";
    let mut plugin = Plugin::start(&hook(table, body)).loaded();
    assert_eq!(plugin.call(b"{}").status, 0);
    assert_eq!(plugin.call(&[b' '; 4000]).status, 1);
}

#[test]
fn a_huge_table_is_refused() {
    let table = "(table $t 0xfffffff funcref)";
    let seen = Plugin::start(&hook(table, "(i32.const 0)")).peer.ending();
    let trap = Last::Trap {
        class: TrapClass::Other,
        refused_grow: true,
    };
    assert_eq!(seen, (Some(trap), Some(102), None));
}
