//! The list of all codes, endings and exit codes, each with the test that has the
//! binaries produce it. It is complete: who adds a code adds a line here.

use std::collections::BTreeSet;

use gm_manifest::Code;

/// How a code is shown to be real.
enum Shown {
    /// By this test of this file.
    Test(&'static str, &'static str),
    /// Not at all, on a machine that is well; why.
    Not(&'static str),
}
use Shown::{Not, Test};

const SIGNED_LIST: &str = "a published blacklist says it, which this version doesn't read";
const LEVEL_FIRST: &str = "a group that can't be made at the start lowers the level: wall/level \
                           names the controller; later only a change of the machine makes it fail";
const ARCH: &str = "every kind has an engine; filters are made for x86-64 alone";
const MOUNTS: &str = "a kernel with user namespaces mounts a tmpfs in them";
const BUG: &str = "a fault of our own: if a test could bring it about, it would be mended";

const CODES: &[(&str, Shown)] = &[
    (
        "usage/arguments",
        Test(
            "refusals",
            "no_option_or_variable_makes_an_unsigned_package_load",
        ),
    ),
    (
        "usage/unknown-plugin",
        Test("refusals", "a_plugin_that_is_not_loaded_can_not_be_run"),
    ),
    (
        "config/syntax",
        Test(
            "refusals",
            "a_wrong_key_in_the_configuration_is_refused_before_anything_starts",
        ),
    ),
    (
        "config/unknown-key",
        Test(
            "refusals",
            "a_wrong_key_in_the_configuration_is_refused_before_anything_starts",
        ),
    ),
    (
        "config/bad-value",
        Test(
            "refusals",
            "a_wrong_key_in_the_configuration_is_refused_before_anything_starts",
        ),
    ),
    (
        "source/not-a-repository",
        Test("source", "what_is_no_repository_is_refused"),
    ),
    (
        "source/bad-range",
        Test("source", "a_range_that_git_does_not_know_is_refused"),
    ),
    (
        "source/object-format",
        Test("store", "objects_of_an_unknown_format_are_refused"),
    ),
    (
        "source/bad-event",
        Test(
            "run",
            "a_bad_line_of_events_ends_the_run_after_those_before_it",
        ),
    ),
    (
        "source/graph",
        Test(
            "graph",
            "a_graph_file_that_is_not_ours_is_refused_and_left_alone",
        ),
    ),
    (
        "source/unsafe-owner",
        Test(
            "source",
            "a_repository_of_another_owner_is_refused_unless_it_is_named",
        ),
    ),
    (
        "manifest/no-manifest",
        Test("manifest", "bytes_that_are_no_manifest_are_refused"),
    ),
    (
        "manifest/too-big",
        Test("manifest", "bytes_that_are_no_manifest_are_refused"),
    ),
    (
        "manifest/not-utf8",
        Test("manifest", "bytes_that_are_no_manifest_are_refused"),
    ),
    (
        "manifest/syntax",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/unknown-key",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/duplicate",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/missing-key",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/bad-value",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/bad-id",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/bad-fingerprint",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/bad-path",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/bad-version",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/api-version",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "manifest/signature-form",
        Test("manifest", "a_manifest_is_refused_by_code_and_line"),
    ),
    (
        "signature/base64",
        Test("trust", "a_signature_in_another_alphabet_is_refused"),
    ),
    (
        "signature/malformed",
        Test(
            "trust",
            "a_signature_that_is_not_one_plain_packet_is_refused_by_its_form",
        ),
    ),
    (
        "signature/not-one",
        Test(
            "trust",
            "a_signature_that_is_not_one_plain_packet_is_refused_by_its_form",
        ),
    ),
    (
        "signature/wrong-type",
        Test(
            "trust",
            "a_signature_of_another_kind_date_or_purpose_is_refused_by_name",
        ),
    ),
    (
        "signature/version",
        Test(
            "trust",
            "a_signature_that_is_not_one_plain_packet_is_refused_by_its_form",
        ),
    ),
    (
        "signature/no-issuer",
        Test(
            "trust",
            "a_signature_that_is_not_one_plain_packet_is_refused_by_its_form",
        ),
    ),
    (
        "signature/context",
        Test(
            "trust",
            "a_signature_of_another_kind_date_or_purpose_is_refused_by_name",
        ),
    ),
    (
        "signature/bad-signature",
        Test(
            "refusals",
            "a_bit_flipped_in_the_code_after_signing_is_refused",
        ),
    ),
    (
        "signature/hash-weak",
        Test(
            "trust",
            "a_signature_of_another_kind_date_or_purpose_is_refused_by_name",
        ),
    ),
    (
        "signature/future",
        Test(
            "trust",
            "a_signature_of_another_kind_date_or_purpose_is_refused_by_name",
        ),
    ),
    (
        "signature/before-key",
        Test(
            "trust",
            "a_signature_of_another_kind_date_or_purpose_is_refused_by_name",
        ),
    ),
    (
        "signature/sig-expired",
        Test(
            "trust",
            "a_signature_of_another_kind_date_or_purpose_is_refused_by_name",
        ),
    ),
    (
        "signature/critical-unknown",
        Test(
            "trust",
            "a_signature_of_another_kind_date_or_purpose_is_refused_by_name",
        ),
    ),
    (
        "key/unknown-signer",
        Test("refusals", "a_key_that_nobody_trusts_is_refused_and_named"),
    ),
    (
        "key/weak-key",
        Test(
            "trust",
            "a_key_that_may_not_sign_any_more_or_never_could_is_refused_by_name",
        ),
    ),
    (
        "key/expired",
        Test(
            "trust",
            "a_key_that_may_not_sign_any_more_or_never_could_is_refused_by_name",
        ),
    ),
    (
        "key/revoked-hard",
        Test("trust", "a_key_that_its_owner_revoked_is_refused_for_good"),
    ),
    (
        "key/revoked-soft",
        Test("trust", "a_key_that_its_owner_revoked_is_refused_for_good"),
    ),
    (
        "key/not-signing",
        Test(
            "trust",
            "a_key_that_may_not_sign_any_more_or_never_could_is_refused_by_name",
        ),
    ),
    (
        "key/unbound-subkey",
        Test(
            "trust",
            "a_subkey_that_did_not_agree_to_its_certificate_signs_nothing_for_it",
        ),
    ),
    (
        "key/cert-malformed",
        Test("trust", "a_certificate_that_is_weak_or_none_is_not_trusted"),
    ),
    (
        "identity/wrong-signer",
        Test("trust", "a_key_does_not_sign_in_anothers_name"),
    ),
    (
        "identity/namespace-denied",
        Test(
            "refusals",
            "a_key_may_not_sign_for_an_id_outside_its_namespaces",
        ),
    ),
    (
        "identity/namespace-conflict",
        Test("trust", "two_owners_of_one_namespace_own_nothing"),
    ),
    (
        "identity/pin-changed",
        Test("refusals", "an_id_stays_with_the_key_that_it_came_with"),
    ),
    (
        "identity/version-rollback",
        Test(
            "refusals",
            "an_older_version_than_one_seen_before_is_refused",
        ),
    ),
    (
        "artifact/missing",
        Test("packages", "a_package_is_refused_by_what_its_files_are"),
    ),
    (
        "artifact/extra-file",
        Test("refusals", "a_file_added_to_a_signed_package_is_refused"),
    ),
    (
        "artifact/digest-mismatch",
        Test(
            "refusals",
            "an_installed_file_that_was_changed_is_refused_at_the_next_run",
        ),
    ),
    (
        "artifact/not-regular",
        Test("packages", "a_package_is_refused_by_what_its_files_are"),
    ),
    (
        "artifact/changed-during-read",
        Test(
            "packages",
            "a_file_that_is_written_to_while_it_is_read_is_refused",
        ),
    ),
    (
        "artifact/too-big",
        Test("packages", "a_package_is_refused_by_what_its_files_are"),
    ),
    (
        "artifact/unsafe-path",
        Test("packages", "a_package_is_refused_by_what_its_files_are"),
    ),
    (
        "artifact/not-wasm",
        Test("refusals", "bytes_that_are_no_wasm_are_refused"),
    ),
    (
        "artifact/malformed-code",
        Test("refusals", "malformed_wasm_is_refused"),
    ),
    (
        "artifact/too-complex",
        Test(
            "packages",
            "a_module_with_more_than_the_compiler_takes_is_too_complex",
        ),
    ),
    (
        "artifact/missing-export",
        Test(
            "refusals",
            "imports_and_exports_are_checked_by_name_and_type",
        ),
    ),
    (
        "artifact/import-unknown",
        Test(
            "refusals",
            "imports_and_exports_are_checked_by_name_and_type",
        ),
    ),
    (
        "artifact/import-type",
        Test(
            "refusals",
            "imports_and_exports_are_checked_by_name_and_type",
        ),
    ),
    ("revoked/key", Not(SIGNED_LIST)),
    ("revoked/plugin-version", Not(SIGNED_LIST)),
    ("revoked/artifact", Not(SIGNED_LIST)),
    (
        "revoked/local",
        Test("refusals", "a_revoked_id_never_runs_again"),
    ),
    (
        "policy/unsigned",
        Test("refusals", "an_unsigned_package_is_refused"),
    ),
    (
        "policy/native-disallowed",
        Test(
            "refusals",
            "native_code_is_refused_without_the_operators_word",
        ),
    ),
    (
        "policy/permission-increase",
        Test(
            "plugins",
            "more_permissions_are_loaded_only_with_their_digest",
        ),
    ),
    (
        "policy/safe-mode",
        Test("control", "safe_mode_starts_no_plugin"),
    ),
    (
        "policy/import-not-granted",
        Test(
            "refusals",
            "an_import_that_the_manifest_does_not_ask_for_is_refused_with_the_line_to_add",
        ),
    ),
    (
        "policy/disabled",
        Test(
            "refusals",
            "a_disabled_plugin_is_not_run_and_says_so_when_it_is_named",
        ),
    ),
    (
        "policy/quarantined",
        Test(
            "plugins",
            "crash_loop_ends_in_quarantine_until_somebody_enables_the_plugin",
        ),
    ),
    (
        "policy/limit-too-small",
        Test(
            "refusals",
            "a_memory_limit_below_what_the_code_needs_is_refused_with_the_number",
        ),
    ),
    (
        "policy/admission",
        Test(
            "store",
            "more_plugins_than_the_operator_allows_are_not_admitted",
        ),
    ),
    (
        "store/unsafe-permissions",
        Test("refusals", "a_home_that_others_can_write_to_is_refused"),
    ),
    (
        "store/corrupt",
        Test(
            "plugins",
            "damaged_plugin_is_listed_as_damaged_and_hurts_no_other",
        ),
    ),
    (
        "store/locked",
        Test(
            "store",
            "a_store_that_another_process_holds_is_waited_for_and_then_refused",
        ),
    ),
    (
        "wall/level",
        Test(
            "machine",
            "without_cgroups_the_level_is_too_low_and_says_so",
        ),
    ),
    (
        "wall/engine-missing",
        Test("machine", "an_engine_that_is_missing_or_unsafe_is_not_used"),
    ),
    ("wall/kind-unsupported", Not(ARCH)),
    (
        "wall/user-ns",
        Test("machine", "without_one_of_its_namespaces_nothing_starts"),
    ),
    (
        "wall/pid-ns",
        Test("machine", "without_one_of_its_namespaces_nothing_starts"),
    ),
    (
        "wall/mount-ns",
        Test("machine", "without_one_of_its_namespaces_nothing_starts"),
    ),
    (
        "wall/net-ns",
        Test("machine", "without_one_of_its_namespaces_nothing_starts"),
    ),
    (
        "wall/ipc-ns",
        Test("machine", "without_one_of_its_namespaces_nothing_starts"),
    ),
    (
        "wall/uts-ns",
        Test("machine", "without_one_of_its_namespaces_nothing_starts"),
    ),
    (
        "wall/uid",
        Test("machine", "without_a_uid_for_a_plugin_nothing_starts"),
    ),
    (
        "wall/caps",
        Test("machine", "a_compiler_that_is_not_walled_compiles_nothing"),
    ),
    ("wall/cgroup-memory", Not(LEVEL_FIRST)),
    ("wall/cgroup-pids", Not(LEVEL_FIRST)),
    ("wall/cgroup-cpu", Not(LEVEL_FIRST)),
    (
        "wall/landlock",
        Test("machine", "a_compiler_that_is_not_walled_compiles_nothing"),
    ),
    (
        "wall/seccomp",
        Test("machine", "a_compiler_that_is_not_walled_compiles_nothing"),
    ),
    ("wall/mounts", Not(MOUNTS)),
    (
        "wall/descriptors",
        Test("machine", "a_compiler_that_is_not_walled_compiles_nothing"),
    ),
    ("internal/panic", Not(BUG)),
    (
        "internal/launcher",
        Test(
            "machine",
            "a_launcher_that_is_none_ends_the_run_as_an_internal_fault",
        ),
    ),
    ("internal/proof", Not(BUG)),
];

const ENDINGS: &[(&str, &str, &str)] = &[
    (
        "finished",
        "refusals",
        "an_untouched_package_of_a_trusted_key_loads_and_runs",
    ),
    (
        "failed",
        "endings",
        "a_plugin_that_says_no_in_init_has_failed_and_gets_no_event",
    ),
    ("trapped", "endings", "a_trap_ends_the_process_and_is_named"),
    (
        "crashed",
        "endings",
        "a_process_killed_by_a_stranger_has_crashed_and_its_neighbour_has_not",
    ),
    (
        "timed_out",
        "endings",
        "an_endless_loop_ends_at_its_time_limit_and_not_much_later",
    ),
    (
        "out_of_memory",
        "endings",
        "a_trap_after_the_memory_limit_was_reached_is_out_of_memory",
    ),
    (
        "too_many_processes",
        "peers",
        "one_task_too_many_and_a_forbidden_call_are_named",
    ),
    (
        "forbidden_syscall",
        "peers",
        "one_task_too_many_and_a_forbidden_call_are_named",
    ),
    (
        "protocol_violation",
        "peers",
        "a_frame_that_breaks_a_rule_is_the_last",
    ),
    (
        "log_flood",
        "endings",
        "a_flood_of_log_lines_ends_the_plugin_that_sends_it",
    ),
    ("revoked", "plugins", "revoked_id_ends_where_it_runs"),
    (
        "killed_by_operator",
        "plugins",
        "disabled_plugin_ends_where_it_runs",
    ),
    (
        "wall_missing",
        "peers",
        "a_runner_that_lies_about_its_walls_never_gets_a_call",
    ),
];

const EXITS: &[(u8, &str, &str)] = &[
    (
        0,
        "refusals",
        "an_untouched_package_of_a_trusted_key_loads_and_runs",
    ),
    (
        1,
        "endings",
        "an_error_of_a_hook_is_recorded_and_the_plugin_goes_on",
    ),
    (2, "refusals", "a_plugin_that_is_not_loaded_can_not_be_run"),
    (10, "manifest", "bytes_that_are_no_manifest_are_refused"),
    (
        11,
        "refusals",
        "a_bit_flipped_in_the_code_after_signing_is_refused",
    ),
    (
        12,
        "refusals",
        "a_key_that_nobody_trusts_is_refused_and_named",
    ),
    (13, "refusals", "an_id_stays_with_the_key_that_it_came_with"),
    (
        14,
        "refusals",
        "a_file_added_to_a_signed_package_is_refused",
    ),
    (16, "refusals", "a_revoked_id_never_runs_again"),
    (17, "refusals", "an_unsigned_package_is_refused"),
    (18, "refusals", "a_home_that_others_can_write_to_is_refused"),
    (
        20,
        "endings",
        "an_endless_loop_ends_at_its_time_limit_and_not_much_later",
    ),
    (
        30,
        "machine",
        "an_engine_that_is_missing_or_unsafe_is_not_used",
    ),
    (
        70,
        "crash",
        "a_killed_launcher_ends_the_run_with_exit_70_and_leaves_nothing",
    ),
    (
        129,
        "control",
        "the_first_interrupt_ends_a_run_in_good_order",
    ),
    (
        130,
        "control",
        "the_first_interrupt_ends_a_run_in_good_order",
    ),
    (
        143,
        "control",
        "the_first_interrupt_ends_a_run_in_good_order",
    ),
];

const FILES: &[(&str, &str)] = &[
    ("control", include_str!("control.rs")),
    ("crash", include_str!("crash.rs")),
    ("endings", include_str!("endings.rs")),
    ("graph", include_str!("graph.rs")),
    ("machine", include_str!("machine.rs")),
    ("manifest", include_str!("manifest.rs")),
    ("ordinary", include_str!("ordinary.rs")),
    ("packages", include_str!("packages.rs")),
    ("peers", include_str!("peers.rs")),
    ("plugins", include_str!("plugins.rs")),
    ("refusals", include_str!("refusals.rs")),
    ("run", include_str!("run.rs")),
    ("source", include_str!("source.rs")),
    ("store", include_str!("store.rs")),
    ("trust", include_str!("trust.rs")),
];

/// The text of a test of a file, from its name to the next test.
#[track_caller]
fn body(file: &str, test: &str) -> &'static str {
    let source = FILES.iter().find(|(name, _)| *name == file);
    let (_, source) = source.unwrap_or_else(|| panic!("no file {file}"));
    let begin = source.find(&format!("fn {test}("));
    let begin = begin.unwrap_or_else(|| panic!("no test {test} in {file}.rs"));
    let before = source[..begin].trim_end().lines().next_back();
    assert_eq!(before, Some("#[test]"), "{test}");
    let rest = &source[begin..];
    &rest[..rest.find("#[test]").unwrap_or(rest.len())]
}

#[test]
fn every_code_is_produced_by_a_test_or_has_a_reason_why_not() {
    let listed: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    let all: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(listed, all);
    for (code, shown) in CODES {
        match shown {
            Test(file, test) => {
                let body = body(file, test);
                let (_, name) = code.split_once('/').unwrap();
                let named = body.contains(code) || body.contains(&format!("\"{name}\""));
                assert!(named, "{test} does not name {code}");
            }
            Not(why) => assert!(!why.is_empty(), "{code}"),
        }
    }
}

#[test]
fn every_ending_and_every_exit_code_is_produced_by_a_test() {
    for (ending, file, test) in ENDINGS {
        let body = body(file, test);
        assert!(body.contains(&format!("\"{ending}\"")), "{test}: {ending}");
    }
    for (exit, file, test) in EXITS {
        let body = body(file, test);
        assert!(body.contains(&exit.to_string()), "{test}: {exit}");
    }
    let of_codes: BTreeSet<u8> = Code::ALL.iter().map(|code| code.exit()).collect();
    let listed: BTreeSet<u8> = EXITS.iter().map(|(exit, ..)| *exit).collect();
    assert!(of_codes.is_subset(&listed), "{of_codes:?}");
}
