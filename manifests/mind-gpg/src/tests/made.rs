//! Authors, signatures and stores that the tests are made of.

use crate::plugin::SignedPlugin;
use crate::{Artifact, TrustStore, VerifiedPlugin, strict};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gm_manifest::{Code, Fingerprint, Manifest, NamespacePattern, PLUGIN_STATEMENT, Refusal};
use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::cert::prelude::{Cert, CertBuilder, CipherSuite};
use openpgp::crypto::KeyPair;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::signature::subpacket::NotationDataFlags;
use openpgp::serialize::MarshalInto;
use openpgp::types::{HashAlgorithm, KeyFlags, SignatureType};
use std::time::{Duration, SystemTime};

/// The files of every package in these tests.
pub(super) const CODE: &[u8] = b"\0asm\x01\0\0\0";

const MANIFEST: &str = "[identity]
plugin_id = \"com.example.hello\"
public_key = \"KEY\"
signature = \"TEXT\"

[plugin]
name = \"Hello\"
version = \"1.0.0\"
api_version = \"2.0\"
kind = \"wasm\"
entrypoint = \"plugin.wasm\"
";

/// The moment of all judging here.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(super) fn days_ago(days: u64) -> SystemTime {
    now() - days_of(days)
}

pub(super) fn days_of(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

pub(super) fn manifest(key: &str, signature: &str) -> String {
    MANIFEST.replace("KEY", key).replace("TEXT", signature)
}

/// The package that this manifest and the usual code make.
pub(super) fn plugin(manifest: &str) -> SignedPlugin {
    plugin_with_code(manifest, CODE).unwrap()
}

pub(super) fn plugin_with_code(manifest: &str, mut code: &[u8]) -> Result<SignedPlugin, Refusal> {
    let manifest = Manifest::parse(manifest.as_bytes())?;
    let path = manifest.entrypoint().clone();
    let artifact = Artifact::seal(path, &mut code, 1 << 20)?;
    SignedPlugin::new(manifest, vec![artifact])
}

/// A certificate with its secrets.
#[derive(Clone)]
pub(super) struct Author {
    pub(super) cert: Cert,
}

impl Author {
    pub(super) fn new() -> Self {
        Self::built(|builder| builder.add_signing_subkey())
    }

    pub(super) fn of_suite(suite: CipherSuite) -> Self {
        Self::built(|builder| builder.set_cipher_suite(suite).add_signing_subkey())
    }

    /// 100 days old, valid for two years, with what `more` adds.
    pub(super) fn built(more: impl FnOnce(CertBuilder) -> CertBuilder) -> Self {
        let builder = CertBuilder::new()
            .set_cipher_suite(CipherSuite::Cv25519)
            .set_creation_time(days_ago(100))
            .set_validity_period(days_of(730))
            .set_primary_key_flags(KeyFlags::empty().set_certification())
            .add_userid("Author <author@example.com>");
        let (cert, _) = more(builder).generate().unwrap();
        Self { cert }
    }

    /// The same certificate with these packets in it.
    pub(super) fn with(&self, packets: impl IntoIterator<Item = Packet>) -> Self {
        let packets: Vec<Packet> = packets.into_iter().collect();
        let (cert, _) = self.cert.clone().insert_packets(packets).unwrap();
        Self { cert }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::parse(&self.cert.fingerprint().to_hex()).unwrap()
    }

    pub(super) fn public(&self) -> Vec<u8> {
        self.cert.to_vec().unwrap()
    }

    pub(super) fn primary(&self) -> KeyPair {
        let key = self.cert.primary_key().key().clone();
        key.parts_into_secret().unwrap().into_keypair().unwrap()
    }

    /// The newest subkey.
    pub(super) fn subkey(&self) -> KeyPair {
        let key = self.cert.keys().subkeys().last().unwrap().key().clone();
        key.parts_into_secret().unwrap().into_keypair().unwrap()
    }

    pub(super) fn subkey_fingerprint(&self) -> Fingerprint {
        let key = self.cert.keys().subkeys().last().unwrap();
        Fingerprint::parse(&key.key().fingerprint().to_hex()).unwrap()
    }

    /// The bytes that a signature for the usual package covers.
    pub(super) fn message(&self) -> Vec<u8> {
        let plugin = plugin(&manifest(self.fingerprint().as_str(), ""));
        plugin.statement().unwrap().pae()
    }

    /// The usual signature by the subkey, as a packet.
    pub(super) fn signature(&self) -> Vec<u8> {
        packet(template(), &self.subkey(), &self.message())
    }

    /// The usual package with this text of a signature.
    pub(super) fn holding(&self, text: &str) -> SignedPlugin {
        plugin(&manifest(self.fingerprint().as_str(), text))
    }

    /// The usual package with these bytes as signature.
    pub(super) fn holding_bytes(&self, signature: &[u8]) -> SignedPlugin {
        self.holding(&STANDARD.encode(signature))
    }

    /// The usual package, well signed.
    pub(super) fn signed(&self) -> SignedPlugin {
        self.holding_bytes(&self.signature())
    }

    /// The usual package, signed by the subkey with what `change` makes of the
    /// usual signature.
    pub(super) fn signed_as(
        &self,
        change: impl FnOnce(SignatureBuilder) -> openpgp::Result<SignatureBuilder>,
    ) -> SignedPlugin {
        let changed = change(template()).unwrap();
        self.holding_bytes(&packet(changed, &self.subkey(), &self.message()))
    }

    /// The usual package, signed by the subkey at this time.
    pub(super) fn signed_at(&self, time: SystemTime) -> SignedPlugin {
        self.signed_as(|template| template.set_signature_creation_time(time))
    }
}

/// One day old, for a plugin's statement.
pub(super) fn template() -> SignatureBuilder {
    SignatureBuilder::new(SignatureType::Binary)
        .set_hash_algo(HashAlgorithm::SHA512)
        .set_signature_creation_time(days_ago(1))
        .unwrap()
        .set_notation(
            strict::CONTEXT,
            PLUGIN_STATEMENT,
            NotationDataFlags::empty().set_human_readable(),
            false,
        )
        .unwrap()
}

/// The signature as the only packet. What the library puts into the unsigned part
/// by itself is left out, what a test put there stays.
pub(super) fn packet(template: SignatureBuilder, signer: &KeyPair, message: &[u8]) -> Vec<u8> {
    let mut signer = signer.clone();
    let is_ours = template.unhashed_area().iter().next().is_some();
    let mut signature = template.sign_message(&mut signer, message).unwrap();
    if !is_ours {
        signature.unhashed_area_mut().clear();
    }
    Packet::from(signature).to_vec().unwrap()
}

/// A store of its own.
pub(super) struct Store {
    pub(super) dir: tempfile::TempDir,
    pub(super) trust: TrustStore,
}

impl Store {
    pub(super) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let trust = TrustStore::open(&dir.path().join("trust")).unwrap();
        Self { dir, trust }
    }

    /// Trusts this author for the usual package.
    pub(super) fn trusting(author: &Author) -> Self {
        let store = Self::empty();
        store.add(author, "com.example.*");
        store
    }

    pub(super) fn add(&self, author: &Author, namespace: &str) -> bool {
        let namespace = NamespacePattern::parse(namespace).unwrap();
        let file = author.public();
        self.trust
            .add_key(&file, &author.fingerprint(), &[namespace])
            .unwrap()
    }

    pub(super) fn verify(&self, plugin: SignedPlugin) -> Result<VerifiedPlugin, Refusal> {
        self.trust.verify(plugin, now())
    }

    /// Step and code with which a package is refused.
    #[track_caller]
    pub(super) fn refuses(&self, plugin: SignedPlugin) -> (Option<u8>, Code) {
        self.refuses_at(plugin, now())
    }

    #[track_caller]
    pub(super) fn refuses_at(&self, plugin: SignedPlugin, at: SystemTime) -> (Option<u8>, Code) {
        let refusal = self.trust.verify(plugin, at).unwrap_err();
        assert_eq!(refusal.plugin.as_deref(), Some("com.example.hello"));
        (refusal.step, refusal.code)
    }
}

/// What a store that trusts just this author says about one package of it.
#[track_caller]
pub(super) fn refused(author: &Author, plugin: SignedPlugin) -> (Option<u8>, Code) {
    Store::trusting(author).refuses(plugin)
}

/// Bytes as the manifest holds them.
pub(super) fn text(signature: &[u8]) -> String {
    STANDARD.encode(signature)
}
