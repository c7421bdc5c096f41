//! What each twin does.

use serde_json::{Value, json};

use crate::probes::{self, Kind};
use crate::server::Server;
use crate::{Ended, Home, Package};

/// An event of no repository.
const EVENT: &str = "{\"hook\":\"on_commit_analyzed\",\"data\":{}}\n";
/// What a script's act answers if all was as it should be.
const RIGHT: &str = "right";

/// What came of it: the level that it ran at.
type Acted = Result<Option<String>, String>;

/// Does the act of this name in a plugin of this kind. Acts that need a host call are done
/// in a script for WebAssembly and machine code, too, behind a hello of their own kind:
/// who is asked there is the broker, whoever asks.
pub(super) fn act(id: &str, kind: Kind) -> Acted {
    let level = hello(kind)?;
    let script = match kind {
        Kind::Js => Kind::Js,
        _ => Kind::Lua,
    };
    match id {
        "t-hello" | "t-trust" => Ok(level),
        "t-native" => native(),
        "t-file" | "t-write" | "t-store" | "t-mem" | "t-cpu" | "t-time" | "t-log" => {
            scripted(id, script)
        }
        "t-http" => requested(script),
        "t-restart" => beside_a_crash(),
        _ => Err(format!("there is no twin {id}")),
    }
}

/// A harmless plugin of the kind: loaded, three hooks, an answer to each. One of machine
/// code is the probes' own, which says a word back.
fn hello(kind: Kind) -> Acted {
    if kind == Kind::Native {
        return native();
    }
    let home = Home::new();
    let package = match kind {
        Kind::Lua | Kind::Js => script("hello", kind, "return ANSWER"),
        _ => Package::of("observer"),
    };
    home.load(&package);
    let run = home.run_events(&EVENT.repeat(3), &[]);
    let replies = run.replies(package.plugin(), "on_commit_analyzed");
    let answered = replies
        .iter()
        .filter(|reply| reply["status"] == "ok")
        .count();
    finished(&run, package.plugin(), answered == 3)
}

fn native() -> Acted {
    let home = Home::new();
    let package = Package::with_code("com.test.probe", probes::SHARED).kind("native");
    let package = package.hooks(&[]).command("probe");
    home.allow_native(&[package.plugin()]);
    home.load(&package);
    let words = [
        "plugin",
        "run",
        package.plugin(),
        "probe",
        "--allow-native",
        "--",
    ];
    let run = home.gm(&[&words[..], &["self", "honest"]].concat());
    let right = run.last()["text"]
        .as_str()
        .is_some_and(|text| text.trim() == "self=honest");
    finished(&run, package.plugin(), right)
}

/// A script whose hook has this body; `ANSWER` stands for its right answer.
fn script(name: &str, kind: Kind, body: &str) -> Package {
    let (kind, text) = match kind {
        Kind::Js => {
            let body = body.replace("ANSWER", "{right: true}");
            (
                "js",
                format!("export function on_commit_analyzed(event) {{\n{body}\n}}\n"),
            )
        }
        _ => {
            let body = body.replace("ANSWER", "{right = true}");
            (
                "lua",
                format!("function on_commit_analyzed(event)\n{body}\nend\n"),
            )
        }
    };
    Package::script(name, kind, &text)
}

/// An act of the plugin alone, in both languages.
fn body(id: &str, kind: Kind) -> &'static str {
    match (id, kind) {
        ("t-file", Kind::Js) => {
            "let denied = false;
            try { gm.file_read('SIBLING'); } catch (e) { denied = e.code === 'denied'; }
            return denied && gm.file_read('GRANTED') === 'granted' ? ANSWER : null;"
        }
        ("t-file", _) => {
            "local ok, e = pcall(gm.file_read, 'SIBLING')
            return not ok and e.code == 'denied' and gm.file_read('GRANTED') == 'granted' and ANSWER or nil"
        }
        ("t-write", Kind::Js) => {
            "gm.file_write('$DATA/file', 'written', {create: true});
            return gm.file_read('$DATA/file') === 'written' ? ANSWER : null;"
        }
        ("t-write", _) => {
            "gm.file_write('$DATA/file', 'written', {create = true})
            return gm.file_read('$DATA/file') == 'written' and ANSWER or nil"
        }
        ("t-store", Kind::Js) => {
            "let full = null;
            gm.storage_set('key', 'value');
            try { gm.storage_set('big', 'x'.repeat(2000)); } catch (e) { full = e.code; }
            return full === 'quota' && gm.storage_get('key') === 'value' ? ANSWER : null;"
        }
        ("t-store", _) => {
            "gm.storage_set('key', 'value')
            local ok, e = pcall(gm.storage_set, 'big', ('x'):rep(2000))
            return not ok and e.code == 'quota' and gm.storage_get('key') == 'value' and ANSWER or nil"
        }
        ("t-mem", Kind::Js) => {
            "const kept = [];
            for (let n = 0; n < 16; n++) kept.push(new Uint8Array(1 << 20).fill(n));
            return kept[15][7] === 15 ? ANSWER : null;"
        }
        ("t-mem", _) => {
            "local kept = {}
            for n = 1, 16 do kept[n] = string.char(64 + n):rep(1048576) end
            return #kept[16] == 1048576 and ANSWER or nil"
        }
        ("t-log", Kind::Js) => {
            "for (let n = 0; n < 100; n++) gm.log('info', `line ${n}`);
            return ANSWER;"
        }
        ("t-log", _) => {
            "for n = 0, 99 do gm.log('info', 'line ' .. n) end
            return ANSWER"
        }
        (_, Kind::Js) => {
            "let sum = 0;
            for (let n = 0; n < 3000000; n++) sum += n % 7;
            return sum > 0 ? ANSWER : null;"
        }
        _ => {
            "local sum = 0
            for n = 1, 3000000 do sum = sum + n % 7 end
            return sum > 0 and ANSWER or nil"
        }
    }
}

fn scripted(id: &str, kind: Kind) -> Acted {
    let home = Home::new();
    let granted = home.beside("granted");
    std::fs::create_dir(&granted).map_err(|error| error.to_string())?;
    for (name, text) in [("file", "granted"), ("sibling", "secret")] {
        let path = if name == "file" {
            granted.join(name)
        } else {
            home.beside(name)
        };
        std::fs::write(path, text).map_err(|error| error.to_string())?;
    }
    let place = granted.display().to_string();
    home.configure(&format!(
        "[restart]\nmax = 0\n[grants]\nfilesystem = {{ read = [{place:?}, \"$DATA\"], write = [\"$DATA\"] }}\n"
    ));
    let body = body(id, kind)
        .replace("GRANTED", &format!("{place}/file"))
        .replace("SIBLING", &home.beside("sibling").display().to_string());
    let package = script("twin", kind, &body)
        .permission(
            "filesystem",
            &format!("{{ read = [{place:?}], write = [\"$DATA\"] }}"),
        )
        .permission("host_api", "[\"log:write\"]")
        .permission("storage", "\"1kb\"")
        .permission("memory_limit", "\"48mb\"");
    home.load(&package);
    let run = home.run_events(EVENT, &["--logs"]);
    let right =
        answered_right(&run, package.plugin()) && (id != "t-log" || logged(&run, package.plugin()));
    finished(&run, package.plugin(), right)
}

fn answered_right(run: &Ended, id: &str) -> bool {
    let replies = run.replies(id, "on_commit_analyzed");
    replies
        .iter()
        .any(|reply| reply["reply"].get(RIGHT) == Some(&Value::Bool(true)))
}

/// A hundred lines, in order, each with its right source.
fn logged(run: &Ended, id: &str) -> bool {
    let lines = run.of(id, "log");
    let texts = lines
        .iter()
        .map(|line| line["text"].as_str().unwrap_or_default().to_owned());
    texts.eq((0..100).map(|number| format!("line {number}")))
}

/// A request to the one host that is granted.
fn requested(kind: Kind) -> Acted {
    let server = Server::saying("hello");
    let home = Home::new();
    let host = server.authority();
    home.configure(&format!(
        "[grants]\nnetwork = true\n[http]\nallow_private = [{host:?}]\n"
    ));
    let ask = match kind {
        Kind::Js => format!(
            "return gm.http_request({{url: {:?}}}).body === 'hello' ? ANSWER : null;",
            server.url("/")
        ),
        _ => format!(
            "return gm.http_request({{url = {:?}}}).body == 'hello' and ANSWER or nil",
            server.url("/")
        ),
    };
    let package =
        script("twin", kind, &ask).permission("network", &format!("{{ hosts = [{host:?}] }}"));
    home.load(&package);
    let run = home.run_events(EVENT, &[]);
    finished(
        &run,
        package.plugin(),
        answered_right(&run, package.plugin()),
    )
}

/// A plugin beside one that ends badly is served as if nothing were.
fn beside_a_crash() -> Acted {
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    let (bad, good) = (Package::of("trap"), Package::of("observer"));
    home.load(&bad);
    home.load(&good);
    let run = home.run_events(&EVENT.repeat(3), &[]);
    let replies = run.replies(good.plugin(), "on_commit_analyzed");
    let trapped = run
        .of(bad.plugin(), "ended")
        .iter()
        .any(|ended| ended["ending"] == json!("trapped"));
    let right = trapped && replies.len() == 3;
    match run.exit {
        1 => ended_well(&run, good.plugin(), right),
        exit => Err(format!("exit {exit}: {}{}", run.stdout, run.stderr)),
    }
}

fn finished(run: &Ended, id: &str, right: bool) -> Acted {
    match run.exit {
        0 => ended_well(run, id, right),
        exit => Err(format!("exit {exit}: {}{}", run.stdout, run.stderr)),
    }
}

fn ended_well(run: &Ended, id: &str, right: bool) -> Acted {
    let ended = run.of(id, "ended");
    let good = ended
        .last()
        .is_some_and(|ended| ended["ending"] == "finished");
    if !good || !right {
        return Err(format!("not as it should be: {}{}", run.stdout, run.stderr));
    }
    let started = run.of(id, "started");
    Ok(started
        .first()
        .and_then(|it| it["level"].as_str())
        .map(str::to_owned))
}
