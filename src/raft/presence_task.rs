//! A node that hears no leader asks the others whether it still is a member: one that was removed while it was away hears it so, and says it.

use super::task::RaftNode;
use crate::model::NodeId;
use std::{net::SocketAddr, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks. A cluster that is well elects a leader in a fraction of that.
const EVERY: Duration = Duration::from_secs(5);
/// Members asked at one look.
const AT_A_TIME: usize = 3;

/// Asks until it is told, or `shutdown`.
pub async fn run(node: RaftNode, shutdown: CancellationToken) {
    let mut turn = 0;
    loop {
        tokio::select! {
            // Cancel-safe: nothing is lost but a look.
            () = shutdown.cancelled() => return,
            () = sleep(EVERY) => {}
        }
        let view = node.view().borrow().clone();
        if view.refused.is_some() {
            return;
        }
        if view.quorum {
            continue;
        }
        let others = others(&node);
        for n in 0..AT_A_TIME.min(others.len()) {
            let (id, addr) = others[(turn + n) % others.len()];
            tokio::select! {
                // Cancel-safe, both.
                () = shutdown.cancelled() => return,
                // What it says is noted where it is heard.
                _ = node.peers().greet(id, addr) => {}
            }
        }
        turn = turn.wrapping_add(AT_A_TIME);
    }
}

fn others(node: &RaftNode) -> Vec<(NodeId, SocketAddr)> {
    let state = node.published().borrow().state.clone();
    let met = node.identity().met.iter().map(|met| (met.id, met.addr));
    let members: Vec<_> = if state.nodes.is_empty() {
        met.collect()
    } else {
        state.nodes.values().map(|record| (record.id, record.addr)).collect()
    };
    members.into_iter().filter(|(id, _)| *id != node.id()).collect()
}
