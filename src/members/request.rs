//! The request to become a member: its content, its signatures, and the answers.

use crate::{
    link::{
        codec::{self, CodecError},
        node_key::{NodeKey, Purpose, Signature, verify},
        token::JoinToken,
    },
    model::{Fingerprint, NodeId, NodeName, NodeRecord, PublicKey, Role, Roles, TimingProfile, TokenId, ZoneName},
    rules::CommandRefusal,
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// Longest request before it is signed: names, roles, addresses, keys.
pub const MAX_REQUEST_BYTES: usize = 2 << 10;
/// Longest version text that is accepted for the log.
const MAX_VERSION_BYTES: usize = 64;

/// A node wants to become a member, or a member tells that it comes back with another address or zone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Its name.
    pub name: NodeName,
    /// The roles it wants; a member that comes back keeps those it has.
    pub roles: Roles,
    /// Its gossip and Raft address.
    pub addr: SocketAddr,
    /// What fails together with it.
    pub zone: Option<ZoneName>,
    /// The public key of the node. The request is signed with it, too.
    pub key: PublicKey,
    /// The agent's version; for the log.
    pub version: String,
    /// The profile its configuration asks for; `None`: whatever the cluster has.
    pub timing: Option<TimingProfile>,
    /// The cluster and the number whose data the node already has.
    pub known: Option<(String, NodeId)>,
    /// The cluster's CA as the seed has shown it, so that a request for one cluster is worth nothing in another; `None` with an external CA.
    pub authority: Option<Fingerprint>,
    /// When it was signed, by the node's clock. Unix seconds.
    pub at_unix_s: u64,
}

/// A request as its node signed it. Members pass it on unchanged; the leader decodes it and decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedJoin {
    /// The [`JoinRequest`], encoded once: what is signed is what is read.
    pub request: Vec<u8>,
    /// By the node's key.
    pub by_node: Signature,
    /// The token that lets the node in, and the token's signature.
    pub by_token: Option<(TokenId, Signature)>,
}

impl SignedJoin {
    /// Signs a request.
    ///
    /// # Errors
    /// The request is too long.
    pub fn sign(request: &JoinRequest, key: &NodeKey, token: Option<&JoinToken>) -> Result<Self, CodecError> {
        let request = codec::encode(request, MAX_REQUEST_BYTES)?;
        let by_node = key.sign(Purpose::Join, &request);
        let by_token = token.map(|token| (token.id(), token.sign(&request)));
        Ok(Self { request, by_node, by_token })
    }

    /// Checks the node's signature and decodes the request, once; the result is given to the deciding code.
    ///
    /// # Errors
    /// [`JoinRefusal::Unreadable`], [`JoinRefusal::Forged`].
    pub fn verify(self) -> Result<VerifiedJoin, JoinRefusal> {
        let request: JoinRequest =
            codec::decode(&self.request, MAX_REQUEST_BYTES).map_err(|error| JoinRefusal::Unreadable(error.to_string()))?;
        if !verify(&request.key, Purpose::Join, &self.request, &self.by_node) {
            return Err(JoinRefusal::Forged);
        }
        if request.version.len() > MAX_VERSION_BYTES {
            return Err(JoinRefusal::Unreadable("its version is too long".to_owned()));
        }
        Ok(VerifiedJoin { request, signed: self })
    }
}

/// A request that was signed with the key in it. Whether the node may join is decided elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedJoin {
    request: JoinRequest,
    signed: SignedJoin,
}

impl VerifiedJoin {
    /// What is asked.
    pub fn request(&self) -> &JoinRequest {
        &self.request
    }

    /// The request as its node signed it, to be passed on.
    pub fn signed(&self) -> &SignedJoin {
        &self.signed
    }

    /// The token that is to let the node in.
    pub fn token(&self) -> Option<TokenId> {
        self.signed.by_token.as_ref().map(|(id, _)| *id)
    }

    /// Whether the request was signed with this token's key.
    pub fn is_by(&self, token: &PublicKey) -> bool {
        let signed = &self.signed;
        signed.by_token.as_ref().is_some_and(|(_, signature)| verify(token, Purpose::Token, &signed.request, signature))
    }
}

/// The node is a member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinAccepted {
    /// The cluster.
    pub cluster_id: String,
    /// Its number.
    pub id: NodeId,
    /// The cluster's rhythm.
    pub timing: TimingProfile,
    /// All members.
    pub nodes: Vec<NodeRecord>,
    /// Certificates (DER) of the CAs that are trusted; none where they come from elsewhere.
    pub authorities: Vec<Vec<u8>>,
}

impl JoinAccepted {
    /// The members that sign certificates.
    pub fn directors(&self) -> impl Iterator<Item = &NodeRecord> {
        self.nodes.iter().filter(|node| node.roles.has(Role::Director))
    }
}

/// The node was not let in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefusal {
    /// Profiles differ.
    #[error("the cluster's timing profile is `{cluster}`, this node's `{asked}`: set `timing = \"{cluster}\"` in agent.toml")]
    Timing {
        /// The cluster's.
        cluster: TimingProfile,
        /// The node's.
        asked: TimingProfile,
    },
    /// A living member has the name.
    #[error(
        "a node at {addr} is called {name}, and is still heard or was let in a moment ago: give this node another name; or, if it shall take that one's \
         place, stop that one and wait until `lvs-agent node list` shows it as not heard, or run `lvs-agent node remove {name}` on a director"
    )]
    NameTaken {
        /// The name.
        name: NodeName,
        /// Who has it.
        addr: SocketAddr,
    },
    /// The node has another cluster's data.
    #[error("this node has data of cluster {theirs}, the seed belongs to {ours}: run `lvs-agent leave` here to join anew")]
    OtherCluster {
        /// What the node has.
        theirs: String,
        /// The seed's.
        ours: String,
    },
    /// The node's number is no member's any more.
    #[error(
        "{id} is no member any more, it left or was replaced: run `lvs-agent leave` here, then `lvs-agent join SEED --token T`"
    )]
    Forgotten {
        /// The number.
        id: NodeId,
    },
    /// The node has a member's data, but not its key.
    #[error(
        "{id} is a member with another key than this node's node.key: run `lvs-agent leave` here, then `lvs-agent join SEED --token T`"
    )]
    OtherKey {
        /// The number.
        id: NodeId,
    },
    /// Another member has the node's key.
    #[error("{name} at {addr} has the same node.key, so this data directory is a copy: remove it and join anew")]
    KeyTaken {
        /// Who has it.
        name: NodeName,
        /// Where.
        addr: SocketAddr,
    },
    /// A member comes back and wants to be more than it is.
    #[error(
        "{name} is {has} in this cluster, not {asked}: run `lvs-agent node rename-roles {name} --roles {asked}` on a director"
    )]
    Roles {
        /// The member.
        name: NodeName,
        /// What it is, separated by commas.
        has: String,
        /// What it wants to be.
        asked: String,
    },
    /// The node has no token, and nothing else lets it in.
    #[error(
        "a node that is no member needs a token: run `lvs-agent token create --roles {roles}` on a director, and here `lvs-agent join SEED --token T`"
    )]
    NoToken {
        /// What it wants to be, separated by commas.
        roles: String,
    },
    /// The token's id is known, but its signature is wrong.
    #[error("token {0} has not signed this request: copy the token again, whole")]
    ForgedToken(TokenId),
    /// The node's own signature is wrong.
    #[error(
        "the request is not signed with the key that it names: run `lvs-agent join` again; if that stays so, install the same lvs-agent version on both"
    )]
    Forged,
    /// Signed for another cluster, or under a CA that is trusted no more.
    #[error(
        "the request was signed for another CA than this cluster's: make a token with `lvs-agent token create` on a director"
    )]
    OtherAuthority,
    /// Signed long ago, or in the future.
    #[error("the request was signed {} s {} by this cluster's clock: set this node's clock right", .s.unsigned_abs(), if *.s < 0 { "ahead" } else { "ago" })]
    Clock {
        /// How long ago.
        s: i64,
    },
    /// The cluster uses an external CA, and the node has shown no certificate.
    #[error("this cluster's certificates come from your own CA: set `[tls]` in this node's agent.toml")]
    NoCertificate,
    /// The certificate does not cover the name or the roles that are asked for.
    #[error(
        "this node's certificate says {has}, it asks to be {asked}: have a certificate made that says so, see `[tls]` in agent.toml"
    )]
    Certificate {
        /// Name and roles in the certificate.
        has: String,
        /// Name and roles that are asked for.
        asked: String,
    },
    /// Only the leader may see the certificate.
    #[error("the leader at {0} decides: run `lvs-agent join {0}`")]
    AskLeader(SocketAddr),
    /// No node can be reached there.
    #[error("{0} is no address of a node: set `address` in agent.toml to where the others reach this one")]
    Address(SocketAddr),
    /// The bytes are no request.
    #[error("the request is not understood ({0}): install the same lvs-agent version on both")]
    Unreadable(String),
    /// Refused too often lately.
    #[error("too many requests from this address were refused: wait {wait_s} s and try again")]
    TooOften {
        /// How long.
        wait_s: u64,
    },
    /// The cluster's rules forbid it.
    #[error("{0}")]
    Refused(CommandRefusal),
    /// No leader can decide now.
    #[error(
        "the cluster has no leader with a majority behind it: {0}; run `lvs-agent join` again once `lvs-agent status` on a member shows a quorum"
    )]
    NoQuorum(String),
}

impl JoinRefusal {
    /// The refusal depends on the cluster, not on the node: the request is to be tried again, and is not counted against the rate limit.
    pub fn is_passing(&self) -> bool {
        matches!(self, JoinRefusal::NoQuorum(_) | JoinRefusal::AskLeader(_) | JoinRefusal::TooOften { .. })
    }
}

/// Roles as the command line takes them.
pub fn comma_separated(roles: &Roles) -> String {
    roles.iter().map(|role| role.to_string()).collect::<Vec<_>>().join(",")
}

/// Why no certificate was signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum CertifyRefusal {
    /// This node has no CA key.
    #[error("only a director with the CA's key signs certificates: ask {}", Names(directors))]
    NotHere {
        /// Directors that may have it.
        directors: Vec<NodeName>,
    },
    /// No member has that key.
    #[error(
        "no member of this cluster has this node's key: it was removed, or never joined; run `lvs-agent join SEED --token T` here"
    )]
    NoMember,
    /// The cluster has no CA.
    #[error("this cluster's certificates come from your own CA: set `[tls]` in agent.toml")]
    NotOurs,
    /// The request is malformed.
    #[error("{0}")]
    Request(String),
    /// Refused too often lately.
    #[error("too many requests from this address were refused: wait {wait_s} s and try again")]
    TooOften {
        /// How long.
        wait_s: u64,
    },
}

struct Names<'a>(&'a [NodeName]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(NodeName::as_str).collect();
        f.write_str(&if names.is_empty() { "a director".to_owned() } else { names.join(" or ") })
    }
}

#[cfg(test)]
mod size_tests;
#[cfg(test)]
mod tests;
