//! A node's Ed25519 key (RFC 8032): its certificate is for it, and its datagrams, words and requests to join are signed with it.

use crate::model::PublicKey;
use serde::{Deserialize, Serialize};

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

/// 64 bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signature(pub Vec<u8>);

/// A private key, wiped when dropped.
pub struct NodeKey {}

/// It is no Ed25519 key in PKCS#8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an Ed25519 private key in PKCS#8 form")]
pub struct BadKey;

impl NodeKey {
    /// A new one from the system's randomness.
    pub fn generate() -> Self {
        unimplemented!()
    }

    /// Reads PKCS#8 v2 (RFC 5958), as [`NodeKey::pkcs8`] gives it.
    pub fn from_pkcs8(_der: &[u8]) -> Result<Self, BadKey> {
        unimplemented!()
    }

    /// For the disk.
    pub fn pkcs8(&self) -> &[u8] {
        unimplemented!()
    }

    /// What others check signatures with.
    pub fn public(&self) -> PublicKey {
        unimplemented!()
    }

    /// Signs `message` for one purpose.
    pub fn sign(&self, _purpose: Purpose, _message: &[u8]) -> Signature {
        unimplemented!()
    }
}

/// Whether `signature` is by the holder of `key`, over `message`, for this purpose.
pub fn verify(_key: &PublicKey, _purpose: Purpose, _message: &[u8], _signature: &Signature) -> bool {
    unimplemented!()
}
