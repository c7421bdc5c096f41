//! Places that no grant reaches: Git directories, the home, addresses of the host; and
//! what the kernel says about a running plugin's tree and descriptors.

use serde_json::{Value, json};

use super::super::judge::Shown;
use super::{Attack, all, held, plain};
use crate::acts::EVENT;
use crate::bait::{holds, random_name};
use crate::kernel::Process;
use crate::probes::Kind;
use crate::records::number;
use crate::scene::Scene;
use crate::server::Server;
use crate::{Ended, Home, Package, Repository};

pub(super) fn attacks(id: &str) -> Vec<Attack> {
    match id {
        "fs-git" => plain(&[hidden_from_lua, hidden_from_js]),
        "ip-own-files" => plain(&[deputy_reads, deputy_writes]),
        "net-proxy-ssrf" => plain(&[addresses, redirects]),
        "fd-exact" => plain(&[exact_descriptors]),
        "ns-propagation" => plain(&[propagation]),
        _ => Vec::new(),
    }
}

/// A secret, or a panic that the harness takes for its own error.
fn secret() -> String {
    let name = random_name();
    assert!(name.is_ok(), "{name:?}");
    format!("gm-canary-{}", name.unwrap_or_default())
}

fn write(path: &std::path::Path, text: &str) {
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

/// A plugin that sends each event on as a request.
fn fetcher() -> Package {
    Package::of("fetcher").permission("network", "true")
}

fn request(url: &str) -> String {
    json!({"hook": "on_commit_analyzed", "data": {"url": url}}).to_string() + "\n"
}

/// Each request was answered with an error, and nobody came to the server.
fn unreached(run: &Ended, server: &Server, urls: usize) -> Shown {
    let replies = run.replies("com.test.fetcher", "on_commit_analyzed");
    if replies.len() != urls {
        return Shown::Unproved(format!(
            "{} answers to {urls} requests: {}",
            replies.len(),
            run.stdout
        ));
    }
    let answered = replies.iter().filter(|reply| reply["status"] == "ok");
    let mut harm: Vec<String> = answered.map(|reply| format!("answered: {reply}")).collect();
    harm.extend(
        server
            .seen()
            .iter()
            .map(|head| format!("the server was asked: {head}")),
    );
    held("http", "every address was refused", &harm)
}

fn addresses() -> Shown {
    let server = Server::saying("secret");
    let port = server.port();
    let home = Home::new();
    home.configure("[grants]\nnetwork = true\n");
    home.load(&fetcher());
    let hosts = [
        "127.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "0.0.0.0",
        "user@127.0.0.1",
        "127.0.0.1%2f@example.com",
    ];
    let urls = hosts
        .map(|host| format!("http://{host}:{port}/"))
        .into_iter();
    let more = [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[fd00::1]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
    ];
    let urls: Vec<String> = urls.chain(more.map(str::to_owned)).collect();
    let events: String = urls.iter().map(|url| request(url)).collect();
    unreached(&home.run_events(&events, &[]), &server, urls.len())
}

fn redirects() -> Shown {
    let victim = Server::saying("secret");
    let targets = [
        victim.url("/"),
        "http://169.254.169.254/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    let servers = targets.map(|to| {
        Server::answering(format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        ))
    });
    let home = Home::new();
    let allowed: Vec<String> = servers.iter().map(Server::authority).collect();
    home.configure(&format!(
        "[grants]\nnetwork = true\n[http]\nallow_private = {allowed:?}\n"
    ));
    home.load(&fetcher());
    let events: String = servers
        .iter()
        .map(|server| request(&server.url("/")))
        .collect();
    let run = home.run_events(&events, &[]);
    if servers.iter().any(|server| server.seen().is_empty()) {
        return Shown::Unproved("a server that was granted was not asked".to_owned());
    }
    unreached(&run, &victim, servers.len())
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
