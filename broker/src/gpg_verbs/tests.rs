//! The verbs as they are typed, over a home and packages on a real disk.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use gm_manifest::MANIFEST_FILE;

use super::*;
use crate::args::gm::{Gm, Verb};
use crate::args::typed;
use crate::output::Format;

const MANIFEST: &str = "[identity]
plugin_id = \"com.example.hello\"
public_key = \"FINGERPRINT\"
signature = \"BASE64_GPG_SIG\"

[plugin]
name = \"Hello\"
version = \"1.0.0\"
api_version = \"2.0\"
kind = \"wasm\"
entrypoint = \"plugin.wasm\"
";

/// A directory with room for a home, keys and one package.
struct Desk(tempfile::TempDir);

/// What a verb did.
struct Done {
    exit: u8,
    out: String,
    err: String,
}

impl Done {
    /// The last JSON object: the one that carries the exit code.
    fn last(&self) -> Value {
        let object: Value = serde_json::from_str(self.out.lines().last().unwrap()).unwrap();
        assert_eq!(object["exit"], self.exit, "{object}");
        object
    }

    #[track_caller]
    fn refused(&self, exit: u8, code: &str) -> Value {
        let object = self.last();
        assert_eq!(
            (self.exit, object["code"].as_str()),
            (exit, Some(code)),
            "{object}"
        );
        object
    }
}

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(desk.path("package")).unwrap();
        std::fs::write(desk.path("package/plugin.wasm"), b"\0asm\x01\0\0\0").unwrap();
        std::fs::write(desk.manifest(), MANIFEST).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn manifest(&self) -> PathBuf {
        self.path("package").join(MANIFEST_FILE)
    }

    /// Types `gm --home … gpg` and these words; `@name` is a path of the desk.
    fn gpg(&self, format: Format, words: &str) -> Done {
        let home = self.path("home").display().to_string();
        let mut line: Vec<String> = ["gm", "--home", &home, "gpg"].map(str::to_owned).to_vec();
        line.extend(
            words
                .split_whitespace()
                .map(|word| match word.strip_prefix('@') {
                    Some(name) => self.path(name).display().to_string(),
                    None => word.to_owned(),
                }),
        );
        let line: Vec<_> = line.iter().map(String::as_str).collect();
        let (invocation, Verb::Gpg(verb)) = typed::<Gm>(&line) else {
            panic!("{words}")
        };
        let (mut output, seen) = Output::captured(format);
        let exit =
            run(verb, &invocation, &mut output).unwrap_or_else(|refusal| output.refused(&refusal));
        Done {
            exit,
            out: seen.out.text(),
            err: seen.err.text(),
        }
    }

    fn json(&self, words: &str) -> Done {
        self.gpg(Format::Json, words)
    }

    /// A key in `key`; its fingerprint.
    fn key(&self) -> String {
        let made = self.json("keygen --uid Test --out @key").last();
        made["fingerprint"].as_str().unwrap().to_owned()
    }

    /// The same, trusted for the package, which it has signed.
    fn trusted_and_signed(&self) -> String {
        let key = self.key();
        let added = self.trust(&key, "com.example.*");
        assert_eq!(added.exit, 0, "{}", added.out);
        assert_eq!(self.json("sign @package --key @key/secret.pgp").exit, 0);
        key
    }

    fn trust(&self, fingerprint: &str, namespace: &str) -> Done {
        self.json(&format!(
            "trust add @key/public.pgp --fingerprint {fingerprint} --namespace {namespace}"
        ))
    }
}

fn mode(path: PathBuf) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_three_files_of_which_only_the_public_one_is_for_others() {
    let desk = Desk::new();
    let made = desk
        .json("keygen --uid Test --expire 30d --out @new/key")
        .last();
    for name in ["fingerprint", "subkey"] {
        assert!(
            Fingerprint::parse(made[name].as_str().unwrap()).is_ok(),
            "{made}"
        );
    }
    let days = "2000-01-01T00:00:00Z".len();
    assert_eq!(made["expires"].as_str().unwrap().len(), days, "{made}");
    assert_eq!(made["files"].as_array().unwrap().len(), 3);
    assert_eq!(mode(desk.path("new/key")), 0o700);
    assert_eq!(mode(desk.path("new/key/secret.pgp")), 0o600);
    assert_eq!(mode(desk.path("new/key/revocation.pgp")), 0o600);
    assert_eq!(mode(desk.path("new/key/public.pgp")) & 0o022, 0);
}

#[test]
fn for_people_stdout_of_keygen_is_the_fingerprint_alone() {
    let desk = Desk::new();
    let made = desk.gpg(Format::Human, "keygen --uid Test --out @key");
    let (fingerprint, rest) = made.out.split_once('\n').unwrap();
    assert!(
        Fingerprint::parse(fingerprint).is_ok() && rest.is_empty(),
        "{:?}",
        made.out
    );
    assert!(made.err.contains("revocation.pgp"));
    assert!(!made.err.contains(concat!("PRIVATE", " KEY")));
}

#[test]
fn a_key_is_never_written_over_something_else() {
    let desk = Desk::new();
    desk.key();
    let before = std::fs::read(desk.path("key/secret.pgp")).unwrap();
    desk.json("keygen --uid Test --out @key")
        .refused(2, "usage/arguments");
    desk.json("keygen --uid Test --out @package/plugin.wasm")
        .refused(2, "usage/arguments");
    assert_eq!(std::fs::read(desk.path("key/secret.pgp")).unwrap(), before);
}

#[test]
fn a_validity_or_user_id_that_makes_no_sense_makes_no_key() {
    let desk = Desk::new();
    for words in [
        "--uid T --expire 0d",
        "--uid T --expire 11y",
        "--uid T --expire 2",
        "--uid \u{202e}x",
    ] {
        desk.json(&format!("keygen {words} --out @none"))
            .refused(2, "usage/arguments");
        assert!(!desk.path("none").exists(), "{words}");
    }
}

#[test]
fn a_signed_package_of_a_trusted_key_verifies_with_every_fact() {
    let desk = Desk::new();
    let key = desk.trusted_and_signed();
    let done = desk.json("verify @package").last();
    assert_eq!(
        (&done["plugin"], &done["version"]),
        (&json!("com.example.hello"), &json!("1.0.0"))
    );
    assert_eq!(
        (&done["kind"], &done["fingerprint"]),
        (&json!("wasm"), &json!(key))
    );
    assert_eq!(done["chain"][0]["fingerprint"], json!(key));
    assert_eq!(done["chain"][1]["fingerprint"], done["subkey"]);
    assert_eq!(done["artifacts"][0]["path"], "plugin.wasm");
    assert_eq!(done["artifacts"][0]["bytes"], 8);
    let digest = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476";
    assert_eq!(done["artifacts"][0]["sha256"], digest);
    assert_eq!(done["blacklist"], Value::Null);
    assert!(done["signed_at"].as_str().unwrap().ends_with('Z'));
    assert!(done.get("steps").is_none());
}

#[test]
fn a_package_is_named_by_its_directory_its_manifest_or_its_code() {
    let desk = Desk::new();
    desk.trusted_and_signed();
    for path in [
        "@package",
        "@package/plugin.manifest.toml",
        "@package/plugin.wasm",
    ] {
        assert_eq!(
            desk.json(&format!("sign {path} --key @key/secret.pgp"))
                .exit,
            0,
            "{path}"
        );
        assert_eq!(desk.json(&format!("verify {path}")).exit, 0, "{path}");
    }
}

#[test]
fn signing_says_what_it_signed_and_changes_two_lines_alone() {
    let desk = Desk::new();
    let key = desk.key();
    let signed = desk.json("sign @package --key @key/secret.pgp").last();
    assert_eq!(signed["fingerprint"], json!(key));
    assert_eq!(signed["artifacts"][0]["path"], "plugin.wasm");
    let plugin = crate::package::read(&desk.path("package")).unwrap();
    let statement = plugin.statement().unwrap().digest();
    assert_eq!(signed["digest"], statement.to_string());
    let text = std::fs::read_to_string(desk.manifest()).unwrap();
    let same = |line: &&str| MANIFEST.lines().any(|before| before == *line);
    let changed: Vec<_> = text.lines().filter(|line| !same(line)).collect();
    assert_eq!(changed.len(), 2, "{text}");
    assert_eq!(changed[0], format!("public_key = \"{key}\""));
    assert!(changed[1].starts_with("signature = \""));
}

#[test]
fn explained_steps_come_in_order_and_end_with_the_one_that_failed() {
    let desk = Desk::new();
    let key = desk.key();
    desk.json("sign @package --key @key/secret.pgp");
    let refused = desk
        .json("verify @package --explain")
        .refused(12, "key/unknown-signer");
    assert_eq!(refused["step"], 3);
    assert!(refused["detail"].as_str().unwrap().contains(&key));
    let last = refused["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["step"], &last["code"]),
        (&json!(3), &json!("key/unknown-signer"))
    );
    assert_eq!(last["ok"], false);

    desk.trust(&key, "com.example.hello");
    let done = desk.json("verify @package --explain").last();
    let steps: Vec<_> = done["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_u64())
        .collect();
    let numbers = [0, 1, 2, 3, 4, 5].map(Some).into_iter().chain([None]);
    assert_eq!(
        steps,
        numbers
            .chain([6, 7, 8, 9, 10, 12].map(Some))
            .collect::<Vec<_>>()
    );
    let text = desk.gpg(Format::Human, "verify @package --explain").out;
    assert!(text.contains("ok    5  the mathematics\n"), "{text}");
    assert!(
        text.lines()
            .last()
            .unwrap()
            .starts_with("OK com.example.hello 1.0.0 wasm  signer ")
    );
}

#[test]
fn another_time_is_judged_when_it_is_asked_for_and_only_then() {
    let desk = Desk::new();
    desk.trusted_and_signed();
    for (time, exit, code) in [
        ("2000-01-01T00:00:00Z", 11, "signature/future"),
        ("2099-01-01T00:00:00Z", 12, "key/expired"),
        ("-005000-01-01T00:00:00Z", 11, "signature/future"),
        ("9000-01-01T00:00:00Z", 12, "key/expired"),
    ] {
        desk.json(&format!("verify @package --at={time}"))
            .refused(exit, code);
    }
    assert_eq!(desk.json("verify @package").exit, 0);
}

#[test]
fn an_unsigned_package_is_told_how_to_be_signed() {
    let desk = Desk::new();
    let refused = desk.json("verify @package").refused(17, "policy/unsigned");
    assert_eq!(
        (&refused["step"], &refused["plugin"]),
        (&json!(0), &json!("com.example.hello"))
    );
    assert!(refused["remedy"].as_str().unwrap().contains("gm gpg sign"));
    desk.json("verify @package --export @exported")
        .refused(17, "policy/unsigned");
}

#[test]
fn trusting_twice_is_trusting_once() {
    let desk = Desk::new();
    let key = desk.key();
    assert_eq!(desk.trust(&key, "com.example.*").last()["changed"], true);
    assert_eq!(desk.trust(&key, "com.example.*").last()["changed"], false);
    assert_eq!(desk.trust(&key, "org.example.*").last()["changed"], true);
    let listed = desk.json("trust-list");
    assert_eq!(listed.out, desk.json("trust list").out);
    assert_eq!(listed.last()["keys"], 1);
    let entry: Value = serde_json::from_str(listed.out.lines().next().unwrap()).unwrap();
    assert_eq!(entry["schema"], "gm.trust/1");
    assert_eq!(entry["fingerprint"], json!(key));
    assert_eq!(
        entry["namespaces"],
        json!(["com.example.*", "org.example.*"])
    );
    assert_eq!(entry["kinds"], json!(["wasm", "lua", "js"]));
    assert_eq!(
        (&entry["kind"], &entry["origin"]),
        (&json!("key"), &json!("explicit"))
    );
    assert_eq!(
        (&entry["state"], &entry["label"]),
        (&json!("good"), &json!("Test"))
    );
    assert_eq!(entry["subkeys"][0]["can_sign"], true);
    assert_eq!(entry["subkeys"][0]["expires"], entry["expires"]);
}

#[test]
fn a_file_alone_never_adds_trust() {
    let desk = Desk::new();
    let key = desk.key();
    let other = if key.starts_with('0') {
        key.replacen('0', "1", 1)
    } else {
        format!("0{}", &key[1..])
    };
    for fingerprint in [&*other, &key[24..], &key.to_lowercase()] {
        desk.trust(fingerprint, "com.example.*")
            .refused(2, "usage/arguments");
    }
    for namespace in ["*", "com.*", "com", "com.example*", "COM.example.x"] {
        desk.trust(&key, namespace).refused(2, "usage/arguments");
    }
    assert_eq!(desk.json("trust-list").last()["keys"], 0);
}

#[test]
fn what_is_no_certificate_is_not_trusted() {
    let desk = Desk::new();
    let key = desk.key();
    for file in [
        "@package/plugin.wasm",
        "@package/plugin.manifest.toml",
        "@key/revocation.pgp",
    ] {
        let words = format!("trust add {file} --fingerprint {key} --namespace com.example.*");
        desk.json(&words).refused(12, "key/cert-malformed");
    }
    let words = format!("trust add @nothing --fingerprint {key} --namespace com.example.*");
    desk.json(&words).refused(2, "usage/arguments");
}

#[test]
fn a_key_that_is_removed_is_a_strangers_again() {
    let desk = Desk::new();
    let key = desk.trusted_and_signed();
    assert_eq!(desk.json(&format!("trust remove {key}")).exit, 0);
    desk.json("verify @package")
        .refused(12, "key/unknown-signer");
    desk.json(&format!("trust remove {key}"))
        .refused(2, "usage/arguments");
    desk.json("trust remove ABCD").refused(2, "usage/arguments");
}

#[test]
fn a_protected_key_signs_with_its_passphrase_alone() {
    let desk = Desk::new();
    std::fs::write(desk.path("right"), "correct horse\nsecond line\n").unwrap();
    std::fs::write(desk.path("wrong"), "battery staple\n").unwrap();
    std::fs::write(desk.path("empty"), "\n").unwrap();
    let made = desk.json("keygen --uid Test --out @key --passphrase-file @right");
    assert_eq!(made.exit, 0);
    desk.json("sign @package --key @key/secret.pgp")
        .refused(2, "usage/arguments");
    for file in ["@wrong", "@empty", "@nothing"] {
        let words = format!("sign @package --key @key/secret.pgp --passphrase-file {file}");
        desk.json(&words).refused(2, "usage/arguments");
    }
    assert_eq!(std::fs::read_to_string(desk.manifest()).unwrap(), MANIFEST);
    let words = "sign @package --key @key/secret.pgp --passphrase-file @right";
    assert_eq!(desk.json(words).exit, 0);
}

#[test]
fn a_public_key_signs_nothing() {
    let desk = Desk::new();
    desk.key();
    desk.json("sign @package --key @key/public.pgp")
        .refused(12, "key/not-signing");
    desk.json("sign @package --key @package/plugin.wasm")
        .refused(12, "key/cert-malformed");
    assert_eq!(std::fs::read_to_string(desk.manifest()).unwrap(), MANIFEST);
}

#[test]
fn a_secret_key_that_others_can_read_is_warned_about() {
    let desk = Desk::new();
    desk.key();
    let quiet = desk.gpg(Format::Human, "sign @package --key @key/secret.pgp");
    assert_eq!((quiet.exit, &*quiet.err), (0, ""));
    let secret = desk.path("key/secret.pgp");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o644)).unwrap();
    let warned = desk.gpg(Format::Human, "sign @package --key @key/secret.pgp");
    assert!(
        warned.exit == 0 && warned.err.contains("chmod 600"),
        "{}",
        warned.err
    );
}

#[test]
fn an_exported_statement_is_the_bytes_that_were_signed() {
    let desk = Desk::new();
    desk.trusted_and_signed();
    assert_eq!(desk.json("verify @package --export @exported").exit, 0);
    let plugin = crate::package::read(&desk.path("package")).unwrap();
    let pae = std::fs::read(desk.path("exported/statement.pae")).unwrap();
    assert_eq!(pae, plugin.statement().unwrap().pae());
    assert!(
        std::fs::metadata(desk.path("exported/statement.sig"))
            .unwrap()
            .len()
            > 100
    );
}
