//! The one codec of the project: bincode with a size limit in both directions, and nothing left over.
//!
//! bincode 2 is frozen (RUSTSEC-2025-0141), so that only this file names it.

use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;

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

/// Values that go out together: each is encoded once, as it comes, and they are given out as lists of at most so many bytes, which [`decode`] takes as `Vec`s.
/// It keeps its room when it is cleared.
#[derive(Debug)]
pub struct Lists<T> {
    limit: usize,
    /// All values, one after the other.
    values: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    list: Vec<u8>,
    of: PhantomData<fn(T)>,
}

impl<T: Serialize> Lists<T> {
    /// A list of more values than its count has room for is cut.
    const COUNT_BYTES: usize = 3;

    /// No values yet. `limit`: of each list.
    pub fn new(limit: usize) -> Self {
        Self { limit, values: Vec::new(), ends: Vec::new(), list: Vec::new(), of: PhantomData }
    }

    /// Takes one value in.
    pub fn push(&mut self, value: &T) -> Result<(), CodecError> {
        let begin = self.values.len();
        let encoded = bincode::serde::encode_into_std_write(value, &mut self.values, bincode::config::standard());
        let bytes = self.values.len() - begin + Self::COUNT_BYTES;
        let refused = match encoded {
            Err(error) => CodecError::Encode(error),
            Ok(_) if bytes > self.limit => CodecError::TooLong { bytes, limit: self.limit },
            Ok(_) => {
                self.ends.push(self.values.len());
                return Ok(());
            }
        };
        self.values.truncate(begin);
        Err(refused)
    }

    /// Gives out all values, in their order, in as few lists as they fit, and forgets them.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) {
        let (mut first, mut from) = (0, 0);
        while first < self.ends.len() {
            let fits = |end: &usize| *end - from + Self::COUNT_BYTES <= self.limit;
            let count = self.ends[first..].iter().take(usize::from(u16::MAX)).take_while(|end| fits(end)).count();
            let to = self.ends[first + count - 1];
            self.list.clear();
            // As a `Vec`: how many there are, then each of them.
            bincode::serde::encode_into_std_write(count, &mut self.list, bincode::config::standard())
                .expect("a number can be written into memory");
            self.list.extend_from_slice(&self.values[from..to]);
            each(&self.list);
            (first, from) = (first + count, to);
        }
        self.values.clear();
        self.ends.clear();
    }
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

    proptest! {
        #[test]
        fn lists_have_all_values_in_order_and_are_as_few_as_fit(values in proptest::collection::vec("[a-z]{0,60}", 0..400)) {
            let mut lists = Lists::new(100);
            for _ in 0..2 {
                values.iter().for_each(|value| lists.push(value).unwrap());
                let mut found: Vec<Vec<String>> = Vec::new();
                lists.drain(|list| found.push(decode(list, 100).unwrap()));
                prop_assert_eq!(found.concat(), values.clone());
                for pair in found.windows(2) {
                    let and_one_more = [&pair[0][..], &pair[1][..1]].concat();
                    prop_assert!(encode(&and_one_more, usize::MAX).unwrap().len() + 2 > 100, "{:?} fits", and_one_more);
                }
            }
        }
    }

    #[test]
    fn a_value_that_fits_no_list_is_refused_and_the_others_stay() {
        let mut lists = Lists::new(20);
        lists.push(&"one".to_owned()).unwrap();
        assert!(matches!(lists.push(&"x".repeat(17)), Err(CodecError::TooLong { bytes: 21, limit: 20 })));
        lists.push(&"two".to_owned()).unwrap();
        let mut found: Vec<Vec<String>> = Vec::new();
        lists.drain(|list| found.push(decode(list, 20).unwrap()));
        assert_eq!(found, [["one", "two"]]);
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
