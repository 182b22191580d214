//! What a certificate says of its holder. The same form for the cluster's own CA and for certificates made elsewhere.
//!
//! | field | node | remote identity |
//! |---|---|---|
//! | subject CN | the node's name | the identity's name |
//! | subject OU, one for each | `lvs-director`, `lvs-real-server`, `lvs-witness` | `lvs-admin` or `lvs-read-only` |
//! | subject O | the cluster's identity (own CA only) | the same |
//! | subject serialNumber | the node's number (own CA only) | |
//! | SAN DNS | `node.lvs-agent` (own CA only) | |

use crate::model::{Access, Fingerprint, IdentityName, NodeId, NodeName, PublicKey, Roles};

/// Whose certificate it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A node's.
    Node {
        /// Its name.
        name: NodeName,
        /// What it may do.
        roles: Roles,
        /// Its number; a certificate that was made elsewhere has none.
        id: Option<NodeId>,
    },
    /// A remote administrator's.
    Identity {
        /// Its name.
        name: IdentityName,
        /// What it may do.
        access: Access,
    },
}

/// A certificate that was read. Nothing here says that it is to be trusted: TLS does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
    /// Whose.
    pub subject: Subject,
    /// The cluster it is for; a certificate that was made elsewhere does not say.
    pub cluster_id: Option<String>,
    /// The key, if it is an Ed25519 key.
    pub key: Option<PublicKey>,
    /// Unix seconds.
    pub not_before_unix_s: u64,
    /// Unix seconds.
    pub not_after_unix_s: u64,
    /// All of it.
    pub der: Vec<u8>,
}

/// Why a certificate is of no use here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadCertificate {
    /// No X.509 certificate, or one that is too long.
    #[error("not a certificate: {0}")]
    Unreadable(String),
    /// It does not say who its holder is.
    #[error("the certificate does not say whose it is: {0}")]
    Subject(String),
}

impl Certificate {
    /// Reads one (DER, at most 16 KiB).
    pub fn parse(_der: &[u8]) -> Result<Self, BadCertificate> {
        unimplemented!()
    }
}
