//! Places that no grant reaches: Git directories and the home; and what the kernel says
//! about files that are granted, and about a running plugin's tree and descriptors.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{CWD, FileType};
use serde_json::{Value, json};

use super::super::judge::Shown;
use super::{Attack, all, for_root, held, plain, refused};
use crate::acts::EVENT;
use crate::bait::{holds, random_name};
use crate::kernel::Process;
use crate::probes::Kind;
use crate::records::number;
use crate::scene::Scene;
use crate::{Ended, Home, Package, Repository};

pub(super) fn attacks(id: &str) -> Vec<Attack> {
    match id {
        "fs-git" => plain(&[hidden_from_lua, hidden_from_js]),
        "ip-own-files" => plain(&[deputy_reads, deputy_writes]),
        "fs-idmap" => plain(&[|| for_root(SAME_USER, owner_stays)]),
        "fs-fifo-block" => plain(&[pipe_in_a_grant, pipe_in_a_package]),
        "tr-self" => plain(&[home_in_a_grant]),
        "fd-exact" => plain(&[|| for_root(UNSEEN, exact_descriptors)]),
        "fd-cloexec-exec" => plain(&[|| for_root(UNSEEN, nothing_past_exec)]),
        "ns-propagation" => plain(&[propagation]),
        _ => Vec::new(),
    }
}

const SAME_USER: &str = "an ordinary user's plugins have that user's id";
/// It isn't dumpable: proc(5).
const UNSEEN: &str = "only root sees the descriptors of a walled process";

/// A secret, or a panic that the harness takes for its own error.
fn secret() -> String {
    let name = random_name();
    assert!(name.is_ok(), "{name:?}");
    format!("gm-canary-{}", name.unwrap_or_default())
}

fn write(path: &Path, text: &str) {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let done = made.and_then(|()| std::fs::write(path, text));
    assert!(done.is_ok(), "{}: {done:?}", path.display());
}

/// A script that does one file call for each path of the event, and tells what it got.
fn asker(kind: Kind) -> Package {
    match kind {
        Kind::Js => Package::script(
            "asker",
            "js",
            "export function on_commit_analyzed(event) {
               return {got: event.paths.map((path) => {
                 try { return event.write ? gm.file_write(path, 'x', {create: true}) : gm.file_read(path) ?? 'not_found'; }
                 catch (error) { return error.code; }
               })};
             }\n",
        ),
        _ => Package::script(
            "asker",
            "lua",
            "function on_commit_analyzed(event)
               local got = {}
               for n, path in ipairs(event.paths) do
                 local ok, v = pcall(function()
                   if event.write then return gm.file_write(path, 'x', {create = true}) end
                   return gm.file_read(path)
                 end)
                 if not ok then got[n] = v.code elseif v == nil then got[n] = 'not_found' else got[n] = v end
               end
               return {got = got}
             end\n",
        ),
    }
}

/// Loads it with all of this grant.
fn load_asker(home: &Home, grant: &str) {
    home.configure(&format!(
        "[restart]\nmax = 0\n[grants]\nfilesystem = {grant}\n"
    ));
    home.load(&asker(Kind::Lua).permission("filesystem", grant));
}

fn event(paths: &[String], write: bool) -> String {
    json!({"hook": "on_commit_analyzed", "data": {"paths": paths, "write": write}}).to_string()
        + "\n"
}

/// What the script got for each path.
fn got(run: &Ended) -> Vec<Value> {
    let replies = run.replies("com.test.asker", "on_commit_analyzed");
    let first = replies
        .first()
        .and_then(|reply| reply.pointer("/reply/got")?.as_array());
    first.cloned().unwrap_or_default()
}

/// Each path was refused, and no byte of the secret is in anything that was said.
fn nothing_of(run: &Ended, secret: &str, paths: &[String]) -> Shown {
    let got = got(run);
    if got.len() != paths.len() {
        return Shown::Unproved(format!(
            "{} answers to {} paths: {}",
            got.len(),
            paths.len(),
            run.stdout
        ));
    }
    let refused = ["denied", "not_found", "invalid"];
    let open = paths
        .iter()
        .zip(&got)
        .filter(|(_, got)| !refused.iter().any(|code| *got == code));
    let mut harm: Vec<String> = open.map(|(path, got)| format!("{path}: {got}")).collect();
    if holds(run.stdout.as_bytes(), secret.as_bytes()) {
        harm.push("canary-bytes".to_owned());
    }
    held("broker", "every path was refused", &harm)
}

fn hidden_from_lua() -> Shown {
    hidden(Kind::Lua)
}

fn hidden_from_js() -> Shown {
    hidden(Kind::Js)
}

/// A grant of the whole repository, and what of it is not in it.
fn hidden(kind: Kind) -> Shown {
    let secret = secret();
    let repository = Repository::of(1);
    let home = Home::new();
    for name in [".git/config-secret", "sub/.git/config", "linked/.git"] {
        write(&repository.path().join(name), &secret);
    }
    write(&repository.path().join("open.txt"), "open");
    write(&home.beside("beside.txt"), &secret);
    let beside = home.beside("beside.txt");
    let linked = std::os::unix::fs::symlink(&beside, repository.path().join("link.txt"));
    assert!(linked.is_ok(), "{linked:?}");
    home.configure("[grants]\nfilesystem = { read = [\"$REPO\"], write = [] }\n");
    home.load(&asker(kind).permission("filesystem", "{ read = [\"$REPO\"] }"));
    let mut paths: Vec<String> = [
        "$REPO/.git/config-secret",
        "$REPO/.git/config",
        "$REPO/sub/.git/config",
        "$REPO/linked/.git",
        "$REPO/../.git/config",
        "$REPO/./.git/config-secret",
        "$REPO//.git/config-secret",
        "$REPO/link.txt",
        "$REPO/sub/../.git/config-secret",
        "/proc/self/root/etc/passwd",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.push(beside.display().to_string());
    let run = home.run_events(&event(&paths, false), &["--repo", repository.text()]);
    let open = home.run_events(
        &event(&["$REPO/open.txt".to_owned()], false),
        &["--repo", repository.text()],
    );
    if got(&open) != [json!("open")] {
        return Shown::Unproved(format!(
            "not even the granted file is read: {}",
            open.stdout
        ));
    }
    nothing_of(&run, &secret, &paths)
}

/// Paths of the broker's own that a plugin could name.
fn own_places(home: &Home) -> Vec<String> {
    let inside = [
        "broker.toml",
        "trust/local.toml",
        "trust/pins.toml",
        "plugins/com.test.asker/current",
        "state/cache.key",
        "logs/broker.jsonl",
        "secret",
    ];
    let own = inside
        .iter()
        .map(|name| home.path().join(name).display().to_string());
    let odd = [
        "/proc/self/fd/3",
        "/proc/self/environ",
        "/proc/1/root/etc/passwd",
        "/dev/stdin",
        "/code",
        "/etc/passwd",
        "$DATA/../../etc/passwd",
        "$ASSETS/../broker.toml",
        "$HOME/x",
        "",
        "a\0b",
        "$DATA/\u{202e}/../x/../../..",
    ];
    own.chain(odd.map(str::to_owned))
        .chain([format!("/{}", "a/".repeat(3000))])
        .collect()
}

fn deputy() -> (Home, String) {
    let secret = secret();
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    write(&home.path().join("secret"), &secret);
    home.load(
        &asker(Kind::Lua).permission("filesystem", "{ read = [\"$DATA\"], write = [\"$DATA\"] }"),
    );
    (home, secret)
}

fn deputy_reads() -> Shown {
    let (home, secret) = deputy();
    let paths = own_places(&home);
    let run = home.run_events(&event(&paths, false), &[]);
    nothing_of(&run, &secret, &paths)
}

/// The same for writing: nothing of the home but its logs and state has changed.
fn deputy_writes() -> Shown {
    let (home, secret) = deputy();
    let watched = ["broker.toml", "secret", "plugins/com.test.asker/current"];
    let read = || watched.map(|name| std::fs::read(home.path().join(name)).unwrap_or_default());
    let before = read();
    let paths = own_places(&home);
    let run = home.run_events(&event(&paths, true), &[]);
    let changed = before
        .iter()
        .zip(read())
        .zip(watched)
        .filter(|((old, new), _)| *old != new);
    let harm: Vec<String> = changed
        .map(|(_, name)| format!("{name} was changed"))
        .collect();
    all([held("broker", "", &harm), nothing_of(&run, &secret, &paths)])
}

/// A tree that only its owner may read is read in a plugin that is somebody else on the
/// host; and neither there nor in what it stores is anything the plugin's on the disk.
fn owner_stays() -> Shown {
    const OWNER: u32 = 54_321;
    let home = Home::new();
    let granted = home.beside("granted");
    let file = granted.join("a.txt");
    write(&file, "its owner's");
    for (path, mode) in [(&granted, 0o700), (&file, 0o600)] {
        let done = std::os::unix::fs::chown(path, Some(OWNER), Some(OWNER))
            .and_then(|()| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)));
        assert!(done.is_ok(), "{done:?}");
    }
    let place = granted.display().to_string();
    let grant = format!("{{ read = [{place:?}, \"$DATA\"], write = [\"$DATA\"] }}");
    load_asker(&home, &grant);
    let stored = ["$DATA/b.txt".to_owned()];
    let events = [
        event(&[file.display().to_string()], false),
        event(&stored, true),
        event(&stored, false),
    ];
    let run = home.run_events(&events.concat(), &[]);
    let all = run.replies("com.test.asker", "on_commit_analyzed");
    let last = all.last().and_then(|reply| reply.pointer("/reply/got/0"));
    if got(&run) != [json!("its owner's")] || all.len() != 3 || last != Some(&json!("x")) {
        return Shown::Unproved(format!("it was not read, or not stored: {}", run.stdout));
    }
    let own = rustix::process::geteuid().as_raw();
    let foreign = foreigners(&granted, OWNER).and_then(|mut all| {
        all.extend(foreigners(&home.path(), own)?);
        Ok(all)
    });
    match foreign {
        Ok(harm) => held(
            "mount",
            "read and stored, and no file changed its owner",
            &harm,
        ),
        Err(error) => Shown::Unproved(format!("the files can't be looked at: {error}")),
    }
}

/// The files and directories of a tree that are not this user's, in words.
fn foreigners(tree: &Path, owner: u32) -> std::io::Result<Vec<String>> {
    let own = std::fs::symlink_metadata(tree)?;
    let mut all = Vec::new();
    if own.uid() != owner {
        all.push(format!("{} is {}'s", tree.display(), own.uid()));
    }
    if own.is_dir() {
        for entry in std::fs::read_dir(tree)? {
            all.extend(foreigners(&entry?.path(), owner)?);
        }
    }
    Ok(all)
}

pub(super) fn make_pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    let made = rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0);
    assert!(made.is_ok(), "{made:?}");
}

/// A pipe without a writer, in a granted tree: who opens it is answered, at once.
fn pipe_in_a_grant() -> Shown {
    let home = Home::new();
    let granted = home.beside("granted");
    write(&granted.join("a.txt"), "a file");
    make_pipe(&granted.join("pipe"));
    let place = granted.display().to_string();
    load_asker(&home, &format!("{{ read = [{place:?}] }}"));
    let paths = ["pipe", "a.txt"].map(|name| format!("{place}/{name}"));
    let run = home.run_events(&event(&paths, false), &[]);
    match got(&run).as_slice() {
        [pipe, file] if *file == "a file" => {
            let harm = (pipe != "io").then(|| format!("the pipe was read: {pipe}"));
            held("broker", "no file", &harm.into_iter().collect::<Vec<_>>())
        }
        _ => Shown::Unproved(format!("the file beside it was not read: {}", run.stdout)),
    }
}

/// The same in the places of a package's files, of which none is then installed.
fn pipe_in_a_package() -> Shown {
    let tried = ["plugin.wasm", "plugin.manifest.toml"].map(|name| {
        let home = Home::new();
        let package = Package::of("observer");
        home.sign(&package);
        let removed = std::fs::remove_file(package.file(name));
        assert!(removed.is_ok(), "{removed:?}");
        make_pipe(&package.file(name));
        refused(
            "broker",
            &home.try_load(&package),
            &["artifact/not-regular"],
        )
    });
    all(tried)
}

/// A grant of the directory that the home is in: keys, grants, pins and its own manifest
/// are not there to be read or changed.
fn home_in_a_grant() -> Shown {
    let secret = secret();
    let home = Home::new();
    let above = home.beside(".").display().to_string();
    let above = above.trim_end_matches("/.");
    write(&home.path().join("secret"), &secret);
    write(&home.beside("open.txt"), "open");
    load_asker(
        &home,
        &format!("{{ read = [{above:?}], write = [\"$DATA\"] }}"),
    );
    let watched = [
        "broker.toml",
        "secret",
        "trust/keys.toml",
        "trust/pins/com.test.asker.toml",
        "plugins/com.test.asker/current",
    ];
    let places = watched.map(|name| home.path().join(name));
    let before = places.each_ref().map(|place| std::fs::read(place).ok());
    if before.contains(&None) {
        return Shown::Unproved(format!("not all of {places:?} is there"));
    }
    let paths = places.each_ref().map(|place| place.display().to_string());
    let open = home.run_events(&event(&[format!("{above}/open.txt")], false), &[]);
    if got(&open) != [json!("open")] {
        return Shown::Unproved(format!("not even the file beside it: {}", open.stdout));
    }
    let read = home.run_events(&event(&paths, false), &[]);
    let written = home.run_events(&event(&paths, true), &[]);
    let after = places.each_ref().map(|place| std::fs::read(place).ok());
    let changed = before.iter().zip(&after).zip(watched);
    let changed = changed.filter(|((old, new), _)| old != new);
    let harm: Vec<String> = changed
        .map(|(_, name)| format!("{name} was changed"))
        .collect();
    all([
        held("broker", "", &harm),
        nothing_of(&read, &secret, &paths),
        nothing_of(&written, &secret, &paths),
    ])
}

/// Each descriptor of a running engine is closed by an exec, were there one: whatever it
/// could become, it would have none of them.
fn nothing_past_exec() -> Shown {
    const CLOEXEC: u64 = 0o2_000_000;
    let scene = Scene::new();
    let mut harm = Vec::new();
    for plugin in &scene.plugins {
        let all = plugin.descriptors();
        if all.is_empty() {
            return Shown::Unproved("a plugin's descriptors could not be read".to_owned());
        }
        for (fd, target) in all {
            let info = plugin.file(&format!("fdinfo/{fd}"));
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = flags.and_then(|flags| u64::from_str_radix(flags.trim(), 8).ok());
            let Some(flags) = flags else {
                return Shown::Unproved(format!("no flags of descriptor {fd}: {info}"));
            };
            if flags & CLOEXEC == 0 && !target.ends_with("/null") {
                harm.push(format!("descriptor {fd}, {target}, outlives an exec"));
            }
        }
    }
    held("descriptors", "an exec would close all of them", &harm)
}

/// A running plugin has the descriptors that its record names, and no other.
fn exact_descriptors() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer"));
    // What the broker itself was given must not be passed on.
    let words = ["sh", "-c", "exec 7</etc/passwd 9</; exec \"$0\" \"$@\""];
    let mut command = home.through(&words, "gm-broker");
    command.args(["--format", "json", "run", "--events", "-"]);
    let mut live = crate::Live::start(&mut command);
    let started = live.wait_for("a start", |record| record["event"] == "started");
    let process = u32::try_from(number(&started, "pid"))
        .ok()
        .and_then(Process::find);
    let Some(process) = process else {
        return Shown::Unproved("the plugin is gone".to_owned());
    };
    let named = started
        .get("fds")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let named: Vec<u64> = named
        .iter()
        .filter_map(|fd| fd.get("fd")?.as_u64())
        .collect();
    let there: Vec<u64> = process
        .descriptors()
        .keys()
        .map(|fd| u64::from(*fd))
        .collect();
    live.write_line(EVENT);
    let _ = live.finish();
    let harm: Vec<String> = (named != there)
        .then(|| format!("named {named:?}, there {there:?}"))
        .into_iter()
        .collect();
    held("descriptors", "exactly those that were named", &harm)
}

/// No mount of a plugin's tree is one of the host's, and none passes on to it.
fn propagation() -> Shown {
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let scene = Scene::new();
    let during = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut harm = Vec::new();
    if before.is_empty() || during.is_empty() {
        return Shown::Unproved("the host's mounts could not be read".to_owned());
    }
    if before != during {
        harm.push("the host's mounts changed".to_owned());
    }
    for plugin in &scene.plugins {
        let own = plugin.file("mountinfo");
        if own.is_empty() {
            return Shown::Unproved("a plugin's mounts could not be read".to_owned());
        }
        // shared: and master: stand between the flags and the dash.
        let tied = own
            .lines()
            .filter(|line| line.contains(" shared:") || line.contains(" master:"));
        harm.extend(tied.map(|line| format!("tied to another tree: {line}")));
    }
    held("mount", "the trees are not tied", &harm)
}
