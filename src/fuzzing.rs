//! What `lvs-fuzz` (cluster-tests) throws bytes at: every parser that faces the network or the disk. Not part of the agent.
//!
//! Here, and not in `cluster-tests`, because most parsers are their room's own business. No feature hides it: nothing in the program uses it, so that
//! none of it is linked in, and a feature would have the whole crate built twice.

mod gossip_task;
mod guard;
mod kernel;
mod link;
mod raft;
mod sample;
mod text;
mod tls;

use crate::link::codec;
use serde::{Serialize, de::DeserializeOwned};

/// What a parser made of some bytes. It panics where it breaks a promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// They are a value.
    Taken,
    /// They are none; why, in one line.
    Refused(String),
}

impl<T, E: std::error::Error + 'static> From<Result<T, E>> for Outcome {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(_) => Outcome::Taken,
            Err(error) => Outcome::Refused(crate::base::errors::with_sources(&error)),
        }
    }
}

/// Hands bytes to a parser.
pub type Parse = dyn Fn(&[u8]) -> Outcome;

/// One parser.
pub struct Target {
    /// How it is called for: `room-what`.
    pub name: &'static str,
    /// Bytes that it takes, made by the code that writes them.
    pub seeds: Vec<Vec<u8>>,
    /// Hands it bytes.
    pub parse: Box<Parse>,
    /// Longest input that ever reaches it.
    pub max_bytes: usize,
    /// How much memory it may take at a time: so many bytes for each byte of input, and so many besides.
    pub memory: (usize, usize),
}

impl Target {
    fn new(name: &'static str, seeds: Vec<Vec<u8>>, max_bytes: usize, parse: impl Fn(&[u8]) -> Outcome + 'static) -> Self {
        // What the codec allows a value's lengths to ask for: 16 times a short message's limit (`link::codec`), twice, for it is read and written again.
        Self { name, seeds, parse: Box::new(parse), max_bytes, memory: (200, 4 << 20) }
    }
}

/// All of them.
pub fn targets() -> Vec<Target> {
    [
        link::targets(),
        gossip_task::targets(),
        guard::targets(),
        raft::targets(),
        kernel::targets(),
        text::targets(),
        tls::targets(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A value in the project's codec: what was read can be written, and reads the same again.
fn coded<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Outcome {
    let value = match codec::decode::<T>(bytes, limit) {
        Ok(value) => value,
        Err(error) => return Err::<(), _>(error).into(),
    };
    let written = codec::encode(&value, usize::MAX).expect("what was read can be written");
    let again = codec::decode::<T>(&written, usize::MAX).expect("what was written can be read");
    assert_eq!(codec::encode(&again, usize::MAX).expect("it was written before"), written, "it reads as another value");
    Outcome::Taken
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    codec::encode(value, usize::MAX).expect("samples can be written")
}

fn refused(why: &str) -> Outcome {
    Outcome::Refused(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_taken_so_that_mutations_of_it_reach_deep() {
        for target in targets() {
            assert!(!target.seeds.is_empty(), "{} has no seeds", target.name);
            for (at, seed) in target.seeds.iter().enumerate() {
                assert!(seed.len() <= target.max_bytes, "{} seed {at}", target.name);
                assert_eq!((target.parse)(seed), Outcome::Taken, "{} seed {at}", target.name);
            }
        }
    }
}
