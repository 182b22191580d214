//! A leader's heartbeats. openraft's own clock, which would tick five times for each, stands still meanwhile.

use super::{recipients::Recipients, task::RaftNode, timing::BEATS_TO_LEARNERS};
use crate::model::NodeId;
use openraft::{ServerState, async_runtime::WatchReceiver};
use std::collections::BTreeSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Has heartbeats sent while this node leads, until `shutdown`.
pub async fn run(node: RaftNode, recipients: Recipients, shutdown: CancellationToken) {
    let mut server = node.raft().server_metrics();
    let mut clock = interval(node.timing().heartbeat);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0_u32;
    loop {
        if led_voters(&node).is_none() {
            tokio::select! {
                // Cancel-safe, both: they only say that something is new.
                () = shutdown.cancelled() => return,
                // openraft is gone, which `view_task::watch_faults` says.
                changed = server.changed() => if changed.is_err() { return shutdown.cancelled().await },
            }
            sent = 0;
            clock.reset_immediately();
            continue;
        }
        tokio::select! {
            // Cancel-safe, both: a tick that was missed comes again.
            () = shutdown.cancelled() => return,
            _ = clock.tick() => {}
        }
        let Some(voters) = led_voters(&node) else { continue };
        recipients.set((!sent.is_multiple_of(BEATS_TO_LEARNERS)).then_some(voters));
        sent = sent.wrapping_add(1);
        // A stopped Raft says so elsewhere.
        let _ = node.raft().trigger().heartbeat().await;
    }
}

/// Who votes where this node leads, by a membership that need not be committed yet, and by the last one that is.
fn led_voters(node: &RaftNode) -> Option<BTreeSet<NodeId>> {
    let metrics = node.raft().server_metrics();
    let metrics = metrics.borrow_watched();
    let voters = metrics.membership_config.voter_ids().chain(metrics.committed_membership_config.voter_ids());
    (metrics.state == ServerState::Leader).then(|| voters.map(NodeId).collect())
}
