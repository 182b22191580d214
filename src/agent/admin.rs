//! The admin protocol's orders, carried out: reads at once, changes by Raft, membership by the worker's main loop.

use super::member::Member;
use crate::{
    api::{
        Admin, AdminError, Applied, CHANGE_DEADLINE, Founded, IdentityMade, IdentityRequest, IdentityStatus, JOIN_DEADLINE,
        Membership, Status, TokenMade, TokenRequest, TokenStatus,
    },
    config::AgentConfig,
    model::{IdentityName, NodeName, Roles, TokenId},
    raft::{self, Identity, JoinError, JoinSettings, ProposeError},
    rules::{RuleChange, RuleSet},
};
use async_trait::async_trait;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// What only the main loop can do, with where to say how it went.
pub enum Order {
    /// Make a cluster.
    Init(oneshot::Sender<Result<Membership, AdminError>>),
    /// Enter one.
    Join {
        /// Whom to ask.
        seeds: Vec<SocketAddr>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Membership, AdminError>>,
    },
    /// Go out of it.
    Leave(oneshot::Sender<Result<(), AdminError>>),
}

/// The agent as the API sees it.
pub struct Agent {
    config: Arc<AgentConfig>,
    member: watch::Receiver<Option<Arc<Member>>>,
    orders: mpsc::Sender<Order>,
}

impl Agent {
    /// `member` is the running member, if this node is one.
    pub fn new(config: Arc<AgentConfig>, member: watch::Receiver<Option<Arc<Member>>>, orders: mpsc::Sender<Order>) -> Self {
        Self { config, member, orders }
    }

    fn member(&self) -> Result<Arc<Member>, AdminError> {
        self.member.borrow().clone().ok_or(AdminError::NotInCluster)
    }

    async fn order<T>(&self, make: impl FnOnce(oneshot::Sender<Result<T, AdminError>>) -> Order) -> Result<T, AdminError> {
        let (reply, answer) = oneshot::channel();
        let gone = || AdminError::Internal("the agent is stopping".to_owned());
        self.orders.send(make(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl Admin for Agent {
    async fn status(&self) -> Status {
        match self.member() {
            Ok(member) => member.status(),
            Err(_) => Status::outside(self.config.node.clone()),
        }
    }

    async fn rules(&self) -> Result<(u64, RuleSet), AdminError> {
        let state = self.member()?.state();
        Ok((state.revision, state.rules.clone()))
    }

    async fn apply(&self, rules: RuleSet, base: Option<u64>) -> Result<Applied, AdminError> {
        let member = self.member()?;
        let before = member.state().revision;
        let change = RuleChange::Apply { base_revision: base, rules: rules.clone() };
        member.raft().propose(change, CHANGE_DEADLINE).await.map_err(refused)?;
        // The proposal is committed, but this node may be a step behind the leader that applied it.
        let mut state = member.raft().state();
        let here = tokio::time::timeout(CHANGE_DEADLINE, state.wait_for(|state| state.rules == rules)).await;
        let Ok(Ok(state)) = here else {
            return Err(AdminError::Timeout("the rules are committed, but have not reached this node yet".to_owned()));
        };
        Ok(Applied { revision: state.revision, changed: state.revision != before })
    }

    async fn init(&self) -> Result<Founded, AdminError> {
        unimplemented!()
    }

    async fn join(&self, seeds: Vec<SocketAddr>, _token: Option<String>) -> Result<Membership, AdminError> {
        self.order(|reply| Order::Join { seeds, reply }).await
    }

    async fn leave(&self) -> Result<(), AdminError> {
        self.member()?;
        self.order(Order::Leave).await
    }

    async fn make_token(&self, _request: TokenRequest) -> Result<TokenMade, AdminError> {
        unimplemented!()
    }
    async fn tokens(&self) -> Result<Vec<TokenStatus>, AdminError> {
        unimplemented!()
    }
    async fn revoke_token(&self, _id: TokenId) -> Result<(), AdminError> {
        unimplemented!()
    }
    async fn remove_node(&self, _name: NodeName) -> Result<(), AdminError> {
        unimplemented!()
    }
    async fn set_roles(&self, _name: NodeName, _roles: Roles) -> Result<(), AdminError> {
        unimplemented!()
    }
    async fn rotate_keys(&self) -> Result<(), AdminError> {
        unimplemented!()
    }
    async fn rotate_authority(&self) -> Result<(), AdminError> {
        unimplemented!()
    }
    async fn make_identity(&self, _request: IdentityRequest) -> Result<IdentityMade, AdminError> {
        unimplemented!()
    }
    async fn identities(&self) -> Result<Vec<IdentityStatus>, AdminError> {
        unimplemented!()
    }
    async fn revoke_identity(&self, _name: IdentityName) -> Result<(), AdminError> {
        unimplemented!()
    }
}

/// Serves orders while the node is in no cluster. The identity once it is in one; `None` when told to stop.
pub async fn outside(config: &AgentConfig, orders: &mut mpsc::Receiver<Order>, stop: &CancellationToken) -> Option<Identity> {
    tracing::info!(node = %config.node, "in no cluster: waiting for `lvs-agent init` or `lvs-agent join SEED`");
    loop {
        // Both are cancel-safe.
        let order = tokio::select! {
            () = stop.cancelled() => return None,
            order = orders.recv() => order?,
        };
        let (entered, reply) = match order {
            Order::Init(reply) => (init(config).await, reply),
            Order::Join { seeds, reply } => (join(config, seeds).await, reply),
            Order::Leave(reply) => {
                let _ = reply.send(Err(AdminError::NotInCluster));
                continue;
            }
        };
        let answer = entered.as_ref().map(membership).map_err(Clone::clone);
        // The API may have given up; what was done is done.
        let _ = reply.send(answer);
        if let Ok(identity) = entered {
            return Some(identity);
        }
    }
}

/// Answers an order that makes no sense inside a cluster. Gives back where to report a leave.
pub fn inside(order: Order, identity: &Identity) -> Option<oneshot::Sender<Result<(), AdminError>>> {
    let reply = match order {
        Order::Leave(reply) => return Some(reply),
        Order::Init(reply) | Order::Join { reply, .. } => reply,
    };
    let _ = reply.send(Err(AdminError::InCluster(identity.cluster_id.clone())));
    None
}

fn membership(identity: &Identity) -> Membership {
    Membership { cluster_id: identity.cluster_id.clone(), node: identity.name.clone() }
}

async fn init(config: &AgentConfig) -> Result<Identity, AdminError> {
    let AgentConfig { data_dir, node, roles, address, timing, zone, tls, .. } = config.clone();
    let settings = raft::InitSettings { data_dir, name: node, roles, addr: address, zone, timing, external: tls.is_some() };
    raft::init(settings).await.map(|founded| founded.identity).map_err(|error| AdminError::Refused(with_sources(&error)))
}

async fn join(config: &AgentConfig, seeds: Vec<SocketAddr>) -> Result<Identity, AdminError> {
    let seeds = if seeds.is_empty() { config.seeds.clone() } else { seeds };
    let seeds: Vec<SocketAddr> = seeds.into_iter().filter(|seed| *seed != config.address).collect();
    if seeds.is_empty() {
        let hint = "no seed to ask: name a member, `lvs-agent join ADDRESS`, or set `seeds` in agent.toml";
        return Err(AdminError::Invalid(hint.to_owned()));
    }
    match tokio::time::timeout(JOIN_DEADLINE, raft::join(&seeds, join_settings(config))).await {
        Ok(joined) => joined.map_err(not_joined),
        Err(_) => Err(AdminError::Timeout(format!("not taken in within {JOIN_DEADLINE:?}"))),
    }
}

/// This node as its configuration has it.
pub fn join_settings(config: &AgentConfig) -> JoinSettings {
    JoinSettings {
        data_dir: config.data_dir.clone(),
        name: config.node.clone(),
        roles: config.roles.clone(),
        addr: config.address,
        zone: config.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timing: None,
        token: None,
        external: None,
    }
}

fn not_joined(error: JoinError) -> AdminError {
    match error {
        JoinError::Unreachable { tried } => {
            AdminError::NoSeed(tried.iter().map(|(seed, why)| format!("{seed}: {why}")).collect())
        }
        other => AdminError::Refused(with_sources(&other)),
    }
}

/// How a proposal's failure reads to an operator.
pub fn refused(error: ProposeError) -> AdminError {
    match error {
        ProposeError::Refused(refusal) => refusal.into(),
        other => AdminError::NoQuorum(with_sources(&other)),
    }
}

/// An error with everything that caused it, in one line.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}
