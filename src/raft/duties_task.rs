//! What a leader does besides leading: changes the membership step by step, and has snapshots made before the log grows long.

use super::{
    membership::{Change, Input, Members, next_change},
    task::RaftNode,
    types::{LogId, Node, TypeConfig},
};
use crate::{
    clock::{BootClock, BootInstant, Clock},
    model::{NodeId, NodeName, NodeRecord},
};
use openraft::{ChangeMembers, Precondition, RaftMetrics, ServerState, async_runtime::WatchReceiver};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often a leader looks whether there is something to do, besides whenever its Raft state changes.
const EVERY: Duration = Duration::from_millis(100);
/// A change that is not committed by then is left to whoever leads; the next look sees what became of it.
const CHANGE_DEADLINE: Duration = Duration::from_secs(5);
/// A learner that lacks no more entries than this is up to date enough to vote.
const NEARLY: u64 = 100;
/// A voter that stops voting goes on as a learner, until it is removed as one.
const KEEP_AS_LEARNER: bool = true;
/// A snapshot is made when the log's entries are this long together, however few they are.
const LONG_LOG_BYTES: usize = 8 << 20;

/// Since when the leader has seen things as they are (LEASE.md, "Membership changes").
#[derive(Default)]
struct Watch {
    /// The term it leads, and since when it has seen that.
    leads: Option<(u64, BootInstant)>,
    /// The last membership entry, and since when it has seen that committed.
    settled: Option<(Option<LogId>, BootInstant)>,
}

impl Watch {
    fn look(&mut self, metrics: &RaftMetrics<TypeConfig>, now: BootInstant) {
        let leads = (metrics.state == ServerState::Leader).then_some(metrics.current_term);
        if self.leads.map(|(term, _)| term) != leads {
            self.leads = leads.map(|term| (term, now));
        }
        let settled = is_settled(metrics).then(|| *metrics.membership_config.log_id());
        if self.settled.as_ref().map(|(id, _)| *id) != settled {
            self.settled = settled.map(|id| (id, now));
        }
    }

    /// Time since the later of both; nothing while one of them is not so.
    fn quiet_for(&self, now: BootInstant) -> Option<Duration> {
        let (_, leads) = self.leads?;
        let (_, settled) = self.settled?;
        Some(now.saturating_since(leads.max(settled)))
    }
}

fn is_settled(metrics: &RaftMetrics<TypeConfig>) -> bool {
    metrics.membership_config.log_id() == metrics.committed_membership_config.log_id()
}

/// Does a leader's duties while this node leads.
pub async fn run(node: RaftNode, shutdown: CancellationToken) {
    let mut server = node.raft().server_metrics();
    let mut tick = interval(EVERY);
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            // All cancel-safe: they only say that it is time to look.
            () = shutdown.cancelled() => return,
            changed = server.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
        keep_log_short(&node).await;
        tokio::select! {
            // A change that is cancelled may still be committed; the next leader sees it.
            () = shutdown.cancelled() => return,
            () = lead(&node, &mut watch) => {}
        }
    }
}

async fn keep_log_short(node: &RaftNode) {
    if node.log().bytes() < LONG_LOG_BYTES {
        return;
    }
    let applied = node.published().borrow().applied;
    let covered = node.raft().metrics().borrow_watched().snapshot.map_or(0, |id| id.index);
    // A stopped Raft says so elsewhere.
    if covered < applied {
        let _ = node.raft().trigger().snapshot().await;
    } else {
        let _ = node.raft().trigger().purge_log(covered).await;
    }
}

async fn lead(node: &RaftNode, watch: &mut Watch) {
    let metrics = node.raft().metrics().borrow_watched().clone();
    let now = BootClock.now();
    watch.look(&metrics, now);
    let Some(quiet_for) = watch.quiet_for(now) else { return };
    let state = node.state().borrow().clone();
    let live: BTreeSet<NodeName> = node.live().borrow().clone();
    let change = next_change(&Input {
        me: node.id(),
        nodes: &state.nodes,
        live: &live,
        caught_up: &caught_up(&metrics),
        members: &members(&metrics),
        settled: is_settled(&metrics),
        own_term_committed: own_term_committed(&metrics),
        quiet_for,
        spacing: 2 * node.identity().timing.ttl(),
    });
    if let Some(change) = change {
        carry_out(node, &metrics, change).await;
    }
}

fn own_term_committed(metrics: &RaftMetrics<TypeConfig>) -> bool {
    metrics.local_committed.is_some_and(|id| id.leader_id == metrics.vote.leader_id)
}

fn members(metrics: &RaftMetrics<TypeConfig>) -> Members {
    let membership = metrics.membership_config.membership();
    Members {
        voters: membership.get_joint_config().iter().map(|set| set.iter().copied().map(NodeId).collect()).collect(),
        addresses: membership.nodes().map(|(id, node)| (NodeId(*id), node.addr)).collect(),
    }
}

fn caught_up(metrics: &RaftMetrics<TypeConfig>) -> BTreeSet<NodeId> {
    let last = metrics.last_log_index.unwrap_or(0);
    let near = |id: &Option<LogId>| id.is_some_and(|id| id.index + NEARLY >= last);
    let replication = metrics.replication.iter().flatten();
    replication.filter(|(_, matched)| near(matched)).map(|(id, _)| NodeId(*id)).collect()
}

async fn carry_out(node: &RaftNode, seen: &RaftMetrics<TypeConfig>, change: Change) {
    tracing::info!(?change, term = seen.current_term, "membership changes");
    // Only as the leader, and over the membership, that the decision was made for.
    let preconditions = [
        Precondition::CommittedLeaderId { committed_leader_id: seen.vote.leader_id },
        Precondition::LastMembershipLogId { last_membership_log_id: *seen.membership_config.log_id() },
    ];
    match timeout(CHANGE_DEADLINE, node.raft().change_membership_if(to_openraft(&change), KEEP_AS_LEARNER, preconditions)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(?change, %error, "membership change failed"),
        Err(_) => tracing::warn!(?change, "membership change was not committed in time"),
    }
}

fn to_openraft(change: &Change) -> ChangeMembers<u64, Node> {
    let one = |id: &NodeId| BTreeSet::from([id.0]);
    let with = |record: &NodeRecord| BTreeMap::from([(record.id.0, Node { name: record.name.clone(), addr: record.addr })]);
    match change {
        // Adds nobody to the newer set, which openraft takes as: go to the newer set.
        Change::Complete => ChangeMembers::AddVoterIds(BTreeSet::new()),
        Change::RemoveVoter(id) | Change::Demote(id) => ChangeMembers::RemoveVoters(one(id)),
        Change::Promote(id) => ChangeMembers::AddVoterIds(one(id)),
        Change::AddLearner(record) => ChangeMembers::AddNodes(with(record)),
        Change::SetAddress(record) => ChangeMembers::SetNodes(with(record)),
        Change::RemoveLearner(id) => ChangeMembers::RemoveNodes(one(id)),
    }
}
