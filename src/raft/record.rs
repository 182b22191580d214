//! The form of a value on disk: a checksum over its place and its bytes, so that a flipped bit or a swapped record is found.

use crate::link::codec::{self, CodecError};
use ring::digest::{Context, SHA256};
use serde::{Serialize, de::DeserializeOwned};

/// Half of a SHA-256: no accident gets past it.
const CHECKSUM_BYTES: usize = 16;

/// The faults of a record.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// The checksum does not fit place and content.
    #[error("{place} does not fit its checksum")]
    Checksum {
        /// Where it stands.
        place: String,
    },
    /// The checksum is right, but this version cannot decode the bytes.
    #[error("{place} is not understood by this version")]
    Content {
        /// Where it stands.
        place: String,
        /// Why.
        #[source]
        source: CodecError,
    },
}

/// The bytes to write for `value` at `place`. Its content is at most `limit` long.
pub fn seal<T: Serialize>(place: &str, value: &T, limit: usize) -> Result<Vec<u8>, CodecError> {
    let content = codec::encode(value, limit)?;
    let mut record = checksum(place, &content).to_vec();
    record.extend_from_slice(&content);
    Ok(record)
}

/// The value that was written at `place`.
pub fn open<T: DeserializeOwned>(place: &str, record: &[u8], limit: usize) -> Result<T, BadRecord> {
    let whole = record.split_at_checked(CHECKSUM_BYTES).filter(|(sum, content)| *sum == checksum(place, content));
    let Some((_, content)) = whole else { return Err(BadRecord::Checksum { place: place.to_owned() }) };
    codec::decode(content, limit).map_err(|source| BadRecord::Content { place: place.to_owned(), source })
}

fn checksum(place: &str, content: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(place.as_bytes());
    context.update(&[0]);
    context.update(content);
    let digest = context.finish();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&digest.as_ref()[..CHECKSUM_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 16;

    proptest! {
        #[test]
        fn any_flipped_bit_is_found(value: Vec<u16>, bit: prop::sample::Index) {
            let mut record = seal("entry 7", &value, LIMIT).unwrap();
            prop_assert_eq!(&open::<Vec<u16>>("entry 7", &record, LIMIT).unwrap(), &value);
            let bit = bit.index(record.len() * 8);
            record[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open::<Vec<u16>>("entry 7", &record, LIMIT).is_err());
        }
    }

    #[test]
    fn a_record_at_another_place_or_cut_short_is_refused() {
        let record = seal("entry 7", &7_u64, LIMIT).unwrap();
        assert!(matches!(open::<u64>("entry 8", &record, LIMIT), Err(BadRecord::Checksum { .. })));
        for length in 0..record.len() {
            assert!(open::<u64>("entry 7", &record[..length], LIMIT).is_err(), "{length} bytes were taken");
        }
    }

    #[test]
    fn whole_bytes_of_another_kind_are_not_understood() {
        let record = seal("entry 7", &"text", LIMIT).unwrap();
        assert!(matches!(open::<u64>("entry 7", &record, LIMIT), Err(BadRecord::Content { .. })));
    }
}
