//! Publishes this node's Raft view, and notices when its Raft stops by itself.

use super::{
    RaftView,
    fault::RaftFault,
    task::leadership::{has_quorum, longest_silence, quorum_age, votes},
    task::{OurRaft, RaftNode},
};
use crate::base::errors::with_sources;
use crate::{model::NodeId, peers::HelloRefusal, rules::ClusterState};
use openraft::{ServerState, async_runtime::WatchReceiver};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// The interval at which the silence of a leader is checked when it is about to be too long.
const SHORTEST_LOOK: Duration = Duration::from_millis(5);

/// Publishes view and state: at each change, and when a quorum may have been lost by silence or come back with the next heartbeat.
pub async fn run(
    node: RaftNode,
    view: watch::Sender<RaftView>,
    state: watch::Sender<Arc<ClusterState>>,
    shutdown: CancellationToken,
) {
    let mut published = node.published();
    let mut server = node.raft().server_metrics();
    let mut removed = node.peers().removed();
    loop {
        publish(&node, &view, &state);
        tick_if_needed(&node);
        tokio::select! {
            // All cancel-safe: they only say that something is new.
            () = shutdown.cancelled() => return,
            changed = published.changed() => if changed.is_err() { break },
            changed = removed.changed() => if changed.is_err() { break },
            changed = server.changed() => if changed.is_err() { break },
            () = sleep(next_look(&node)) => {}
        }
    }
    // openraft is gone, which `watch_faults` says.
    shutdown.cancelled().await;
}

/// openraft's clock is for elections: a leader's heartbeats have their own (`heartbeat_task`). A node that does not vote does not need it, and a
/// voter does not need it while it hears a leader.
fn tick_if_needed(node: &RaftNode) {
    let metrics = node.raft().metrics().borrow_watched().clone();
    let may_elect = votes(&metrics) || metrics.membership_config.voter_ids().next().is_none();
    let needed = match metrics.state {
        ServerState::Leader => false,
        ServerState::Follower | ServerState::Learner => may_elect && !has_quorum(&metrics, node.leader_contact(), node.timing()),
        ServerState::Candidate | ServerState::Shutdown => true,
    };
    node.raft().runtime_config().tick(needed);
}

/// A quorum is lost only by silence: not before that is long enough.
fn next_look(node: &RaftNode) -> Duration {
    let metrics = node.raft().metrics().borrow_watched().clone();
    let heard = match metrics.state {
        ServerState::Leader => quorum_age(&metrics),
        ServerState::Follower | ServerState::Learner => node.leader_contact().age(),
        ServerState::Candidate | ServerState::Shutdown => None,
    };
    if !has_quorum(&metrics, node.leader_contact(), node.timing()) {
        return node.timing().pause;
    }
    // A sole voter needs no other node.
    longest_silence(&metrics, node.timing()).saturating_sub(heard.unwrap_or_default()).max(SHORTEST_LOOK)
}

fn publish(node: &RaftNode, view: &watch::Sender<RaftView>, state: &watch::Sender<Arc<ClusterState>>) {
    let published = node.published().borrow().clone();
    let now = view_of(node, &published.state, published.applied);
    state.send_if_modified(|state| {
        let newer = !Arc::ptr_eq(state, &published.state);
        *state = published.state.clone();
        newer
    });
    view.send_if_modified(|view| {
        let newer = *view != now;
        if view.leader != now.leader || view.quorum != now.quorum {
            tracing::info!(from = ?view.leader, to = ?now.leader, term = now.term, quorum = now.quorum, "raft leader or quorum changed");
        }
        if let Some(why) = now.refused.as_ref().filter(|_| view.refused.is_none() && !node.is_leaving()) {
            tracing::error!(why, "this node is no member of its cluster any more");
        }
        *view = now;
        newer
    });
}

fn view_of(node: &RaftNode, state: &ClusterState, applied: u64) -> RaftView {
    let metrics = node.raft().metrics().borrow_watched().clone();
    let membership = metrics.membership_config.membership();
    RaftView {
        leader: metrics.current_leader.map(NodeId),
        term: metrics.current_term,
        voters: membership.voter_ids().map(NodeId).collect(),
        learners: membership.learner_ids().map(NodeId).collect(),
        quorum: has_quorum(&metrics, node.leader_contact(), node.timing()),
        applied,
        // openraft starts with everything applied up to the stored committed index; a node that has just joined has none yet.
        loaded: state.cluster_id == node.cluster_id(),
        refused: refused(node, state),
        untrusted: node.peers().untrusted(),
    }
}

/// The removal of this node, as members have reported it, or as it has applied it itself.
fn refused(node: &RaftNode, state: &ClusterState) -> Option<String> {
    let (removed, id) = (node.peers().removed(), node.id());
    let told = removed.borrow().clone();
    let was_member = state.cluster_id == node.cluster_id() && state.next_node >= id.0;
    let seen = (was_member && state.node_by_id(id).is_none()).then(|| {
        let barred = Some(node.name().clone()).filter(|name| state.security.barred.has(name));
        HelloRefusal::Removed { id, barred }
    });
    told.or(seen).map(|refusal| refusal.to_string())
}

/// Waits for the log's, openraft's or a task's end and says why it came, until `shutdown`.
pub async fn watch_faults(node: RaftNode, fault: watch::Sender<Option<RaftFault>>, shutdown: CancellationToken) {
    let mut failure = node.log().failure();
    let found = tokio::select! {
        // Cancel-safe, all.
        () = shutdown.cancelled() => return,
        Ok(failure) = failure.wait_for(Option::is_some) => failure.clone().map(RaftFault::Store),
        why = core_ends(node.raft()) => Some(RaftFault::Raft(why)),
        ended = node.tasks().failed() => Some(RaftFault::Task(ended)),
    };
    // openraft may report an error first for which the log has the cause.
    let found = failure.borrow().clone().map(RaftFault::Store).or(found);
    if let Some(found) = &found {
        tracing::error!(error = %with_sources(found), "raft stopped by itself");
    }
    fault.send_replace(found);
    shutdown.cancelled().await;
}

/// Why openraft has ended, once it has. These metrics change seldom; the whole ones do with every heartbeat.
async fn core_ends(raft: &OurRaft) -> String {
    let mut server = raft.server_metrics();
    while server.changed().await.is_ok() {}
    match &raft.metrics().borrow_watched().running_state {
        Err(fatal) => fatal.to_string(),
        Ok(()) => "its core is gone".to_owned(),
    }
}
