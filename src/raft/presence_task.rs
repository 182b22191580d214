//! What keeps a node in touch: voters have connections to each other at hand, so that an election does not wait for handshakes; and a node that hears
//! no leader asks others whether it still is a member, so that one that was removed while it was away hears it.

use super::task::RaftNode;
use crate::model::NodeId;
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// Looks without a leader before others are asked. A cluster that is well elects one in a fraction of that.
const PATIENCE: u32 = 2;
/// Members asked at one look.
const AT_A_TIME: usize = 3;

/// Keeps in touch until this node is told that it is no member, or `shutdown`.
pub async fn run(node: RaftNode, shutdown: CancellationToken) {
    let (mut turn, mut leaderless) = (0, 0);
    let mut seen = node.view();
    let mut voters = BTreeSet::new();
    loop {
        tokio::select! {
            // Cancel-safe: nothing is lost but a look.
            () = shutdown.cancelled() => return,
            () = sleep(EVERY) => {}
            Ok(_) = seen.wait_for(|view| view.voters != voters) => {}
        }
        let view = node.view().borrow().clone();
        voters.clone_from(&view.voters);
        if view.refused.is_some() {
            return;
        }
        leaderless = if view.quorum { 0 } else { leaderless + 1 };
        let is_lost = leaderless > PATIENCE;
        let whom = if is_lost {
            turn += AT_A_TIME;
            some_of(others(&node), turn)
        } else if view.voters.contains(&node.id()) {
            others(&node).into_iter().filter(|(id, _)| view.voters.contains(id)).collect()
        } else {
            Vec::new()
        };
        for (id, addr) in whom {
            tokio::select! {
                // Cancel-safe, both.
                () = shutdown.cancelled() => return,
                // What it says is noted where it is heard.
                _ = node.peers().greet(id, addr, is_lost) => {}
            }
        }
    }
}

fn some_of(members: Vec<(NodeId, SocketAddr)>, turn: usize) -> Vec<(NodeId, SocketAddr)> {
    let from = turn % members.len().max(1);
    members.iter().cycle().skip(from).take(AT_A_TIME.min(members.len())).copied().collect()
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
