//! A node's Ed25519 key (RFC 8032): its certificate is for it, and its datagrams, words and requests to join are signed with it.

use crate::model::PublicKey;
use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// Length of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// What a signature is for. It is part of what is signed, so that one purpose's signature is worth nothing for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A datagram between agents.
    Datagram,
    /// All that a node publishes in gossip.
    Word,
    /// A request to join, by the node's own key.
    Join,
    /// A request to join, by the token's key.
    Token,
}

impl Purpose {
    /// Stands before what is signed. None is the beginning of another. TLS signs with the same key, but only what begins with 64 spaces
    /// (RFC 8446 §4.4.3), and certificate requests begin with a DER sequence (RFC 2986), so neither is ever one of these.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Purpose::Datagram => b"lvs-agent datagram 3\0",
            Purpose::Word => b"lvs-agent word 1\0",
            Purpose::Join => b"lvs-agent join 1\0",
            Purpose::Token => b"lvs-agent token 1\0",
        }
    }

    fn of(self, message: &[u8]) -> Vec<u8> {
        [self.prefix(), message].concat()
    }
}

/// 64 bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signature(pub Vec<u8>);

/// A private key. Its PKCS#8 form is wiped when dropped; the form that *ring* computes with is beyond our reach.
pub struct NodeKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: Ed25519KeyPair,
}

/// It is no Ed25519 key in PKCS#8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an Ed25519 private key in PKCS#8 form")]
pub struct BadKey;

impl NodeKey {
    /// A new one from the system's randomness.
    pub fn generate() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("the kernel gives randomness");
        Self::from_pkcs8(document.as_ref()).expect("a key that was just made is one")
    }

    /// Reads PKCS#8 v2 (RFC 5958), as [`NodeKey::pkcs8`] gives it.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, BadKey> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| BadKey)?;
        Ok(Self { pkcs8: Zeroizing::new(der.to_vec()), pair })
    }

    /// For the disk.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// What others check signatures with.
    pub fn public(&self) -> PublicKey {
        public_of(&self.pair)
    }

    /// Signs `message` for one purpose.
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> Signature {
        sign_with(&self.pair, purpose, message)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node key {}", self.public())
    }
}

/// The public half of a key pair.
pub(super) fn public_of(pair: &Ed25519KeyPair) -> PublicKey {
    PublicKey(pair.public_key().as_ref().try_into().expect("an Ed25519 public key is 32 bytes"))
}

/// Signs with a key that is no node's.
pub(super) fn sign_with(pair: &Ed25519KeyPair, purpose: Purpose, message: &[u8]) -> Signature {
    Signature(pair.sign(&purpose.of(message)).as_ref().to_vec())
}

/// Whether `signature` is by the holder of `key`, over `message`, for this purpose.
pub fn verify(key: &PublicKey, purpose: Purpose, message: &[u8], signature: &Signature) -> bool {
    UnparsedPublicKey::new(&ED25519, key.0).verify(&purpose.of(message), &signature.0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Purpose; 4] = [Purpose::Datagram, Purpose::Word, Purpose::Join, Purpose::Token];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_signature_is_good_for_its_key_its_purpose_and_its_message_only(
            message: Vec<u8>, other: Vec<u8>, purpose in 0..4_usize, wrong in 0..4_usize, bit in 0..SIGNATURE_BYTES * 8,
        ) {
            let key = NodeKey::generate();
            let mut signature = key.sign(ALL[purpose], &message);
            prop_assert_eq!(signature.0.len(), SIGNATURE_BYTES);
            prop_assert!(verify(&key.public(), ALL[purpose], &message, &signature));
            prop_assert_eq!(verify(&key.public(), ALL[wrong], &message, &signature), wrong == purpose);
            prop_assert_eq!(verify(&key.public(), ALL[purpose], &other, &signature), other == message);
            prop_assert!(!verify(&NodeKey::generate().public(), ALL[purpose], &message, &signature));
            signature.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify(&key.public(), ALL[purpose], &message, &signature));
        }

        #[test]
        fn nothing_of_any_length_is_a_signature_or_a_key(bytes: Vec<u8>) {
            let key = NodeKey::generate();
            prop_assert!(!verify(&key.public(), Purpose::Word, b"word", &Signature(bytes.clone())));
            prop_assert!(NodeKey::from_pkcs8(&bytes).is_err());
        }
    }

    #[test]
    fn a_key_comes_back_from_its_disk_form() {
        let key = NodeKey::generate();
        let again = NodeKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(verify(&key.public(), Purpose::Join, b"let me in", &again.sign(Purpose::Join, b"let me in")));
        assert!(!format!("{key:?}").contains("pkcs8"));
    }

    #[test]
    fn no_purpose_is_the_beginning_of_another() {
        for (i, one) in ALL.iter().enumerate() {
            assert!(ALL.iter().enumerate().all(|(j, other)| i == j || !other.prefix().starts_with(one.prefix())));
        }
    }
}
