//! "GM statement v1": the bytes that a plugin's signature covers.
//!
//! Whoever verifies rebuilds them from the manifest and the digests of the files
//! that were read; a package ships no list of digests that could disagree.

use crate::{Code, Digest, Fingerprint, Manifest, PackagePath, Refusal};
use sha2::Digest as _;
use std::fmt::Write;

/// The document type of a plugin's statement; also the value of the notation
/// that its signature must carry.
pub const PLUGIN_STATEMENT: &str = "application/vnd.gitmind.plugin-statement.v1";

/// One file of the package, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactDigest {
    /// Its path inside the package.
    pub path: PackagePath,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// Their number.
    pub len: u64,
}

/// The statement about one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    body: String,
}

impl Statement {
    /// Builds the statement of a manifest and its files, signed or about to be.
    ///
    /// # Errors
    /// `policy/unsigned` without a key or a place for the signature;
    /// `artifact/missing` or `artifact/extra-file` if the digests aren't those
    /// of exactly the files that the manifest names.
    pub fn build(manifest: &Manifest, artifacts: &[ArtifactDigest]) -> Result<Self, Refusal> {
        let about = |refusal: Refusal| {
            refusal
                .plugin(manifest.id().as_str())
                .version(manifest.version().to_string())
        };
        let signer = manifest.public_key().ok_or_else(|| {
            about(Refusal::new(
                Code::PolicyUnsigned,
                "identity.public_key is not filled in",
            ))
        })?;
        let (digest, before, after) = excised(manifest).ok_or_else(|| {
            about(Refusal::new(
                Code::PolicyUnsigned,
                "there is no line signature = \"...\"",
            ))
        })?;
        let artifacts = in_order(manifest, artifacts).map_err(about)?;
        let mut body = heading(manifest, signer);
        // Writing to a String cannot fail.
        let _ = writeln!(body, "manifest sha256:{digest} {before} {after}");
        for artifact in artifacts {
            let _ = writeln!(
                body,
                "artifact sha256:{} {} {}",
                artifact.sha256, artifact.len, artifact.path
            );
        }
        Ok(Self { body })
    }

    /// Whether these are exactly the files that the manifest names.
    ///
    /// # Errors
    /// `artifact/missing` or `artifact/extra-file`.
    pub fn check_files(manifest: &Manifest, artifacts: &[ArtifactDigest]) -> Result<(), Refusal> {
        let named = |refusal: Refusal| {
            refusal
                .plugin(manifest.id().as_str())
                .version(manifest.version().to_string())
        };
        in_order(manifest, artifacts).map(|_| ()).map_err(named)
    }

    /// The body: ASCII lines.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn pae(&self) -> Vec<u8> {
        pae(PLUGIN_STATEMENT, self.body.as_bytes())
    }

    /// The digest of the body: it names this exact package.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.body.as_bytes())
    }
}

/// DSSE's pre-authentication encoding: type and body with their lengths, so that
/// no document of one type can pass for one of another.
#[must_use]
pub fn pae(document_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {document_type} {} ",
        document_type.len(),
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn heading(manifest: &Manifest, signer: &Fingerprint) -> String {
    format!(
        "gm-plugin-statement/1\nplugin_id {}\nversion {}\napi {}\nkind {}\nsigner {signer}\n",
        manifest.id(),
        manifest.version(),
        manifest.api_version(),
        manifest.kind(),
    )
}

/// SHA-256 over all bytes but those of the signature, and how many stand before
/// and after it.
fn excised(manifest: &Manifest) -> Option<(Digest, usize, usize)> {
    let range = manifest.signature_range()?;
    let before = manifest.raw().get(..range.start)?;
    let after = manifest.raw().get(range.end..)?;
    let digest = sha2::Sha256::new()
        .chain_update(before)
        .chain_update(after)
        .finalize();
    Some((Digest::from_bytes(digest.into()), before.len(), after.len()))
}

/// The digests in the order of their paths' bytes, one for each named file.
fn in_order<'a>(
    manifest: &Manifest,
    artifacts: &'a [ArtifactDigest],
) -> Result<Vec<&'a ArtifactDigest>, Refusal> {
    let named = manifest.paths();
    let mut sorted: Vec<_> = artifacts.iter().collect();
    sorted.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    if let Some(extra) = sorted
        .iter()
        .find(|artifact| named.binary_search(&&artifact.path).is_err())
    {
        let what = format!("{:?} is not named by the manifest", extra.path.as_str());
        return Err(Refusal::new(Code::ArtifactExtraFile, what));
    }
    if let Some(twice) = sorted.windows(2).find_map(|pair| match pair {
        [a, b] if a.path == b.path => Some(a),
        _ => None,
    }) {
        return Err(Refusal::new(
            Code::ArtifactExtraFile,
            format!("{:?} comes twice", twice.path.as_str()),
        ));
    }
    let missing = named
        .iter()
        .find(|path| sorted.binary_search_by(|a| a.path.cmp(path)).is_err());
    match missing {
        Some(path) => Err(Refusal::new(
            Code::ArtifactMissing,
            format!("{:?} is not in the package", path.as_str()),
        )),
        None => Ok(sorted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HELLO: &str = "[identity]\nplugin_id = \"com.example.hello\"\npublic_key = \"0123456789ABCDEF0123456789ABCDEF01234567\"\nsignature = \"AAAA\"\n\n[plugin]\nname = \"Hello\"\nversion = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"wasm\"\nentrypoint = \"plugin.wasm\"\nfiles = [\"words.txt\"]\nhooks = [\"on_commit_analyzed\"]\n";

    fn artifact(path: &str, bytes: &[u8]) -> ArtifactDigest {
        ArtifactDigest {
            path: PackagePath::parse(path).unwrap(),
            sha256: Digest::of(bytes),
            len: bytes.len() as u64,
        }
    }

    fn files() -> [ArtifactDigest; 2] {
        [
            artifact("words.txt", b"alpha\nbeta\n"),
            artifact("plugin.wasm", b"\0asm\x01\0\0\0"),
        ]
    }

    #[test]
    fn the_known_answer_comes_out() {
        let manifest = Manifest::parse(HELLO.as_bytes()).unwrap();
        assert_eq!(
            (manifest.raw().len(), manifest.signature_range()),
            (275, Some(112..116))
        );
        let statement = Statement::build(&manifest, &files()).unwrap();
        assert_eq!(
            statement.body(),
            "gm-plugin-statement/1\nplugin_id com.example.hello\nversion 1.0.0\napi 2.0\nkind wasm\nsigner 0123456789ABCDEF0123456789ABCDEF01234567\nmanifest sha256:7efef5f33ee67928e9cb040021a8f8c2f4920b69c187f7ed7f1ac53da22340f0 112 159\nartifact sha256:93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476 8 plugin.wasm\nartifact sha256:e49c81e2d2f84e259d40e2fb8192f3bcd198b355184845d76d8f58807d0d78ee 11 words.txt\n"
        );
        let pae = statement.pae();
        assert!(pae.starts_with(
            b"DSSEv1 43 application/vnd.gitmind.plugin-statement.v1 408 gm-plugin-st"
        ));
        assert_eq!(pae.len(), 466);
        assert_eq!(
            Digest::of(&pae).to_string(),
            "9d410ffb37a772bbd378316e579fef641f8831c8bffda5de5bda0c20c15885d6"
        );
    }

    #[test]
    fn the_files_are_exactly_those_that_the_manifest_names() {
        let manifest = Manifest::parse(HELLO.as_bytes()).unwrap();
        let code =
            |artifacts: &[ArtifactDigest]| Statement::build(&manifest, artifacts).unwrap_err().code;
        let [words, code_file] = files();
        assert_eq!(code(std::slice::from_ref(&words)), Code::ArtifactMissing);
        assert_eq!(
            code(&[words.clone(), code_file.clone(), artifact("x", b"")]),
            Code::ArtifactExtraFile
        );
        assert_eq!(
            code(&[words.clone(), words, code_file]),
            Code::ArtifactExtraFile
        );
    }

    #[test]
    fn an_unsigned_manifest_has_no_statement() {
        for (from, to) in [
            ("0123456789ABCDEF0123456789ABCDEF01234567", "FINGERPRINT"),
            ("signature = \"AAAA\"\n", ""),
        ] {
            let manifest = Manifest::parse(HELLO.replace(from, to).as_bytes()).unwrap();
            assert_eq!(
                Statement::build(&manifest, &files()).unwrap_err().code,
                Code::PolicyUnsigned
            );
        }
    }

    proptest! {
        /// The reference splitter takes the first line that starts with the key,
        /// which is right whenever nothing before the table holds such a line.
        #[test]
        fn the_signature_text_never_changes_the_statement(signature in "[A-Za-z0-9+/]{0,400}={0,2}", comment in "[ -~]{0,40}", blanks in "[ \t]{0,3}") {
            let line = format!("signature{blanks}={blanks}\"{signature}\"{blanks}\n# {comment}\n");
            let text = HELLO.replace("signature = \"AAAA\"\n", &line);
            let manifest = Manifest::parse(text.as_bytes()).unwrap();
            let at = text.find("\nsignature").unwrap();
            let start = at + text[at..].find('"').unwrap() + 1;
            let end = start + signature.len();
            prop_assert_eq!(manifest.signature_range(), Some(start..end));
            let body = Statement::build(&manifest, &files()).unwrap();
            let other = text.replacen(&format!("\"{signature}\""), "\"\"", 1);
            let other = Manifest::parse(other.as_bytes()).unwrap();
            prop_assert_eq!(body, Statement::build(&other, &files()).unwrap());
        }

        #[test]
        fn every_changed_byte_outside_the_signature_changes_the_statement_or_is_refused(at in 0usize..275, flip in 1u8..=255) {
            let manifest = Manifest::parse(HELLO.as_bytes()).unwrap();
            let mut bytes = HELLO.as_bytes().to_vec();
            bytes[at] ^= flip;
            if let Ok(changed) = Manifest::parse(&bytes) {
                let changed = Statement::build(&changed, &files());
                let same = changed.is_ok_and(|changed| changed == Statement::build(&manifest, &files()).unwrap());
                prop_assert_eq!(same, (112..116).contains(&at));
            }
        }
    }
}
