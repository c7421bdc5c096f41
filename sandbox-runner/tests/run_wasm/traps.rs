//! Every kind of trap ends the process with its name, and nothing else.

use gm_protocol::message::{Last, TrapClass};

use crate::broker::Plugin;
use crate::broker::hook;

fn trap(before: &str, body: &str) -> TrapClass {
    match Plugin::start(&hook(before, body)).loaded().dies(b"{}") {
        (
            Some(Last::Trap {
                class,
                refused_grow: false,
            }),
            Some(102),
            None,
        ) => class,
        other => panic!("{other:?} instead of a trap"),
    }
}

#[test]
fn unreachable_code_is_a_trap() {
    assert_eq!(trap("", "unreachable"), TrapClass::Unreachable);
}

#[test]
fn an_access_outside_the_memory_is_a_trap() {
    assert_eq!(trap("", "(i32.load (i32.const 65533))"), TrapClass::Bounds);
    assert_eq!(
        trap("", "(i32.load offset=0xffffffff (i32.const -1))"),
        TrapClass::Bounds
    );
    assert_eq!(
        trap(
            "",
            "(i64.store offset=0xfffffff0 (i32.const -1) (i64.const 1)) (i32.const 0)"
        ),
        TrapClass::Bounds
    );
}

#[test]
fn an_access_outside_the_memory_in_the_library_is_a_trap() {
    let fill = "(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2)) (i32.const 0)";
    assert_eq!(trap("", fill), TrapClass::Bounds);
}

#[test]
fn endless_recursion_is_a_trap_of_the_stack() {
    let deep =
        "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))";
    assert_eq!(
        trap(deep, "(call $deep (local.get $len))"),
        TrapClass::Stack
    );
}

#[test]
fn a_frame_larger_than_the_guard_page_is_a_trap_of_the_stack() {
    let locals = "(local v128)".repeat(4_000);
    let sets: String = (1..=4_000)
        .map(|n| format!("(local.set {n} (i8x16.splat (call $id (i32.const {n}))))"))
        .collect();
    let gets: String = (1..=4_000)
        .map(|n| format!("(i8x16.extract_lane_u 0 (local.get {n})) i32.add "))
        .collect();
    let deep = format!(
        "(func $id (param i32) (result i32) (local.get 0))
         (func $deep (param i32) (result i32) {locals} {sets} (call $deep (i32.const 0)) {gets})"
    );
    assert_eq!(trap(&deep, "(call $deep (i32.const 0))"), TrapClass::Stack);
}

#[test]
fn a_division_by_zero_is_a_trap() {
    assert_eq!(
        trap(
            "",
            "(i32.div_u (i32.const 1) (i32.sub (local.get $len) (i32.const 2)))"
        ),
        TrapClass::Arithmetic
    );
}

#[test]
fn a_table_without_the_function_is_a_trap() {
    let table = "(type $f (func (result i32))) (table $t 2 funcref)";
    let null = trap(table, "(call_indirect (type $f) (i32.const 1))");
    assert!(
        matches!(null, TrapClass::Table | TrapClass::Unreachable),
        "{null:?}"
    );
    let outside = trap(table, "(call_indirect (type $f) (i32.const 7))");
    assert!(
        matches!(outside, TrapClass::Table | TrapClass::Unreachable),
        "{outside:?}"
    );
    let get = trap(table, "(ref.is_null (table.get $t (i32.const 7)))");
    assert!(
        matches!(get, TrapClass::Table | TrapClass::Unreachable),
        "{get:?}"
    );
    let copy = "(table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 9)) (i32.const 0)";
    assert_eq!(trap(table, copy), TrapClass::Table);
}

#[test]
fn a_host_call_with_a_pointer_outside_the_memory_is_a_trap() {
    let reply = r#"(import "gm" "reply" (func $reply (param i32 i32) (result i32)))"#;
    for arguments in [
        "(i32.const 65530) (i32.const 14)",
        "(i32.const -1) (i32.const -1)",
    ] {
        assert_eq!(
            trap(reply, &format!("(call $reply {arguments})")),
            TrapClass::HostCall
        );
    }
    let result = r#"(import "gm" "result" (func $result (param i32 i32) (result i32)))"#;
    let unused = "(call $result (i32.const 65530) (i32.const 100))";
    assert_eq!(trap(result, unused), TrapClass::HostCall);
}

#[test]
fn a_host_call_with_an_unknown_level_is_a_trap() {
    let log = r#"(import "gm" "log" (func $log (param i32 i32 i32) (result i32)))"#;
    for level in [5, 256, -1] {
        let call = format!("(call $log (i32.const {level}) (i32.const 16) (i32.const 4))");
        assert_eq!(trap(log, &call), TrapClass::HostCall);
    }
}

#[test]
fn a_host_call_outside_a_hook_is_a_trap() {
    let reply = r#"(import "gm" "reply" (func $reply (param i32 i32) (result i32)))"#;
    for before in ["(start $early)", "(export \"_initialize\" (func $early))"] {
        let early = format!(
            "{reply} (func $early (drop (call $reply (i32.const 16) (i32.const 14)))) {before}"
        );
        let seen = Plugin::start(&hook(&early, "(i32.const 0)")).peer.ending();
        let trap = Last::Trap {
            class: TrapClass::HostCall,
            refused_grow: false,
        };
        assert_eq!(seen, (Some(trap), Some(102), None));
    }
}

#[test]
fn a_trap_in_the_start_function_ends_the_load() {
    let early = "(func $early unreachable) (start $early)";
    let seen = Plugin::start(&hook(early, "(i32.const 0)")).peer.ending();
    let trap = Last::Trap {
        class: TrapClass::Unreachable,
        refused_grow: false,
    };
    assert_eq!(seen, (Some(trap), Some(102), None));
}
