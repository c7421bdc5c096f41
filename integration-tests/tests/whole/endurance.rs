//! Many times, at random moments, and all of it afterwards gone: kills, starts,
//! flipped bits, swapped files, memory bombs.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gm_integration_tests::kernel::{Process, within};
use gm_integration_tests::records::{events, number, text};
use gm_integration_tests::skip::below_l4;
use gm_integration_tests::{Home, Package, Repository};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const WRITER: &str = "com.test.writer";
/// After a kill nothing of ours may be left for longer.
const SOON: Duration = Duration::from_secs(1);
/// Kills of a random process at a random moment. `GM_TEST_KILLS` asks for more.
const KILLS: u32 = 30;
/// Runs of three plugins, one of which is started twice. `GM_TEST_RUNS` asks for more.
const RUNS: u64 = 20;

fn asked(variable: &str, usual: u64) -> u64 {
    let asked = std::env::var(variable).ok();
    asked.map_or(usual, |text| text.parse().unwrap())
}

/// A small generator, so that a failure can be played again from its seed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        let seed = u64::from(now.subsec_nanos()) | 1;
        println!("seed {seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Directories of any hierarchy whose name begins with `gm-`.
fn groups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with("gm-") {
                    found.insert(entry.path());
                }
                open.push(entry.path());
            }
        }
    }
    found
}

/// A plugin that puts one node for each event: `n001`, `n002`, …
fn counter() -> Package {
    let code = Package::assemble(
        r#"(module
          (import "gm" "node_put" (func $put (param i32 i32) (result i32)))
          (memory (export "memory") 4)
          (global $count (mut i32) (i32.const 0))
          (data (i32.const 16) "{\22id\22:\22n000\22,\22kind\22:\22count\22}")
          (func $digit (param $at i32) (param $of i32)
            (i32.store8 (local.get $at) (i32.add (i32.const 48)
              (i32.rem_u (i32.div_u (global.get $count) (local.get $of)) (i32.const 10)))))
          (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
          (func (export "on_commit_analyzed") (param i32 i32) (result i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (call $digit (i32.const 24) (i32.const 100))
            (call $digit (i32.const 25) (i32.const 10))
            (call $digit (i32.const 26) (i32.const 1))
            (i32.lt_s (call $put (i32.const 16) (i32.const 28)) (i32.const 0))))"#,
    );
    Package::with_code(WRITER, &code).permission("host_api", "[\"nodes:write\"]")
}

fn kill(process: Process) {
    let pid = Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
    // It may have died by itself meanwhile.
    let _ = kill_process(pid, Signal::KILL);
}

#[test]
fn whoever_is_killed_whenever_nothing_is_left_and_no_acknowledged_call_is_lost() {
    if below_l4() {
        return;
    }
    let mut random = Random::new();
    let repository = Repository::of(200);
    let calm = Home::new();
    calm.load(&counter());
    calm.run(&repository, &[]).expect_exit(0);
    let wanted = graph(&calm, &repository);
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    home.load(&counter());

    for _ in 0..asked("GM_TEST_KILLS", KILLS.into()) {
        let mut live = home.start(&["run", "--repo", repository.text()]);
        let started = live.wait_for("a start", |record| record["event"] == "started");
        let acknowledged = random.below(150) + 1;
        live.wait_for("some replies", |record| {
            record["event"] == "reply" && record["seq"].as_u64() >= Some(acknowledged)
        });
        let broker = Process::find(live.pid()).unwrap();
        let below = broker.descendants();
        let plugin = Process::find(u32::try_from(number(&started, "pid")).unwrap());
        let launcher = below
            .iter()
            .find(|process| process.status("Name") == "gm-launcher");
        let victim = match random.below(3) {
            0 => Some(broker),
            1 => launcher.copied(),
            _ => plugin,
        };
        let victims: Vec<_> = below.iter().copied().chain([broker]).collect();
        std::thread::sleep(Duration::from_micros(random.below(3000)));
        victim.into_iter().for_each(kill);
        let instance = text(&started["cgroup"], "memory").to_owned();
        let own = instance
            .split('/')
            .find(|part| part.starts_with("gm-"))
            .unwrap()
            .to_owned();
        if victim.map(|victim| victim.pid) == plugin.map(|plugin| plugin.pid) {
            live.finish();
        } else {
            let gone = within(SOON, || {
                !victims.iter().any(|process| process.lives())
                    && !groups().iter().any(|group| group.ends_with(&own))
            });
            assert!(
                gone,
                "left: {:?}, {:?}",
                victims.iter().filter(|one| one.lives()).collect::<Vec<_>>(),
                groups()
            );
            drop(live);
        }
        // What was acknowledged is in the graph, and the graph opens.
        let kept: Vec<Value> = graph(&home, &repository);
        assert!(
            u64::try_from(kept.len()).unwrap() >= acknowledged,
            "{} of {acknowledged}",
            kept.len()
        );
    }
    let last = home.run(&repository, &[]);
    last.expect_exit(0);
    last.expect_ending(WRITER, "finished");
    assert_eq!(graph(&home, &repository), wanted);
}

fn graph(home: &Home, repository: &Repository) -> Vec<Value> {
    let dump = home.broker(&["graph", "dump", "--repo", repository.text()]);
    dump.expect_exit(0);
    let mut records = dump.records;
    records.retain(|record| record.get("node").is_some() || record.get("edge").is_some());
    records
}

#[test]
fn run_after_run_leaves_no_group_no_mount_and_no_instance() {
    if below_l4() {
        return;
    }
    let home = Home::new();
    home.configure("[restart]\nmax = 1\nbackoff = \"10ms\"\n");
    for name in ["trap", "observer", "endless-loop"] {
        home.load(&Package::of(name).permission("time_limit", "\"50ms\""));
    }
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let event = "{\"hook\":\"on_commit_analyzed\",\"data\":{}}\n";
    let mut instances = Vec::new();
    for _ in 0..asked("GM_TEST_RUNS", RUNS) {
        let run = home.run_events(event, &[]);
        run.expect_exit(20);
        run.expect_ending("com.test.observer", "finished");
        instances.push(text(events(&run.records, "run_started")[0], "instance").to_owned());
    }
    assert_eq!(mounts(), before);
    let left = groups();
    let ours = instances.iter().filter(|name| {
        left.iter()
            .any(|group| group.ends_with(format!("gm-{name}")))
    });
    assert_eq!(ours.count(), 0, "{left:?}");
    assert_eq!(
        std::fs::read_dir(home.path().join("state/run"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn no_flipped_bit_of_a_signed_package_is_accepted() {
    let home = Home::new();
    let code = Package::assemble(
        "(module (memory (export \"memory\") 1) (func (export \"gm_alloc\") (param i32) (result i32) (i32.const 8)) (func (export \"on_commit_analyzed\") (param i32 i32) (result i32) (i32.const 0)))",
    );
    let package = Package::with_code("com.test.flip", &code);
    home.sign(&package);
    home.gm(&["gpg", "verify", package.text()]).expect_exit(0);
    let mut tried = 0;
    for file in ["plugin.wasm", "plugin.manifest.toml"] {
        let path = package.file(file);
        let whole = std::fs::read(&path).unwrap();
        // Every bit of the code; of the manifest one bit of each byte, another one
        // from byte to byte (its every bit is flipped in the verifier's own test).
        for at in 0..whole.len() {
            let bits = if file == "plugin.wasm" && at < 64 {
                0..8
            } else {
                at % 8..at % 8 + 1
            };
            for bit in bits {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                std::fs::write(&path, &flipped).unwrap();
                let verified = home.gm(&["gpg", "verify", package.text()]);
                assert_ne!(verified.exit, 0, "{file} byte {at} bit {bit} was accepted");
                tried += 1;
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert!(tried > 1000, "{tried}");
    home.gm(&["gpg", "verify", package.text()]).expect_exit(0);
}

#[test]
fn file_swapped_between_check_and_start_never_runs() {
    let home = Home::new();
    let package = Package::of("observer").asset("words.txt", b"words");
    home.load(&package);
    let current =
        std::fs::read_to_string(home.path().join("plugins/com.test.observer/current")).unwrap();
    let installed = home
        .path()
        .join("plugins/com.test.observer")
        .join(current.trim_end());
    let good = std::fs::read(installed.join("plugin.wasm")).unwrap();
    let bad = Package::assemble(
        "(module (import \"gm\" \"reply\" (func $reply (param i32 i32) (result i32))) (memory (export \"memory\") 1) (data (i32.const 16) \"{\\\"swapped\\\":1}\") (func (export \"gm_alloc\") (param i32) (result i32) (i32.const 4096)) (func (export \"on_commit_analyzed\") (param i32 i32) (result i32) (drop (call $reply (i32.const 16) (i32.const 13))) (i32.const 0)))",
    );
    let writable = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&installed, writable.clone()).unwrap();
    let stop = AtomicBool::new(false);
    let swaps = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let names = [
                (home.beside("a.wasm"), &good),
                (home.beside("b.wasm"), &bad),
            ];
            while !stop.load(Ordering::Relaxed) {
                for (beside, bytes) in &names {
                    std::fs::write(beside, bytes).unwrap();
                    let mode = std::fs::Permissions::from_mode(0o400);
                    std::fs::set_permissions(beside, mode).unwrap();
                    std::fs::rename(beside, installed.join("plugin.wasm")).unwrap();
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let begun = Instant::now();
        let mut ran = 0;
        while swaps.load(Ordering::Relaxed) < 1000 || begun.elapsed() < Duration::from_secs(2) {
            let run = home.run_events(
                r#"{"hook":"on_commit_analyzed","data":{}}"#,
                &["com.test.observer"],
            );
            for reply in run.replies("com.test.observer", "on_commit_analyzed") {
                assert!(reply["reply"].get("swapped").is_none(), "{reply}");
                ran += 1;
            }
            let refused = run
                .records
                .iter()
                .filter(|record| record["event"] == "refused");
            for refused in refused {
                let code = refused["code"].as_str().unwrap();
                assert!(code.starts_with("artifact/"), "{refused:#}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        println!("{} swaps, {ran} runs", swaps.load(Ordering::Relaxed));
    });
}

/// A module that takes memory in one way until it is stopped.
fn bomb(body: &str, extra: &str) -> Vec<u8> {
    Package::assemble(&format!(
        r#"(module
          (memory (export "memory") 1)
          {extra}
          (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
          (func (export "on_commit_analyzed") (param i32 i32) (result i32)
            (local $at i32)
            {body}
            (i32.const 0)))"#
    ))
}

#[test]
fn memory_bombs_end_at_their_limit_and_no_further() {
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    let limit = 24_u64 << 20;
    let cases = [
        // Grows and touches until a grow is refused, then gives up.
        (
            "heap",
            bomb(
                "(loop $more (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable))) (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 1)) (br $more))",
                "",
            ),
            &["out_of_memory"][..],
        ),
        // Elements of a table are memory too.
        (
            "table",
            bomb(
                "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 10000)) (i32.const -1))) (unreachable))",
                "(table $t 1 funcref)",
            ),
            &["out_of_memory", "trapped"][..],
        ),
        // A call that calls itself.
        (
            "stack",
            bomb("(call $deep)", "(func $deep (call $deep))"),
            &["trapped", "crashed"][..],
        ),
    ];
    for (name, code, endings) in cases {
        let id = format!("com.test.bomb-{name}");
        let package = Package::with_code(&id, &code).permission("memory_limit", "\"24mb\"");
        home.load(&package);
        let run = home.run_events("{\"hook\":\"on_commit_analyzed\",\"data\":{}}\n", &[&id]);
        let ended = run.one(&id, "ended");
        assert!(
            endings.contains(&text(ended, "ending")),
            "{name}: {ended:#}"
        );
        let peak = number(ended, "memory_peak_bytes");
        assert!(peak <= limit + limit / 10, "{name}: {peak}");
    }
}
