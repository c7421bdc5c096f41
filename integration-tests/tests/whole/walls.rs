//! Walls of running plugins, read from the host's /proc and cgroup files while
//! they wait for an event, and compared with the plan and with what the run says.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use gm_integration_tests::kernel::{Process, group_directory, group_file};
use gm_integration_tests::records::{number, text};
use gm_integration_tests::skip::below_l4;
use gm_integration_tests::{Home, Live, Package};
use serde_json::Value;
use sha2::{Digest, Sha256};

const ONE: &str = "com.test.observer";
const OTHER: &str = "com.test.other";

/// All that a runner's process may have of its own; the cgroup namespace is none.
const NAMESPACES: [&str; 6] = ["user", "mnt", "pid", "net", "ipc", "uts"];

/// A plugin's process with its `started` record.
struct Hosted {
    started: Value,
    process: Process,
}

/// Two plugins that have answered one event and wait for the next. The run ends
/// when this is dropped.
struct Stage {
    one: Hosted,
    other: Hosted,
    live: Live,
    home: Home,
}

impl Stage {
    fn new() -> Self {
        let home = Home::new();
        let limits = |package: Package| {
            package
                .permission("memory_limit", "\"48mb\"")
                .permission("cpu_limit", "\"50%\"")
        };
        home.load(&limits(Package::of("observer")));
        home.load(&limits(Package::of("observer").id(OTHER)));
        let mut live = home.start_events(&[]);
        live.write_line(r#"{"hook":"on_commit_analyzed","data":{"n":1}}"#);
        let one = hosted(&mut live, ONE);
        let other = hosted(&mut live, OTHER);
        Self {
            one,
            other,
            live,
            home,
        }
    }

    /// Lines of `policy show` of this kind.
    fn policy(&self, kind: &str) -> Vec<Value> {
        let mut lines = self.home.policy("show", ONE);
        lines.retain(|line| line["kind"] == kind);
        assert!(!lines.is_empty(), "policy show has no {kind}");
        lines
    }
}

fn hosted(live: &mut Live, id: &str) -> Hosted {
    let of = |record: &Value, event: &str| record["event"] == event && record["plugin"] == id;
    let started = live.wait_for(&format!("the start of {id}"), |record| {
        of(record, "started")
    });
    live.wait_for(&format!("a reply of {id}"), |record| {
        of(record, "reply") && record["seq"] == 1
    });
    let pid = u32::try_from(number(&started, "pid")).unwrap();
    let process = Process::find(pid).unwrap();
    Hosted { started, process }
}

fn own() -> Process {
    Process::find(std::process::id()).unwrap()
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect()
}

#[test]
fn all_four_filters_are_loaded_and_are_those_that_policy_dump_prints() {
    let stage = Stage::new();
    let Hosted { started, process } = &stage.one;
    let layers = stage.home.policy("dump", ONE);
    let layers: Vec<_> = layers
        .iter()
        .filter(|line| line["kind"] == "layer")
        .collect();

    let loaded = numbers(&process.status("Seccomp_filters"))[0];
    let before = numbers(&own().status("Seccomp_filters"))[0];

    assert_eq!(process.status("Seccomp"), "2");
    assert_eq!(loaded - before, layers.len() as u64);
    assert_eq!(layers.len(), 4);
    assert_eq!(started["seccomp"]["mode"], 2);
    assert_eq!(started["seccomp"]["filters"], 4);
    let said: Vec<_> = layers.iter().map(|layer| layer["digest"].clone()).collect();
    assert_eq!(started["layers"], Value::Array(said));
    for layer in layers {
        assert_eq!(
            text(layer, "digest"),
            digest(&layer["program"]),
            "{}",
            layer["name"]
        );
    }
}

/// SHA-256 over a program's instructions as the kernel takes them (`struct
/// sock_filter`, little endian).
fn digest(program: &Value) -> String {
    let mut bytes = Vec::new();
    for instruction in program.as_array().unwrap() {
        let field = |at: usize| u32::try_from(instruction[at].as_u64().unwrap()).unwrap();
        bytes.extend(u16::try_from(field(0)).unwrap().to_le_bytes());
        bytes.extend([
            u8::try_from(field(1)).unwrap(),
            u8::try_from(field(2)).unwrap(),
        ]);
        bytes.extend(field(3).to_le_bytes());
    }
    let hash = Sha256::digest(&bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn running_code_may_make_no_more_calls_than_its_ceiling() {
    let stage = Stage::new();
    let plan = &stage.policy("plan")[0];
    let seccomp = &stage.one.started["seccomp"];
    assert_eq!(seccomp["running_calls"], plan["running_calls"]);
    assert_eq!(seccomp["ceiling"], plan["ceiling"]);
    assert_eq!(number(plan, "ceiling"), 6);
    assert!(number(plan, "running_calls") <= 6, "{plan:#}");
    assert!(
        stage
            .policy("proof")
            .iter()
            .all(|proof| proof["equal"] == true)
    );
}

#[test]
fn no_capability_is_left_and_none_can_come_back() {
    let stage = Stage::new();
    let Hosted { started, process } = &stage.one;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(process.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(process.status("NoNewPrivs"), "1");
    assert_eq!(started["caps"], "0");
    assert_eq!(started["no_new_privs"], true);
}

#[test]
fn uid_is_neither_root_nor_anybody_elses() {
    if below_l4() {
        return;
    }
    let stage = Stage::new();
    for Hosted { started, process } in [&stage.one, &stage.other] {
        let (uid, gid) = (number(started, "uid"), number(started, "gid"));
        assert!(uid >= 100_000 && gid >= 100_000, "{started:#}");
        assert_eq!(numbers(&process.status("Uid")), [uid; 4]);
        assert_eq!(numbers(&process.status("Gid")), [gid; 4]);
        assert_eq!(process.status("Groups"), "");
        assert_eq!(numbers(&process.file("uid_map")), [1000, uid, 1]);
        assert_eq!(numbers(&process.file("gid_map")), [1000, gid, 1]);
        assert_eq!(started["uid_shared"], false);
    }
    assert_ne!(stage.one.started["uid"], stage.other.started["uid"]);
}

#[test]
fn every_namespace_is_the_plugins_own() {
    let stage = Stage::new();
    for name in NAMESPACES {
        let numbers = [own(), stage.one.process, stage.other.process].map(|p| p.namespace(name));
        let apart: BTreeSet<_> = numbers.into_iter().collect();
        assert_eq!(apart.len(), 3, "{name} is shared: {numbers:?}");
        assert_eq!(stage.one.started["namespaces"][name], numbers[1], "{name}");
    }
    let planned = stage.policy("plan");
    assert_eq!(planned[0]["namespaces"], serde_json::json!(NAMESPACES));
    // The first process of its own pid namespace: its end takes all others along.
    let pids = numbers(&stage.one.process.status("NSpid"));
    assert_eq!(pids.last(), Some(&1), "{pids:?}");
}

#[test]
fn each_plugin_has_a_group_of_its_own_with_its_limits() {
    if below_l4() {
        return;
    }
    let stage = Stage::new();
    let Hosted { started, process } = &stage.one;
    for controller in ["memory", "pids", "cpu"] {
        let path = process.group(controller);
        assert_eq!(started["cgroup"][controller], path.as_str(), "{controller}");
        assert_ne!(path, own().group(controller), "{controller}");
        assert_ne!(path, stage.other.process.group(controller), "{controller}");
        let directory = group_directory(controller, &path);
        let members = numbers(&group_file(&directory, &["cgroup.procs"]));
        assert_eq!(members, [u64::from(process.pid)], "{controller}");
    }
    let limit = |controller: &str, files: &[&str]| {
        let directory = group_directory(controller, &process.group(controller));
        numbers(&group_file(&directory, files))
    };
    let memory = limit("memory", &["memory.limit_in_bytes", "memory.max"])[0];
    assert_eq!(memory, 48 << 20);
    assert_eq!(number(&started["limits"], "memory_bytes"), memory);
    assert_eq!(limit("pids", &["pids.max"]), [1]);
    assert_eq!(number(&started["limits"], "pids"), 1);
    let quota = limit("cpu", &["cpu.cfs_quota_us", "cpu.max"])[0];
    assert_eq!(quota, 50_000, "half of the usual period of 100 ms");
    assert_eq!(number(&started["limits"], "cpu_percent"), 50);
}

#[test]
fn descriptors_are_exactly_those_of_the_plan() {
    let stage = Stage::new();
    let Hosted { started, process } = &stage.one;

    let open = process.descriptors();

    let whats = ["null", "null", "null", "link"];
    let listed: Vec<_> = (0..4)
        .map(|fd| serde_json::json!({"fd": fd, "what": whats[fd]}))
        .collect();
    assert_eq!(started["fds"], Value::Array(listed));
    let mut planned = stage.policy("fd");
    planned.retain(|line| line["until"] == "end");
    let planned: Vec<_> = planned.iter().map(|line| number(line, "fd")).collect();
    assert_eq!(
        open.keys().map(|fd| u64::from(*fd)).collect::<Vec<_>>(),
        planned
    );
    assert_eq!(planned, [0, 1, 2, 3]);
    for fd in 0..3 {
        // Its name ends where the plugin's tree begins, so ask which device it is.
        let file = format!("/proc/{}/fd/{fd}", process.pid);
        let device = std::fs::metadata(file).unwrap().rdev();
        let null = std::fs::metadata("/dev/null").unwrap().rdev();
        assert_eq!(device, null, "descriptor {fd} is {}", open[&fd]);
    }
    assert!(open[&3].starts_with("socket:["), "{open:?}");
}

#[test]
fn mounts_are_exactly_those_of_the_plan_and_nothing_can_be_written() {
    let stage = Stage::new();

    let mounts = stage.one.process.mounts();

    let planned = stage.policy("mount");
    let there: Vec<_> = mounts.iter().map(|mount| mount.target.as_str()).collect();
    // What is no mount point but a file of the root has no line of its own.
    let points = planned
        .iter()
        .filter(|line| line["type"] == "tmpfs" || line["type"] == "bind");
    let points: Vec<_> = points.map(|line| text(line, "target")).collect();
    assert_eq!(there, points, "{planned:#?}");
    assert_eq!(there, ["/"]);
    assert_eq!(mounts[0].kind, "tmpfs");
    for flag in ["ro", "nosuid", "nodev"] {
        assert!(mounts[0].has(flag), "{flag} is not in {:?}", mounts[0]);
    }
    // The root is nothing of the host, and no /proc or /sys is in it.
    let root = format!("/proc/{}/root", stage.one.process.pid);
    let names = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<_> = names.map(|name| name.into_string().unwrap()).collect();
    for host in ["proc", "sys", "etc", "home", "root", "tmp", "run"] {
        assert!(!names.contains(host), "/{host} is in {names:?}");
    }
}

#[test]
fn resource_limits_are_low_and_hard() {
    let stage = Stage::new();
    let limits = stage.one.process.file("limits");
    let row = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let words = line
            .unwrap_or_else(|| panic!("no {name} in\n{limits}"))
            .split_whitespace();
        words.take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    for (name, most) in [
        ("Max open files", 64),
        ("Max core file size", 1),
        ("Max file size", 0),
        ("Max locked memory", 0),
        ("Max msgqueue size", 0),
        ("Max pending signals", 64),
        ("Max realtime priority", 0),
    ] {
        for value in row(name) {
            assert!(value.parse::<u64>().unwrap() <= most, "{name} is {value}");
        }
    }
}

#[test]
fn the_kernel_would_end_a_plugin_before_anybody_else() {
    let stage = Stage::new();
    assert_eq!(stage.one.process.file("oom_score_adj").trim(), "1000");
}

#[test]
fn a_plugin_sees_nothing_of_the_brokers_environment() {
    let stage = Stage::new();
    assert_eq!(stage.one.process.file("environ"), "");
    let words = stage.one.process.file("cmdline");
    assert!(
        !words.contains("gm-test-"),
        "a path of the host in {words:?}"
    );
    assert!(!words.contains(ONE), "{words:?}");
}

#[test]
fn what_started_says_is_the_level_that_was_asked_for() {
    let stage = Stage::new();
    let level = gm_integration_tests::home::level();
    for Hosted { started, .. } in [&stage.one, &stage.other] {
        assert_eq!(started["level"], level);
        assert_eq!(started["partially_enforced"], level != "L4");
        assert_eq!(started["key"], stage.home.fingerprint());
        assert!(
            started["landlock"]["abi"].as_u64().unwrap() >= 1,
            "{started:#}"
        );
        assert_eq!(started["granted"], serde_json::json!([]));
    }
    let landlock = stage.policy("landlock");
    let rules = landlock
        .iter()
        .filter(|line| line["path"].is_string())
        .count();
    assert_eq!(stage.one.started["landlock"]["rules"], rules);
}

#[test]
fn walled_plugins_that_were_looked_at_finish_in_good_order() {
    let Stage {
        live,
        one,
        other,
        home,
    } = Stage::new();
    let run = live.finish();
    run.expect_exit(0);
    run.expect_ending(ONE, "finished");
    run.expect_ending(OTHER, "finished");
    assert!(!one.process.lives() && !other.process.lives());
    drop(home);
}
