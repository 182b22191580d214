//! The leader task: changes the membership step by step, and has snapshots made before the log grows long.

use super::{
    explain,
    liveness::Liveness,
    next_change::{CALM, MembershipChange, MembershipInput, RaftMembers, next_change},
};
use crate::{
    clock::{BootClock, BootInstant, Clock},
    model::{NodeId, NodeName, NodeRecord},
    raft::{
        task::{RaftNode, leadership},
        timing::RaftTiming,
        types::{LogId, RaftMember, TypeConfig},
    },
};
use openraft::{ChangeMembers, Precondition, RaftMetrics, ServerState, async_runtime::WatchReceiver};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How often a leader checks for work, besides whenever its Raft state changes.
const EVERY: Duration = Duration::from_millis(100);
/// How often a leader checks while the membership rests.
const SELDOM: Duration = Duration::from_millis(500);
/// How often other nodes check the length of the log. They take in a change of liveness at once; a new leader counts anew anyway.
const RARELY: Duration = Duration::from_secs(2);
/// A change that is not committed by then is left to the leader of that time; its next check sees the result.
const CHANGE_DEADLINE: Duration = Duration::from_secs(5);
/// A learner that lacks no more entries than this is up to date enough to vote.
const NEARLY: u64 = 100;
/// A voter that stops voting goes on as a learner, until it is removed as one.
const KEEP_AS_LEARNER: bool = true;
/// A snapshot is made when the log's entries are this long together, however few they are.
const LONG_LOG_BYTES: usize = 8 << 20;

/// The times since when the leader has seen its term and the membership unchanged (docs/lease.md, "Changes of the voters").
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

    /// A step may be waiting for a moment to pass until the membership has rested for some time.
    fn until_next_look(&self, now: BootInstant) -> Duration {
        match self.leads {
            None => RARELY,
            Some(_) if self.quiet_for(now).is_none_or(|quiet| quiet <= CALM + SELDOM) => EVERY,
            Some(_) => SELDOM,
        }
    }

    fn settled_for(&self, now: BootInstant) -> Duration {
        self.settled.map_or(Duration::ZERO, |(_, settled)| now.saturating_since(settled))
    }
}

fn is_settled(metrics: &RaftMetrics<TypeConfig>) -> bool {
    metrics.membership_config.log_id() == metrics.committed_membership_config.log_id()
}

/// Runs the leader task while this node leads; publishes the members' liveness always.
pub async fn run(node: RaftNode, liveness: watch::Sender<Arc<Liveness>>, shutdown: CancellationToken) {
    let mut server = node.raft().server_metrics();
    let (mut state, mut live) = (node.state(), node.live());
    let mut watch = Watch::default();
    loop {
        let every = watch.until_next_look(BootClock.now());
        tokio::select! {
            // All cancel-safe: they only say that it is time to look.
            () = shutdown.cancelled() => return,
            // openraft is gone, which `view_task::watch_faults` says.
            changed = server.changed() => if changed.is_err() { return shutdown.cancelled().await },
            Ok(()) = state.changed() => {}
            Ok(()) = live.changed() => {}
            () = sleep(every) => {}
        }
        keep_log_short(&node).await;
        tokio::select! {
            // A change that is cancelled may still be committed; the next leader sees it.
            () = shutdown.cancelled() => return,
            () = lead(&node, &mut watch, &liveness) => {}
        }
    }
}

async fn keep_log_short(node: &RaftNode) {
    if node.log().bytes() < LONG_LOG_BYTES {
        return;
    }
    let applied = node.published().borrow().applied;
    let covered = node.raft().metrics().borrow_watched().snapshot.map_or(0, |id| id.index);
    // `view_task` reports a stopped Raft.
    if covered < applied {
        let _ = node.raft().trigger().snapshot().await;
    } else {
        let _ = node.raft().trigger().purge_log(covered).await;
    }
}

async fn lead(node: &RaftNode, watch: &mut Watch, liveness: &watch::Sender<Arc<Liveness>>) {
    let metrics = node.raft().metrics().borrow_watched().clone();
    let now = BootClock.now();
    let led = watch.leads.map(|(term, _)| term);
    watch.look(&metrics, now);
    // A new leader counts anew: as a follower it did not act upon what it heard, and its gossip may have been cut off.
    let begins = watch.leads.map(|(term, _)| term).is_some_and(|term| led != Some(term));
    let state = node.state().borrow().clone();
    let live: BTreeSet<NodeName> = node.live().borrow().clone();
    hear(liveness, begins, state.nodes.keys(), &live, now);
    let Some(quiet_for) = watch.quiet_for(now) else { return };
    let heard = liveness.borrow().clone();
    let change = next_change(&MembershipInput {
        me: node.id(),
        nodes: &state.nodes,
        live: &live,
        silent_for: &heard.silent_for(now),
        lately_back: &heard.lately_back(now),
        caught_up: &caught_up(&metrics),
        acking: &acking(&metrics, node.timing()),
        told: &told(&metrics),
        members: &members(&metrics),
        settled: is_settled(&metrics),
        own_term_committed: own_term_committed(&metrics),
        quiet_for,
        settled_for: watch.settled_for(now),
        spacing: 2 * node.ttl(),
    });
    match change {
        None => {}
        Some(MembershipChange::Demote(id)) if id == node.id() => hand_over(node, &metrics).await,
        Some(change) => carry_out(node, &metrics, change).await,
    }
}

fn hear<'a>(
    liveness: &watch::Sender<Arc<Liveness>>,
    anew: bool,
    members: impl Iterator<Item = &'a NodeName>,
    live: &BTreeSet<NodeName>,
    now: BootInstant,
) {
    liveness.send_if_modified(|liveness| {
        let mut next = if anew { Liveness::default() } else { liveness.as_ref().clone() };
        let differs = next.look(members, live, now);
        if differs {
            *liveness = Arc::new(next);
        }
        differs
    });
}

/// A leader that is to lose its vote gives leadership to another node, which then takes the vote. Leadership ends without an election timeout.
async fn hand_over(node: &RaftNode, seen: &RaftMetrics<TypeConfig>) {
    let Some(successor) = leadership::successor(seen, &node.state().borrow()) else { return };
    tracing::info!(node = %NodeId(successor), "leadership is handed over: this node is to lose its vote");
    if timeout(CHANGE_DEADLINE, node.transfer_to(successor)).await.is_err() {
        tracing::warn!("leadership was not taken over in time");
    }
}

impl RaftNode {
    /// Why each member votes or does not, in words, as far as this node can tell: the leader knows best.
    pub fn voters_why(&self) -> BTreeMap<NodeName, String> {
        let metrics = self.raft().metrics().borrow_watched().clone();
        let now = BootClock.now();
        let (state, live, heard) = (self.state().borrow().clone(), self.live().borrow().clone(), self.liveness());
        let members = members(&metrics);
        // Only a leader knows how up to date the other nodes' logs are.
        let caught_up = match &metrics.replication {
            Some(_) => caught_up(&metrics),
            None => members.addresses.keys().copied().collect(),
        };
        let input = MembershipInput {
            me: self.id(),
            nodes: &state.nodes,
            live: &live,
            silent_for: &heard.silent_for(now),
            lately_back: &heard.lately_back(now),
            caught_up: &caught_up,
            acking: &BTreeSet::new(),
            told: &BTreeSet::new(),
            members: &members,
            settled: true,
            own_term_committed: true,
            quiet_for: Duration::ZERO,
            settled_for: Duration::ZERO,
            spacing: Duration::ZERO,
        };
        explain::reasons(&input)
    }

    /// The members that this node does not hear now, and for how long it has not. A leader counts from when it began to lead.
    pub fn silent_for(&self) -> BTreeMap<NodeName, Duration> {
        self.liveness().silent_for(BootClock.now())
    }
}

fn own_term_committed(metrics: &RaftMetrics<TypeConfig>) -> bool {
    metrics.local_committed.is_some_and(|id| id.leader_id == metrics.vote.leader_id)
}

fn members(metrics: &RaftMetrics<TypeConfig>) -> RaftMembers {
    let membership = metrics.membership_config.membership();
    RaftMembers {
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

/// Nodes that have acknowledged a heartbeat or an entry lately.
fn acking(metrics: &RaftMetrics<TypeConfig>, timing: RaftTiming) -> BTreeSet<NodeId> {
    use openraft::Instant;
    let votes = |id: &u64| metrics.membership_config.voter_ids().any(|voter| voter == *id);
    let heartbeats = metrics.heartbeat.iter().flatten();
    let lately = heartbeats.filter(|(id, at)| at.is_some_and(|at| at.elapsed() <= timing.longest_silence(votes(id))));
    lately.map(|(id, _)| NodeId(*id)).collect()
}

/// Nodes that know the effective membership.
fn told(metrics: &RaftMetrics<TypeConfig>) -> BTreeSet<NodeId> {
    let Some(entry) = metrics.membership_config.log_id() else { return BTreeSet::new() };
    let replication = metrics.replication.iter().flatten();
    let knows = |matched: &Option<LogId>| matched.is_some_and(|id| id.index >= entry.index);
    replication.filter(|(_, matched)| knows(matched)).map(|(id, _)| NodeId(*id)).collect()
}

async fn carry_out(node: &RaftNode, seen: &RaftMetrics<TypeConfig>, change: MembershipChange) {
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

fn to_openraft(change: &MembershipChange) -> ChangeMembers<u64, RaftMember> {
    let one = |id: &NodeId| BTreeSet::from([id.0]);
    let with = |record: &NodeRecord| BTreeMap::from([(record.id.0, RaftMember { name: record.name.clone(), addr: record.addr })]);
    match change {
        // An empty addition to the newer set, which openraft takes as: go to the newer set.
        MembershipChange::Complete => ChangeMembers::AddVoterIds(BTreeSet::new()),
        MembershipChange::RemoveVoter(id) | MembershipChange::Demote(id) => ChangeMembers::RemoveVoters(one(id)),
        MembershipChange::Promote(id) => ChangeMembers::AddVoterIds(one(id)),
        MembershipChange::AddLearner(record) => ChangeMembers::AddNodes(with(record)),
        MembershipChange::SetAddress(record) => ChangeMembers::SetNodes(with(record)),
        MembershipChange::RemoveLearner(id) => ChangeMembers::RemoveNodes(one(id)),
    }
}
