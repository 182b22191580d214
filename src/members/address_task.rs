//! Tells the cluster when `agent.toml` gives this node another address or zone than the cluster knows.

use super::{
    join_settings::{gossip_seeds, join_settings},
    join_task::{JoinSettings, join},
};
use crate::{
    base::errors::with_sources,
    clock::{BootClock, Clock},
    config::AgentConfig,
    raft::RaftNode,
    repeats::Repeats,
    rules::{ClusterState, Command, Joining},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::watch::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Between two attempts: the cluster may have no quorum now.
const RETRY: Duration = Duration::from_secs(5);
/// One attempt.
const ATTEMPT: Duration = Duration::from_secs(20);

/// Tells the cluster until it succeeds or `shutdown`. Nothing is left to do once the cluster knows this node as it is configured.
///
/// # Errors
/// Raft has ended and publishes nothing any more.
pub async fn run(config: Arc<AgentConfig>, raft: RaftNode, shutdown: CancellationToken) -> Result<(), RecvError> {
    // Every wait is cancel-safe: what was asked for is asked again at the next start.
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        renewed = renew(&config, &raft) => renewed?,
    }
    shutdown.cancelled().await;
    Ok(())
}

async fn renew(config: &AgentConfig, raft: &RaftNode) -> Result<(), RecvError> {
    let mut view = raft.view();
    view.wait_for(|view| view.loaded).await?;
    let mut lines = Repeats::default();
    loop {
        let state = raft.state().borrow().clone();
        let known = state.nodes.get(&config.node);
        if known.is_none_or(|node| node.zone == config.zone && node.addr == config.address) {
            return Ok(());
        }
        if lines.due(&(), "telling", BootClock.now()).is_some() {
            tracing::info!(node = %config.node, address = %config.address, zone = ?config.zone, "telling the cluster the new address or zone of agent.toml");
        }
        let why = match tokio::time::timeout(ATTEMPT, tell(config, raft, &state)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => why,
            Err(_) => "it did not answer in time".to_owned(),
        };
        if let Some(times) = lines.due(&(), &why, BootClock.now()) {
            tracing::warn!(why, times, "the cluster does not know the new address or zone yet");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Asks any member that answers: the leader may still have this node's old address. A node that leads proposes the change itself.
async fn tell(config: &AgentConfig, raft: &RaftNode, state: &ClusterState) -> Result<(), String> {
    let seeds: Vec<SocketAddr> = gossip_seeds(state, &config.node, &config.seeds).into_iter().collect();
    let known = state.nodes.get(&config.node).ok_or("this node is no member any more")?;
    if state.nodes.len() > 1 && !raft.is_leader_with_quorum() {
        // The roles that the cluster granted are kept, whatever agent.toml asks for.
        let settings = join_settings(config, None)?;
        let settings = JoinSettings { roles: known.roles.clone(), ..settings };
        return join(&seeds, settings).await.map(|_| ()).map_err(|error| with_sources(&error));
    }
    let change = Command::NodeJoined(Joining {
        name: known.name.clone(),
        roles: known.roles.clone(),
        addr: config.address,
        zone: config.zone.clone(),
        key: known.key,
        keeps_id: true,
        token: None,
    });
    raft.propose(change, ATTEMPT).await.map(|_| ()).map_err(|error| with_sources(&error))
}
