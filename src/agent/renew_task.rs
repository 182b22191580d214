//! Tells the cluster when `agent.toml` gives this node other roles, or another address, than the cluster knows.

use super::{admin, derive};
use crate::{
    config::AgentConfig,
    raft::{self, RaftNode},
    rules::{ClusterState, Joining, RuleChange},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Between two attempts: the cluster may have no quorum now.
const RETRY: Duration = Duration::from_secs(5);
/// One attempt.
const ATTEMPT: Duration = Duration::from_secs(20);

/// Ends when the cluster knows this node as it is configured.
pub async fn run(config: Arc<AgentConfig>, raft: RaftNode, shutdown: CancellationToken) {
    // Every wait is cancel-safe: what was asked for is asked again at the next start.
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = renew(&config, &raft) => {}
    }
}

async fn renew(config: &AgentConfig, raft: &RaftNode) {
    let mut view = raft.view();
    if view.wait_for(|view| view.loaded).await.is_err() {
        return;
    }
    loop {
        let state = raft.state().borrow().clone();
        let known = state.nodes.get(&config.node);
        if known.is_none_or(|node| node.roles == config.roles && node.addr == config.address) {
            return;
        }
        tracing::info!(node = %config.node, roles = %config.roles, address = %config.address, "telling the cluster of changes in agent.toml");
        match tokio::time::timeout(ATTEMPT, tell(config, raft, &state)).await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => tracing::warn!(why, "the cluster does not know of them yet"),
            Err(_) => tracing::warn!("the cluster did not answer in time"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// By any member that is found: a node that has moved is not known to its leader where it is now.
async fn tell(config: &AgentConfig, raft: &RaftNode, state: &ClusterState) -> Result<(), String> {
    let seeds: Vec<SocketAddr> = derive::gossip_seeds(state, &config.node, &config.seeds).into_iter().collect();
    if state.nodes.len() > 1 {
        let joined = raft::join(&seeds, admin::join_settings(config)).await;
        return joined.map(|_| ()).map_err(|error| admin::with_sources(&error));
    }
    let AgentConfig { node, roles, address, .. } = config;
    let change = RuleChange::NodeJoined(Joining {
        name: node.clone(),
        roles: roles.clone(),
        addr: *address,
        zone: config.zone.clone(),
        key: state.nodes[node].key,
        keeps_id: true,
        token: None,
    });
    raft.propose(change, ATTEMPT).await.map(|_| ()).map_err(|error| admin::with_sources(&error))
}
