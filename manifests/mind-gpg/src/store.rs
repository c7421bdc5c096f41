//! The trust store of one home: keys, certificates, pins, local revocations.
//!
//! Nothing gets in here by itself: a key because its fingerprint was typed, a pin
//! because a verified plugin was loaded, a revocation because somebody asked.

use crate::certificate::Certificate;
use crate::folder::{Care, Folder, Lock};
use crate::key_file::{KEYS, KeyEntry, KeyFile, Origin, TrustedKey, USUAL_KINDS};
use crate::pin::{Accepted, Pin, PinFile};
use crate::plugin::VerifiedPlugin;
use crate::revocation::{LOCAL, LocalFile, RevocationTarget};
use crate::trace::guarded;
use gm_manifest::{Code, Digest, Fingerprint, Kind, NamespacePattern, PluginId, Refusal};
use std::path::Path;
use std::time::SystemTime;

/// The store. Reads are of whole files; each change holds the store's lock.
#[derive(Debug)]
pub struct TrustStore {
    root: Folder,
    certificates: Folder,
    pins: Folder,
    blacklist: Folder,
}

impl TrustStore {
    /// Opens the folder `trust` of a home, and makes what isn't there yet.
    ///
    /// # Errors
    /// `store/unsafe-permissions` if somebody but the effective user could have
    /// changed it; `store/corrupt`.
    pub fn open(trust: &Path) -> Result<Self, Refusal> {
        Self::open_with(trust, Care::Strict)
    }

    /// Opens it without judging owners and modes, only to [`revoke`](Self::revoke):
    /// that must be possible in a damaged store too.
    ///
    /// # Errors
    /// Class `store`; `store/unsafe-permissions` for a link.
    pub fn open_to_revoke(trust: &Path) -> Result<Revoker, Refusal> {
        let root = Folder::open(trust, Care::ToRevoke)?;
        let blacklist = root.below("blacklist")?;
        Ok(Revoker { root, blacklist })
    }

    fn open_with(trust: &Path, care: Care) -> Result<Self, Refusal> {
        let root = Folder::open(trust, care)?;
        let certificates = root.below("certs")?;
        let pins = root.below("pins")?;
        let blacklist = root.below("blacklist")?;
        Ok(Self {
            root,
            certificates,
            pins,
            blacklist,
        })
    }

    /// Trusts a key for these ids. Adding again merges the certificate and adds
    /// the namespaces; true if anything changed.
    ///
    /// `fingerprint` is typed by somebody: the file has to hold that certificate.
    ///
    /// # Errors
    /// `key/cert-malformed`, `key/weak-key`; `usage/arguments` if the file holds
    /// another key or no namespace is named; class `store`.
    pub fn add_key(
        &self,
        file: &[u8],
        fingerprint: &Fingerprint,
        namespaces: &[NamespacePattern],
    ) -> Result<bool, Refusal> {
        let certificate = guarded(|| Certificate::parse(file))?;
        let found = certificate.fingerprint()?;
        if found != *fingerprint {
            let what = format!("the file holds the key {found}, not {fingerprint}");
            return Err(Refusal::new(Code::UsageArguments, what)
                .rule("the fingerprint of the primary key is typed in full"));
        }
        certificate.check_strength()?;
        if namespaces.is_empty() {
            return Err(Refusal::new(Code::UsageArguments, "no namespace is named")
                .rule("a key is trusted for some ids"));
        }
        let held = self.root.lock()?;
        // The certificate first: a key without one is unknown, the reverse is harmless.
        let merged = self.merge(&held, certificate)?;
        let mut file: KeyFile = self.root.document(KEYS)?;
        let changed = trust(&mut file, fingerprint, namespaces, merged.0.label());
        if changed {
            self.root.write_document(&held, KEYS, &file)?;
        }
        Ok(changed || merged.1)
    }

    /// Trusts a known key for these kinds as well; true if that changed anything.
    ///
    /// # Errors
    /// `usage/arguments` if the key isn't trusted; class `store`.
    pub fn add_kinds(&self, fingerprint: &Fingerprint, kinds: &[Kind]) -> Result<bool, Refusal> {
        let held = self.root.lock()?;
        let mut file: KeyFile = self.root.document(KEYS)?;
        let key = file
            .key
            .iter_mut()
            .find(|key| key.fingerprint == *fingerprint);
        let Some(key) = key else {
            let what = format!("the key {fingerprint} is not trusted here");
            return Err(Refusal::new(Code::UsageArguments, what));
        };
        let mut changed = false;
        for kind in kinds {
            if !key.kinds.contains(kind) {
                key.kinds.push(*kind);
                changed = true;
            }
        }
        if changed {
            self.root.write_document(&held, KEYS, &file)?;
        }
        Ok(changed)
    }

    /// Merges a certificate into the stored one; true if that changed it.
    fn merge(&self, held: &Lock, certificate: Certificate) -> Result<(Certificate, bool), Refusal> {
        let fingerprint = certificate.fingerprint()?;
        let known = self.certificate(&fingerprint)?;
        let before = known.as_ref().map(Certificate::to_bytes).transpose()?;
        let merged = match known {
            Some(known) => guarded(|| known.merge(certificate))?,
            None => certificate,
        };
        let after = merged.to_bytes()?;
        let changed = before.as_ref() != Some(&after);
        if changed {
            self.certificates
                .write(held, &certificate_file(&fingerprint), &after)?;
        }
        Ok((merged, changed))
    }

    /// Trusts a key no longer; false if it wasn't trusted. Its certificate stays:
    /// what it says about revocations must not be forgotten.
    ///
    /// # Errors
    /// Class `store`.
    pub fn remove_key(&self, fingerprint: &Fingerprint) -> Result<bool, Refusal> {
        let held = self.root.lock()?;
        let mut file: KeyFile = self.root.document(KEYS)?;
        let before = file.key.len();
        file.key.retain(|key| key.fingerprint != *fingerprint);
        if file.key.len() == before {
            return Ok(false);
        }
        self.root.write_document(&held, KEYS, &file)?;
        Ok(true)
    }

    /// All trusted keys, with what they are good for at `now`.
    ///
    /// # Errors
    /// Class `store`; `store/corrupt` too if a trusted key has no certificate.
    pub fn keys(&self, now: SystemTime) -> Result<Vec<TrustedKey>, Refusal> {
        let file: KeyFile = self.root.document(KEYS)?;
        let facts = |entry: &KeyEntry| {
            let certificate = self.certificate_of(&entry.fingerprint)?;
            guarded(|| TrustedKey::new(entry, &certificate, now))
        };
        file.key.iter().map(facts).collect()
    }

    /// What was accepted for an id before.
    ///
    /// # Errors
    /// Class `store`.
    pub fn pin(&self, id: &PluginId) -> Result<Option<Pin>, Refusal> {
        let name = pin_file(id);
        let Some(bytes) = self.pins.read(&name)? else {
            return Ok(None);
        };
        let file: PinFile = self.pins.parsed(&name, &bytes)?;
        let pin =
            Pin::from_file(file).map_err(|refusal| self.pins.corrupt(&name, &refusal.detail))?;
        Ok(Some(pin))
    }

    /// The package that was accepted with this statement: what an installed
    /// package is compared with when it is read again.
    ///
    /// # Errors
    /// `store/corrupt` if none was; class `store`.
    pub fn accepted(&self, id: &PluginId, statement: &Digest) -> Result<Accepted, Refusal> {
        let pin = self.pin(id)?;
        let found = pin.and_then(|pin| pin.find(statement).cloned());
        found.ok_or_else(|| {
            self.pins
                .corrupt(&pin_file(id), "the installed package is not in it")
                .plugin(id.as_str())
        })
    }

    /// Step 12, for a load: the plugin asks for no more than was accepted before,
    /// unless exactly this request is accepted now.
    ///
    /// # Errors
    /// `policy/permission-increase`, naming each increase and the digest to accept.
    pub fn check_permissions(
        &self,
        plugin: &VerifiedPlugin,
        accept: Option<&Digest>,
    ) -> Result<(), Refusal> {
        let asked = plugin.manifest().permissions();
        let Some(pin) = self.pin(plugin.manifest().id())? else {
            return Ok(());
        };
        let more = asked.beyond(&pin.granted);
        if more.is_empty() || accept == Some(&asked.digest()) {
            return Ok(());
        }
        let refusal = Refusal::new(
            Code::PolicyPermissionIncrease,
            format!("it asks for more: {}", more.join("; ")),
        );
        let about = refusal
            .plugin(plugin.identity().id.as_str())
            .version(plugin.identity().version.to_string());
        Err(about
            .rule(format!(
                "to accept it: --accept-permissions {}",
                asked.digest()
            ))
            .step(12))
    }

    /// Remembers a load: pins the id to its key, raises the newest version, and
    /// keeps the digests and the permissions that were accepted.
    ///
    /// # Errors
    /// Class `identity` if another load came in between; class `store`.
    pub fn record_load(&self, plugin: &VerifiedPlugin) -> Result<(), Refusal> {
        let identity = plugin.identity();
        let held = self.root.lock()?;
        let before = self.pin(&identity.id)?;
        if let Some(before) = &before {
            before.check(&identity.fingerprint, &identity.version)?;
        }
        let accepted = Accepted::new(plugin.manifest(), identity);
        let granted = plugin.manifest().permissions().clone();
        let pin = Pin::after(before, accepted, identity.fingerprint.clone(), granted);
        self.pins
            .write_document(&held, &pin_file(&identity.id), &pin.to_file())
    }

    /// Revokes here and now; false if it was revoked already.
    ///
    /// # Errors
    /// Class `store`.
    pub fn revoke(&self, target: &RevocationTarget) -> Result<bool, Refusal> {
        revoke(&self.root, &self.blacklist, target)
    }

    /// What is revoked here.
    ///
    /// # Errors
    /// Class `store`: what can't be read is never taken for empty.
    pub fn revocations(&self) -> Result<Vec<RevocationTarget>, Refusal> {
        let file: LocalFile = self.blacklist.document(LOCAL)?;
        file.targets()
            .map_err(|unfit| self.blacklist.corrupt(LOCAL, unfit.rule()))
    }

    pub(crate) fn key_file(&self) -> Result<KeyFile, Refusal> {
        self.root.document(KEYS)
    }

    /// The certificate of a key that is trusted.
    pub(crate) fn certificate_of(&self, fingerprint: &Fingerprint) -> Result<Certificate, Refusal> {
        let missing = || {
            self.certificates
                .corrupt(&certificate_file(fingerprint), "it is missing")
        };
        self.certificate(fingerprint)?.ok_or_else(missing)
    }

    fn certificate(&self, fingerprint: &Fingerprint) -> Result<Option<Certificate>, Refusal> {
        let name = certificate_file(fingerprint);
        let Some(bytes) = self.certificates.read(&name)? else {
            return Ok(None);
        };
        let corrupt = |what: &str| self.certificates.corrupt(&name, what);
        let certificate =
            guarded(|| Certificate::parse(&bytes)).map_err(|refusal| corrupt(&refusal.detail))?;
        match certificate.fingerprint()? == *fingerprint {
            true => Ok(Some(certificate)),
            false => Err(corrupt("it holds another certificate")),
        }
    }
}

/// A store that can only be used to revoke.
#[derive(Debug)]
pub struct Revoker {
    root: Folder,
    blacklist: Folder,
}

impl Revoker {
    /// Revokes here and now; false if it was revoked already.
    ///
    /// # Errors
    /// `store/corrupt` if the list itself can't be read: then nothing starts anyway,
    /// and writing a new one would forget the old revocations.
    pub fn revoke(&self, target: &RevocationTarget) -> Result<bool, Refusal> {
        revoke(&self.root, &self.blacklist, target)
    }
}

fn revoke(root: &Folder, blacklist: &Folder, target: &RevocationTarget) -> Result<bool, Refusal> {
    let held = root.lock()?;
    let mut file: LocalFile = blacklist.document(LOCAL)?;
    let is_new = file.add(target);
    if is_new {
        blacklist.write_document(&held, LOCAL, &file)?;
    }
    Ok(is_new)
}

/// Adds key and namespaces; true if that changed anything.
fn trust(
    file: &mut KeyFile,
    fingerprint: &Fingerprint,
    namespaces: &[NamespacePattern],
    label: String,
) -> bool {
    let Some(known) = file
        .key
        .iter_mut()
        .find(|key| key.fingerprint == *fingerprint)
    else {
        file.key.push(KeyEntry {
            fingerprint: fingerprint.clone(),
            label,
            origin: Origin::Explicit,
            namespaces: namespaces.to_vec(),
            kinds: USUAL_KINDS.to_vec(),
        });
        return true;
    };
    let new: Vec<_> = namespaces
        .iter()
        .filter(|pattern| !known.namespaces.contains(pattern))
        .cloned()
        .collect();
    known.namespaces.extend(new.iter().cloned());
    !new.is_empty()
}

fn certificate_file(fingerprint: &Fingerprint) -> String {
    format!("{fingerprint}.pgp")
}

fn pin_file(id: &PluginId) -> String {
    format!("{id}.toml")
}
