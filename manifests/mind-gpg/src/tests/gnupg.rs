//! GnuPG's second opinion, where it is installed: what either makes, the other
//! takes, and what either must not take, it doesn't.

use super::made::{Author, Store, manifest, plugin, text};
use crate::strict::CONTEXT;
use crate::{GeneratedKey, SecretKey, SignedPlugin, generate};
use gm_manifest::{Code, Fingerprint, NamespacePattern, PLUGIN_STATEMENT};
use sequoia_openpgp as openpgp;

use openpgp::parse::Parse;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

/// A GnuPG of its own, with its files in a directory of its own.
struct GnuPg(tempfile::TempDir);

impl GnuPg {
    /// None where it isn't installed.
    fn new() -> Option<Self> {
        let gpg = Self(tempfile::tempdir().unwrap());
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(gpg.0.path(), PermissionsExt::from_mode(0o700)).unwrap();
        gpg.try_run(&["--version"]).map(|_| gpg)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test asks another program; no plugin is near"
    )]
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("GNUPGHOME", self.0.path())
            .env("PATH", "/usr/bin:/bin");
        command
    }

    fn try_run(&self, arguments: &[&str]) -> Option<Output> {
        let mut command = self.command("gpg");
        command.args([
            "--batch",
            "--no-tty",
            "--status-fd",
            "2",
            "--trust-model",
            "always",
        ]);
        command
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .args(arguments);
        command.output().ok()
    }

    /// What it says on its status line, and whether it ended well.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.try_run(arguments).unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Its detached signature of the usual package of this key.
    fn sign(&self, key: &str, options: &[&str]) -> SignedPlugin {
        let unsigned = plugin(&manifest(key, ""));
        let message = self.file("message", &unsigned.statement().unwrap().pae());
        let signature = self.0.path().join("signature");
        let mut arguments = vec!["--yes", "--local-user", key, "--output"];
        arguments.extend([signature.to_str().unwrap()]);
        arguments.extend(options);
        arguments.extend(["--detach-sign", &message]);
        let (ended_well, said) = self.run(&arguments);
        assert!(ended_well, "{said}");
        plugin(&manifest(key, &text(&std::fs::read(signature).unwrap())))
    }

    /// A key of its own making, and its certificate.
    fn make_key(&self, algorithm: &str) -> (Fingerprint, Vec<u8>) {
        let made = self.run(&[
            "--yes",
            "--quick-generate-key",
            "Author <a@example.com>",
            algorithm,
            "sign",
            "30d",
        ]);
        let fingerprint = made.1.split("KEY_CREATED P ").nth(1).unwrap();
        let fingerprint =
            Fingerprint::parse(fingerprint.split_whitespace().next().unwrap()).unwrap();
        let certificate = self
            .try_run(&["--export", fingerprint.as_str()])
            .unwrap()
            .stdout;
        (fingerprint, certificate)
    }
}

impl Drop for GnuPg {
    fn drop(&mut self) {
        // The agent that it started for these keys.
        let _ = self.command("gpgconf").args(["--kill", "all"]).output();
    }
}

const SIGN: [&str; 4] = [
    "--digest-algo",
    "SHA512",
    "--sig-notation",
    "context@gitmind.com=application/vnd.gitmind.plugin-statement.v1",
];

#[test]
fn its_notation_is_the_one_that_is_asked_for() {
    assert_eq!(SIGN[3], format!("{CONTEXT}={PLUGIN_STATEMENT}"));
}

fn trusting(fingerprint: &Fingerprint, certificate: &[u8]) -> Store {
    let store = Store::empty();
    let pattern = NamespacePattern::parse("com.example.*").unwrap();
    store
        .trust
        .add_key(certificate, fingerprint, &[pattern])
        .unwrap();
    store
}

fn code(store: &Store, plugin: SignedPlugin) -> Result<(), Code> {
    store
        .trust
        .verify(plugin, SystemTime::now())
        .map(|_| ())
        .map_err(|refusal| refusal.code)
}

#[test]
fn a_signature_of_gnupg_is_taken_if_it_says_what_it_is_for() {
    let Some(gpg) = GnuPg::new() else { return };
    for algorithm in ["ed25519", "rsa3072"] {
        let (fingerprint, certificate) = gpg.make_key(algorithm);
        let store = trusting(&fingerprint, &certificate);
        let key = fingerprint.as_str();
        assert_eq!(code(&store, gpg.sign(key, &SIGN)), Ok(()), "{algorithm}");
        let bare = gpg.sign(key, &SIGN[..2]);
        assert_eq!(code(&store, bare), Err(Code::SignatureContext));
        let sha1 = [&["--digest-algo", "SHA1"], &SIGN[2..]].concat();
        assert_eq!(
            code(&store, gpg.sign(key, &sha1)),
            Err(Code::SignatureHashWeak)
        );
        let text = [&SIGN[..], &["--textmode"]].concat();
        assert_eq!(
            code(&store, gpg.sign(key, &text)),
            Err(Code::SignatureWrongType)
        );
        let armour = [&SIGN[..], &["--armor"]].concat();
        assert_eq!(
            code(&store, gpg.sign(key, &armour)),
            Err(Code::SignatureMalformed)
        );
    }
}

fn new_key() -> GeneratedKey {
    generate(
        "Author <a@example.com>",
        Duration::from_secs(86_400),
        None,
        SystemTime::now(),
    )
    .unwrap()
}

#[test]
fn our_signature_is_good_to_gnupg_and_bad_over_other_bytes() {
    let Some(gpg) = GnuPg::new() else { return };
    let made = new_key();
    let now = SystemTime::now();
    let unsigned = plugin(&manifest("FINGERPRINT", "BASE64_GPG_SIG"));
    let key = SecretKey::read(&made.secret, None, now).unwrap();
    let signed = key.sign(&unsigned, now).unwrap();
    let signed = plugin(std::str::from_utf8(&signed.bytes).unwrap());
    let pae = signed.statement().unwrap().pae();
    let signature = crate::base64_text::decode(signed.manifest().signature().unwrap()).unwrap();
    let (imported, said) = gpg.run(&["--import", &gpg.file("public", &made.public)]);
    assert!(imported, "{said}");
    let (signature, statement) = (gpg.file("sig", &signature), gpg.file("pae", &pae));
    let (good, said) = gpg.run(&["--verify", &signature, &statement]);
    assert!(good && said.contains("GOODSIG"), "{said}");
    assert!(said.contains(made.fingerprint.as_str()), "{said}");
    let other = gpg.file("other", &[&pae[..], b"x"].concat());
    let (good, said) = gpg.run(&["--verify", &signature, &other]);
    assert!(!good && said.contains("BADSIG"), "{said}");
}

#[test]
fn our_secret_key_signs_in_gnupg_and_our_revocation_ends_it_there() {
    let Some(gpg) = GnuPg::new() else { return };
    let made = new_key();
    let (imported, said) = gpg.run(&["--import", &gpg.file("secret", &made.secret)]);
    assert!(imported, "{said}");
    let store = trusting(&made.fingerprint, &made.public);
    let key = made.fingerprint.as_str();
    assert_eq!(code(&store, gpg.sign(key, &SIGN)), Ok(()));
    gpg.run(&["--import", &gpg.file("revocation", &made.revocation)]);
    let revoked = gpg.try_run(&["--export", key]).unwrap().stdout;
    let pattern = NamespacePattern::parse("com.example.*").unwrap();
    assert!(
        store
            .trust
            .add_key(&revoked, &made.fingerprint, &[pattern])
            .unwrap()
    );
    let cert = openpgp::Cert::from_bytes(&made.secret).unwrap();
    let author = Author { cert };
    let signed = author.signed_at(SystemTime::now());
    assert_eq!(code(&store, signed), Err(Code::KeyRevokedHard));
}
