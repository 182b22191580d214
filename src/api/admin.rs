//! The interface of the agent that the admin protocol serves.

use super::{
    error::AdminError,
    message::{
        IdentityMade, IdentityRequest, IdentityStatus, InitAnswer, JoinAnswer, LeaveRequest, TokenMade, TokenRequest,
        TokenStatus, WithdrawAnswer,
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

/// The result of an `apply` that was committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ApplyOutcome {
    /// The rules' revision now.
    pub revision: u64,
    /// The apply has changed the rules.
    pub changed: bool,
}

/// The agent, as the admin protocol sees it.
///
/// Reads (`status`, `rules`) are dropped when their client goes away or the deadline passes. Changes are not: the server runs them one at a time,
/// each in a task of its own, to their end, whether the client waits or not. Each must end by itself; the server aborts it after twice its deadline.
pub trait Admin: RulesAdmin + MembersAdmin + SecurityAdmin {}

impl<A: RulesAdmin + MembersAdmin + SecurityAdmin> Admin for A {}

/// The cluster's rules, and what this node knows.
#[async_trait]
pub trait RulesAdmin: Send + Sync + 'static {
    /// Everything that this agent knows, at once and without asking other nodes. An agent without a running member answers with
    /// [`Status::without_member`].
    async fn status(&self) -> Status;

    /// The rules as this node has applied them, and their revision.
    async fn rules(&self) -> Result<(u64, RuleSet), AdminError>;

    /// Warnings: the parts of a rule set that are legal but probably not meant, as far as this node knows the cluster.
    async fn warnings(&self, rules: &RuleSet) -> Result<Vec<Warning>, AdminError>;

    /// Replaces the cluster's rules; refused when `base` is given and is not the revision that they have by then.
    async fn apply(&self, rules: RuleSet, base: Option<u64>) -> Result<ApplyOutcome, AdminError>;
}

/// Who is in the cluster.
#[async_trait]
pub trait MembersAdmin: Send + Sync + 'static {
    /// Makes a cluster with this node as its first member.
    async fn init(&self) -> Result<InitAnswer, AdminError>;

    /// Makes this node a member of the cluster that one of `seeds` is in; without seeds, of `agent.toml`'s seeds. `token`: see `link::token`; a node
    /// that is known to the cluster already, or has a certificate of its own PKI, needs none. A member with a token of its own cluster takes on
    /// the CA that the token names.
    async fn join(&self, seeds: Vec<SocketAddr>, token: Option<Zeroizing<String>>) -> Result<JoinAnswer, AdminError>;

    /// Takes this node out of its cluster and puts back what the agent changed on it; with `force` without telling other nodes.
    async fn leave(&self, how: LeaveRequest) -> Result<(), AdminError>;

    /// Takes this node out of service, without leaving its cluster, until its agent is restarted, and puts back what the agent changed in its kernel.
    /// Where it is in no cluster, or its member cannot start, it puts the kernel back.
    async fn withdraw(&self) -> Result<WithdrawAnswer, AdminError>;

    /// Has this node's worker end in order. Its guard goes on, and starts the program that is on disk by then.
    async fn restart_worker(&self) -> Result<(), AdminError>;

    /// Takes another node out of the cluster for good; its certificate and keys are worth nothing from then on. Where certificates come from somebody
    /// else's CA, its name is barred, even if it is no member any more.
    async fn remove_node(&self, name: NodeName) -> Result<(), AdminError>;

    /// Allows a barred name again.
    async fn allow_node(&self, name: NodeName) -> Result<(), AdminError>;

    /// Gives a node other roles.
    async fn set_roles(&self, name: NodeName, roles: Roles) -> Result<(), AdminError>;
}

/// Who may join, administer and take part: tokens, identities, keys.
#[async_trait]
pub trait SecurityAdmin: Send + Sync + 'static {
    /// Makes a join token.
    async fn make_token(&self, request: TokenRequest) -> Result<TokenMade, AdminError>;

    /// The valid join tokens, without their secrets.
    async fn tokens(&self) -> Result<Vec<TokenStatus>, AdminError>;

    /// Revokes a join token.
    async fn revoke_token(&self, id: TokenId) -> Result<(), AdminError>;

    /// Begins to replace the gossip key; the members do the rest by themselves, see [`Status`].
    async fn rotate_keys(&self) -> Result<(), AdminError>;

    /// Begins to replace the cluster's CA and every node's certificate; the members do the rest by themselves, see [`Status`].
    async fn rotate_authority(&self) -> Result<(), AdminError>;

    /// Makes a certificate for the remote API.
    async fn make_identity(&self, request: IdentityRequest) -> Result<IdentityMade, AdminError>;

    /// The identities that may use the remote API.
    async fn identities(&self) -> Result<Vec<IdentityStatus>, AdminError>;

    /// Revokes a remote identity's certificate.
    async fn revoke_identity(&self, name: IdentityName) -> Result<(), AdminError>;
}
