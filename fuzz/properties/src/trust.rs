//! Packets, certificates and the files of a trust store, as a stranger could have
//! written them.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gm_manifest::{Fingerprint, Manifest, NamespacePattern, Refusal};
use mind_gpg::{Artifact, RevocationTarget, SecretKey, SignedPlugin, TrustStore, VerifiedPlugin};
use tempfile::TempDir;

use crate::cost::within;

/// The certificate of an author whose secret key nobody has.
pub const AUTHOR: &[u8] = include_bytes!("../fixture/author.public");
/// The author's manifest, signed.
pub const SIGNED: &str = include_str!("../fixture/signed.toml");
/// Its entrypoint.
pub const CODE: &[u8] = b"\0asm\x01\0\0\0";
/// Deciding about a packet or a certificate may take so long.
const MOST: Duration = Duration::from_secs(1);

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| Manifest::parse(SIGNED.as_bytes()).unwrap());
static SIGNATURE: LazyLock<Vec<u8>> =
    LazyLock::new(|| STANDARD.decode(MANIFEST.signature().unwrap()).unwrap());

/// The moment of all judging here: when the fixture was made.
#[must_use]
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// The author's signature as a packet.
#[must_use]
pub fn signature() -> &'static [u8] {
    &SIGNATURE
}

fn fingerprint() -> &'static Fingerprint {
    MANIFEST.public_key().unwrap()
}

/// In memory where there is such a place: the store syncs what it writes.
pub(crate) fn place() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}

fn store(place: &TempDir) -> TrustStore {
    TrustStore::open(&place.path().join("trust")).unwrap()
}

fn any_id() -> NamespacePattern {
    NamespacePattern::parse("com.example.*").unwrap()
}

fn plugin(signature: &str) -> Option<SignedPlugin> {
    let text = SIGNED.replace(MANIFEST.signature()?, signature);
    let manifest = Manifest::parse(text.as_bytes()).ok()?;
    let artifact = Artifact::seal(manifest.entrypoint().clone(), &mut &CODE[..], 64).ok()?;
    SignedPlugin::new(manifest, vec![artifact]).ok()
}

/// A typed refusal, and none that a panic became.
fn decent<T>(result: Result<T, Refusal>, classes: &[&str]) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(refusal) => {
            assert!(classes.contains(&refusal.code.class()), "{refusal}");
            assert!(!refusal.to_string().chars().any(crate::acts), "{refusal:?}");
            None
        }
    }
}

/// Bytes as the signature of a package: refused with a code unless the signed part
/// and the numbers are the author's own, and quickly.
pub fn signature_packet(data: &[u8]) -> bool {
    let text = STANDARD.encode(data);
    if plugin(&text).is_none() {
        return false;
    }
    let place = place();
    let store = store(&place);
    store.add_key(AUTHOR, fingerprint(), &[any_id()]).unwrap();
    let verdict = within(MOST, "a signature", || verdict(&store, &text));
    let classes = ["signature", "key", "identity", "policy"];
    decent(verdict, &classes).is_some_and(|verified| {
        // Both numbers of an Ed25519 signature, without their lengths.
        let numbers = SIGNATURE.len() - 32;
        assert!(data.ends_with(&SIGNATURE[numbers..]), "{data:x?}");
        assert_eq!(verified.identity().fingerprint, *fingerprint());
        true
    })
}

/// Bytes as a certificate, a secret key, the list of keys or a pin, by the first
/// byte: a typed answer, and a store that is still of use or says that it isn't.
pub fn keyring(data: &[u8]) -> bool {
    let Some((what, data)) = data.split_first() else {
        return false;
    };
    let place = place();
    let store = store(&place);
    match what % 4 {
        0 => certificate(&store, data),
        1 => {
            let read = within(MOST, "a secret key", || SecretKey::read(data, None, now()));
            let classes = ["identity", "key", "signature", "manifest"];
            decent(read, &["key", "usage"])
                .zip(plugin(""))
                .and_then(|(key, plugin)| decent(key.sign(&plugin, now()), &classes))
                .is_some()
        }
        2 => {
            store.add_key(AUTHOR, fingerprint(), &[any_id()]).unwrap();
            put(place.path(), "keys.toml", data);
            decent(store.keys(now()), &["store"]).is_some() & verify(&store)
        }
        _ => {
            store.add_key(AUTHOR, fingerprint(), &[any_id()]).unwrap();
            put(place.path(), "pins/com.example.hello.toml", data);
            decent(store.pin(MANIFEST.id()), &["store"]).is_some() & verify(&store)
        }
    }
}

fn certificate(store: &TrustStore, data: &[u8]) -> bool {
    let add = || store.add_key(data, fingerprint(), &[any_id()]);
    let added = within(MOST, "a certificate", add);
    if decent(added, &["key", "usage"]).is_none() {
        return false;
    }
    verify(store);
    // Nothing that the author's own copy says is forgotten for it.
    store.add_key(AUTHOR, fingerprint(), &[any_id()]).unwrap();
    let keys = store.keys(now()).unwrap();
    assert_eq!(keys.len(), 1);
    verify(store)
}

fn verdict(store: &TrustStore, signature: &str) -> Result<VerifiedPlugin, Refusal> {
    store.verify(plugin(signature).unwrap(), now())
}

fn verify(store: &TrustStore) -> bool {
    let signature = MANIFEST.signature().unwrap();
    let verdict = within(MOST, "a verification", || verdict(store, signature));
    decent(
        verdict,
        &["signature", "key", "identity", "policy", "store", "revoked"],
    )
    .is_some()
}

fn put(place: &Path, name: &str, data: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = place.join("trust").join(name);
    fs::write(&path, data).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Bytes as the list of local revocations: never taken for a shorter one, and what
/// is added stays.
pub fn blacklist(data: &[u8]) -> bool {
    let place = place();
    let store = store(&place);
    store.add_key(AUTHOR, fingerprint(), &[any_id()]).unwrap();
    put(place.path(), "blacklist/local.toml", data);
    let target = RevocationTarget::Plugin(MANIFEST.id().clone());
    let Some(before) = decent(store.revocations(), &["store"]) else {
        // What can't be read stops everything.
        let signed = plugin(MANIFEST.signature().unwrap()).unwrap();
        let refusal = store.verify(signed, now()).unwrap_err();
        assert_eq!(refusal.code.as_str(), "store/corrupt");
        return false;
    };
    for target in &before {
        assert_eq!(
            RevocationTarget::parse(&target.to_string()).as_ref(),
            Ok(target)
        );
    }
    let known = before.contains(&target);
    assert_eq!(store.revoke(&target).unwrap(), !known);
    assert!(!store.revoke(&target).unwrap());
    let mut expected = before;
    if !known {
        expected.push(target);
    }
    assert_eq!(store.revocations().unwrap(), expected);
    let signed = plugin(MANIFEST.signature().unwrap()).unwrap();
    let refusal = store.verify(signed, now()).unwrap_err();
    assert_eq!(refusal.code.as_str(), "revoked/local");
    true
}
