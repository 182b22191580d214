//! The one codec of the project: bincode with a size limit in both directions, and nothing left over.
//!
//! bincode 2 is frozen (RUSTSEC-2025-0141), so that only this file names it.

use serde::{Serialize, de::DeserializeOwned};

/// Why a value could not be made into bytes, or bytes into a value.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// More bytes than the caller allows.
    #[error("message of {bytes} bytes is longer than the limit of {limit}")]
    TooLong {
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The value cannot be written in this format.
    #[error("value cannot be encoded")]
    Encode(#[source] bincode::error::EncodeError),
    /// The bytes are no such value.
    #[error("bytes are no valid message")]
    Decode(#[source] bincode::error::DecodeError),
    /// A whole value, and then more.
    #[error("{0} bytes are left over after the message")]
    LeftOver(usize),
}

/// The bytes of `value`, at most `limit`.
pub fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(CodecError::Encode)?;
    if bytes.len() > limit {
        return Err(CodecError::TooLong { bytes: bytes.len(), limit });
    }
    Ok(bytes)
}

/// The value that `bytes` are, if they are at most `limit` and exactly one value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong { bytes: bytes.len(), limit });
    }
    let (value, used) = decode_bounded(bytes).map_err(CodecError::Decode)?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(CodecError::LeftOver(rest)),
    }
}

/// Decodes with a bound on what lengths inside the message may make bincode allocate. bincode takes that bound as a constant and counts a
/// value's size in memory (8 bytes for a number that took 1 on the wire), hence steps, each 16 times the longest message it serves.
fn decode_bounded<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), bincode::error::DecodeError> {
    const SMALL: usize = 64 << 10;
    const LARGE: usize = 4 << 20;
    let config = bincode::config::standard();
    if bytes.len() <= SMALL {
        bincode::serde::decode_from_slice(bytes, config.with_limit::<{ 16 * SMALL }>())
    } else if bytes.len() <= LARGE {
        bincode::serde::decode_from_slice(bytes, config.with_limit::<{ 16 * LARGE }>())
    } else {
        bincode::serde::decode_from_slice(bytes, config.with_limit::<{ 1 << 30 }>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Sample = BTreeMap<String, Vec<u64>>;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(sample: Sample) {
            let bytes = encode(&sample, 1 << 20).unwrap();
            prop_assert_eq!(decode::<Sample>(&bytes, bytes.len()).unwrap(), sample);
        }

        #[test]
        fn random_bytes_are_refused_or_a_value_but_never_a_panic(bytes: Vec<u8>) {
            if let Ok(sample) = decode::<Sample>(&bytes, 1 << 20) {
                prop_assert!(encode(&sample, 1 << 20).is_ok());
            }
        }
    }

    #[test]
    fn many_small_numbers_fit_the_bound_on_memory() {
        for count in [60 << 10, 3 << 20, 5 << 20] {
            let sample = vec![1_u64; count];
            let bytes = encode(&sample, usize::MAX).unwrap();
            assert_eq!(decode::<Vec<u64>>(&bytes, bytes.len()).unwrap(), sample);
        }
    }

    #[test]
    fn longer_than_the_limit_is_refused_in_both_directions() {
        let text = "x".repeat(100);
        assert!(matches!(encode(&text, 100), Err(CodecError::TooLong { bytes: 101, limit: 100 })));
        let bytes = encode(&text, 101).unwrap();
        assert!(matches!(decode::<String>(&bytes, 100), Err(CodecError::TooLong { bytes: 101, limit: 100 })));
    }

    #[test]
    fn left_over_bytes_are_refused() {
        let mut bytes = encode(&7_u32, 10).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes, 10), Err(CodecError::LeftOver(1))));
    }

    #[test]
    fn a_length_that_lies_is_refused_before_memory_is_taken() {
        // A string that says it is 2^60 bytes long.
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert!(matches!(decode::<String>(&bytes, 100), Err(CodecError::Decode(_))));
    }
}
