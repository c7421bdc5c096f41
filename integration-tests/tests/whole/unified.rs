//! A machine where cgroup v2 is all there is: where the broker stands in the tree
//! decides what it may hand down. `scripts/guest` boots such a machine; its Landlock
//! is an old one, too, and its tmpfs can't be mounted for another owner.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::kernel::{Process, group_directory, group_file, within};
use gm_integration_tests::machine_code::program;
use gm_integration_tests::process::{self, command};
use gm_integration_tests::records::{number, text};
use gm_integration_tests::{Home, Live, Package, Repository};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::native::events_of;

const ID: &str = "com.test.observer";
const SOON: Duration = Duration::from_secs(1);

/// A group below the root, with the controllers of its parent. Removed when dropped.
struct Unit(PathBuf);

impl Unit {
    fn new(name: &str) -> Self {
        let unit = Self(Path::new("/sys/fs/cgroup").join(name));
        std::fs::create_dir(&unit.0).unwrap();
        for control in ["memory", "pids", "cpu"] {
            assert!(unit.file("cgroup.controllers").contains(control));
        }
        unit
    }

    fn file(&self, name: &str) -> String {
        group_file(&self.0, &[name])
    }

    /// A program that goes into the group first.
    fn entering(&self) -> [String; 3] {
        let enter = format!(
            "echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"",
            self.0.display()
        );
        ["sh".into(), "-c".into(), enter]
    }

    /// A run in this group that waits for events.
    fn start(&self, home: &Home) -> Live {
        let enter = self.entering();
        let mut broker = home.through(&enter.each_ref().map(String::as_str), "gm-broker");
        Live::start(broker.args(["--format", "json", "run", "--events", "-"]))
    }

    /// Nothing of any run is left in it, and it holds processes itself again.
    #[track_caller]
    fn expect_as_before(&self) {
        let below = || {
            let entries = std::fs::read_dir(&self.0).unwrap().flatten();
            let groups = entries.filter(|entry| entry.path().is_dir());
            groups.map(|group| group.path()).collect::<Vec<_>>()
        };
        assert!(within(SOON, || below().is_empty()), "{:?}", below());
        assert_eq!(self.file("cgroup.subtree_control"), "");
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("cgroup.kill"), "1");
        within(SOON, || std::fs::remove_dir(&self.0).is_ok());
    }
}

fn home() -> Home {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home
}

fn started(live: &mut Live) -> (Value, Process) {
    let started = live.wait_for("a start", |record| record["event"] == "started");
    let process = Process::find(u32::try_from(number(&started, "pid")).unwrap()).unwrap();
    (started, process)
}

/// The launcher of a run, and the copy of it that sweeps.
fn helpers(live: &Live) -> [Process; 2] {
    let broker = Process::find(live.pid()).unwrap();
    let all = broker.descendants();
    ["gm-launcher", "gm-sweeper"].map(|name| {
        let named = |process: &&Process| process.status("Name") == name;
        *all.iter().find(named).unwrap()
    })
}

fn kill(process: Process) {
    let pid = Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[test]
#[ignore = "needs cgroup v2 alone: scripts/guest"]
fn a_broker_alone_in_its_group_hands_controllers_down_and_gives_them_back() {
    let (home, unit) = (home(), Unit::new("unit"));
    let mut live = unit.start(&home);
    let (started, plugin) = started(&mut live);

    assert_eq!(started["level"], "L4");
    let group = text(&started["cgroup"], "memory").to_owned();
    assert!(group.starts_with("/unit/gm-"), "{group}");
    assert_eq!(plugin.group("memory"), group);
    let instance = group_directory("memory", &group);
    let instance = instance.ancestors().nth(2).unwrap().to_owned();
    let host = format!(
        "/unit/{}/host",
        instance.file_name().unwrap().to_str().unwrap()
    );
    let broker = Process::find(live.pid()).unwrap();
    for process in [&[broker][..], &helpers(&live)].concat() {
        assert_eq!(process.group("memory"), host, "{process:?}");
    }
    assert_eq!(unit.file("cgroup.procs"), "");
    assert_eq!(unit.file("cgroup.subtree_control"), "cpu memory pids");

    let run = live.finish();
    run.expect_exit(0);
    run.expect_ending(ID, "finished");
    unit.expect_as_before();
}

#[test]
#[ignore = "needs cgroup v2 alone: scripts/guest"]
fn whoever_is_killed_a_group_of_the_broker_is_left_as_it_was() {
    let home = home();
    for who in ["launcher", "broker"] {
        let unit = Unit::new("unit");
        let mut live = unit.start(&home);
        let (_, plugin) = started(&mut live);
        let [launcher, sweeper] = helpers(&live);
        kill(match who {
            "launcher" => launcher,
            _ => Process::find(live.pid()).unwrap(),
        });
        let exit = live.finish().exit;
        assert_eq!(exit, if who == "launcher" { 70 } else { 137 }, "{who}");
        let dead = || ![plugin, launcher, sweeper].iter().any(|one| one.lives());
        assert!(within(SOON, dead), "{who}");
        unit.expect_as_before();
    }
}

#[test]
#[ignore = "needs cgroup v2 alone: scripts/guest"]
fn beside_other_processes_the_level_is_too_low_and_says_what_to_do() {
    let (home, session) = (home(), Unit::new("session"));
    let enter = session.entering();
    let mut other = command("sh", Path::new("/"));
    let _other = Live::start(other.args(["-c", &enter[2], "sleep", "1000"]));
    assert!(within(SOON, || !session.file("cgroup.procs").is_empty()));

    let run = session.start(&home).finish();

    let refused = run.expect_refused(30, "wall/level");
    let detail = text(refused, "detail");
    for word in ["L3", "other processes", "isolation.cgroup_parent"] {
        assert!(detail.contains(word), "no {word} in {detail}");
    }
    run.expect_nothing_started();
    session.expect_as_before();

    // What it says helps, for two runs at once, and whichever ends first.
    let pool = Unit::new("pool");
    home.write_config("[isolation]\nmin = \"L4\"\ncgroup_parent = \"/pool\"\n");
    let (mut one, mut two) = (session.start(&home), session.start(&home));
    for live in [&mut one, &mut two] {
        let (started, _) = started(live);
        assert_eq!(started["level"], "L4");
        assert!(text(&started["cgroup"], "pids").starts_with("/pool/gm-"));
        assert_eq!(Process::find(live.pid()).unwrap().group("pids"), "/session");
    }
    for live in [one, two] {
        let run = live.finish();
        run.expect_exit(0);
        run.expect_ending(ID, "finished");
    }
    let entries = std::fs::read_dir(&pool.0).unwrap().flatten();
    let left: Vec<_> = entries.filter(|entry| entry.path().is_dir()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
#[ignore = "needs cgroup v2 alone: scripts/guest"]
fn a_group_that_was_given_to_an_ordinary_user_limits_that_users_plugins() {
    let home = Home::of_stranger();
    let package = Package::of("observer").permission("memory_limit", "\"32mb\"");
    home.give(package.path());
    home.load(&package);
    // As systemd delegates one: the user may move processes within it.
    let slice = Unit::new("user");
    std::fs::write(slice.0.join("cgroup.subtree_control"), "+memory +pids +cpu").unwrap();
    let (entry, unit) = (Unit(slice.0.join("entry")), Unit(slice.0.join("unit")));
    for dir in [&entry.0, &unit.0] {
        std::fs::create_dir(dir).unwrap();
    }
    for dir in [&slice.0, &entry.0, &unit.0] {
        for name in ["", "cgroup.procs", "cgroup.subtree_control"] {
            let path = dir.join(name);
            std::os::unix::fs::chown(path, Some(home.stranger().id), None).unwrap();
        }
    }
    let own = std::process::id().to_string();
    std::fs::write(entry.0.join("cgroup.procs"), &own).unwrap();
    let mut live = unit.start(&home);
    let (started, _) = started(&mut live);
    std::fs::write("/sys/fs/cgroup/cgroup.procs", &own).unwrap();

    assert_eq!(started["level"], "L3");
    let group = text(&started["cgroup"], "memory");
    assert!(group.starts_with("/user/unit/gm-"), "{started:#}");
    let group = group_directory("memory", group);
    assert_eq!(group_file(&group, &["memory.max"]), (32 << 20).to_string());
    assert_eq!(group_file(&group, &["pids.max"]), "1");
    let run = live.finish();
    run.expect_exit(0);
    unit.expect_as_before();
}

/// Pages that went to swap since the machine began.
fn swapped_out() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("pswpout "));
    line.unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs cgroup v2 alone, and swap: scripts/guest"]
fn a_plugin_over_its_memory_is_killed_and_not_swapped_out() {
    let bomb = "com.test.program";
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    home.allow_native(&[bomb]);
    let package = program("program", &[]).permission("memory_limit", "\"24mb\"");
    home.load(&package.permission("time_limit", "\"30s\""));
    home.load(&Package::of("observer"));
    let before = swapped_out();

    let run = home.run_events(&events_of(&["reply", "memory"]), &["--allow-native"]);

    run.expect_exit(20);
    let ended = run.expect_ending(bomb, "out_of_memory");
    assert_eq!(
        (&ended["layer"], &ended["limit"]),
        (&"cgroup".into(), &"24mb".into())
    );
    assert_eq!(number(ended, "memory_peak_bytes"), 24 << 20);
    run.expect_ending(ID, "finished");
    assert_eq!(swapped_out(), before);

    // There is swap, and a group that may use it does.
    let free = Unit::new("free");
    std::fs::write(free.0.join("memory.max"), "16M").unwrap();
    let fill = "dd if=/dev/zero of=/dev/null bs=48M count=1";
    let enter = free.entering();
    let mut dd = command("sh", Path::new("/"));
    process::run(dd.args(["-c", &enter[2], "sh", "-c", fill]), b"").expect_exit(0);
    assert!(swapped_out() > before);
}

#[test]
#[ignore = "needs a tmpfs that can't be mounted for another owner: scripts/guest"]
fn files_that_can_not_be_mounted_for_another_owner_are_a_missing_wall() {
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    home.load(&Package::of("observer").permission("filesystem", "{ read = [\"$REPO/src\"] }"));
    // Its twin lies on a file system that can be.
    let repository = Repository::of(1);
    let run = home.run(&repository, &[]);
    run.expect_exit(0);
    run.expect_ending(ID, "finished");

    let copy = Path::new("/run").join(repository.path().file_name().unwrap());
    let mut cp = command("cp", Path::new("/"));
    let words = ["-a", repository.text(), path_text(&copy)];
    process::run(cp.args(words), b"").expect_exit(0);
    let run = home.broker(&["run", "--repo", path_text(&copy)]);
    std::fs::remove_dir_all(&copy).unwrap();
    run.expect_exit(30);
    let ended = run.expect_ending(ID, "wall_missing");
    assert_eq!(ended["layer"], "mounts", "{ended:#}");
    run.expect_nothing_started();
}

#[test]
#[ignore = "needs a Landlock below ABI 4: scripts/guest"]
fn hosts_are_not_granted_where_landlock_knows_no_ports() {
    let home = Home::new();
    home.configure("[grants]\nnetwork = true\n");
    home.load(
        &Package::of("observer").permission("network", "{ hosts = [\"api.example.com:443\"] }"),
    );
    let run = home.run(&Repository::of(1), &[]);
    run.expect_exit(0);
    run.expect_ending(ID, "finished");
    let started = run.one(ID, "started");
    let refused = started["refused"].as_array().unwrap();
    let network = refused
        .iter()
        .find(|one| one["asked"] == "network")
        .unwrap();
    assert!(text(network, "why").contains("ABI 2"), "{network:#}");
}
