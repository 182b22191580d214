//! Whether a leader that was heard, or is this node, has a majority behind it; and who should lead after it.

use super::heard::Heard;
use crate::{
    model::NodeId,
    raft::{
        timing::RaftTiming,
        types::{StoredMembership, TypeConfig},
    },
    rules::ClusterState,
};
use openraft::{RaftMetrics, ServerState};
use std::time::Duration;

type Metrics = RaftMetrics<TypeConfig>;

/// A sole voter is its own majority, which nobody acknowledges.
pub fn is_alone(metrics: &Metrics) -> bool {
    metrics.membership_config.membership().voter_ids().eq([metrics.id])
}

pub fn quorum_age(metrics: &Metrics) -> Option<Duration> {
    use openraft::Instant;
    metrics.last_quorum_acked.map(|acked| acked.elapsed())
}

/// The voter that should lead when this leader stops: the one whose log is nearest, of members if any vote.
pub fn successor(metrics: &Metrics, state: &ClusterState) -> Option<u64> {
    let replication = metrics.replication.as_ref()?;
    let others = metrics.membership_config.membership().voter_ids().filter(|id| *id != metrics.id);
    others.max_by_key(|id| (state.node_by_id(NodeId(*id)).is_some(), replication.get(id).cloned().flatten()))
}

/// openraft's state says `Leader` long after the majority is gone, so what was heard, and when, decides.
pub fn has_quorum(metrics: &Metrics, heard: &Heard, timing: RaftTiming) -> bool {
    if metrics.running_state.is_err() {
        return false;
    }
    let recent = longest_silence(metrics, timing);
    match metrics.state {
        ServerState::Leader => is_alone(metrics) || quorum_age(metrics).is_some_and(|age| age <= recent),
        ServerState::Follower | ServerState::Learner => {
            metrics.current_leader.is_some_and(|leader| leader != metrics.id) && heard.age().is_some_and(|age| age <= recent)
        }
        ServerState::Candidate | ServerState::Shutdown => false,
    }
}

/// See [`RaftTiming::longest_silence`].
pub fn longest_silence(metrics: &Metrics, timing: RaftTiming) -> Duration {
    timing.longest_silence(votes(metrics))
}

/// Whether this node votes. A voter that is removed may still be needed until that is committed.
pub fn votes(metrics: &Metrics) -> bool {
    let votes = |membership: &StoredMembership| membership.voter_ids().any(|id| id == metrics.id);
    votes(&metrics.membership_config) || votes(&metrics.committed_membership_config)
}

/// Whether this node needs somebody who leads it. A leader with a majority has no other to hear.
pub fn is_leaderless(metrics: &Metrics, heard: &Heard, timing: RaftTiming) -> bool {
    let leads = metrics.state == ServerState::Leader && has_quorum(metrics, heard, timing);
    !leads && heard.age().is_none_or(|age| age > longest_silence(metrics, timing))
}
