//! What only the worker's main loop can do: make a cluster, enter one, go out of it.

use super::admin::{with_sources, wrong};
use crate::{
    api::{AdminError, Founded, JOIN_DEADLINE, Membership, TokenMade, TokenStatus},
    config::AgentConfig,
    link::{tls::Credentials, token::JoinToken},
    raft::{self, Identity, InitSettings, JoinError, JoinSettings},
    rules::security::Token,
};
use std::net::SocketAddr;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// An order, with where to say how it went.
pub enum Order {
    /// Make a cluster.
    Init(oneshot::Sender<Result<Founded, AdminError>>),
    /// Enter one.
    Join {
        /// Whom to ask.
        seeds: Vec<SocketAddr>,
        /// What lets this node in.
        token: Option<JoinToken>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Membership, AdminError>>,
    },
    /// Go out of it.
    Leave(oneshot::Sender<Result<(), AdminError>>),
}

/// Serves orders while the node is in no cluster. The identity once it is in one; `None` when told to stop.
pub async fn outside(config: &AgentConfig, orders: &mut mpsc::Receiver<Order>, stop: &CancellationToken) -> Option<Identity> {
    tracing::info!(node = %config.node, "in no cluster: waiting for `lvs-agent init` or `lvs-agent join SEED --token TOKEN`");
    loop {
        // Both are cancel-safe.
        let order = tokio::select! {
            () = stop.cancelled() => return None,
            order = orders.recv() => order?,
        };
        // The API may have given up meanwhile; what was done is done.
        match order {
            Order::Init(reply) => {
                let made = init(config).await;
                let _ = reply.send(made.as_ref().map(|(_, founded)| founded.clone()).map_err(Clone::clone));
                if let Ok((identity, _)) = made {
                    return Some(identity);
                }
            }
            Order::Join { seeds, token, reply } => {
                let entered = join(config, seeds, token).await;
                let _ = reply.send(entered.as_ref().map(membership).map_err(Clone::clone));
                if let Ok(identity) = entered {
                    return Some(identity);
                }
            }
            Order::Leave(reply) => {
                let _ = reply.send(Err(AdminError::NotInCluster));
            }
        }
    }
}

/// Answers an order that makes no sense inside a cluster. Gives back where to report a leave.
pub fn inside(order: Order, identity: &Identity) -> Option<oneshot::Sender<Result<(), AdminError>>> {
    let already = || AdminError::InCluster(identity.cluster_id.clone());
    match order {
        Order::Leave(reply) => return Some(reply),
        Order::Init(reply) => drop(reply.send(Err(already()))),
        Order::Join { reply, .. } => drop(reply.send(Err(already()))),
    }
    None
}

fn membership(identity: &Identity) -> Membership {
    Membership { cluster_id: identity.cluster_id.clone(), node: identity.name.clone() }
}

async fn init(config: &AgentConfig) -> Result<(Identity, Founded), AdminError> {
    let settings = InitSettings {
        data_dir: config.data_dir.clone(),
        name: config.node.clone(),
        roles: config.roles.clone(),
        addr: config.address,
        zone: config.zone.clone(),
        timing: config.timing,
        external: config.tls.is_some(),
    };
    let made = raft::init(settings).await.map_err(|error| AdminError::Refused(with_sources(&error)))?;
    let token = made.token.map(|(secret, token)| TokenMade { token: secret.text(), status: token_status(&secret, &token) });
    let founded = Founded { membership: membership(&made.identity), seed: config.address, token };
    Ok((made.identity, founded))
}

fn token_status(secret: &JoinToken, token: &Token) -> TokenStatus {
    let Token { roles, uses_left, expires_unix_s, made_by, .. } = token.clone();
    TokenStatus { id: secret.id(), roles, uses_left, expires_unix_s, made_by }
}

async fn join(config: &AgentConfig, seeds: Vec<SocketAddr>, token: Option<JoinToken>) -> Result<Identity, AdminError> {
    let seeds = if seeds.is_empty() { config.seeds.clone() } else { seeds };
    let seeds: Vec<SocketAddr> = seeds.into_iter().filter(|seed| *seed != config.address).collect();
    if seeds.is_empty() {
        let hint = "no seed to ask: name a member, `lvs-agent join ADDRESS --token TOKEN`, or set `seeds` in agent.toml";
        return Err(AdminError::Invalid(hint.to_owned()));
    }
    let settings = join_settings(config, token)?;
    match tokio::time::timeout(JOIN_DEADLINE, raft::join(&seeds, settings)).await {
        Ok(joined) => joined.map_err(not_joined),
        Err(_) => Err(AdminError::Timeout(format!("not taken in within {JOIN_DEADLINE:?}"))),
    }
}

/// This node as its configuration has it.
pub fn join_settings(config: &AgentConfig, token: Option<JoinToken>) -> Result<JoinSettings, AdminError> {
    let external = config.tls.as_ref().map(|tls| {
        let (presented, trust) = super::keeper_task::external(tls)?;
        Credentials::new(presented, trust).map_err(|error| error.to_string())
    });
    Ok(JoinSettings {
        data_dir: config.data_dir.clone(),
        name: config.node.clone(),
        roles: config.roles.clone(),
        addr: config.address,
        zone: config.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        token,
        external: external.transpose().map_err(AdminError::Invalid)?,
        timing: None,
    })
}

fn not_joined(error: JoinError) -> AdminError {
    match error {
        JoinError::Unreachable { tried } => {
            AdminError::NoSeed(tried.iter().map(|(seed, why)| format!("{seed}: {why}")).collect())
        }
        other => wrong(&other),
    }
}
