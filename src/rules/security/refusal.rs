//! Why a change of the security state is refused, with the next step.

use crate::model::{Fingerprint, IdentityName, KeyId, NodeName, TokenId};
use serde::{Deserialize, Serialize};

/// Why a change of [`Security`](super::Security) was not made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum SecurityRefusal {
    /// The token was never made, is used up or revoked, or expired long ago.
    #[error(
        "token {0} is not valid: it was used up, revoked, has expired, or is another cluster's; make one with `lvs-agent token create`"
    )]
    NoSuchToken(TokenId),
    /// The token has expired.
    #[error(
        "token {0} has expired by the clock of the leader: make another with `lvs-agent token create`; if this one should still be good, set the \
         leader's clock right"
    )]
    TokenExpired(TokenId),
    /// The token is for other roles.
    #[error("token {id} is for {allowed}, this node wants to be {asked}: make one with `lvs-agent token create --roles {asked}`")]
    TokenRoles {
        /// The token.
        id: TokenId,
        /// The roles that it is for.
        allowed: String,
        /// The roles that were asked for, separated by commas.
        asked: String,
    },
    /// Too many of something.
    #[error("there are {0} {1} already: revoke some first")]
    TooMany(usize, String),
    /// No such gossip key.
    #[error("there is no gossip key {0}")]
    NoSuchKey(KeyId),
    /// The key in use cannot be dropped.
    #[error("gossip key {0} is in use")]
    KeyInUse(KeyId),
    /// No such CA.
    #[error("no ca {0} is trusted")]
    NoSuchAuthority(Fingerprint),
    /// The issuing CA cannot be dropped.
    #[error("ca {0} signs certificates")]
    AuthorityInUse(Fingerprint),
    /// One rotation at a time.
    #[error("a rotation is under way: wait until it is done (`lvs-agent status`)")]
    Rotating,
    /// Certificates come from an external CA.
    #[error("this cluster's certificates come from your own ca ([tls] in agent.toml): rotate it there")]
    NotOurs,
    /// No such identity.
    #[error("no remote identity is called {0}")]
    NoSuchIdentity(IdentityName),
    /// The name is not barred, so the node joins like any other.
    #[error("{0} is not barred: run `lvs-agent join SEED` on it")]
    NotBarred(NodeName),
    /// The cluster has its own CA, and bars no names.
    #[error(
        "this cluster bars no names: make a token with `lvs-agent token create`, and run `lvs-agent join SEED --token T` on {0}"
    )]
    NeedsToken(NodeName),
    /// The list of barred names is full. No name is dropped from it to make room.
    #[error(
        "{0} removed nodes are barred already: let those in again whose certificates have ended (`lvs-agent node allow NAME`), then remove this one"
    )]
    TooManyBarred(usize),
    /// There is no such token to revoke.
    #[error("there is no token {0}, so nobody can join with it: `lvs-agent token list` shows those that there are")]
    NotThere(TokenId),
}
