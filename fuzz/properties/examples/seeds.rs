//! Writes the first inputs of each target, out of the project's own examples and
//! data: `cargo run --release -p gm-fuzz --example seeds`. With `--author` it makes
//! the author anew whose certificate and signature are among them, and forgets the
//! secret key; run it again then.

#![expect(
    clippy::indexing_slicing,
    reason = "a tool for tests: a panic is a fault of its own"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gm_fuzz::trust;
use gm_manifest::Manifest;
use gm_policy::{Arch, Layer, LayerName, layers_of};
use gm_protocol::link::encode_frame;
use gm_protocol::message::{FromRunner, Last, Report, ToRunner};
use gm_protocol::plan::{Engine, Hook, HostOp};

/// What a committed input may have, in bytes.
const MOST: usize = 4096;

type Failure = Box<dyn std::error::Error>;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn write(target: &str, name: &str, data: &[u8]) -> Result<(), Failure> {
    let directory = project().join("fuzz/corpus").join(target);
    fs::create_dir_all(&directory)?;
    if data.len() <= MOST {
        fs::write(directory.join(format!("seed-{name}")), data)?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    if std::env::args().any(|word| word == "--author") {
        return author();
    }
    manifests()?;
    store()?;
    profiles()?;
    frames()?;
    choices()?;
    texts()
}

fn author() -> Result<(), Failure> {
    let now = trust::now();
    let made = now - Duration::from_secs(86_400);
    let validity = Duration::from_secs(3650 * 86_400);
    let key = mind_gpg::generate("Author <author@example.com>", validity, None, made)?;
    let secret = mind_gpg::SecretKey::read(&key.secret, None, now)?;
    let text = "[identity]\nplugin_id = \"com.example.hello\"\npublic_key = \"\"\nsignature = \"\"\n\n\
        [plugin]\nname = \"Hello\"\nversion = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"wasm\"\n\
        entrypoint = \"plugin.wasm\"\n";
    let manifest = Manifest::parse(text.as_bytes())?;
    let path = manifest.entrypoint().clone();
    let artifact = mind_gpg::Artifact::seal(path, &mut &trust::CODE[..], 64)?;
    let plugin = mind_gpg::SignedPlugin::new(manifest, vec![artifact])?;
    let signed = secret.sign(&plugin, now)?;
    let fixture = project().join("fuzz/properties/fixture");
    fs::write(fixture.join("author.public"), key.public)?;
    fs::write(fixture.join("signed.toml"), signed.bytes)?;
    Ok(())
}

/// The manifests of examples and templates, whole.
fn manifests() -> Result<(), Failure> {
    let kit = project().join("sandbox-runner/plugin-sdk");
    let mut found = vec![
        kit.join("templates/manifest.toml"),
        kit.join("templates/first.toml"),
    ];
    for entry in fs::read_dir(kit.join("examples"))? {
        found.push(entry?.path().join("plugin.manifest.toml"));
    }
    for path in found.iter().filter(|path| path.is_file()) {
        let parts: Vec<_> = path
            .iter()
            .rev()
            .take(2)
            .filter_map(|part| part.to_str())
            .collect();
        let name = parts.join("-").replace(".toml", "");
        write("manifest_text", &name, &fs::read(path)?)?;
    }
    write("manifest_text", "signed", trust::SIGNED.as_bytes())?;
    let asks = "\n[permissions]\nfilesystem = { read = [\"$REPO/docs\", \"/usr/share/dict\"], write = [\"$DATA\"] }\n\
        network = { hosts = [\"api.example.com:443\"] }\nmemory_limit = \"64mb\"\ntime_limit = \"500ms\"\n\
        cpu_limit = \"50%\"\nstorage = \"1mb\"\nhost_api = [\"log:write\", \"nodes:read\"]\nconfig = [\"lint.*\"]\n";
    let command = "\n[[plugin.command]]\nname = \"check\"\nabout = \"Looks at one commit\"\n";
    write(
        "manifest_text",
        "asks",
        format!("{}{asks}", trust::SIGNED).as_bytes(),
    )?;
    write(
        "manifest_text",
        "command",
        format!("{}{command}", trust::SIGNED).as_bytes(),
    )
}

fn store() -> Result<(), Failure> {
    let signature = trust::signature();
    write("signature_packet", "good", signature)?;
    write("signature_packet", "two", &[signature, signature].concat())?;
    write("signature_packet", "cut", &signature[..signature.len() / 2])?;
    write("keyring", "certificate", &[&[0], trust::AUTHOR].concat())?;
    let key = Manifest::parse(trust::SIGNED.as_bytes())?;
    let key = key
        .public_key()
        .ok_or("the fixture has no key")?
        .to_string();
    let keys = format!(
        "\u{2}[[key]]\nfingerprint = \"{key}\"\nlabel = \"Author\"\norigin = \"explicit\"\n\
         namespaces = [\"com.example.*\"]\nkinds = [\"wasm\", \"lua\", \"js\"]\n"
    );
    write("keyring", "keys", keys.as_bytes())?;
    let digest = "ab".repeat(32);
    let pin = format!(
        "\u{3}fingerprint = \"{key}\"\nversion = \"1.0.0\"\nstatement = \"{digest}\"\ngranted = \"\"\n\
         [[accepted]]\nversion = \"1.0.0\"\nstatement = \"{digest}\"\nmanifest = \"{digest}\"\nfiles = []\n"
    );
    write("keyring", "pin", pin.as_bytes())?;
    let list = format!(
        "[[revoke]]\nplugin = \"com.example.other\"\n\n[[revoke]]\nkey = \"{key}\"\n\n\
         [[revoke]]\nartifact = \"sha256:{digest}\"\n"
    );
    write("blacklist", "all", list.as_bytes())?;
    write("blacklist", "empty", b"revoke = []\n")?;
    write(
        "blacklist",
        "own",
        b"[[revoke]]\nplugin = \"com.example.hello\"\n",
    )
}

/// The head of each profile with some of its lines, and the programs of small ones.
fn profiles() -> Result<(), Failure> {
    for engine in Engine::ALL {
        let path = project().join(format!("policies/profiles/{engine}.toml"));
        let text = fs::read_to_string(path)?;
        let plain: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        let (head, blocks) = plain.split_once("[[").ok_or("a profile without lines")?;
        let blocks: Vec<&str> = blocks.split("[[").collect();
        for (part, step) in [("few", 7), ("some", 3)] {
            let mut small = head.to_owned();
            for block in blocks.iter().step_by(step) {
                if small.len() + block.len() < MOST - 64 {
                    small += "[[";
                    small += block;
                }
            }
            for list in ["running", "loading", "soft"] {
                if !small.contains(&format!("[[{list}]]")) {
                    small = format!("{list} = []\n{small}");
                }
            }
            write(
                "profile_toml",
                &format!("{engine}-{part}"),
                small.as_bytes(),
            )?;
            let Ok(spec) = layers_of(&small, *engine, Arch::X86_64) else {
                continue;
            };
            for name in LayerName::ALL {
                let program = Layer::prove(name, spec.layer(name), spec.arch)?.program;
                let name = format!("{engine}-{part}-{}", name.name());
                let bytes: Vec<u8> = program.raw().iter().flat_map(instruction).collect();
                if bytes.len() <= 96 * 8 {
                    write("foreign_bpf", &name, &bytes)?;
                }
            }
        }
    }
    Ok(())
}

/// As the target reads it.
fn instruction(filter: &gm_protocol::plan::SockFilter) -> Vec<u8> {
    const KNOWN: [u16; 8] = [0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06];
    let op = KNOWN
        .iter()
        .zip(0_u8..)
        .find(|(code, _)| **code == filter.code);
    let op = op.map_or(0, |(_, op)| op);
    let (how, k) = match filter.code {
        0x20 => (0, filter.k / 4),
        _ => (3, filter.k),
    };
    [&[op, filter.jt, filter.jf, how][..], &k.to_le_bytes()].concat()
}

/// Messages of both ends: the body behind a byte that has the header made.
fn frames() -> Result<(), Failure> {
    let report = Report {
        protocol: gm_protocol::PROTOCOL,
        uids: [1000; 3],
        gids: [1000; 3],
        caps: 0,
        no_new_privs: true,
        dumpable: false,
        landlock_abi: 6,
        root_refused: true,
        soft_refused: true,
        fds: 15,
    };
    let host = FromRunner::Host {
        id: 0,
        op: HostOp::ALL[0],
        level: 1,
        first: 2,
        more: false,
        bytes: b"{}".to_vec(),
    };
    let done = FromRunner::Done {
        call: 1,
        status: 0,
        has: true,
        more: true,
        bytes: b"{\"a\":1}".to_vec(),
    };
    let refused = FromRunner::NotLoaded {
        text: "import gm.x".into(),
    };
    let last = FromRunner::Last(Last::Forbidden {
        nr: 59,
        args: [1; 6],
    });
    for (name, how, message) in [
        ("report", 0, FromRunner::Report(report)),
        ("host", 0, host),
        ("done", 0, done),
        ("refused", 0, refused),
        ("last", 1, last),
    ] {
        body(name, how, |to| encode_frame(&message, 0, to))?;
    }
    let call = ToRunner::Call {
        call: 1,
        hook: Hook::Init,
        more: false,
        bytes: b"{}".to_vec(),
    };
    body("call", 0, |to| encode_frame(&call, 0, to))?;
    body("go", 0, |to| encode_frame(&ToRunner::Go, 0, to))
}

fn body(
    name: &str,
    how: u8,
    encode: impl FnOnce(&mut [u8]) -> Result<usize, gm_protocol::wire::WireError>,
) -> Result<(), Failure> {
    let mut frame = vec![0; MOST];
    let used = encode(&mut frame)?;
    write(
        "runner_frame",
        &format!("{name}-raw"),
        &[&[2], &frame[..used]].concat(),
    )?;
    write("runner_frame", name, &[&[how], &frame[16..used]].concat())
}

/// Targets that read their input as choices: rows that reach each of them.
fn choices() -> Result<(), Failure> {
    let budget = [200, 255, 255];
    let good = [0, 0, 0, 0, 3];
    let parts = [
        0, 0, 2, 4, b'a', b'b', 0, 0, 2, 4, b'c', b'd', 4, 64, b'h', b'e', b'a', b'd',
    ];
    let last = [0, 1, 0, 2, 3, 3, 7, 3];
    for (name, steps) in [("good", &good[..]), ("parts", &parts), ("last", &last)] {
        write("link_state", name, &[&budget, steps].concat())?;
    }
    // A part that wasn't due, then a frame that must not be read any more.
    let late = [0, 0, 1, 5, 2, b'x', 0, 0, 0, 0, 4, 64, b'h', 3];
    write("link_state", "late", &[&budget[..], &late].concat())?;
    write(
        "link_state",
        "raw",
        &[&budget[..], &[2, 3, 1, 0, 0, 0, 0, 0, 0, 3, 5, 6, 3]].concat(),
    )?;
    for first in 0..8_u8 {
        let row: Vec<u8> = (0..160_u8)
            .map(|n| n.wrapping_mul(first.wrapping_mul(2) + 1) ^ first)
            .collect();
        write("spec_vs_program", &format!("row-{first}"), &row)?;
    }
    for engine in 0..7_u8 {
        // Usual limits, the link and the code, nothing else.
        let order = [engine, 0, 0, 1, 50, 0, 0, 2, 0, 1, 9, 0, 0, 0, 0];
        write("launcher_order", &format!("engine-{engine}"), &order)?;
        let files = [
            engine, 0, 0, 1, 50, 0, 0, 3, 0, 1, 2, 9, 0, 0, 0, 1, 1, b'a', 0, 0, 0, 9, 0,
        ];
        write("launcher_order", &format!("files-{engine}"), &files)?;
    }
    let compile = [1, 2, 0, 1, 50, 128, 20, 0, 3, 0, 5, 6, 0, 0, 0, 0];
    write("launcher_order", "compile", &compile)
}

fn texts() -> Result<(), Failure> {
    let event = "{\"hook\":\"on_commit_analyzed\",\"data\":{ \"a\": [1e2, \"\\u0000\", null] }}\n";
    write("event_json", "one", event.as_bytes())?;
    write(
        "event_json",
        "many",
        format!("{event}\n  \r\n{event}{{}}\n{event}").as_bytes(),
    )?;
    write(
        "event_json",
        "hooks",
        event.replace("commit_analyzed", "node_updated").as_bytes(),
    )?;
    for (name, text) in [
        (
            "escape",
            "x\n[GNUPG:] GOODSIG\r\t\u{1b}[31mred\u{202e}gnp.exe\u{2028}\u{85}",
        ),
        ("plain", "Grüße, 世界 👩‍🚀"),
        ("bar", "a\nother.plugin │ b\u{9b}2J"),
    ] {
        write("log_line", name, text.as_bytes())?;
    }
    write("log_line", "torn", b"\xe2\x94 \xff\xfe\xc0\x80")?;
    let graph = "n{\"id\":\"a\",\"kind\":\"commit\",\"data\":{\"b\":1.5,\"a\":[]}}\n\
        n[{\"id\":\"b\",\"kind\":\"file\"},{\"id\":\"c\",\"kind\":\"file\"}]\n\
        e{\"src\":\"a\",\"dst\":\"b\",\"kind\":\"touches\",\"weight\":3}\nc\n\
        n{\"id\":\"a\",\"kind\":\"commit\",\"data\":{}}\nq{\"prefix\":\"a\"}\nq{\"kind\":\"file\",\"limit\":1}\n\
        w{\"src\":\"a\",\"order\":\"weight\",\"min_weight\":1}\nga\nk{\"src\":\"a\",\"dst\":\"b\",\"kind\":\"touches\"}\n";
    write("query_text", "graph", graph.as_bytes())?;
    write("query_text", "cursor", b"n{\"id\":\"a\",\"kind\":\"x\"}\nq{\"after\":\"ImEi\"}\nw{\"after\":\"WyJhIiwiYiIsImMiXQ\"}\n")?;
    let toml = "schema = \"gm.broker/1\"\nallow_native = [\"com.example.native\"]\n\n[isolation]\nmin = \"L3\"\n\n\
        [grants]\nnetwork = true\n\n[config]\n\"lint.max\" = 72\n\n[limits]\nevent = \"1mb\"\n\n\
        [http]\nredirects = 3\n\n[plugins.\"com.example.hello\"]\nmemory_limit = \"32mb\"\n\n[blacklist]\nsource = \"\"\n";
    write("broker_toml", "some", toml.as_bytes())?;
    let tables: Vec<&str> = toml.split("\n\n").collect();
    for (n, table) in tables.iter().enumerate() {
        write("broker_toml", &format!("table-{n}"), table.as_bytes())?;
    }
    for (name, lines) in [
        ("plain", "bplugin.wasm\nblib/a.txt\n"),
        ("missing", "bplugin.wasm\nnlib/a.txt\n"),
        ("extra", "bplugin.wasm\nmlib/a.txt\n"),
        ("links", "bplugin.wasm\nna\nsa\nnb\nlb\n"),
        ("case", "bplugin.wasm\nba\nbA\n"),
        ("up", "bplugin.wasm\nn../secret\nd..\nb/etc/passwd\n"),
        ("below", "ba/b\nba\n"),
        ("itself", "bplugin.manifest.toml\nbPLUGIN.MANIFEST.TOML\n"),
    ] {
        write("package_listing", name, lines.as_bytes())?;
    }
    for (name, lines) in [
        (
            "repo",
            "$REPO\n$REPO/docs\n$REPO/docs/a\n$REPO/in/deep\n$REPO/two\n$DATA\n$ASSETS/a\n",
        ),
        (
            "out",
            "$REPO/out\n$REPO/all/etc\n$REPO/git\n$REPO/../else\n$REPO/.git\n$REPO/sub/.GIT\n",
        ),
        (
            "host",
            "$HERE/else/b\n$HERE/else/home\n$HERE/home\n$HERE/repo/.git\n$HERE/repo/in\n/\n/proc/self/root\n",
        ),
    ] {
        write("host_path", name, lines.as_bytes())?;
    }
    Ok(())
}
