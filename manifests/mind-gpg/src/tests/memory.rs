//! Steps 10 and 12: what a store remembers of keys, ids, versions and permissions.

use super::made::{Author, CODE, Store, manifest, packet, plugin, template, text};
use crate::{SignedPlugin, VerifiedPlugin};
use gm_manifest::{ArtifactDigest, Code, Digest, PackagePath, PluginId, Refusal};

/// A package of this author whose manifest was changed before it was signed.
fn changed(author: &Author, changes: &[(&str, &str)]) -> SignedPlugin {
    let with = |signature: &str| {
        let text = manifest(author.fingerprint().as_str(), signature);
        changes
            .iter()
            .fold(text, |text, (from, to)| text.replacen(from, to, 1))
    };
    let message = plugin(&with("")).statement().unwrap().pae();
    plugin(&with(&text(&packet(
        template(),
        &author.subkey(),
        &message,
    ))))
}

fn version(author: &Author, version: &str) -> SignedPlugin {
    changed(author, &[("1.0.0", version)])
}

fn loaded(store: &Store, plugin: SignedPlugin) -> VerifiedPlugin {
    let verified = store.verify(plugin).unwrap();
    store.trust.record_load(&verified).unwrap();
    verified
}

fn id() -> PluginId {
    PluginId::parse("com.example.hello").unwrap()
}

#[test]
fn a_namespace_is_matched_by_segments() {
    let author = Author::new();
    for (pattern, reaches) in [
        ("com.example.*", true),
        ("com.example.hello", true),
        ("com.exam.*", false),
        ("com.example.hell", false),
        ("com.example.hello.*", false),
        ("org.example.*", false),
    ] {
        let store = Store::empty();
        store.add(&author, pattern);
        match reaches {
            true => assert!(store.verify(author.signed()).is_ok(), "{pattern}"),
            false => assert_eq!(
                store.refuses(author.signed()),
                (Some(10), Code::IdentityNamespaceDenied),
                "{pattern}"
            ),
        }
    }
}

#[test]
fn two_keys_with_the_same_namespace_are_a_conflict_for_both() {
    let (one, two) = (Author::new(), Author::new());
    let store = Store::trusting(&one);
    store.add(&two, "com.example.*");
    for author in [&one, &two] {
        let verdict = store.refuses(author.signed());
        assert_eq!(verdict, (Some(10), Code::IdentityNamespaceConflict));
    }
    store.add(&two, "com.example.hello");
    assert!(store.verify(two.signed()).is_ok());
    assert_eq!(
        store.refuses(one.signed()),
        (Some(10), Code::IdentityNamespaceDenied)
    );
}

#[test]
fn an_id_stays_with_its_first_key() {
    let (first, second) = (Author::new(), Author::new());
    let store = Store::trusting(&first);
    loaded(&store, first.signed());
    store.trust.remove_key(&first.fingerprint()).unwrap();
    store.add(&second, "com.example.*");
    assert_eq!(
        store.refuses(second.signed()),
        (Some(10), Code::IdentityPinChanged)
    );
}

#[test]
fn verifying_alone_pins_nothing() {
    let (first, second) = (Author::new(), Author::new());
    let store = Store::trusting(&first);
    store.verify(first.signed()).unwrap();
    store.trust.remove_key(&first.fingerprint()).unwrap();
    store.add(&second, "com.example.*");
    assert!(store.verify(second.signed()).is_ok());
}

#[test]
fn versions_only_go_up() {
    let author = Author::new();
    let store = Store::trusting(&author);
    loaded(&store, version(&author, "1.4.10"));
    for older in ["1.4.9", "1.4.10-rc.1", "0.9.0", "1.4.9+build.99"] {
        let verdict = store.refuses(version(&author, older));
        assert_eq!(
            verdict,
            (Some(10), Code::IdentityVersionRollback),
            "{older}"
        );
    }
    for same_or_newer in ["1.4.10", "1.4.10+other", "1.4.11-rc.1", "2.0.0"] {
        assert!(
            store.verify(version(&author, same_or_newer)).is_ok(),
            "{same_or_newer}"
        );
    }
}

#[test]
fn a_load_is_checked_again_when_it_is_remembered() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let old = store.verify(version(&author, "1.0.0")).unwrap();
    loaded(&store, version(&author, "2.0.0"));
    assert_eq!(
        store.trust.record_load(&old).unwrap_err().code,
        Code::IdentityVersionRollback
    );
    assert_eq!(
        store.trust.pin(&id()).unwrap().unwrap().version.to_string(),
        "2.0.0"
    );
}

#[test]
fn an_installed_package_is_compared_with_what_was_accepted() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let verified = loaded(&store, author.signed());
    let accepted = store
        .trust
        .accepted(&id(), &verified.identity().digest)
        .unwrap();
    accepted.check_manifest(verified.manifest().raw()).unwrap();
    accepted
        .check_file(verified.artifacts()[0].digest())
        .unwrap();
    assert_eq!(accepted.statement(), &verified.identity().digest);
    assert_eq!(accepted.version().to_string(), "1.0.0");
    let refused = |result: Result<(), Refusal>| result.unwrap_err().code;
    assert_eq!(
        refused(accepted.check_manifest(b"")),
        Code::ArtifactDigestMismatch
    );
    let file = |path: &str, bytes: &[u8]| ArtifactDigest {
        path: PackagePath::parse(path).unwrap(),
        sha256: Digest::of(bytes),
        len: bytes.len() as u64,
    };
    for other in [file("plugin.wasm", b"other"), file("other.wasm", CODE)] {
        assert_eq!(
            refused(accepted.check_file(&other)),
            Code::ArtifactDigestMismatch
        );
    }
    let never = store
        .trust
        .accepted(&id(), &Digest::of(b"never"))
        .unwrap_err();
    assert_eq!(never.code, Code::StoreCorrupt);
}

#[test]
fn more_permissions_are_taken_only_by_the_digest_that_was_shown() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let asking = |memory: &str| {
        let table = format!("\"plugin.wasm\"\n[permissions]\nmemory_limit = \"{memory}\"\n");
        changed(&author, &[("\"plugin.wasm\"\n", &table)])
    };
    loaded(&store, asking("32mb"));
    let more = store.verify(asking("33mb")).unwrap();
    let refusal = store.trust.check_permissions(&more, None).unwrap_err();
    assert_eq!(
        (refusal.step, refusal.code),
        (Some(12), Code::PolicyPermissionIncrease)
    );
    let shown = more.manifest().permissions().digest();
    assert!(refusal.rule.contains(&shown.to_string()));
    let other = Digest::of(b"other");
    assert!(store.trust.check_permissions(&more, Some(&other)).is_err());
    store.trust.check_permissions(&more, Some(&shown)).unwrap();
    let less = store.verify(asking("16mb")).unwrap();
    store.trust.check_permissions(&less, None).unwrap();
}

#[test]
fn native_code_needs_a_key_that_is_trusted_for_it() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let native = || changed(&author, &[("\"wasm\"", "\"native\"")]);
    assert_eq!(
        store.refuses(native()),
        (Some(12), Code::PolicyNativeDisallowed)
    );
    let (key, kinds) = (author.fingerprint(), [gm_manifest::Kind::Native]);
    assert_eq!(store.trust.add_kinds(&key, &kinds), Ok(true));
    assert_eq!(store.trust.add_kinds(&key, &kinds), Ok(false));
    assert!(store.verify(native()).is_ok());
    let file = store.dir.path().join("trust/keys.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"wasm\", ", "")).unwrap();
    assert_eq!(
        store.refuses(author.signed()),
        (Some(12), Code::IdentityNamespaceDenied)
    );
}
