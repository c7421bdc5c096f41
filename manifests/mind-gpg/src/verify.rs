//! The one way from a package that was read to one that is vouched for.
//!
//! A straight list of steps, the first that fails decides. Nothing here can be
//! switched off, and nothing is said about a signer before step 5.

use crate::judge::{Case, issuer_key, judge};
use crate::plugin::{Identity, SignedPlugin, VerifiedPlugin};
use crate::store::TrustStore;
use crate::trace::{Verification, guarded};
use crate::{base64_text, packet, revocation};
use gm_manifest::{Code, Fingerprint, Kind, Manifest, PLUGIN_STATEMENT, Refusal, Statement};
use std::time::SystemTime;

const SIGNED: &str = "signed, in plain base64";
const TRUSTED: &str = "a trusted key";

impl TrustStore {
    /// Verifies a package: signature, key, identity, revocation. The only maker of
    /// a [`VerifiedPlugin`].
    ///
    /// # Errors
    /// The first step that fails, with its number.
    pub fn verify(&self, signed: SignedPlugin, now: SystemTime) -> Result<VerifiedPlugin, Refusal> {
        self.verify_explained(signed, now).1
    }

    /// The same, with all steps that were taken.
    pub fn verify_explained(
        &self,
        signed: SignedPlugin,
        now: SystemTime,
    ) -> (Verification, Result<VerifiedPlugin, Refusal>) {
        let mut trace = Verification::default();
        let identity = guarded(|| self.identify(&signed, now, &mut trace));
        let verified = match identity {
            Ok(identity) => Ok(VerifiedPlugin::new(signed, identity)),
            Err(refusal) => {
                let manifest = signed.manifest();
                Err(refusal
                    .plugin(manifest.id().as_str())
                    .version(manifest.version().to_string()))
            }
        };
        (trace, verified)
    }

    fn identify(
        &self,
        signed: &SignedPlugin,
        now: SystemTime,
        trace: &mut Verification,
    ) -> Result<Identity, Refusal> {
        let manifest = signed.manifest();
        let (key, statement, text) = trace.part(0, SIGNED, claimed(signed))?;
        let bytes = trace.step(0, SIGNED, base64_text::decode(text))?;
        let signature = trace.step(1, "exactly one signature", packet::single_signature(&bytes))?;
        let claims = trace.step(2, "type, time and issuer", packet::claims(&signature))?;
        let certificate = trace.part(3, TRUSTED, self.trusted(key, manifest))?;
        let issuer = trace.step(3, TRUSTED, issuer_key(&certificate, &claims))?;
        let case = Case {
            certificate: &certificate,
            signature: &signature,
            claims: &claims,
            message: &statement.pae(),
            context: PLUGIN_STATEMENT,
            now,
        };
        let signer = judge(&case, &issuer, trace, |signer| {
            revocation::check(
                &self.revocations()?,
                &Identity::new(signed, statement, signer),
            )
        })?;
        trace.step(
            10,
            "key, id and version belong together",
            self.check_identity(manifest, &signer.fingerprint),
        )?;
        trace.step(
            12,
            "the kind may be signed by this key",
            self.check_kind(manifest, &signer.fingerprint),
        )?;
        Ok(Identity::new(signed, statement, &signer))
    }

    /// Step 3, first half: the certificate is one that somebody trusted by hand.
    fn trusted(
        &self,
        key: &Fingerprint,
        manifest: &Manifest,
    ) -> Result<crate::certificate::Certificate, Refusal> {
        if self.key_file()?.find(key).is_some() {
            return self.certificate_of(key);
        }
        let command = format!(
            "gm gpg trust add FILE --fingerprint {key} --namespace {}",
            manifest.id()
        );
        let refusal = Refusal::new(
            Code::KeyUnknownSigner,
            format!("nobody here trusts the key {key}"),
        );
        Err(refusal.rule(format!("if you do: {command}")))
    }

    /// Step 10: namespace, pin, newest version.
    fn check_identity(&self, manifest: &Manifest, signer: &Fingerprint) -> Result<(), Refusal> {
        self.key_file()?.check_namespace(signer, manifest.id())?;
        match self.pin(manifest.id())? {
            Some(pin) => pin.check(signer, manifest.version()),
            None => Ok(()),
        }
    }

    /// Step 12, the part that is about keys: a key signs native code only if it
    /// was trusted for that.
    fn check_kind(&self, manifest: &Manifest, signer: &Fingerprint) -> Result<(), Refusal> {
        let kind = manifest.kind();
        let file = self.key_file()?;
        let may = file
            .find(signer)
            .is_some_and(|key| key.kinds.contains(&kind));
        match (may, kind) {
            (true, _) => Ok(()),
            (false, Kind::Native) => Err(Refusal::new(
                Code::PolicyNativeDisallowed,
                "the key is not trusted for native code",
            )
            .rule("if you do: gm gpg trust add … --kind native")),
            (false, Kind::Wasm | Kind::Lua | Kind::Js) => Err(Refusal::new(
                Code::IdentityNamespaceDenied,
                format!("the key is not trusted for {kind}"),
            )),
        }
    }
}

/// Step 0, first half: there is a key, a signature, and so a statement.
fn claimed(signed: &SignedPlugin) -> Result<(&Fingerprint, &Statement, &str), Refusal> {
    let manifest = signed.manifest();
    match (
        manifest.public_key(),
        signed.statement(),
        manifest.signature(),
    ) {
        (Some(key), Some(statement), Some(text)) => Ok((key, statement, text)),
        _ => Err(
            Refusal::new(Code::PolicyUnsigned, "the package is not signed")
                .rule("nothing runs unsigned"),
        ),
    }
}
