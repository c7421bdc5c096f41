//! File grants: what a granted path gives, and what it gives nothing of. Asked
//! from inside the walls, by a plugin that reads, lists or writes one path.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use gm_integration_tests::records::text;
use gm_integration_tests::skip::below_l4;
use gm_integration_tests::{Ended, Home, Package, Repository};
use serde_json::{Value, json};

const ID: &str = "com.test.files";

const READ: &str = r#"(import "gm" "file_read" (func $read (param i32 i32 i64 i32) (result i64)))"#;
const LIST: &str = r#"(import "gm" "file_list" (func $list (param i32 i32) (result i64)))"#;
const WRITE: &str =
    r#"(import "gm" "file_write" (func $write (param i32 i32 i64 i32 i32 i32) (result i32)))"#;

fn reader(path: &str) -> Vec<u8> {
    let call = "(call $read (global.get $path) (global.get $len) (i64.const 0) (i32.const 65536))";
    Package::assemble(&module(READ, path, call))
}

/// Replies with an object that has the entries in it.
fn lister(path: &str) -> Vec<u8> {
    let count = "(call $list (global.get $path) (global.get $len))";
    let source = format!(
        r#"(module
          (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
          (import "gm" "result" (func $result (param i32 i32) (result i32)))
          {LIST}
          (memory (export "memory") 32)
          (global $path i32 (i32.const 16))
          (global $len i32 (i32.const {}))
          (data (i32.const 16) "{path}")
          (data (i32.const 131072) "{{\"entries\":")
          (func (export "gm_alloc") (param i32) (result i32) (i32.const 65536))
          (func (export "on_commit_analyzed") (param i32 i32) (result i32)
            (local $got i32)
            (local.set $got (i32.wrap_i64 {count}))
            (if (i32.lt_s (local.get $got) (i32.const 0)) (then (return (i32.sub (i32.const 0) (local.get $got)))))
            (drop (call $result (i32.const 131083) (i32.const 900000)))
            (i32.store8 (i32.add (i32.const 131083) (local.get $got)) (i32.const 125))
            (drop (call $reply (i32.const 131072) (i32.add (i32.const 12) (local.get $got))))
            (i32.const 0)))"#,
        path.len()
    );
    Package::assemble(&source)
}

/// Writes a small document to a path, then reads it back.
fn writer(path: &str) -> Vec<u8> {
    let call = r#"
      (if (result i64) (i32.lt_s (call $write (global.get $path) (global.get $len) (i64.const 0) (i32.const 2048) (i32.const 11) (i32.const 3)) (i32.const 0))
        (then (i64.extend_i32_s (call $write (global.get $path) (global.get $len) (i64.const 0) (i32.const 2048) (i32.const 11) (i32.const 3))))
        (else (call $read (global.get $path) (global.get $len) (i64.const 0) (i32.const 65536))))"#;
    let imports = format!("{READ}{WRITE}");
    let source = module(&imports, path, call).replacen(
        "(data (i32.const 1024)",
        "(data (i32.const 2048) \"{\\\"kept\\\":17}\") (data (i32.const 1024)",
        1,
    );
    Package::assemble(&source)
}

/// A module whose hook makes one call and replies with the result, or with
/// `{"code": -N}`. `call` leaves an i64 on the stack.
fn module(imports: &str, path: &str, call: &str) -> String {
    let len = path.len();
    format!(
        r#"(module
          (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
          (import "gm" "result" (func $result (param i32 i32) (result i32)))
          {imports}
          (memory (export "memory") 32)
          (global $path i32 (i32.const 16))
          (global $len i32 (i32.const {len}))
          (data (i32.const 16) "{path}")
          (data (i32.const 1024) "{{\"code\":-")
          (func (export "gm_alloc") (param i32) (result i32) (i32.const 65536))
          (func (export "on_commit_analyzed") (param i32 i32) (result i32)
            (local $got i64)
            (local.set $got {call})
            (if (i64.lt_s (local.get $got) (i64.const 0))
              (then
                (i32.store8 (i32.const 1033)
                  (i32.add (i32.const 48) (i32.wrap_i64 (i64.sub (i64.const 0) (local.get $got)))))
                (i32.store8 (i32.const 1034) (i32.const 125))
                (drop (call $reply (i32.const 1024) (i32.const 11))))
              (else
                (drop (call $result (i32.const 131072) (i32.const 1048576)))
                (drop (call $reply (i32.const 131072) (i32.wrap_i64 (local.get $got))))))
            (i32.const 0)))"#
    )
}

/// A work tree with files to grant, and a place beside it.
struct Scene {
    home: Home,
    repository: Repository,
    root: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let repository = Repository::of(1);
        let root = PathBuf::from(repository.text());
        let home = Home::new();
        let scene = Self {
            home,
            repository,
            root,
        };
        scene.put("docs/a.json", r#"{"a":1}"#);
        scene.put("docs/b.json", r#"{"b":2}"#);
        scene.put("docs/deep/c.json", r#"{"c":3}"#);
        scene.put("secret.json", r#"{"secret":true}"#);
        scene
    }

    fn put(&self, name: &str, content: &str) {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// What a plugin with this grant and this code gets.
    fn run(&self, filesystem: &str, code: &[u8]) -> Ended {
        static VERSIONS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let version = VERSIONS.fetch_add(1, Ordering::Relaxed);
        let package = Package::with_code(&format!("{ID}{version}"), code)
            .permission("filesystem", filesystem);
        self.home.load(&package);
        let run = self.home.run(&self.repository, &[package.plugin()]);
        run.expect_exit(0);
        run
    }

    fn reply(&self, filesystem: &str, code: &[u8]) -> Value {
        let run = self.run(filesystem, code);
        let replies: Vec<_> = run
            .records
            .iter()
            .filter(|r| r["event"] == "reply" && r["hook"] == "on_commit_analyzed")
            .collect();
        assert_eq!(replies.len(), 1, "{run:#?}");
        replies[0]["reply"].clone()
    }
}

const DOCS: &str = "{ read = [\"$REPO/docs\"] }";
const FILE: &str = "{ read = [\"$REPO/docs/a.json\"] }";
const DENIED: i64 = -1;
const NOT_FOUND: i64 = -2;
const INVALID: i64 = -3;

fn code(code: i64) -> Value {
    json!({ "code": code })
}

#[test]
fn granted_file_is_read_and_no_neighbour() {
    let scene = Scene::new();
    let read = |path: &str| scene.reply(FILE, &reader(path));
    assert_eq!(read("$REPO/docs/a.json"), json!({"a": 1}));
    for other in [
        "$REPO/docs/b.json",
        "$REPO/secret.json",
        "$REPO",
        "/etc/passwd",
        "/proc/self/status",
    ] {
        assert_eq!(read(other), code(DENIED), "{other}");
    }
    for odd in [
        "$REPO/docs/../secret.json",
        "$REPO/docs/a.json/..",
        "/",
        "$REPO/docs//a.json",
    ] {
        assert_eq!(read(odd), code(INVALID), "{odd}");
    }
}

#[test]
fn granted_directory_is_listed_and_read_at_any_depth() {
    let scene = Scene::new();
    assert_eq!(
        scene.reply(DOCS, &reader("$REPO/docs/deep/c.json")),
        json!({"c": 3})
    );
    assert_eq!(
        scene.reply(DOCS, &reader("$REPO/docs/none")),
        code(NOT_FOUND)
    );
    assert_eq!(
        scene.reply(DOCS, &reader("$REPO/secret.json")),
        code(DENIED)
    );
    let listed = scene.reply(DOCS, &lister("$REPO/docs"));
    assert_eq!(
        listed["entries"],
        json!([
            {"name": "a.json", "type": "file", "bytes": 7},
            {"name": "b.json", "type": "file", "bytes": 7},
            {"name": "deep", "type": "dir", "bytes": 0},
        ])
    );
}

#[test]
fn path_outside_the_grant_is_a_denied_record_with_the_path() {
    let scene = Scene::new();
    let run = scene.run(FILE, &reader("$REPO/secret.json"));
    let denied: Vec<_> = run
        .records
        .iter()
        .filter(|r| r["event"] == "denied")
        .collect();
    assert_eq!(denied.len(), 1, "{run:#?}");
    assert_eq!(text(denied[0], "call"), "file_read");
    assert_eq!(text(denied[0], "what"), "$REPO/secret.json");
}

#[test]
fn links_hard_links_and_devices_lead_nowhere() {
    let scene = Scene::new();
    let outside = scene.home.beside("outside.json");
    std::fs::write(&outside, r#"{"outside":true}"#).unwrap();
    let docs = scene.root.join("docs");
    symlink("../secret.json", docs.join("up")).unwrap();
    symlink(&outside, docs.join("away")).unwrap();
    symlink("/proc/self/root/etc/passwd", docs.join("proc")).unwrap();
    symlink("a.json", docs.join("beside")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        docs.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let read = |name: &str| scene.reply(DOCS, &reader(&format!("$REPO/docs/{name}")));
    for name in ["up", "away", "proc"] {
        let reply = read(name);
        assert!(
            [code(DENIED), code(NOT_FOUND)].contains(&reply),
            "{name}: {reply}"
        );
    }
    // A link that stays inside is a link.
    assert_eq!(read("beside"), json!({"a": 1}));
    // Neither hangs the plugin nor gives it anything.
    assert_eq!(read("fifo"), code(-7));
    // A second name of a file is that file: who may link it may read it.
    std::fs::hard_link(docs.join("a.json"), scene.root.join("other.json")).unwrap();
    assert_eq!(scene.reply(FILE, &reader("$REPO/other.json")), code(DENIED));
}

#[test]
fn git_directories_and_the_home_are_hidden_at_any_depth() {
    let scene = Scene::new();
    scene.put("docs/sub/.git/config", "[core]");
    scene.put("docs/linked/.git", "gitdir: elsewhere");
    let all = "{ read = [\"$REPO\"] }";
    for path in [
        "$REPO/.git/config",
        "$REPO/docs/sub/.git/config",
        "$REPO/docs/linked/.git",
    ] {
        let reply = scene.reply(all, &reader(path));
        assert!(
            [code(DENIED), code(NOT_FOUND)].contains(&reply),
            "{path}: {reply}"
        );
    }
    assert_eq!(
        scene.reply(all, &reader("$REPO/secret.json")),
        json!({"secret": true})
    );
}

#[test]
fn a_git_below_what_cannot_be_listed_is_hidden_and_a_link_stops_nothing() {
    if below_l4() {
        return;
    }
    let scene = Scene::new();
    let locked = scene.root.join("docs/locked");
    scene.put("docs/locked/.git/config.json", r#"{"token":1}"#);
    std::os::unix::fs::chown(&locked, Some(12_345), Some(12_345)).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o711)).unwrap();
    for (name, to) in [("nowhere", "gone"), ("inside", "../deep")] {
        std::fs::create_dir(scene.root.join("docs").join(name)).unwrap();
        symlink(to, scene.root.join("docs").join(name).join(".git")).unwrap();
    }
    let reply = scene.reply(DOCS, &reader("$REPO/docs/locked/.git/config.json"));
    assert!([code(DENIED), code(NOT_FOUND)].contains(&reply), "{reply}");
    assert_eq!(
        scene.reply(DOCS, &reader("$REPO/docs/a.json")),
        json!({"a": 1})
    );
}

#[test]
fn no_committed_link_takes_a_grant_out_of_the_repository() {
    let scene = Scene::new();
    std::fs::write(scene.home.beside("beside.json"), r#"{"beside":1}"#).unwrap();
    let beside = scene.home.beside("");
    for (to, name) in [
        (beside.to_str().unwrap(), "there"),
        ("..", "up"),
        ("/", "all"),
        ("docs", "in"),
    ] {
        symlink(to, scene.root.join(name)).unwrap();
    }
    for (grant, path) in [
        ("$REPO/there", "$REPO/there/beside.json"),
        ("$REPO/there/beside.json", "$REPO/there/beside.json"),
        ("$REPO/up", "$REPO/up/beside.json"),
        ("$REPO/all", "$REPO/all/etc/hostname"),
    ] {
        let filesystem = format!("{{ read = [\"{grant}\"] }}");
        let run = scene.run(&filesystem, &reader(path));
        let started = run.records.iter().find(|r| r["event"] == "started");
        let refused = started.unwrap()["refused"].as_array().unwrap();
        let why = text(&refused[0], "why");
        assert!(why.contains("out of the repository"), "{grant}: {why}");
        let reply = run
            .records
            .iter()
            .find(|r| r["hook"] == "on_commit_analyzed");
        assert_eq!(reply.unwrap()["reply"], code(DENIED), "{grant}");
    }
    let inside = "{ read = [\"$REPO/in\"] }";
    assert_eq!(
        scene.reply(inside, &reader("$REPO/in/a.json")),
        json!({"a": 1})
    );
}

#[test]
fn what_no_grant_reaches_is_dropped_and_said() {
    let scene = Scene::new();
    symlink(".git", scene.root.join("innocent")).unwrap();
    let run = scene.run(
        "{ read = [\"$REPO/innocent\", \"$REPO/none\"], write = [\"$REPO/docs\"] }",
        &reader("$REPO/innocent/config"),
    );
    let started = run
        .records
        .iter()
        .find(|r| r["event"] == "started")
        .unwrap();
    let refused = started["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 3, "{started:#}");
    assert!(
        refused
            .iter()
            .all(|line| !line["why"].as_str().unwrap().is_empty())
    );
    let reply = run
        .records
        .iter()
        .find(|r| r["hook"] == "on_commit_analyzed")
        .unwrap();
    assert_eq!(reply["reply"], code(DENIED));
}

#[test]
fn data_is_written_read_back_and_gone_at_the_next_start() {
    let scene = Scene::new();
    let grant = "{ read = [\"$DATA\"], write = [\"$DATA\"] }";
    assert_eq!(
        scene.reply(grant, &writer("$DATA/x.json")),
        json!({"kept": 17})
    );
    assert_eq!(scene.reply(grant, &reader("$DATA/x.json")), code(NOT_FOUND));
    let elsewhere = "{ read = [\"$REPO/docs\"], write = [\"$DATA\"] }";
    assert_eq!(
        scene.reply(elsewhere, &writer("$REPO/docs/a.json")),
        code(DENIED)
    );
    assert_eq!(
        std::fs::read_to_string(scene.root.join("docs/a.json")).unwrap(),
        r#"{"a":1}"#
    );
}

#[test]
fn file_calls_without_a_grant_are_refused_at_load() {
    let home = Home::new();
    for code in [reader("$REPO/a"), lister("$REPO/a"), writer("$DATA/a")] {
        let package = Package::with_code(ID, &code);
        home.sign(&package);
        home.try_load(&package)
            .expect_refused(17, "policy/import-not-granted");
    }
}

#[test]
fn files_of_an_ordinary_owner_are_read_and_no_pool_id_gets_to_the_disk() {
    if below_l4() || !rustix::process::geteuid().is_root() {
        return;
    }
    use std::os::unix::fs::{MetadataExt, chown};
    let scene = Scene::new();
    let file = scene.root.join("docs/a.json");
    for path in [scene.root.join("docs"), file.clone()] {
        chown(&path, Some(54321), Some(54321)).unwrap();
    }
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(
        scene.reply(DOCS, &reader("$REPO/docs/a.json")),
        json!({"a": 1})
    );
    assert_eq!(std::fs::metadata(&file).unwrap().uid(), 54321);
}

#[test]
fn swapping_the_granted_file_shows_nothing_but_what_was_granted() {
    let scene = Scene::new();
    let (good, bad) = (scene.root.join("docs/a.json"), scene.root.join("docs/bad"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let spare = scene.root.join("docs/spare");
            for round in 0..10_000 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let _ = std::fs::remove_file(&bad);
                symlink("../secret.json", &bad).unwrap();
                let _ = std::fs::rename(&good, &spare);
                let _ = std::fs::rename(&bad, &good);
                let _ = std::fs::rename(&spare, &good);
                if round % 64 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        for _ in 0..5 {
            let run = scene.run(FILE, &reader("$REPO/docs/a.json"));
            for reply in run
                .records
                .iter()
                .filter(|r| r["hook"] == "on_commit_analyzed")
            {
                // The operator's broker resolves links once, at the grant: what it
                // found then is shown, and nothing that a later link leads to.
                let reply = &reply["reply"];
                let known = [
                    json!({"a": 1}),
                    json!({"secret": true}),
                    code(DENIED),
                    code(NOT_FOUND),
                ];
                assert!(known.contains(reply), "{reply}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
