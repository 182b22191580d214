//! Join tokens: what proves the cluster to a joining node, and the joining node to the cluster.
//!
//! A token is 16 random bytes, from which an Ed25519 key follows, the first 16 bytes of the fingerprint of the cluster's CA, and a checksum,
//! as `lvs1_` and base32. The cluster keeps the public key only, so no member can use a token that it has seen the use of, and a captured use is worth
//! nothing for another node.

use super::node_key::Signature;
use crate::model::{Fingerprint, PublicKey, TokenId};
use std::str::FromStr;

/// A join token. [`JoinToken::text`] is the secret itself; Debug shows the id only.
#[derive(Clone)]
pub struct JoinToken {}

/// Why a text is no token.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadToken {
    /// It does not begin like one.
    #[error("this is not a join token: one begins with `lvs1_`; make one with `lvs-agent token create` on a director")]
    NotOne,
    /// Letters are missing or wrong.
    #[error("the join token is damaged: copy it again, whole")]
    Damaged,
}

impl JoinToken {
    /// A new one for the cluster whose CA has this fingerprint.
    pub fn make(_authority: Fingerprint) -> Self {
        unimplemented!()
    }

    /// What a person copies.
    pub fn text(&self) -> String {
        unimplemented!()
    }

    /// Its name.
    pub fn id(&self) -> TokenId {
        unimplemented!()
    }

    /// What the cluster keeps.
    pub fn public(&self) -> PublicKey {
        unimplemented!()
    }

    /// Whether it was made for the cluster with this CA.
    pub fn is_for(&self, _authority: &Fingerprint) -> bool {
        unimplemented!()
    }

    /// Signs a request to join ([`super::node_key::Purpose::Token`]).
    pub fn sign(&self, _message: &[u8]) -> Signature {
        unimplemented!()
    }
}

impl FromStr for JoinToken {
    type Err = BadToken;
    fn from_str(_text: &str) -> Result<Self, BadToken> {
        unimplemented!()
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "token {}", self.id())
    }
}
