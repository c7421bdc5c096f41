//! Step 0: the text of a signature to its bytes.
//!
//! One text for one signature: whatever decodes to the same bytes but is written
//! in another way is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gm_manifest::{Code, Refusal};

/// The longest text, in bytes: 16 KiB of packet, in base64.
const MAX_TEXT: usize = 22 * 1024;

/// Decodes standard base64 on one line with canonical padding.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Refusal> {
    let refuse = |what: &str| {
        Err(Refusal::new(
            Code::SignatureBase64,
            format!("identity.signature {what}"),
        ))
    };
    if text.len() > MAX_TEXT {
        return refuse("is longer than 22 KiB");
    }
    match STANDARD.decode(text) {
        Ok(bytes) if encode(&bytes) == text => Ok(bytes),
        _ => refuse("is not standard base64"),
    }
}

/// Encodes as it is stored in the manifest.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_text_stands_for_the_bytes() {
        assert_eq!(decode("aGk=").unwrap(), b"hi");
        let long = "A".repeat(22 * 1024 + 4);
        for text in [
            "aGk",
            "aGk==",
            "aGl=",
            "aG k=",
            " aGk=",
            "aGk=\t",
            "aGk=\n",
            "_-8=",
            "aGk=aGk=",
            "-----BEGIN PGP SIGNATURE-----",
            "=",
            &long,
        ] {
            assert_eq!(
                decode(text).unwrap_err().code,
                Code::SignatureBase64,
                "{text:?}"
            );
        }
    }
}
