//! `gm-broker doctor` on machines that lack something: the level is what a run finds,
//! each gap says what mends it, and what it says works.

use std::path::{Path, PathBuf};

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::records::{events, text};
use gm_integration_tests::skip::{below_l4, lacks};
use gm_integration_tests::{Ended, Home, Package, Repository, machine_code, process};
use serde_json::Value;

/// Every line of the report.
const LINES: &str = "arch kernel ia32 x32 container outer-seccomp proc clone3 seccomp-kill \
    seccomp-trap seccomp-errno no-new-privs capabilities landlock-abi landlock-errata landlock \
    namespace-user namespace-mount namespace-pid namespace-net namespace-ipc namespace-uts \
    mount-tree walled-child plugin-uids groups-dropped cgroup-mode cgroup-memory cgroup-pids \
    cgroup-cpu cgroup-kill cgroup-events cgroup-room swap idmapped-mounts mdwe speculation pidfd \
    close-range openat2 memfd-seals memfd-noexec tty core-pattern ptrace-scope io-uring \
    userfaultfd audit pressure bpf-jit clock entropy home home-room engines exec trusted-keys \
    blacklist";

/// Shell words that do something first, then start what follows them.
const THEN: &str = " && exec \"$0\" \"$@\"";

fn no_root() -> bool {
    lacks("root", rustix::process::geteuid().is_root())
}

/// The doctor, started by `words`, with arguments of its own.
fn doctor(home: &Home, words: &[&str], arguments: &[&str]) -> Ended {
    let mut command = home.through(words, "gm-broker");
    command.args(["--format", "json", "doctor"]).args(arguments);
    let ended = process::run(&mut command, b"");
    expect_report(&ended);
    ended
}

/// The same after a shell has done `first` in a mount namespace of its own.
fn doctor_after(home: &Home, first: &str) -> Ended {
    let script = format!("{first}{THEN}");
    doctor(home, &["unshare", "-m", "sh", "-c", &script], &[])
}

/// Each line is there, in its form, and the summary is the last.
#[track_caller]
fn expect_report(ended: &Ended) {
    let checks = of_kind(ended, "check");
    let ids: Vec<&str> = checks.iter().map(|check| text(check, "id")).collect();
    let lines: Vec<&str> = LINES.split_whitespace().collect();
    assert_eq!(ids, lines, "{ended:#?}");
    for check in checks {
        assert!(!text(check, "found").is_empty(), "{check:#}");
        assert!(!text(check, "needed_for").is_empty(), "{check:#}");
        match text(check, "state") {
            "ok" | "info" => assert!(check["fix"].is_null(), "{check:#}"),
            "gap" => assert!(!text(check, "fix").is_empty(), "{check:#}"),
            other => panic!("state {other}"),
        }
    }
    let last = ended.last();
    assert_eq!(last["kind"], "summary", "{last:#}");
    assert_eq!(last["exit"], ended.exit, "{last:#}");
}

fn of_kind<'a>(ended: &'a Ended, kind: &str) -> Vec<&'a Value> {
    let own = ended.records.iter();
    own.filter(|record| record["schema"] == "gm.doctor/1" && record["kind"] == kind)
        .collect()
}

#[track_caller]
fn check<'a>(ended: &'a Ended, id: &str) -> &'a Value {
    let checks = of_kind(ended, "check");
    checks.into_iter().find(|check| check["id"] == id).unwrap()
}

#[track_caller]
fn expect_gap<'a>(ended: &'a Ended, id: &str, level: Option<&str>, fix: &str) -> &'a str {
    let check = check(ended, id);
    assert_eq!(check["state"], "gap", "{check:#}");
    assert_eq!(check["level_without"].as_str(), level, "{check:#}");
    let said = text(check, "fix");
    assert!(said.contains(fix), "no {fix:?} in {said:?}");
    said
}

/// Does what doctor says, as a person would.
#[track_caller]
fn follow(fix: &str) {
    let mut shell = process::command("sh", Path::new("/"));
    process::run(shell.args(["-c", fix]), b"").expect_exit(0);
}

#[track_caller]
fn expect_ok(ended: &Ended, ids: &[&str]) {
    for id in ids {
        let check = check(ended, id);
        assert_eq!(check["state"], "ok", "{check:#}");
    }
}

/// What `run` says about its level: in its first record, or in the refusal.
fn level_of_a_run(home: &Home, words: &[&str]) -> String {
    let mut command = home.through(words, "gm-broker");
    command.args(["--format", "json", "run", "--events", "-"]);
    let run = process::run(&mut command, b"");
    if let Some(begun) = events(&run.records, "run_started").first() {
        return text(begun, "level").to_owned();
    }
    let detail = text(run.expect_refused(30, "wall/level"), "detail");
    let rest = detail.split_once("this machine gives ").unwrap().1;
    rest.split(',').next().unwrap().to_owned()
}

#[test]
fn root_on_a_machine_with_everything_has_no_gap_and_the_level_of_a_run() {
    if below_l4() {
        return;
    }
    let home = Home::new();

    let asked = doctor(&home, &[], &["--min-isolation", "L4"]);

    asked.expect_exit(0);
    assert_eq!(asked.last()["level"], "L4");
    assert_eq!(level_of_a_run(&home, &[]), "L4");
    for check in of_kind(&asked, "check") {
        let level = check["level_without"].as_str();
        assert!(level.is_none() || check["state"] != "gap", "{check:#}");
    }
    let events = text(check(&asked, "cgroup-events"), "found");
    assert!(events.contains("1 kill counted"), "{events}");
}

#[test]
fn a_person_reads_one_line_for_each_check_and_the_level_last() {
    let home = Home::new();
    let said = process::run(home.plain("gm-broker").arg("doctor"), b"");
    let mut lines: Vec<&str> = said.stdout.lines().collect();
    let last = lines.pop().unwrap();
    assert!(last.starts_with("level L"), "{last}");
    assert_eq!(lines.len(), LINES.split_whitespace().count());
    for (line, id) in lines.iter().zip(LINES.split_whitespace()) {
        let mut words = line.split_whitespace();
        assert!(
            ["ok", "gap", "info"].contains(&words.next().unwrap()),
            "{line}"
        );
        assert_eq!(words.next(), Some(id), "{line}");
    }
}

#[test]
fn an_ordinary_user_has_l3_at_most_and_is_told_why() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();

    let asked = doctor(&home, &[], &[]);
    let raised = doctor(&home, &[], &["--min-isolation", "L4"]);

    asked.expect_exit(0);
    assert_eq!(asked.last()["level"], "L3");
    assert_eq!(asked.last()["uid_shared"], true);
    assert_eq!(level_of_a_run(&home, &[]), "L3");
    let fix = expect_gap(&asked, "plugin-uids", Some("L3"), "sudo gm-broker --home ");
    assert!(fix.contains("run_as"), "{fix}");
    let found = text(check(&asked, "plugin-uids"), "found");
    assert!(found.contains("share uid"), "{found}");
    expect_gap(&asked, "groups-dropped", Some("L3"), "--clear-groups");
    for id in ["cgroup-memory", "cgroup-pids", "cgroup-cpu"] {
        expect_gap(&asked, id, Some("L3"), "");
    }
    let walls = [
        "capabilities",
        "landlock",
        "seccomp-kill",
        "namespace-net",
        "walled-child",
    ];
    expect_ok(&asked, &walls);
    raised.expect_refused(30, "wall/level");
}

#[test]
fn groups_can_be_given_up_by_the_command_that_it_names() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();
    let asked = doctor(&home, &[], &[]);
    let fix = expect_gap(&asked, "groups-dropped", Some("L3"), "sudo setpriv ");
    let words = fix
        .strip_prefix("sudo ")
        .unwrap()
        .strip_suffix(" gm-broker …");
    let words: Vec<&str> = words.unwrap().split(' ').collect();

    // As root, which is what sudo makes of them.
    let mut command = process::command(words[0], &home.beside("."));
    command.args(&words[1..]).arg(home.beside("bin/gm-broker"));
    command.args([
        "--home",
        path_text(&home.path()),
        "--format",
        "json",
        "doctor",
    ]);
    let after = process::run(&mut command, b"");

    expect_ok(&after, &["groups-dropped"]);
}

#[test]
fn without_user_namespaces_it_is_l2_and_the_command_that_it_names_mends_it() {
    let home = Home::new();
    home.write_config("[isolation]\nmin = \"L2\"\n");
    let none = "echo 0 >/proc/sys/user/max_user_namespaces";
    let script = format!("{none}{THEN}");
    let words = ["unshare", "-U", "-r", "sh", "-c", &script];

    let asked = doctor(&home, &words, &[]);

    // At L2 nothing is ever started, whatever is configured.
    let refused = asked.expect_refused(30, "wall/level");
    assert!(text(refused, "detail").contains("L2"), "{refused:#}");
    assert_eq!(asked.last()["level"], "L2");
    assert_eq!(level_of_a_run(&home, &words), "L2");
    for id in ["user", "mount", "pid", "net", "ipc", "uts"] {
        let id = format!("namespace-{id}");
        expect_gap(
            &asked,
            &id,
            Some("L2"),
            "sysctl -w user.max_user_namespaces=",
        );
    }
    let fix = expect_gap(&asked, "mount-tree", Some("L2"), "sysctl -w ");
    expect_ok(
        &asked,
        &["landlock", "seccomp-kill", "no-new-privs", "capabilities"],
    );

    let script = format!("{none} && {fix} >/dev/null{THEN}");
    let after = doctor(&home, &["unshare", "-U", "-r", "sh", "-c", &script], &[]);
    expect_ok(&after, &["namespace-user", "namespace-net", "mount-tree"]);
}

#[test]
fn each_kind_of_namespace_is_asked_for_by_itself() {
    let home = Home::new();
    let script = format!("echo 0 >/proc/sys/user/max_net_namespaces{THEN}");
    let asked = doctor(&home, &["unshare", "-U", "-r", "sh", "-c", &script], &[]);
    asked.expect_refused(30, "wall/level");
    expect_gap(
        &asked,
        "namespace-net",
        Some("L2"),
        "sysctl -w user.max_net_namespaces=",
    );
    expect_ok(
        &asked,
        &["namespace-user", "namespace-pid", "namespace-uts"],
    );
    expect_gap(&asked, "walled-child", Some("L2"), "gaps above");
}

/// What a filter of somebody else's refuses.
struct Outer {
    rules: &'static [&'static str],
    code: &'static str,
    gaps: &'static [&'static str],
    works: &'static [&'static str],
}

#[test]
fn behind_the_filter_of_a_container_nothing_starts_and_each_call_is_named() {
    let home = Home::new();
    let behind = home.beside("behind");
    machine_code::behind(&behind);
    for outer in [
        Outer {
            rules: &["clone3=ENOSYS"],
            code: "wall/user-ns",
            gaps: &["clone3"],
            works: &["namespace-user", "landlock", "seccomp-kill"],
        },
        Outer {
            rules: &["clone3=ENOSYS", "newuser=EPERM"],
            code: "wall/user-ns",
            gaps: &["clone3", "namespace-user", "namespace-pid", "mount-tree"],
            works: &["landlock", "seccomp-kill"],
        },
        Outer {
            rules: &["landlock=ENOSYS"],
            code: "wall/landlock",
            gaps: &["landlock", "landlock-abi"],
            works: &["clone3", "namespace-user", "seccomp-errno"],
        },
        Outer {
            rules: &["seccomp=EPERM"],
            code: "wall/seccomp",
            gaps: &["seccomp-kill", "seccomp-trap", "seccomp-errno"],
            works: &["clone3", "landlock", "namespace-user"],
        },
    ] {
        let mut words = vec![path_text(&behind)];
        words.extend(outer.rules);
        words.push("--");

        let asked = doctor(&home, &words, &[]);
        let mut run = home.through(&words, "gm-broker");
        run.args(["--format", "json", "run", "--events", "-"]);
        let run = process::run(&mut run, b"");

        asked.expect_refused(30, outer.code);
        assert_eq!(asked.last()["level"], "L0", "{:?}", outer.rules);
        run.expect_refused(30, outer.code);
        run.expect_nothing_started();
        for id in outer.gaps {
            expect_gap(
                &asked,
                id,
                check(&asked, id)["level_without"].as_str(),
                "seccomp",
            );
        }
        expect_ok(&asked, outer.works);
        let found = text(check(&asked, "outer-seccomp"), "found");
        assert!(found.starts_with("1 of others"), "{found}");
    }
}

/// Where groups with a memory limit are.
fn memory_groups() -> String {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let point = |kind: &str, option: &str| {
        let line = mounts.lines().find(|line| {
            let (_, system) = line.split_once(" - ").unwrap();
            system.starts_with(kind) && system.split([' ', ',']).any(|one| one == option)
        })?;
        line.split(' ').nth(4).map(str::to_owned)
    };
    point("cgroup ", "memory")
        .or_else(|| point("cgroup2 ", "rw"))
        .unwrap()
}

#[test]
fn groups_that_are_read_only_are_l3_and_the_command_that_it_names_mends_it() {
    if below_l4() {
        return;
    }
    let home = Home::new();
    home.configure("");
    let point = memory_groups();
    let shut = format!("mount -o remount,bind,ro {point}");

    let asked = doctor_after(&home, &shut);

    asked.expect_refused(30, "wall/level");
    assert_eq!(asked.last()["level"], "L3");
    let script = format!("{shut}{THEN}");
    let words = ["unshare", "-m", "sh", "-c", &script];
    assert_eq!(level_of_a_run(&home, &words), "L3");
    let fix = expect_gap(&asked, "cgroup-memory", Some("L3"), "");
    let found = text(check(&asked, "cgroup-memory"), "found");
    assert!(found.contains("Read-only"), "{found}");
    assert_eq!(fix, format!("mount -o remount,bind,rw {point}"));

    let after = doctor_after(&home, &format!("{shut} && {fix}"));
    after.expect_exit(0);
    assert_eq!(after.last()["level"], "L4");
    expect_ok(&after, &["cgroup-memory"]);
}

#[test]
fn a_group_that_is_not_there_is_made_by_the_command_that_it_names() {
    if below_l4() {
        return;
    }
    let home = Home::new();
    let name = format!("gm-test-{}", std::process::id());
    home.write_config(&format!("[isolation]\ncgroup_parent = \"/{name}\"\n"));

    let asked = doctor(&home, &[], &[]);

    asked.expect_refused(30, "wall/level");
    let fix = expect_gap(&asked, "cgroup-memory", Some("L3"), "mkdir -p ").to_owned();
    let made = process::run(
        process::command("sh", Path::new("/")).args(["-c", &fix]),
        b"",
    );
    let after = doctor(&home, &[], &[]);
    for dir in fix.split(' ').filter(|word| word.ends_with(&name)) {
        std::fs::remove_dir(dir).unwrap();
    }
    made.expect_exit(0);
    after.expect_exit(0);
    assert_eq!(after.last()["level"], "L4");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_home_that_others_can_read_is_refused_until_its_mode_is_mended() {
    let home = Home::new();
    for mode in [0o755, 0o770, 0o707] {
        set_mode(&home.path(), mode);

        let asked = doctor(&home, &[], &[]);

        asked.expect_refused(18, "store/unsafe-permissions");
        let fix = expect_gap(&asked, "home", None, "chmod 0700 ");
        expect_ok(&asked, &["landlock", "namespace-user"]);
        follow(fix);
        doctor(&home, &[], &[]).expect_exit(0);
    }
}

#[test]
fn a_home_of_somebody_else_is_refused_and_the_machine_is_looked_at_all_the_same() {
    if no_root() {
        return;
    }
    let home = Home::new();
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(4242), None).unwrap();
    give(&home.path());
    // Of this one file the contract says: a wrong configuration.
    let half = doctor(&home, &[], &[]);
    half.expect_refused(2, "config/bad-value");
    expect_gap(&half, "home", None, "chown -R 0 ");
    give(&home.path().join("broker.toml"));

    let asked = doctor(&home, &[], &[]);

    asked.expect_refused(18, "store/unsafe-permissions");
    let fix = expect_gap(&asked, "home", None, "chown -R 0 ");
    expect_ok(&asked, &["landlock", "namespace-user", "walled-child"]);
    follow(fix);
    doctor(&home, &[], &[]).expect_exit(0);
}

#[test]
fn a_configuration_that_can_not_be_read_is_named_by_its_own_code() {
    let home = Home::new();
    home.write_config("[isolation]\nmni = \"L3\"\n");
    let asked = doctor(&home, &[], &[]);
    asked.expect_refused(2, "config/unknown-key");
    let found = text(check(&asked, "home"), "found");
    assert!(found.contains("config/unknown-key"), "{found}");
    expect_ok(&asked, &["landlock", "namespace-user", "walled-child"]);
}

#[test]
fn ids_that_an_account_has_are_named_with_the_line_to_write() {
    if no_root() {
        return;
    }
    let home = Home::new();
    let passwd = home.beside("passwd");
    let mut text = std::fs::read_to_string("/etc/passwd").unwrap();
    text.push_str("somebody:x:1900000007:1900000007::/:/bin/false\n");
    std::fs::write(&passwd, text).unwrap();
    let asked = doctor_after(
        &home,
        &format!("mount --bind {} /etc/passwd", passwd.display()),
    );
    asked.expect_refused(2, "config/bad-value");
    assert_eq!(asked.last()["level"], "L0");
    expect_gap(&asked, "plugin-uids", Some("L3"), "uids = [");
}

#[test]
fn an_engine_on_a_mount_with_noexec_is_a_gap_and_the_command_that_it_names_mends_it() {
    if no_root() {
        return;
    }
    let home = Home::new();
    let engine: PathBuf = gm_integration_tests::binary("gm-run-wasm");
    let engine = path_text(&engine);
    let noexec = format!("mount --bind {engine} {engine} && mount -o remount,bind,noexec {engine}");

    let asked = doctor_after(&home, &noexec);

    let fix = expect_gap(&asked, "exec", None, "mount -o remount,bind,exec ");
    assert!(fix.ends_with("gm-run-wasm"), "{fix}");
    let after = doctor_after(&home, &format!("{noexec} && {fix}"));
    expect_ok(&after, &["exec"]);
}

#[test]
fn a_binary_that_others_can_write_is_named() {
    let home = Home::new();
    let directory = home.beside("bin");
    gm_integration_tests::home::copy_binaries(&directory);
    let home = home.with_binaries(&directory);
    set_mode(&directory.join("gm-run-lua"), 0o775);
    let asked = doctor(&home, &[], &[]);
    expect_gap(&asked, "engines", None, "chmod go-w ");
    let found = text(check(&asked, "engines"), "found");
    assert!(found.contains("gm-run-lua"), "{found}");
    set_mode(&directory.join("gm-launcher"), 0o775);
    let asked = doctor(&home, &[], &[]);
    asked.expect_refused(30, "wall/engine-missing");
    assert_eq!(asked.last()["level"], "L0");
    expect_gap(&asked, "engines", None, "chmod go-w ");
}

#[test]
fn a_granted_file_system_is_tried_as_a_grant_is_made() {
    if below_l4() {
        return;
    }
    let home = Home::new();
    home.configure("[grants]\nfilesystem = { read = [\"/etc\", \"/proc/sys\"] }\n");
    let asked = doctor(&home, &[], &[]);
    // proc knows no idmapped mounts.
    let fix = expect_gap(&asked, "idmapped-mounts", None, "cp -a /proc/sys ");
    assert!(fix.contains("ext4"), "{fix}");
    home.configure("[grants]\nfilesystem = { read = [\"/etc\"] }\n");
    expect_ok(&doctor(&home, &[], &[]), &["idmapped-mounts"]);
}

#[test]
fn a_saved_report_is_a_machine_that_policy_show_takes() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();
    let asked = doctor(&home, &[], &[]);
    let saved = home.beside("machine.json");
    std::fs::write(&saved, &asked.stdout).unwrap();
    home.give(&saved);
    let package = Package::of("observer");
    home.give(package.path());
    let manifest = package.file("plugin.manifest.toml");
    let words = [
        "policy",
        "show",
        path_text(&manifest),
        "--host",
        path_text(&saved),
    ];

    let shown = home.broker(&words);

    shown.expect_exit(0);
    let plan = shown
        .records
        .iter()
        .find(|line| line["kind"] == "plan")
        .unwrap();
    assert_eq!(plan["level"], "L3");
}

#[test]
fn a_home_need_not_be_named_to_look_at_the_machine() {
    if no_root() {
        return;
    }
    let mut command = process::command(gm_integration_tests::binary("gm-broker"), Path::new("/"));
    command.args(["--format", "json", "doctor"]);
    let asked = process::run(&mut command, b"");
    expect_report(&asked);
    asked.expect_refused(2, "usage/arguments");
    expect_gap(&asked, "home", None, "gm-broker --home DIR doctor");
}

#[test]
fn a_look_leaves_nothing_behind() {
    let home = Home::new();
    let asked = doctor(&home, &[], &[]);
    asked.expect_exit(0);
    let left = std::fs::read_dir(home.path().join("state/run")).unwrap();
    assert_eq!(left.count(), 0);
    // The next run has the groups, slots and ids to itself.
    home.load(&Package::of("observer"));
    let run = home.run(&Repository::of(1), &[]);
    run.expect_exit(0);
    run.expect_ending("com.test.observer", "finished");
}
