//! Packages and keys that must not be believed.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::super::judge::Shown;
use super::{Attack, all, held, plain, refused, refused_one};
use crate::home::text;
use crate::kernel::within;
use crate::scene::{SOON, Scene};
use crate::{Home, Package};

const OBSERVER: &str = "com.test.observer";

pub(super) fn attacks(id: &str) -> Vec<Attack> {
    match id {
        "tr-unsigned" => plain(&[unsigned, unsigned_by_option]),
        "tr-tamper" => plain(&[
            bit_in_code,
            word_in_manifest,
            added_file,
            link_in_package,
            hard_link_in_package,
            path_escape,
            case_collision,
            installed_bit,
        ]),
        "tr-key" => plain(&[
            stranger_key,
            foreign_namespace,
            changed_pin,
            homoglyph,
            native_key,
        ]),
        "tr-revoked" => plain(&[
            revoked_id,
            revoked_digest,
            revoked_while_it_runs,
            revoked_behind_a_stopped_broker,
        ]),
        "tr-downgrade" => plain(&[older_version, wider_grant]),
        "tr-swap" => plain(&[swapped_while_it_loads]),
        _ => Vec::new(),
    }
}

/// Loads a package that must be refused; nothing of it may be in the home then, and no run
/// may start it.
fn at_load(home: &Home, package: &Package, codes: &[&str]) -> Shown {
    at_load_by("trust", home, package, codes)
}

/// The same where another layer refuses it.
pub(super) fn at_load_by(layer: &str, home: &Home, package: &Package, codes: &[&str]) -> Shown {
    let load = home.try_load(package);
    let place = home
        .path()
        .join("plugins")
        .join(package.plugin())
        .join("current");
    let harm: Vec<String> = place
        .exists()
        .then(|| "it is in the home".to_owned())
        .into_iter()
        .collect();
    let run = home.run_events("", &[]);
    let started = run.of(package.plugin(), "started");
    let ran: Vec<String> = started
        .iter()
        .map(|_| "it was started".to_owned())
        .collect();
    all([
        refused(layer, &load, codes),
        held(layer, "nothing installed", &harm),
        held(layer, "nothing ran", &ran),
        refused(layer, &load, codes),
    ])
}

fn signed() -> (Home, Package) {
    let home = Home::new();
    let package = Package::of("observer");
    home.sign(&package);
    (home, package)
}

fn sign_as(home: &Home, package: &Package, key: &str) {
    let secret = home.secret(key);
    home.gm(&["gpg", "sign", package.text(), "--key", text(&secret)])
        .expect_exit(0);
}

pub(super) fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    let done = std::fs::write(path, bytes);
    assert!(done.is_ok(), "{}: {done:?}", path.display());
}

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap_or_default();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    write(file, bytes);
}

fn unsigned() -> Shown {
    at_load(&Home::new(), &Package::of("observer"), &["policy/unsigned"])
}

/// No option and no variable takes verification away.
fn unsigned_by_option() -> Shown {
    let home = Home::new();
    let package = Package::of("observer");
    let options = ["--verify=false", "--no-verify", "--dev", "--insecure"];
    let tried = options.map(|option| {
        let load = home.gm(&["plugin", "load", package.text(), option]);
        refused_one("trust", &load, &["usage/arguments"])
    });
    let mut command = home.json("gm");
    command.args(["plugin", "load", package.text()]);
    command.envs([("GM_VERIFY", "0"), ("GM_DEV", "1"), ("GM_INSECURE", "1")]);
    let load = crate::process::run(&mut command, b"");
    all(tried
        .into_iter()
        .chain([refused("trust", &load, &["policy/unsigned"])]))
}

fn bit_in_code() -> Shown {
    let (home, package) = signed();
    flip(&package.file("plugin.wasm"));
    at_load(&home, &package, &["signature/bad-signature"])
}

fn word_in_manifest() -> Shown {
    let (home, package) = signed();
    let changed = package
        .manifest()
        .replace("A test's plugin", "A fest's plugin");
    write(&package.file("plugin.manifest.toml"), changed);
    at_load(&home, &package, &["signature/bad-signature"])
}

fn added_file() -> Shown {
    let (home, package) = signed();
    write(&package.file("more.txt"), "more");
    at_load(&home, &package, &["artifact/extra-file"])
}

fn link_in_package() -> Shown {
    let (home, package) = signed();
    let (code, elsewhere) = (package.file("plugin.wasm"), home.beside("elsewhere.wasm"));
    let moved = std::fs::rename(&code, &elsewhere)
        .and_then(|()| std::os::unix::fs::symlink(&elsewhere, &code));
    assert!(moved.is_ok(), "{moved:?}");
    at_load(
        &home,
        &package,
        &["artifact/unsafe-path", "artifact/not-regular"],
    )
}

/// A hard link to what somebody else can write: its bytes are read once and sealed, so
/// it is either refused or stays as it was signed.
fn hard_link_in_package() -> Shown {
    let (home, package) = signed();
    let (code, elsewhere) = (package.file("plugin.wasm"), home.beside("elsewhere.wasm"));
    let linked = std::fs::hard_link(&code, &elsewhere);
    assert!(linked.is_ok(), "{linked:?}");
    let load = home.try_load(&package);
    flip(&elsewhere);
    if load.exit != 0 {
        return refused(
            "trust",
            &load,
            &["artifact/unsafe-path", "artifact/not-regular"],
        );
    }
    let run = home.run_events("", &[]);
    let finished = run
        .of(OBSERVER, "ended")
        .iter()
        .any(|it| it["ending"] == "finished");
    let harm: Vec<String> = (!finished)
        .then(|| "the linked bytes are not the signed ones".to_owned())
        .into_iter()
        .collect();
    held("trust", "what was signed is what runs", &harm)
}

fn path_escape() -> Shown {
    let home = Home::new();
    let package = Package::of("observer");
    let manifest = package
        .manifest()
        .replace("files = []", "files = [\"../key/secret.pgp\"]");
    write(&package.file("plugin.manifest.toml"), manifest);
    at_load(
        &home,
        &package,
        &[
            "artifact/unsafe-path",
            "manifest/bad-path",
            "manifest/bad-value",
            "manifest/unsafe-path",
        ],
    )
}

fn case_collision() -> Shown {
    let home = Home::new();
    let package = Package::of("observer")
        .asset("a.txt", b"1")
        .asset("A.txt", b"2");
    let sign = home.gm(&[
        "gpg",
        "sign",
        package.text(),
        "--key",
        text(&home.secret("key")),
    ]);
    match sign.exit {
        0 => at_load(
            &home,
            &package,
            &[
                "artifact/unsafe-path",
                "artifact/case-collision",
                "manifest/bad-path",
                "manifest/bad-value",
            ],
        ),
        _ => refused_one(
            "trust",
            &sign,
            &[
                "artifact/unsafe-path",
                "artifact/case-collision",
                "manifest/bad-path",
                "manifest/bad-value",
            ],
        ),
    }
}

/// A bit of an installed file: the next run looks again.
fn installed_bit() -> Shown {
    use std::os::unix::fs::PermissionsExt;
    let (home, package) = signed();
    home.try_load(&package).expect_exit(0);
    let plugin = home.path().join("plugins").join(package.plugin());
    let current = std::fs::read_to_string(plugin.join("current")).unwrap_or_default();
    let code = plugin.join(current.trim_end()).join("plugin.wasm");
    for (path, mode) in [(code.parent(), 0o700), (Some(code.as_path()), 0o600)] {
        let done = path.map(|path| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)));
        assert!(matches!(done, Some(Ok(()))), "{done:?}");
    }
    flip(&code);
    refused(
        "trust",
        &home.run_events("", &[]),
        &["artifact/digest-mismatch"],
    )
}

fn stranger_key() -> Shown {
    let home = Home::new();
    let _ = home.make_key("stranger");
    let package = Package::of("observer");
    sign_as(&home, &package, "stranger");
    at_load(&home, &package, &["key/unknown-signer"])
}

fn foreign_namespace() -> Shown {
    let home = Home::without_key();
    let fingerprint = home.make_key("key");
    home.trust("key", &fingerprint, &["com.other.*"]);
    let package = Package::of("observer");
    home.sign(&package);
    at_load(&home, &package, &["identity/namespace-denied"])
}

/// An id stays with the key that it came with.
fn changed_pin() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let second = home.make_key("second");
    home.trust("second", &second, &[OBSERVER]);
    let package = Package::of("observer").version("1.1.0");
    sign_as(&home, &package, "second");
    refused("trust", &home.try_load(&package), &["identity/pin-changed"])
}

/// An id that looks like another: letters that aren't ASCII are none of an id.
fn homoglyph() -> Shown {
    let home = Home::new();
    let package = Package::of("observer").id("com.test.\u{043e}bserver");
    at_load(
        &home,
        &package,
        &[
            "manifest/bad-id",
            "identity/bad-id",
            "manifest/bad-value",
            "manifest/plugin-id",
        ],
    )
}

/// Machine code by a key that is trusted for everything else.
fn native_key() -> Shown {
    let home = Home::new();
    let package = Package::with_code("com.test.probe", crate::probes::SHARED).kind("native");
    home.sign(&package);
    home.name_native(&[package.plugin()]);
    at_load(&home, &package, &["policy/native-disallowed"])
}

fn revoked_id() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home.gm(&["plugin", "revoke", OBSERVER]).expect_exit(0);
    let run = home.run_events("", &[OBSERVER]);
    let newer = Package::of("observer").version("1.0.1");
    home.sign(&newer);
    all([
        refused("trust", &run, &["revoked/local"]),
        refused("trust", &home.try_load(&newer), &["revoked/local"]),
    ])
}

fn revoked_digest() -> Shown {
    let home = Home::new();
    let package = Package::of("observer");
    home.load(&package);
    let code = std::fs::read(package.file("plugin.wasm")).unwrap_or_default();
    let digest = format!("sha256:{:x}", Sha256::digest(code));
    home.gm(&["plugin", "revoke", &digest]).expect_exit(0);
    refused(
        "trust",
        &home.run_events("", &[OBSERVER]),
        &["revoked/local"],
    )
}

fn revoked_while_it_runs() -> Shown {
    let scene = Scene::new();
    let Some(victim) = scene.plugins.first().copied().filter(|it| it.lives()) else {
        return Shown::Unproved("no plugin runs".to_owned());
    };
    scene
        .home
        .gm(&["plugin", "revoke", OBSERVER])
        .expect_exit(0);
    let dead = within(SOON, || !victim.lives());
    let harm: Vec<String> = (!dead)
        .then(|| format!("it lives {SOON:?} later"))
        .into_iter()
        .collect();
    let run = scene.live.finish();
    all([
        held("trust", "dead within a second", &harm),
        super::ended("trust", &run, OBSERVER, &["revoked"]),
    ])
}

/// A broker that does not answer can't keep it alive.
fn revoked_behind_a_stopped_broker() -> Shown {
    let scene = Scene::new();
    let Some(victim) = scene.plugins.first().copied().filter(|it| it.lives()) else {
        return Shown::Unproved("no plugin runs".to_owned());
    };
    scene.live.signal(rustix::process::Signal::STOP);
    if !victim.lives() {
        return Shown::Unproved("it died with the stop of its broker".to_owned());
    }
    scene
        .home
        .gm(&["plugin", "revoke", OBSERVER])
        .expect_exit(0);
    let dead = within(SOON, || !victim.lives());
    scene.live.signal(rustix::process::Signal::CONT);
    let harm: Vec<String> = (!dead).then(|| "it lives".to_owned()).into_iter().collect();
    held("trust", "killed past its broker", &harm)
}

fn older_version() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer").version("1.2.0"));
    let package = Package::of("observer").version("1.1.9");
    home.sign(&package);
    refused(
        "trust",
        &home.try_load(&package),
        &["identity/version-rollback"],
    )
}

fn wider_grant() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let wider = Package::of("observer")
        .version("1.0.1")
        .permission("host_api", "[\"log:write\"]");
    home.sign(&wider);
    refused(
        "trust",
        &home.try_load(&wider),
        &["policy/permission-increase"],
    )
}

/// The code is swapped again and again while it is verified and installed: what is in the
/// home is the signed one, or nothing.
fn swapped_while_it_loads() -> Shown {
    const ROUNDS: usize = 25;
    /// Of the classes `signature` and `artifact`.
    const REFUSED: [i32; 2] = [11, 14];
    let home = Home::new();
    let (mut wins, mut refusals) = (0, 0);
    for round in 0..ROUNDS {
        let package = Package::of("observer").version(&format!("1.0.{}", round + 1));
        home.sign(&package);
        let code = package.file("plugin.wasm");
        let honest = std::fs::read(&code).unwrap_or_default();
        let evil = Package::assemble(&Package::source("trap"));
        let stop = std::sync::atomic::AtomicBool::new(false);
        let load = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for bytes in [&evil, &honest] {
                        let spare = home.beside("spare");
                        let _ = std::fs::write(&spare, bytes)
                            .and_then(|()| std::fs::rename(&spare, &code));
                    }
                }
            });
            let load = home.try_load(&package);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            load
        });
        let plugin = home.path().join("plugins").join(package.plugin());
        let current = std::fs::read_to_string(plugin.join("current")).unwrap_or_default();
        let installed = std::fs::read(plugin.join(current.trim_end()).join("plugin.wasm"));
        match (load.exit, installed) {
            (0, Ok(bytes)) => wins += usize::from(bytes != honest),
            (exit, _) if REFUSED.contains(&exit) => refusals += 1,
            (exit, _) => return Shown::Unproved(format!("a load ended with {exit}")),
        }
    }
    // Where nothing can be loaded, nothing was won either.
    let honest = Package::of("observer").version("2.0.0");
    home.sign(&honest);
    if home.try_load(&honest).exit != 0 {
        return Shown::Unproved("an honest package is refused, too".to_owned());
    }
    let harm: Vec<String> = (wins > 0)
        .then(|| format!("{wins} of {ROUNDS} swaps won"))
        .into_iter()
        .collect();
    held(
        "trust",
        &format!("0 of {ROUNDS} swaps won, {refusals} were refused"),
        &harm,
    )
}
