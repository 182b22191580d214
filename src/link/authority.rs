//! The cluster's own CA: makes itself, signs nodes' and remote identities' certificates.

use super::{certificate::Certificate, node_key::NodeKey};
use crate::model::{Access, Fingerprint, IdentityName, NodeId, NodeName, PublicKey, Roles};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a node's certificate lasts. It is renewed after two thirds of that.
pub const NODE_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// How long a CA lasts: rotating it is an operator's decision.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Certificates are valid from so long before they are made, for machines whose clocks are slow.
pub const BACKDATED: Duration = Duration::from_secs(86_400);

/// A CA with its private key (Ed25519).
pub struct Authority {}

/// Why nothing was signed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The stored CA cannot be used.
    #[error("not a ca certificate with its key: {0}")]
    Unusable(String),
    /// The request is no good.
    #[error("the certificate request cannot be signed: {0}")]
    Request(String),
}

/// What a node's certificate is to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSubject<'a> {
    /// The cluster.
    pub cluster_id: &'a str,
    /// The node.
    pub name: &'a NodeName,
    /// Its number.
    pub id: NodeId,
    /// Its roles.
    pub roles: &'a Roles,
}

impl Authority {
    /// A new CA for a cluster. `now`: Unix time.
    pub fn make(_cluster_id: &str, _now: Duration) -> Self {
        unimplemented!()
    }

    /// Reads what [`Authority::certificate`] and [`Authority::pkcs8`] gave.
    pub fn from_parts(_certificate: &[u8], _pkcs8: &[u8]) -> Result<Self, AuthorityError> {
        unimplemented!()
    }

    /// Its certificate (DER).
    pub fn certificate(&self) -> &[u8] {
        unimplemented!()
    }

    /// Its private key, for the disk and for other directors.
    pub fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        unimplemented!()
    }

    /// SHA-256 of its certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        unimplemented!()
    }

    /// Signs a node's request ([`request`]). Gives the certificate and the key that the request proves to hold: the caller decides whether that
    /// key may have it. What the request says of the subject does not count.
    pub fn sign_node(&self, _csr: &[u8], _subject: &NodeSubject<'_>, _now: Duration) -> Result<Certificate, AuthorityError> {
        unimplemented!()
    }

    /// Makes a remote identity's certificate with a key of its own: (certificate, private key as PKCS#8).
    pub fn make_identity(
        &self,
        _cluster_id: &str,
        _name: &IdentityName,
        _access: Access,
        _lifetime: Duration,
        _now: Duration,
    ) -> Result<(Certificate, Zeroizing<Vec<u8>>), AuthorityError> {
        unimplemented!()
    }
}

/// A certificate request (PKCS#10, DER) for a node's key.
pub fn request(_key: &NodeKey) -> Vec<u8> {
    unimplemented!()
}

/// The key that a request is for and proves to hold.
pub fn requested_key(_csr: &[u8]) -> Result<PublicKey, AuthorityError> {
    unimplemented!()
}
