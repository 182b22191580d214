//! What this process presents and trusts on TLS 1.3 streams (rustls, ring): one holder, replaced as a whole while connections go on.

use crate::model::Fingerprint;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A certificate chain, leaf first, with its private key.
pub struct Presented {
    /// DER, leaf first. A node of a cluster with its own CA sends that CA's certificate last, for those who join with a token.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8.
    pub key: Zeroizing<Vec<u8>>,
}

/// Whom to believe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Whoever one of these CAs (DER) has signed.
    Authorities(Vec<Vec<u8>>),
    /// A server whose chain ends in the CA whose fingerprint begins so: a node that joins with a token.
    Pinned([u8; 16]),
}

/// Why TLS cannot be spoken with what is given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub String);

/// Clones share what is in it.
#[derive(Clone)]
pub struct Credentials {}

impl Credentials {
    /// `presented` is `None` for a client that has no certificate (yet).
    pub fn new(_presented: Option<Presented>, _trust: Trust) -> Result<Self, TlsError> {
        unimplemented!()
    }

    /// Takes effect with the next handshake.
    pub fn replace(&self, _presented: Option<Presented>, _trust: Trust) -> Result<(), TlsError> {
        unimplemented!()
    }

    /// For accepting. Clients without a certificate are let through: who may ask what without one is the server's decision.
    pub fn server(&self) -> Arc<rustls::ServerConfig> {
        unimplemented!()
    }

    /// For connecting.
    pub fn client(&self) -> Arc<rustls::ClientConfig> {
        unimplemented!()
    }
}

/// SHA-256.
pub fn fingerprint(_der: &[u8]) -> Fingerprint {
    unimplemented!()
}
