//! An author who signs as no tool of ours would: with any key, any date, any kind
//! of signature. What is signed is put together here a second time, from the
//! documentation alone.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gm_integration_tests::{Home, Package};
use sequoia_openpgp as openpgp;
use sha2::{Digest, Sha256};

use openpgp::Packet;
use openpgp::cert::prelude::{Cert, CertBuilder, CipherSuite};
use openpgp::crypto::KeyPair;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::signature::subpacket::NotationDataFlags;
use openpgp::serialize::MarshalInto;
use openpgp::types::{HashAlgorithm, KeyFlags, SignatureType};

/// The document type, and the name under which a signature states it.
const TYPE: &str = "application/vnd.gitmind.plugin-statement.v1";
const CONTEXT: &str = "context@gitmind.com";

pub(crate) fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

pub(crate) fn days_ago(count: u64) -> SystemTime {
    SystemTime::now() - days(count)
}

/// A certificate with its secrets.
#[derive(Clone)]
pub(crate) struct Author {
    pub(crate) cert: Cert,
}

impl Author {
    pub(crate) fn new() -> Self {
        Self::built(|builder| builder.add_signing_subkey())
    }

    /// 100 days old, valid for two years, with what `more` adds.
    pub(crate) fn built(more: impl FnOnce(CertBuilder) -> CertBuilder) -> Self {
        let builder = CertBuilder::new()
            .set_cipher_suite(CipherSuite::Cv25519)
            .set_creation_time(days_ago(100))
            .set_validity_period(days(730))
            .set_primary_key_flags(KeyFlags::empty().set_certification())
            .add_userid("Author <author@test.example>");
        let (cert, _) = more(builder).generate().unwrap();
        Self { cert }
    }

    /// The same certificate with these packets in it.
    pub(crate) fn with(&self, packets: impl IntoIterator<Item = Packet>) -> Self {
        let packets: Vec<Packet> = packets.into_iter().collect();
        let (cert, _) = self.cert.clone().insert_packets(packets).unwrap();
        Self { cert }
    }

    pub(crate) fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    pub(crate) fn primary(&self) -> KeyPair {
        let key = self.cert.primary_key().key().clone();
        key.parts_into_secret().unwrap().into_keypair().unwrap()
    }

    /// The newest subkey.
    pub(crate) fn subkey(&self) -> KeyPair {
        let key = self.cert.keys().subkeys().last().unwrap().key().clone();
        key.parts_into_secret().unwrap().into_keypair().unwrap()
    }

    /// Writes the public certificate beside a home, as `<name>/public.pgp`.
    pub(crate) fn publish(&self, home: &Home, name: &str) {
        let directory = home.beside(name);
        std::fs::create_dir_all(&directory).unwrap();
        let bytes = self.cert.clone().strip_secret_key_material().to_vec();
        std::fs::write(directory.join("public.pgp"), bytes.unwrap()).unwrap();
    }

    /// A home that trusts this author for the tests' ids.
    pub(crate) fn home(&self) -> Home {
        let home = Home::without_key();
        self.publish(&home, "author");
        home.trust("author", &self.fingerprint(), &["com.test.*"]);
        home
    }

    /// The usual signature over a package in this author's name, by the subkey.
    pub(crate) fn signature(&self, package: &Package) -> Vec<u8> {
        self.signature_as(package, Ok)
    }

    /// The same with a change.
    pub(crate) fn signature_as(
        &self,
        package: &Package,
        change: impl FnOnce(SignatureBuilder) -> openpgp::Result<SignatureBuilder>,
    ) -> Vec<u8> {
        let template = change(template()).unwrap();
        packet(template, &self.subkey(), &self.message(package))
    }

    /// The bytes to be signed, once the manifest names this author.
    pub(crate) fn message(&self, package: &Package) -> Vec<u8> {
        fill(package, &self.fingerprint(), "");
        message(package)
    }

    /// Puts bytes into the package as its signature.
    pub(crate) fn put(&self, package: &Package, signature: &[u8]) {
        fill(package, &self.fingerprint(), &STANDARD.encode(signature));
    }
}

/// One day old, for a plugin's statement.
pub(crate) fn template() -> SignatureBuilder {
    SignatureBuilder::new(SignatureType::Binary)
        .set_hash_algo(HashAlgorithm::SHA512)
        .set_signature_creation_time(days_ago(1))
        .unwrap()
        .set_notation(
            CONTEXT,
            TYPE,
            NotationDataFlags::empty().set_human_readable(),
            false,
        )
        .unwrap()
}

/// The signature as a packet, with nothing in its unsigned part.
pub(crate) fn packet(template: SignatureBuilder, signer: &KeyPair, message: &[u8]) -> Vec<u8> {
    let mut signature = template.sign_message(&mut signer.clone(), message).unwrap();
    signature.unhashed_area_mut().clear();
    Packet::from(signature).to_vec().unwrap()
}

/// Writes key and signature into a package's manifest.
pub(crate) fn fill(package: &Package, key: &str, signature: &str) {
    let lines = package.manifest();
    let lines = lines.lines().map(|line| match line.split_once(" = ") {
        Some(("public_key", _)) => format!("public_key = \"{key}\"\n"),
        Some(("signature", _)) => format!("signature = \"{signature}\"\n"),
        _ => format!("{line}\n"),
    });
    let text: String = lines.collect();
    std::fs::write(package.file("plugin.manifest.toml"), text).unwrap();
}

/// What a signature covers: the type, the manifest without the text of the
/// signature, and every file.
fn message(package: &Package) -> Vec<u8> {
    let manifest = package.manifest();
    let value = |key: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap().trim_start_matches(" = ").trim_matches('"')
    };
    let line = format!("signature = \"{}\"", value("signature"));
    let end = manifest.find(&line).unwrap() + line.len() - 1;
    let start = end - value("signature").len();
    let without = [&manifest.as_bytes()[..start], &manifest.as_bytes()[end..]].concat();
    let mut body = format!(
        "gm-plugin-statement/1\nplugin_id {}\nversion {}\napi {}\nkind {}\nsigner {}\n\
         manifest sha256:{} {start} {}\n",
        value("plugin_id"),
        value("version"),
        value("api_version"),
        value("kind"),
        value("public_key"),
        hex(&without),
        manifest.len() - end,
    );
    let mut files: Vec<_> = std::fs::read_dir(package.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "plugin.manifest.toml")
        .collect();
    files.sort_unstable();
    for name in files {
        let bytes = std::fs::read(package.file(&name)).unwrap();
        let _ = writeln!(
            body,
            "artifact sha256:{} {} {name}",
            hex(&bytes),
            bytes.len()
        );
    }
    format!("DSSEv1 {} {TYPE} {} {body}", TYPE.len(), body.len()).into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
