//! The text of a manifest: the first of a stranger's bytes that the broker parses.

use gm_manifest::{
    Fingerprint, Manifest, Refusal, fill_signature, forget_signer, prepare_for_signing,
};

use crate::acts;

/// A refusal has a code of its class and a line of the text, and is harmless to look
/// at; what is accepted reads the same again, also after it was signed.
pub fn manifest_text(data: &[u8]) -> bool {
    let read = Manifest::parse(data);
    match &read {
        Ok(manifest) => accepted(manifest, data),
        Err(refusal) => refused(refusal, data),
    }
    read.is_ok()
}

fn refused(refusal: &Refusal, data: &[u8]) {
    let shown = refusal.to_string();
    assert_eq!(refusal.code.class(), "manifest", "{shown}");
    assert!(!shown.chars().any(acts), "{shown:?}");
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    match (refusal.code.as_str(), refusal.manifest_line) {
        // Of these no line is to blame.
        ("manifest/too-big" | "manifest/missing-key", None) => {}
        (_, Some(line)) => assert!((1..=lines).contains(&(line as usize)), "{shown}"),
        (_, None) => panic!("no line: {shown}"),
    }
}

fn accepted(manifest: &Manifest, data: &[u8]) {
    assert_eq!(manifest.raw(), data);
    assert!(!manifest.name().chars().any(acts), "{:?}", manifest.name());
    let text = manifest.permissions().to_text();
    let again = gm_manifest::Permissions::parse_text(&text).unwrap();
    assert_eq!(&again, manifest.permissions(), "{text}");
    assert!(again.beyond(manifest.permissions()).is_empty());
    for finding in manifest.lint() {
        let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
        let line = finding.line.map_or(1, |line| line as usize);
        assert!((1..=lines).contains(&line), "{finding:?}");
        assert!(!finding.detail.chars().any(acts), "{finding:?}");
    }
    signed(manifest);
}

/// Signing changes key and signature and nothing else.
fn signed(manifest: &Manifest) {
    let key = Fingerprint::parse(&"A1".repeat(20)).unwrap();
    let Ok(emptied) = forget_signer(manifest.raw()) else {
        return;
    };
    let Ok(prepared) = prepare_for_signing(&emptied, &key) else {
        return;
    };
    let filled = fill_signature(&prepared, "QUJD").unwrap();
    let read = Manifest::parse(&filled).unwrap();
    assert_eq!(
        (read.public_key(), read.signature()),
        (Some(&key), Some("QUJD"))
    );
    assert_eq!(read.id(), manifest.id());
    assert_eq!(read.paths(), manifest.paths());
    assert_eq!(read.hooks(), manifest.hooks());
    assert_eq!(read.permissions(), manifest.permissions());
    assert_eq!(
        forget_signer(&filled).unwrap(),
        forget_signer(&prepared).unwrap()
    );
}
