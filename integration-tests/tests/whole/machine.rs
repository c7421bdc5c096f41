//! Machines that lack something: which wall is missing is said by its code, and
//! nothing starts. Also what goes wrong in the host itself.

use std::path::{Path, PathBuf};

use gm_integration_tests::home::{copy_binaries, text as path_text};
use gm_integration_tests::records::text;
use gm_integration_tests::skip::{below_l4, lacks};
use gm_integration_tests::{Ended, Home, Package, Repository, peer, process};

/// Below what any machine gives, so that the wall itself is named and not the level.
const ANY_LEVEL: &str = "[isolation]\nmin = \"L2\"\n";

/// A home with binaries of its own, which a test may spoil.
fn with_own_binaries() -> (Home, PathBuf) {
    let home = Home::new();
    let directory = home.beside("bin");
    copy_binaries(&directory);
    let home = home.with_binaries(&directory);
    (home, directory)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

/// Loads a package by a `gm` that `words` start.
fn load_through(home: &Home, words: &[&str], package: &Package) -> Ended {
    home.sign(package);
    let mut command = home.through(words, "gm");
    command.args(["--format", "json", "plugin", "load", package.text()]);
    process::run(&mut command, b"")
}

#[track_caller]
fn expect_wall(ended: &Ended, control: &str, why: &str) {
    let refused = ended.expect_refused(30, &format!("wall/{control}"));
    assert_eq!(refused["layer"], control, "{refused:#}");
    let detail = text(refused, "detail");
    assert!(detail.contains(why), "no {why:?} in {detail}");
    ended.expect_nothing_started();
}

#[test]
fn an_engine_that_is_missing_or_unsafe_is_not_used() {
    let (home, directory) = with_own_binaries();
    home.load(&Package::of("observer"));
    let newer = Package::of("trap");
    home.sign(&newer);
    let repository = Repository::of(1);

    set_mode(&directory.join("gm-compile-wasm"), 0o775);
    let compiler = home.try_load(&newer);
    set_mode(&directory.join("gm-compile-wasm"), 0o755);
    set_mode(&directory.join("gm-run-wasm"), 0o757);
    let engine = home.run(&repository, &[]);
    std::fs::remove_file(directory.join("warm.artifact")).unwrap();
    set_mode(&directory.join("gm-run-wasm"), 0o755);
    let warm = home.run(&repository, &[]);
    set_mode(&directory.join("gm-launcher"), 0o775);
    let launcher = home.run(&repository, &[]);

    for (ended, name) in [
        (compiler, "gm-compile-wasm"),
        (engine, "gm-run-wasm"),
        (warm, "warm.artifact"),
        (launcher, "gm-launcher"),
    ] {
        let refused = ended.expect_refused(30, "wall/engine-missing");
        let detail = text(refused, "detail");
        assert!(detail.contains(name), "no {name} in {detail}");
        ended.expect_nothing_started();
    }
}

#[test]
fn without_one_of_its_namespaces_nothing_starts() {
    let home = Home::new();
    home.write_config(ANY_LEVEL);
    let package = Package::of("observer");
    for (kind, wall) in [
        ("user", "user-ns"),
        ("pid", "pid-ns"),
        ("mnt", "mount-ns"),
        ("net", "net-ns"),
        ("ipc", "ipc-ns"),
        ("uts", "uts-ns"),
    ] {
        // In a user namespace of the test's own, whose limits are its own too.
        let none = format!("echo 0 >/proc/sys/user/max_{kind}_namespaces && exec \"$0\" \"$@\"");
        let words = ["unshare", "-U", "-r", "sh", "-c", &none];
        let load = load_through(&home, &words, &package);
        expect_wall(&load, wall, "clone3");
    }
}

#[test]
fn without_a_uid_for_a_plugin_nothing_starts() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let home = Home::new();
    home.write_config(ANY_LEVEL);
    let words = ["setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid"];
    let load = load_through(&home, &words, &Package::of("observer"));
    expect_wall(&load, "uid", "uid_map");
}

#[test]
fn without_cgroups_the_level_is_too_low_and_says_so() {
    if below_l4() {
        return;
    }
    let home = Home::new();
    home.load(&Package::of("observer"));
    let covered = "mount -t tmpfs none /sys/fs/cgroup && exec \"$0\" \"$@\"";
    let mut command = home.through(&["unshare", "-m", "sh", "-c", covered], "gm-broker");
    command.args(["--format", "json", "run", "--events", "-"]);
    let without = process::run(&mut command, b"");
    home.write_config("[isolation]\ncgroup_parent = \"/gm-test/nowhere\"\n");
    let nowhere = home.run(&Repository::of(1), &[]);

    for run in [without, nowhere] {
        let refused = run.expect_refused(30, "wall/level");
        let detail = text(refused, "detail");
        for word in ["L3", "L4", "cgroup memory", "cgroup pids", "cgroup cpu"] {
            assert!(detail.contains(word), "no {word} in {detail}");
        }
        run.expect_nothing_started();
    }
}

#[test]
fn a_compiler_that_is_not_walled_compiles_nothing() {
    let home = Home::new().with_binaries(peer::as_compiler());
    for (act, wall) in [
        ("no-filter", "seccomp"),
        ("says-root", "uid"),
        ("says-capable", "caps"),
        ("says-unwalled", "landlock"),
        ("more-descriptors", "descriptors"),
    ] {
        let id = format!("com.test.act-{act}");
        let package = Package::with_code(&id, format!("act.{act}").as_bytes());
        let load = load_through(&home, &[], &package);
        expect_wall(&load, wall, "compile process");
    }
}

#[test]
fn a_compiler_that_ends_otherwise_has_not_compiled() {
    let home = Home::new().with_binaries(peer::as_compiler());
    let package = Package::with_code("com.test.mute", b"act.garbage-start");
    let load = load_through(&home, &[], &package);
    load.expect_refused(14, "artifact/malformed-code");
}

#[test]
fn a_launcher_that_is_none_ends_the_run_as_an_internal_fault() {
    let (home, directory) = with_own_binaries();
    std::fs::copy("/bin/true", directory.join("gm-launcher")).unwrap();
    let run = home.run(&Repository::of(1), &[]);
    run.expect_refused(70, "internal/launcher");
    run.expect_nothing_started();
}

#[test]
fn a_launcher_that_never_answers_frees_the_broker() {
    let (home, directory) = with_own_binaries();
    // It reads what it was given for ever, and says nothing.
    std::fs::copy("/bin/cat", directory.join("gm-launcher")).unwrap();
    let begun = std::time::Instant::now();
    let run = home.run(&Repository::of(1), &[]);
    run.expect_refused(70, "internal/launcher");
    run.expect_nothing_started();
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn a_place_that_can_not_be_written_is_the_callers_to_mend() {
    let home = Home::new();
    let package = Package::of("observer");
    home.sign(&package);
    let file = home.beside("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("below");
    let manifest = package.file("plugin.manifest.toml");
    let verify = ["gpg", "verify", package.text(), "--export"];
    let keygen = ["gpg", "keygen", "--uid", "A", "--out"];
    let dump = ["policy", "dump", path_text(&manifest), "--raw"];
    for ended in [
        home.gm(&[&verify[..], &[path_text(&below)]].concat()),
        home.gm(&[&keygen[..], &[path_text(&below)]].concat()),
        home.broker(&[&dump[..], &[path_text(&below)]].concat()),
    ] {
        let refused = ended.expect_refused(2, "usage/arguments");
        assert!(text(refused, "detail").contains("below"), "{refused:#}");
    }
}

#[test]
fn a_home_that_can_not_be_used_is_named_with_the_place_in_it() {
    let home = Home::new();
    let lock = home.path().join("trust/.lock");
    let _ = std::fs::remove_file(&lock);
    std::fs::create_dir(&lock).unwrap();
    let revoked = home.gm(&["plugin", "revoke", "com.test.observer"]);
    let refused = revoked.expect_refused(18, "store/corrupt");
    assert!(text(refused, "detail").contains(".lock"), "{refused:#}");
    assert!(text(refused, "remedy").contains("mend"), "{refused:#}");
}
