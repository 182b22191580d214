//! The handle of this node's Raft: what it knows, and what is asked of it. `start` makes it, `stop` ends it.

use super::{
    RaftView,
    fault::Fault,
    io::{log_store::LogStore, state_machine::StateMachine},
    timing::RaftTiming,
    types::TypeConfig,
    voters::Liveness,
    vouching::Vouched,
};
use crate::{
    model::{NodeId, NodeName},
    peers::{Directory, Peers, Published},
    rules::ClusterState,
    tasks::Tasks,
};
use openraft::{Raft, ServerState, async_runtime::WatchReceiver};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub(super) use heard::Heard;

mod found;
mod heard;
pub(super) mod leadership;
mod leave;
mod start;
mod stop;

pub(crate) use found::{FoundError, Founder, create_log, discard_log, found};
pub use start::RaftSettings;

/// openraft with our state machine.
pub(super) type OurRaft = Raft<TypeConfig, StateMachine>;

/// This node's Raft. Clones are handles to the same.
#[derive(Clone)]
pub struct RaftNode {
    inner: Arc<Inner>,
}

struct Inner {
    me: NodeId,
    name: NodeName,
    directory: Directory,
    timing: RaftTiming,
    /// How long a lease of a VIP lasts.
    ttl: Duration,
    raft: OurRaft,
    log: LogStore,
    peers: Peers,
    heard: Heard,
    vouched: Mutex<Vouched>,
    doubts: Notify,
    leaving: AtomicBool,
    live: watch::Receiver<BTreeSet<NodeName>>,
    published: watch::Receiver<Published>,
    state: watch::Receiver<Arc<ClusterState>>,
    view: watch::Receiver<RaftView>,
    liveness: watch::Receiver<Arc<Liveness>>,
    fault: watch::Receiver<Option<Fault>>,
    /// The agent wants it to stop: no new duties.
    shutdown: CancellationToken,
    /// It has handed over: nobody is answered any more.
    halt: CancellationToken,
    tasks: Tasks,
    stopped: CancellationToken,
}

impl RaftNode {
    /// The cluster's state as far as this node has applied it.
    pub fn state(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.inner.state.clone()
    }

    /// What this node knows of leader, voters and quorum.
    pub fn view(&self) -> watch::Receiver<RaftView> {
        self.inner.view.clone()
    }

    /// This node's number.
    pub fn id(&self) -> NodeId {
        self.inner.me
    }

    /// The cluster's identity.
    pub fn cluster_id(&self) -> &str {
        self.inner.directory.cluster_id()
    }

    /// Whether this node leads and a majority has acknowledged that within the last election timeout: it may commit verdicts.
    pub fn is_leader_with_quorum(&self) -> bool {
        let metrics = self.raft().metrics().borrow_watched().clone();
        metrics.state == ServerState::Leader && leadership::has_quorum(&metrics, self.heard(), self.timing())
    }

    /// See [`leadership::is_leaderless`].
    pub(super) fn is_leaderless(&self) -> bool {
        let metrics = self.raft().metrics().borrow_watched().clone();
        leadership::is_leaderless(&metrics, self.heard(), self.timing())
    }

    /// Returns when Raft, or a task of it, has stopped by itself: a full disk, a guard that does not answer, a bug. Never returns otherwise.
    pub async fn failed(&self) -> Fault {
        let mut fault = self.inner.fault.clone();
        loop {
            if let Some(fault) = fault.borrow_and_update().clone() {
                return fault;
            }
            if fault.changed().await.is_err() {
                // Who looks for faults is gone, which is one itself.
                return self.inner.tasks.failed().await.into();
            }
        }
    }

    /// Stops it and returns when it has stopped. Cancelling the token given to [`RaftNode::start`] and waiting for [`RaftNode::stopped`] is the same.
    pub async fn shutdown(&self) {
        self.inner.shutdown.cancel();
        self.stopped().await;
    }

    /// Returns when it has stopped and its file is closed.
    pub async fn stopped(&self) {
        self.inner.stopped.cancelled().await;
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.inner.fault.borrow().clone()
    }

    /// This node's name.
    pub fn name(&self) -> &NodeName {
        &self.inner.name
    }

    /// Who belongs to the cluster, as this node knows it.
    pub fn directory(&self) -> &Directory {
        &self.inner.directory
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.inner.leaving.load(Ordering::Relaxed)
    }

    /// This node is leaving: that others remove it is no fault.
    pub(crate) fn set_leaving(&self, leaving: bool) {
        self.inner.leaving.store(leaving, Ordering::Relaxed);
    }

    pub(crate) fn timing(&self) -> RaftTiming {
        self.inner.timing
    }

    /// How long a lease of a VIP lasts.
    pub(super) fn ttl(&self) -> Duration {
        self.inner.ttl
    }

    pub(super) fn raft(&self) -> &OurRaft {
        &self.inner.raft
    }

    /// openraft itself, for tests of whole clusters.
    #[cfg(test)]
    pub(crate) fn openraft(&self) -> &OurRaft {
        self.raft()
    }

    /// Whether `id` was said to vote, lately.
    #[cfg(test)]
    pub(crate) fn is_vouched_for(&self, id: NodeId) -> bool {
        use crate::clock::{BootClock, Clock};
        self.vouched().has(id, BootClock.now())
    }

    pub(super) fn log(&self) -> &LogStore {
        &self.inner.log
    }

    /// The connections to other members.
    pub fn peers(&self) -> &Peers {
        &self.inner.peers
    }

    /// Who was said to vote.
    pub(super) fn vouched(&self) -> MutexGuard<'_, Vouched> {
        self.inner.vouched.lock().expect("no holder of this lock panics")
    }

    /// Notified whenever somebody was not heard of whom others may know that it votes.
    pub(super) fn doubts(&self) -> &Notify {
        &self.inner.doubts
    }

    pub(super) fn heard(&self) -> &Heard {
        &self.inner.heard
    }

    pub(crate) fn live(&self) -> watch::Receiver<BTreeSet<NodeName>> {
        self.inner.live.clone()
    }

    /// Who is heard and who is silent, since when.
    pub(crate) fn liveness(&self) -> Arc<Liveness> {
        self.inner.liveness.borrow().clone()
    }

    pub(crate) fn published(&self) -> watch::Receiver<Published> {
        self.inner.published.clone()
    }
}
