//! Text edits of a manifest for the one who signs: only the two lines of
//! `[identity]` that signing owns change, all other bytes stay as they are.

use crate::document::{self, Table};
use crate::slot::SIGNATURE_PLACEHOLDER;
use crate::{Code, Fingerprint, Manifest, Refusal};
use std::ops::Range;

/// The manifest with its key filled in and an empty signature, ready for the
/// statement to be built and signed.
///
/// # Errors
/// What [`Manifest::parse`] refuses; `identity/wrong-signer` if the manifest
/// names another key; `manifest/signature-form` if the line can't be brought
/// into its one form.
pub fn prepare_for_signing(raw: &[u8], signer: &Fingerprint) -> Result<Vec<u8>, Refusal> {
    let manifest = Manifest::parse(raw)?;
    if let Some(other) = manifest.public_key().filter(|key| *key != signer) {
        let what = format!("the manifest names the key {other}, not {signer}");
        let refusal = Refusal::new(Code::IdentityWrongSigner, what).plugin(manifest.id().as_str());
        return Err(at_key(refusal, &manifest, "identity.public_key"));
    }
    let text = std::str::from_utf8(raw)
        .map_err(|_| Refusal::new(Code::ManifestNotUtf8, "the manifest is not UTF-8"))?;
    let text = fill_key(text, signer).and_then(|text| empty_line(&text));
    let prepared = text.and_then(|text| Manifest::parse(text.as_bytes()).ok());
    match prepared {
        // Read back: the edit has done what it was meant to, and nothing else.
        Some(prepared)
            if prepared
                .signature_range()
                .is_some_and(|range| range.is_empty())
                && prepared.public_key() == Some(signer) =>
        {
            Ok(prepared.raw().to_vec())
        }
        _ => {
            let refusal = Refusal::new(Code::ManifestSignatureForm, "the lines of [identity] are not in a form that can be signed")
                .rule("write public_key = \"\" and signature = \"\" on lines of their own below [identity]")
                .plugin(manifest.id().as_str());
            Err(at_key(refusal, &manifest, "identity.signature"))
        }
    }
}

/// The manifest with neither key nor signature, as if nobody had signed it:
/// for a copy that another key is to sign.
///
/// # Errors
/// What [`Manifest::parse`] refuses; `manifest/signature-form` if the lines
/// can't be brought into their one form.
pub fn forget_signer(raw: &[u8]) -> Result<Vec<u8>, Refusal> {
    let manifest = Manifest::parse(raw)?;
    let emptied = std::str::from_utf8(raw).ok().and_then(|text| {
        let (_, value) = place(text, "public_key")?;
        empty_line(&splice(text, value, "\"\"")?)
    });
    match emptied.and_then(|text| Manifest::parse(text.as_bytes()).ok()) {
        Some(emptied) if emptied.public_key().is_none() && emptied.signature().is_none() => {
            Ok(emptied.raw().to_vec())
        }
        _ => {
            let what = "the lines of [identity] are not in a form that can be emptied";
            let refusal = Refusal::new(Code::ManifestSignatureForm, what);
            let refusal = refusal.plugin(manifest.id().as_str());
            Err(at_key(refusal, &manifest, "identity.public_key"))
        }
    }
}

/// The manifest with this base64 text as its signature.
///
/// # Errors
/// `signature/base64` for other text; `manifest/signature-form` if the manifest
/// has no line for it.
pub fn fill_signature(prepared: &[u8], signature: &str) -> Result<Vec<u8>, Refusal> {
    if !signature
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    {
        return Err(Refusal::new(
            Code::SignatureBase64,
            "the signature is not base64",
        ));
    }
    let manifest = Manifest::parse(prepared)?;
    let no_line = || {
        Refusal::new(
            Code::ManifestSignatureForm,
            "there is no line signature = \"\"",
        )
    };
    let range = manifest.signature_range().ok_or_else(no_line)?;
    let parts = (prepared.get(..range.start), prepared.get(range.end..));
    let (Some(before), Some(after)) = parts else {
        return Err(no_line());
    };
    let signed = [before, signature.as_bytes(), after].concat();
    let read_back = Manifest::parse(&signed)?;
    match read_back.signature() == Some(signature) {
        true => Ok(signed),
        false => Err(no_line()),
    }
}

fn at_key(refusal: Refusal, manifest: &Manifest, key: &str) -> Refusal {
    match manifest.span(key) {
        Some(span) => refusal.line(span.line),
        None => refusal,
    }
}

/// Where key and value stand in `[identity]`.
fn place(text: &str, key: &str) -> Option<(Range<usize>, Range<usize>)> {
    let root = document::parse(text).ok()?;
    let identity = Table::root(text, &root).value("identity")?;
    let (key, value) = identity.as_table()?.entries.get_key_value(key)?;
    Some((key.span(), value.span()))
}

fn fill_key(text: &str, signer: &Fingerprint) -> Option<String> {
    let (_, value) = place(text, "public_key")?;
    splice(text, value, &format!("\"{signer}\""))
}

/// Brings the signature's line into its form: added below `public_key` if it is
/// missing; rewritten if it is there, with a comment behind it moved above it.
fn empty_line(text: &str) -> Option<String> {
    let Some((key, value)) = place(text, "signature") else {
        let (_, public_key) = place(text, "public_key")?;
        let end = line_end(text, public_key.end)?;
        return splice(text, end..end, "\nsignature = \"\"");
    };
    let manifest = Manifest::parse(text.as_bytes()).ok()?;
    if let Some(range) = manifest.signature_range() {
        return splice(text, range, "");
    }
    let start = text
        .get(..key.start)?
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let end = line_end(text, value.end)?;
    let decoded = text.get(value.clone())?.trim_matches(['"', '\'']);
    let plain = text.get(start..key.start)?.trim().is_empty() && text.get(key)? == "signature";
    if !plain || !matches!(decoded, "" | SIGNATURE_PLACEHOLDER) {
        return None;
    }
    let line = match text.get(value.end..end)?.trim() {
        "" => "signature = \"\"".to_owned(),
        comment if comment.starts_with('#') => format!("{comment}\nsignature = \"\""),
        _ => return None,
    };
    splice(text, start..end, &line)
}

fn line_end(text: &str, from: usize) -> Option<usize> {
    Some(from + text.get(from..)?.find('\n').unwrap_or(text.len() - from))
}

fn splice(text: &str, range: Range<usize>, with: &str) -> Option<String> {
    Some([text.get(..range.start)?, with, text.get(range.end..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789ABCDEF0123456789ABCDEF01234567";
    const REST: &str = "\n[plugin]\nname = \"H\"\nversion = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"wasm\"\nentrypoint = \"p.wasm\"\n";

    fn prepared(identity: &str) -> Result<String, Refusal> {
        let text = format!("# kept\n[identity]\nplugin_id = \"com.a.b\"\n{identity}{REST}");
        let bytes = prepare_for_signing(text.as_bytes(), &Fingerprint::parse(KEY).unwrap())?;
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with("# kept\n[identity]\nplugin_id = \"com.a.b\"\n")
                && text.ends_with(REST)
        );
        Ok(text)
    }

    #[test]
    fn key_and_signature_lines_are_filled_in_and_all_else_stays() {
        let done = format!("public_key = \"{KEY}\"\nsignature = \"\"\n");
        for identity in [
            "public_key = \"\"\n".to_owned(),
            "public_key = \"FINGERPRINT\"\nsignature = \"BASE64_GPG_SIG\"\n".to_owned(),
            format!("public_key = \"{KEY}\"\nsignature = \"AAAA\"\n"),
            format!("public_key = '{KEY}'\n  signature='' \n"),
        ] {
            assert!(prepared(&identity).unwrap().contains(&done), "{identity}");
        }
    }

    #[test]
    fn a_comment_behind_the_placeholder_moves_above_the_line() {
        let text = prepared("public_key = \"FINGERPRINT\"  # mine\nsignature  = \"BASE64_GPG_SIG\"   # written by a tool\n").unwrap();
        assert!(text.contains(&format!(
            "public_key = \"{KEY}\"  # mine\n# written by a tool\nsignature = \"\"\n"
        )));
    }

    #[test]
    fn a_manifest_of_another_key_is_not_signed() {
        let other = "F".repeat(40);
        let refusal = prepared(&format!("public_key = \"{other}\"\n")).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.manifest_line),
            (Code::IdentityWrongSigner, Some(4))
        );
    }

    #[test]
    fn forms_that_hide_the_line_are_not_signed() {
        for identity in [
            "public_key = \"\"\n\"signature\" = \"\"\n",
            "public_key = \"\"\nsignature = \"\"\"\n\"\"\"\n",
        ] {
            assert_eq!(
                prepared(identity).unwrap_err().code,
                Code::ManifestSignatureForm,
                "{identity}"
            );
        }
    }

    #[test]
    fn a_signature_goes_between_the_quotes() {
        let text = prepared("public_key = \"\"\n").unwrap();
        let signed = fill_signature(text.as_bytes(), "QUJD").unwrap();
        assert_eq!(Manifest::parse(&signed).unwrap().signature(), Some("QUJD"));
        assert_eq!(
            fill_signature(text.as_bytes(), "a\"\nb = \"")
                .unwrap_err()
                .code,
            Code::SignatureBase64
        );
    }
}
