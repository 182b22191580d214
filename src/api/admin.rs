//! What the agent must offer for the admin protocol to be served.

use super::{
    message::{
        Founded, IdentityMade, IdentityRequest, IdentityStatus, LeaveRequest, Membership, TokenMade, TokenRequest, TokenStatus,
    },
    status::Status,
};
use crate::{
    model::{IdentityName, NodeName, Roles, TokenId},
    rules::{Refusal, RuleSet, Warning},
};
use async_trait::async_trait;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// What came of an `apply` that the cluster took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The rules' revision now.
    pub revision: u64,
    /// The rules were not the same before.
    pub changed: bool,
}

/// Why the agent did not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdminError {
    /// This agent is in no cluster yet.
    #[error("not in a cluster: run `lvs-agent init`, or `lvs-agent join SEED --token TOKEN`")]
    NotInCluster,
    /// This agent is in a cluster already.
    #[error(
        "this node is in cluster {0} already: run `lvs-agent leave` first if it shall join another; if no member trusts it any more because the ca was replaced while it was away, give `join` a token (`lvs-agent token create` on a director)"
    )]
    InCluster(String),
    /// This agent is in a cluster, but its member cannot start.
    #[error("this node has not started: {0}")]
    NotStarted(
        /// Why, and what to do.
        String,
    ),
    /// What was asked makes no sense for this node, whatever the cluster is like.
    #[error("{0}")]
    Invalid(String),
    /// There is something to be warned of, and the request is strict.
    #[error("refused because of --strict: nothing is changed")]
    Warned(
        /// What, one line each.
        Vec<String>,
    ),
    /// The cluster decided against it.
    #[error("{0}")]
    Refused(String),
    /// More is lost by it than one may know; it was not said that this is meant.
    #[error("{0}")]
    Unconfirmed(String),
    /// No seed could be asked.
    #[error("no seed answered")]
    NoSeed(
        /// What became of each, and what to do.
        Vec<String>,
    ),
    /// No leader with a quorum behind it could be found.
    #[error("no quorum: {0}")]
    NoQuorum(String),
    /// It is not known whether it happened.
    #[error("{0}")]
    Timeout(String),
    /// The agent's own fault.
    #[error("{0}")]
    Internal(String),
}

impl From<Refusal> for AdminError {
    fn from(refusal: Refusal) -> Self {
        AdminError::Refused(refusal.to_string())
    }
}

/// The agent, as the admin protocol sees it.
///
/// Reads (`status`, `rules`) are dropped when their client goes away or the deadline passes. Changes are not: the server runs them one at a time, each in a task of
/// its own, to their end, whatever becomes of the client. Each must end by itself, at the latest after twice its deadline, when the server aborts it.
#[async_trait]
pub trait Admin: Send + Sync + 'static {
    /// All that this agent knows, at once and without asking other nodes. An agent without a running member answers with
    /// [`Status::without_member`].
    async fn status(&self) -> Status;

    /// The rules as this node has applied them, and their revision.
    async fn rules(&self) -> Result<(u64, RuleSet), AdminError>;

    /// What in a rule set is legal and still hardly meant, as far as this node knows the cluster.
    async fn warnings(&self, rules: &RuleSet) -> Result<Vec<Warning>, AdminError>;

    /// Replaces the cluster's rules; refused when `base` is given and is not the revision that they have by then.
    async fn apply(&self, rules: RuleSet, base: Option<u64>) -> Result<Applied, AdminError>;

    /// Makes a cluster with this node as its first member.
    async fn init(&self) -> Result<Founded, AdminError>;

    /// Makes this node a member of the cluster that one of `seeds` is in; without seeds, of `agent.toml`'s seeds. `token`: see `link::token`; a node
    /// that is known to the cluster already, or has a certificate of its own PKI, needs none. A member with a token of its own cluster takes on
    /// the CA that the token names.
    async fn join(&self, seeds: Vec<SocketAddr>, token: Option<Zeroizing<String>>) -> Result<Membership, AdminError>;

    /// Takes this node out of its cluster and puts back what the agent changed on it; by `force` without telling anybody.
    async fn leave(&self, how: LeaveRequest) -> Result<(), AdminError>;

    /// Makes a join token.
    async fn make_token(&self, request: TokenRequest) -> Result<TokenMade, AdminError>;

    /// The join tokens that are still worth something, without their secrets.
    async fn tokens(&self) -> Result<Vec<TokenStatus>, AdminError>;

    /// Makes a join token worthless.
    async fn revoke_token(&self, id: TokenId) -> Result<(), AdminError>;

    /// Takes another node out of the cluster for good; its certificate and keys are worth nothing from then on. Where certificates come from somebody
    /// else's CA, its name is barred, even if it is no member any more.
    async fn remove_node(&self, name: NodeName) -> Result<(), AdminError>;

    /// Lets a barred name in again.
    async fn allow_node(&self, name: NodeName) -> Result<(), AdminError>;

    /// Gives a node other roles.
    async fn set_roles(&self, name: NodeName, roles: Roles) -> Result<(), AdminError>;

    /// Begins to replace the gossip key; the members do the rest by themselves, see [`Status`].
    async fn rotate_keys(&self) -> Result<(), AdminError>;

    /// Begins to replace the cluster's CA and every node's certificate; the members do the rest by themselves, see [`Status`].
    async fn rotate_authority(&self) -> Result<(), AdminError>;

    /// Makes a certificate for the remote API.
    async fn make_identity(&self, request: IdentityRequest) -> Result<IdentityMade, AdminError>;

    /// Who may use the remote API.
    async fn identities(&self) -> Result<Vec<IdentityStatus>, AdminError>;

    /// Makes a remote identity's certificate worthless.
    async fn revoke_identity(&self, name: IdentityName) -> Result<(), AdminError>;
}
