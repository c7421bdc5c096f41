//! The files below `trust/` when somebody has been at them: never believed, never
//! taken for empty.

use super::made::{Author, Store, now};
use crate::{RevocationTarget, SignedPlugin, TrustStore, VerifiedPlugin};
use gm_manifest::{Code, Fingerprint, NamespacePattern};
use std::os::unix::fs::{PermissionsExt, symlink};

fn loaded(store: &Store, plugin: SignedPlugin) -> VerifiedPlugin {
    let verified = store.verify(plugin).unwrap();
    store.trust.record_load(&verified).unwrap();
    verified
}

#[test]
fn a_fingerprint_is_typed_for_exactly_the_key_in_the_file() {
    let (author, other) = (Author::new(), Author::new());
    let pattern = [NamespacePattern::parse("com.example.*").unwrap()];
    let store = Store::empty();
    let add = |file: &[u8], fingerprint: &Fingerprint, patterns: &[NamespacePattern]| {
        store
            .trust
            .add_key(file, fingerprint, patterns)
            .map_err(|refusal| refusal.code)
    };
    let usage = Err(Code::UsageArguments);
    assert_eq!(add(&author.public(), &other.fingerprint(), &pattern), usage);
    assert_eq!(
        add(&author.public(), &author.subkey_fingerprint(), &pattern),
        usage
    );
    assert_eq!(add(&author.public(), &author.fingerprint(), &[]), usage);
    assert!(store.trust.keys(now()).unwrap().is_empty());
    assert_eq!(
        add(&author.public(), &author.fingerprint(), &pattern),
        Ok(true)
    );
    assert_eq!(
        add(&author.public(), &author.fingerprint(), &pattern),
        Ok(false)
    );
}

#[test]
fn what_others_could_have_written_is_not_believed() {
    let author = Author::new();
    let fingerprint = author.fingerprint();
    let certificate = format!("certs/{fingerprint}.pgp");
    for file in [
        "keys.toml",
        "blacklist/local.toml",
        "pins/com.example.hello.toml",
        &certificate,
    ] {
        let store = Store::trusting(&author);
        loaded(&store, author.signed());
        store
            .trust
            .revoke(&RevocationTarget::parse("com.example.other").unwrap())
            .unwrap();
        let path = store.dir.path().join("trust").join(file);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(
            store.refuses(author.signed()).1,
            Code::StoreUnsafePermissions,
            "{file}"
        );
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(store.verify(author.signed()).is_ok());
        std::fs::rename(&path, path.with_extension("away")).unwrap();
        symlink(path.with_extension("away"), &path).unwrap();
        assert_eq!(
            store.refuses(author.signed()).1,
            Code::StoreUnsafePermissions,
            "{file}"
        );
    }
}

#[test]
fn a_damaged_file_is_never_taken_for_an_empty_one() {
    let author = Author::new();
    let fingerprint = author.fingerprint();
    let certificate = format!("certs/{fingerprint}.pgp");
    for file in [
        "keys.toml",
        "blacklist/local.toml",
        "pins/com.example.hello.toml",
        &certificate,
    ] {
        let store = Store::trusting(&author);
        loaded(&store, author.signed());
        store
            .trust
            .revoke(&RevocationTarget::parse("com.example.other").unwrap())
            .unwrap();
        let path = store.dir.path().join("trust").join(file);
        let whole = std::fs::read(&path).unwrap();
        let half = whole.len() / 2 + 1;
        for bytes in [&whole[..half], b"\0\xFF", b"unknown = 1\n"] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(
                store.refuses(author.signed()).1,
                Code::StoreCorrupt,
                "{file}"
            );
        }
    }
    let store = Store::trusting(&author);
    std::fs::remove_file(store.dir.path().join("trust").join(&certificate)).unwrap();
    assert_eq!(store.refuses(author.signed()).1, Code::StoreCorrupt);
    assert_eq!(
        store.trust.keys(now()).unwrap_err().code,
        Code::StoreCorrupt
    );
}

#[test]
fn another_certificate_in_a_keys_place_is_noticed() {
    let (author, other) = (Author::new(), Author::new());
    let store = Store::trusting(&author);
    let file = store
        .dir
        .path()
        .join(format!("trust/certs/{}.pgp", author.fingerprint()));
    std::fs::write(file, other.public()).unwrap();
    assert_eq!(store.refuses(author.signed()).1, Code::StoreCorrupt);
}

#[test]
fn a_damaged_store_can_still_be_told_to_revoke() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let trust = store.dir.path().join("trust");
    std::fs::write(trust.join("keys.toml"), "damaged").unwrap();
    std::fs::set_permissions(&trust, PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(
        TrustStore::open(&trust).unwrap_err().code,
        Code::StoreUnsafePermissions
    );
    let target = RevocationTarget::Key(author.fingerprint());
    assert!(
        TrustStore::open_to_revoke(&trust)
            .unwrap()
            .revoke(&target)
            .unwrap()
    );
    std::fs::set_permissions(&trust, PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(store.trust.revocations().unwrap(), [target]);
}

#[test]
fn a_store_below_another_users_home_is_that_users() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        return; // Only root can make such a home.
    }
    let home = tempfile::tempdir().unwrap();
    chown(home.path(), Some(4242), Some(4242)).unwrap();
    let trust = TrustStore::open(&home.path().join("trust")).unwrap();
    let author = Author::new();
    let pattern = NamespacePattern::parse("com.example.*").unwrap();
    trust
        .add_key(&author.public(), &author.fingerprint(), &[pattern])
        .unwrap();
    assert!(trust.verify(author.signed(), now()).is_ok());
    for file in ["trust", "trust/certs", "trust/keys.toml", "trust/.lock"] {
        assert_eq!(
            std::fs::metadata(home.path().join(file)).unwrap().uid(),
            4242,
            "{file}"
        );
    }
    chown(home.path().join("trust/keys.toml"), Some(4243), None).unwrap();
    let refusal = trust.verify(author.signed(), now()).unwrap_err();
    assert_eq!(refusal.code, Code::StoreUnsafePermissions);
}
