//! The one place that knows the codec: bincode 2 behind two functions.
//!
//! bincode is no longer maintained (RUSTSEC-2025-0141), so nothing outside
//! this module may name it except by deriving `Encode` and `Decode`.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};

use crate::link::MAX_FRAME;

/// The most memory that one frame may claim while it is decoded. Decoded
/// values may be larger than their encoding, but not by more than this.
pub const DECODE_LIMIT: usize = 4 * MAX_FRAME;

const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT>> =
    bincode::config::standard().with_limit::<DECODE_LIMIT>();

/// Why bytes and a value could not be turned into each other.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The value does not fit into the buffer.
    #[error("message does not fit into a frame")]
    TooLong,
    /// The bytes are not a value of the type asked for.
    #[error("bytes are no message of this type")]
    Malformed,
    /// Bytes are left after the value.
    #[error("bytes follow the message")]
    Trailing,
}

/// Writes `value` to the start of `to` and returns its length in bytes. Does
/// not allocate, so that a signal handler may call it.
pub fn encode<T: bincode::Encode>(value: &T, to: &mut [u8]) -> Result<usize, WireError> {
    bincode::encode_into_slice(value, to, CONFIG).map_err(|_| WireError::TooLong)
}

/// Reads one value that fills `from` exactly.
pub fn decode<T: bincode::Decode<()>>(from: &[u8]) -> Result<T, WireError> {
    let (value, used) =
        bincode::decode_from_slice::<T, _>(from, CONFIG).map_err(|_| WireError::Malformed)?;
    if used == from.len() {
        Ok(value)
    } else {
        Err(WireError::Trailing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_as_it_went() {
        let mut bytes = [0; 64];
        let used = encode(&(7_u32, vec![1_u8, 2, 3]), &mut bytes).unwrap();
        let back: (u32, Vec<u8>) = decode(&bytes[..used]).unwrap();
        assert_eq!(back, (7, vec![1, 2, 3]));
    }

    #[test]
    fn bytes_after_a_value_are_refused() {
        let mut bytes = [0; 64];
        let used = encode(&7_u32, &mut bytes).unwrap();
        assert!(matches!(
            decode::<u32>(&bytes[..=used]),
            Err(WireError::Trailing)
        ));
    }

    #[test]
    fn a_claimed_length_beyond_the_limit_is_refused_before_it_is_allocated() {
        let mut bytes = [0; 16];
        let used = encode(&(1_u64 << 40), &mut bytes).unwrap();
        assert!(matches!(
            decode::<Vec<u8>>(&bytes[..used]),
            Err(WireError::Malformed)
        ));
    }
}
