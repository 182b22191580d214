//! What the agent must offer for the admin protocol to be served.

use super::{
    error::AdminError,
    message::{
        Founded, IdentityMade, IdentityRequest, IdentityStatus, LeaveRequest, Membership, TokenMade, TokenRequest, TokenStatus,
    },
    status::Status,
};
use crate::{
    model::{IdentityName, NodeName, Roles, TokenId},
    rules::{RuleSet, Warning},
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
