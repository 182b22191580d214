//! What only the worker's main loop can do: make a cluster, enter one, go out of it, take the node out of service.

use super::{refusals::wrong, withdraw_task};
use crate::{
    api::{AdminError, InitAnswer, JOIN_DEADLINE, JoinAnswer, LeaveRequest, TokenMade, TokenStatus, WithdrawAnswer},
    base::errors::with_sources,
    config::AgentConfig,
    link::token::JoinToken,
    members::{self, InitSettings, JoinError, NodeIdentity, UNREACHABLE_HINT, join_settings},
    raft::RaftNode,
    rules::security::Token,
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// A node that has joined gets the state within a moment; the leader gives it on to one newcomer after the other.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// An order, with where to say how it went.
pub enum Order {
    /// Make a cluster.
    Init(oneshot::Sender<Result<InitAnswer, AdminError>>),
    /// Enter one.
    Join {
        /// Whom to ask.
        seeds: Vec<SocketAddr>,
        /// What lets this node in.
        token: Option<JoinToken>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<JoinAnswer, AdminError>>,
    },
    /// Go out of it.
    Leave {
        /// By force, or knowing what is lost.
        how: LeaveRequest,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), AdminError>>,
    },
    /// Take the node out of service.
    Withdraw {
        /// Where the answer goes.
        reply: WithdrawReply,
    },
    /// End, so that the guard starts the program that is on disk now.
    RestartWorker(oneshot::Sender<Result<(), AdminError>>),
}

/// Where the answer to a withdrawal goes.
pub type WithdrawReply = oneshot::Sender<Result<WithdrawAnswer, AdminError>>;

/// What is said to whoever had this node enter a cluster, once the node shows that it is in it.
pub enum Entered {
    /// It made the cluster.
    Made(InitAnswer, oneshot::Sender<Result<InitAnswer, AdminError>>),
    /// It joined one.
    Joined(JoinAnswer, oneshot::Sender<Result<JoinAnswer, AdminError>>),
}

impl Entered {
    /// Says it as soon as `raft` has the state with this node in it: whoever asks for the status then finds a member.
    pub fn say_when_seen(self, raft: RaftNode) {
        tokio::spawn(async move {
            let (mut state, id) = (raft.state(), raft.id());
            let seen = timeout(SEEN_WITHIN, state.wait_for(|state| state.node_by_id(id).is_some())).await;
            self.say(if matches!(seen, Ok(Ok(_))) { Ok(()) } else { Err(not_seen()) });
        });
    }

    /// Says that the node is a member, but why it cannot start as one.
    pub fn cannot_start(self, why: &str) {
        self.say(Err(AdminError::NotStarted(why.to_owned())));
    }

    fn say(self, seen: Result<(), AdminError>) {
        // The API may have given up meanwhile; what was done is done.
        match self {
            Entered::Made(founded, reply) => drop(reply.send(seen.map(|()| founded))),
            Entered::Joined(membership, reply) => drop(reply.send(seen.map(|()| membership))),
        }
    }
}

fn not_seen() -> AdminError {
    let seconds = SEEN_WITHIN.as_secs();
    AdminError::Timeout(format!(
        "this node is a member, but the cluster's state has not reached it within {seconds} s: `lvs-agent status` shows it when it has, and whether a leader is heard"
    ))
}

/// What is left to do of an order inside of a cluster.
pub enum Inside {
    /// Nothing: it made no sense, and was answered.
    Answered,
    /// A member is to take on the CA that a token proves.
    Refresh {
        /// Whom to ask.
        seeds: Vec<SocketAddr>,
        /// What proves the CA.
        token: JoinToken,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<JoinAnswer, AdminError>>,
    },
    /// It is to go out.
    Leave {
        /// By force, or knowing what is lost.
        how: LeaveRequest,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), AdminError>>,
    },
    /// It is to be taken out of service.
    Withdraw {
        /// Where the answer goes.
        reply: WithdrawReply,
    },
    /// This worker is to end; it was answered.
    End,
}

/// Says that this worker ends.
fn ends(reply: oneshot::Sender<Result<(), AdminError>>) {
    tracing::info!("this worker ends for another one, as an administrator has asked for");
    // Who asked may have given up.
    let _ = reply.send(Ok(()));
}

/// Serves orders while the node is in no cluster. The identity once it is in one, with what is to be said then; `None` when told to stop.
pub async fn outside(
    config: &AgentConfig,
    orders: &mut mpsc::Receiver<Order>,
    stop: &CancellationToken,
) -> Option<(NodeIdentity, Entered)> {
    tracing::info!(node = %config.node, "in no cluster: waiting for `lvs-agent init` or `lvs-agent join SEED --token TOKEN`");
    loop {
        // Both are cancel-safe.
        let order = tokio::select! {
            () = stop.cancelled() => return None,
            order = orders.recv() => order?,
        };
        // The API may have given up meanwhile; what was done is done.
        match order {
            Order::Init(reply) => match init(config).await {
                Ok((identity, founded)) => return Some((identity, Entered::Made(founded, reply))),
                Err(error) => drop(reply.send(Err(error))),
            },
            Order::Join { seeds, token, reply } => match join(config, seeds, token).await {
                Ok(identity) => {
                    let membership = membership(&identity);
                    return Some((identity, Entered::Joined(membership, reply)));
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            Order::Leave { reply, .. } => {
                let _ = reply.send(Err(AdminError::NotInCluster));
            }
            Order::Withdraw { reply } => drop(reply.send(withdraw_task::outside(config).await)),
            Order::RestartWorker(reply) => {
                ends(reply);
                return None;
            }
        }
    }
}

/// Answers an order that makes no sense inside a cluster, and gives back the others.
pub fn inside(order: Order, identity: &NodeIdentity) -> Inside {
    let already = || AdminError::InCluster(identity.cluster_id.clone());
    match order {
        Order::Leave { how, reply } => return Inside::Leave { how, reply },
        Order::Withdraw { reply } => return Inside::Withdraw { reply },
        Order::RestartWorker(reply) => {
            ends(reply);
            return Inside::End;
        }
        Order::Join { seeds, token: Some(token), reply } => return Inside::Refresh { seeds, token, reply },
        Order::Init(reply) => drop(reply.send(Err(already()))),
        Order::Join { token: None, reply, .. } => drop(reply.send(Err(already()))),
    }
    Inside::Answered
}

/// What is left to do of an order of a node whose member cannot start.
pub enum NotStartedYet {
    /// Nothing: it was answered.
    Answered,
    /// The kernel can be put back all the same.
    Withdraw {
        /// Where the answer goes.
        reply: WithdrawReply,
    },
    /// This worker is to end; it was answered.
    End,
}

/// Answers an order of a node whose member cannot start, and gives back what can be done all the same.
pub fn not_started(order: Order, why: &str) -> NotStartedYet {
    let error = AdminError::NotStarted(why.to_owned());
    // Who asked may have given up.
    match order {
        Order::Init(reply) => drop(reply.send(Err(error))),
        Order::Join { reply, .. } => drop(reply.send(Err(error))),
        Order::Leave { reply, .. } => drop(reply.send(Err(error))),
        Order::Withdraw { reply } => return NotStartedYet::Withdraw { reply },
        Order::RestartWorker(reply) => {
            ends(reply);
            return NotStartedYet::End;
        }
    }
    NotStartedYet::Answered
}

/// Which cluster, and as whom.
pub fn membership(identity: &NodeIdentity) -> JoinAnswer {
    JoinAnswer { cluster_id: identity.cluster_id.clone(), node: identity.name.clone() }
}

async fn init(config: &AgentConfig) -> Result<(NodeIdentity, InitAnswer), AdminError> {
    members::external(config).map_err(AdminError::Invalid)?;
    let settings = InitSettings {
        data_dir: config.data_dir.clone(),
        name: config.node.clone(),
        roles: config.roles.clone(),
        addr: config.address,
        zone: config.zone.clone(),
        timing: config.timing,
        external: config.tls.is_some(),
    };
    let made = members::init(settings).await.map_err(|error| AdminError::Refused(with_sources(&error)))?;
    let token = made.token.map(|(secret, token)| TokenMade { token: secret.text(), status: token_status(&secret, &token) });
    let founded = InitAnswer { membership: membership(&made.identity), seed: config.address, token };
    Ok((made.identity, founded))
}

fn token_status(secret: &JoinToken, token: &Token) -> TokenStatus {
    let Token { roles, uses_left, expires_unix_s, made_by, .. } = token.clone();
    TokenStatus { id: secret.id(), roles, uses_left, expires_unix_s, made_by }
}

async fn join(config: &AgentConfig, seeds: Vec<SocketAddr>, token: Option<JoinToken>) -> Result<NodeIdentity, AdminError> {
    let seeds = seeds_to_ask(config, seeds, "; on the first machine of a new cluster run `lvs-agent init` instead")?;
    let settings = join_settings(config, token).map_err(AdminError::Invalid)?;
    match timeout(JOIN_DEADLINE, members::join(&seeds, settings)).await {
        Ok(joined) => joined.map_err(not_joined),
        Err(_) => Err(too_late()),
    }
}

/// The other machines among the seeds that are named, or else among those of agent.toml: this node cannot let itself in. `instead`: what else there
/// is to do where none is left.
pub fn seeds_to_ask(config: &AgentConfig, named: Vec<SocketAddr>, instead: &str) -> Result<Vec<SocketAddr>, AdminError> {
    let are_named = !named.is_empty();
    let seeds = if are_named { named } else { config.seeds.clone() };
    let (own, others): (Vec<_>, Vec<_>) = seeds.into_iter().partition(|seed| is_own(config.address, *seed));
    if !others.is_empty() {
        return Ok(others);
    }
    let todo = "name one, `lvs-agent join ADDRESS --token TOKEN`";
    Err(AdminError::Invalid(match own.first() {
        Some(own) if are_named => {
            format!("{own} is this node itself: a seed is another machine, which is a member already; {todo}{instead}")
        }
        Some(own) => format!(
            "`seeds` in agent.toml names only this node itself ({own}): a seed is another machine, which is a member already; {todo}, or add it to `seeds` and restart the agent{instead}"
        ),
        None => format!(
            "no seed to ask: a seed is another machine, which is a member already; {todo}, or set `seeds` in agent.toml and restart the agent{instead}"
        ),
    }))
}

/// Whether a seed is the node at `address`: by its own address, or as the machine that the command runs on.
fn is_own(address: SocketAddr, seed: SocketAddr) -> bool {
    seed == address || (seed.ip().is_loopback() && !address.ip().is_loopback() && seed.port() == address.port())
}

/// Whoever is asked may yet do it.
pub fn too_late() -> AdminError {
    let seconds = JOIN_DEADLINE.as_secs();
    AdminError::Timeout(format!(
        "not taken in within {seconds} s: run the same command again, it goes on where this one ended; or ask another member"
    ))
}

fn not_joined(error: JoinError) -> AdminError {
    match error {
        JoinError::Unreachable { tried } => {
            let each = tried.iter().map(|(seed, why)| format!("{seed}: {why}"));
            AdminError::NoSeed(each.chain([UNREACHABLE_HINT.to_owned()]).collect())
        }
        error @ JoinError::NotNow { .. } => AdminError::NoQuorum(error.to_string()),
        error @ (JoinError::DataDir { .. } | JoinError::Identity(_) | JoinError::Keys(_)) => {
            AdminError::Internal(with_sources(&error))
        }
        other => wrong(&other),
    }
}

#[cfg(test)]
mod tests;
