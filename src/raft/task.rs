//! The node's Raft from start to stop: opens the log, runs openraft, listens, and looks after what the agent wants to know.

use super::{
    RaftView,
    admit_task::Arrivals,
    duties_task,
    fault::{Fault, StartError},
    hearing::Hearing,
    heartbeat_task,
    io::{
        directory::Directory,
        disk::Stamp,
        identity::Identity,
        log_store::LogStore,
        network::{Network, Peers},
        server::{self, Heard},
        state_machine::{Published, StateMachine},
    },
    presence_task,
    recipients::Recipients,
    sink::MembershipSink,
    timing::RaftTiming,
    types::TypeConfig,
    view_task, vouch_task,
};
use crate::{
    link::{parcel::Slot, tls::Credentials},
    model::{NodeId, NodeName},
    rules::ClusterState,
    tasks::Tasks,
};
use openraft::{Raft, ServerState, async_runtime::WatchReceiver};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long a leader that stops waits for another one to take over.
const HAND_OVER: Duration = Duration::from_millis(500);
/// How long openraft and the log may take to stop, each.
const STOP: Duration = Duration::from_secs(1);

/// openraft with our state machine.
pub(super) type OurRaft = Raft<TypeConfig, StateMachine>;

/// What a node's Raft needs to know to start.
#[derive(Clone)]
pub struct RaftSettings {
    /// Where its files are.
    pub data_dir: PathBuf,
    /// Who this node is.
    pub identity: Identity,
    /// Where it listens (TCP; gossip has the same port for UDP).
    pub addr: SocketAddr,
    /// What it presents and trusts. Whoever renews them replaces what is in them.
    pub credentials: Credentials,
}

/// This node's Raft. Clones are handles to the same.
#[derive(Clone)]
pub struct RaftNode {
    inner: Arc<Inner>,
}

struct Inner {
    data_dir: PathBuf,
    identity: Identity,
    credentials: Credentials,
    directory: Directory,
    timing: RaftTiming,
    raft: OurRaft,
    log: LogStore,
    peers: Peers,
    heard: Heard,
    arrivals: Mutex<Arrivals>,
    parcels: Slot,
    leaving: AtomicBool,
    untrusted: watch::Sender<Option<String>>,
    live: watch::Receiver<BTreeSet<NodeName>>,
    published: watch::Receiver<Published>,
    state: watch::Receiver<Arc<ClusterState>>,
    view: watch::Receiver<RaftView>,
    hearing: watch::Receiver<Arc<Hearing>>,
    fault: watch::Receiver<Option<Fault>>,
    /// The agent wants it to stop: no new duties.
    shutdown: CancellationToken,
    /// It has handed over: nobody is answered any more.
    halt: CancellationToken,
    tasks: Tasks,
    stopped: CancellationToken,
}

impl RaftNode {
    /// Starts this node's Raft. When it returns, everything that was known as committed at the last stop is in [`RaftNode::state`].
    ///
    /// `live` are the nodes whose gossip is heard. Cancelling `shutdown` stops it: leadership is handed over, the log closed; then
    /// [`RaftNode::stopped`] returns.
    ///
    /// # Errors
    /// A log that cannot be used, an address that is taken.
    pub async fn start(
        settings: RaftSettings,
        sink: Arc<dyn MembershipSink>,
        live: watch::Receiver<BTreeSet<NodeName>>,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let RaftSettings { data_dir, identity, addr, credentials } = settings;
        let stamp = Stamp::new(&identity.cluster_id, identity.node_id.0);
        // Before the log, so that a start that is tried again and again reads nothing.
        let listener = TcpListener::bind(addr).await.map_err(|source| StartError::Listen { addr, source })?;
        let (log, snapshot) = LogStore::open(&data_dir, &stamp, sink).await?;
        let timing = RaftTiming::of(identity.timing);
        let (machine, published) = StateMachine::new(log.clone(), snapshot);
        let directory = Directory::new(&identity.cluster_id, published.clone(), &identity.met);
        let peers = Peers::of_member(identity.node_id, directory.clone(), credentials.clone());
        let recipients = Recipients::default();
        let network = Network::new(peers.clone(), timing, recipients.clone());
        let raft = open_raft(&identity, timing, network, log.clone(), machine);
        let raft = raft.await.map_err(|why| StartError::Raft { data_dir: data_dir.clone(), why })?;
        let (view_sender, view) = watch::channel(RaftView::default());
        let (state_sender, state) = watch::channel(published.borrow().state.clone());
        let (hearing_sender, hearing) = watch::channel(Arc::default());
        let (fault_sender, fault) = watch::channel(None);
        let node = Self {
            inner: Arc::new(Inner {
                data_dir,
                credentials,
                directory,
                identity,
                timing,
                raft,
                log,
                peers,
                heard: Heard::default(),
                arrivals: Mutex::default(),
                parcels: Slot::default(),
                leaving: AtomicBool::new(false),
                untrusted: watch::channel(None).0,
                live,
                published,
                state,
                view,
                hearing,
                fault,
                shutdown,
                halt: CancellationToken::new(),
                tasks: Tasks::default(),
                stopped: CancellationToken::new(),
            }),
        };
        node.spawn_tasks(listener, view_sender, state_sender, hearing_sender, fault_sender);
        let (shutdown, halt) = (&node.inner.shutdown, node.inner.halt.clone());
        node.inner.tasks.spawn("raft heartbeats", shutdown, heartbeat_task::run(node.clone(), recipients, halt));
        Ok(node)
    }

    fn spawn_tasks(
        &self,
        listener: TcpListener,
        view: watch::Sender<RaftView>,
        state: watch::Sender<Arc<ClusterState>>,
        hearing: watch::Sender<Arc<Hearing>>,
        fault: watch::Sender<Option<Fault>>,
    ) {
        let Inner { tasks, shutdown, halt, .. } = self.inner.as_ref();
        // Those that serve until `halt` may end once the rest has been told to.
        tasks.spawn("raft server", shutdown, server::serve(listener, self.clone(), halt.clone()));
        tasks.spawn("raft view", shutdown, view_task::run(self.clone(), view, state, halt.clone()));
        tasks.spawn("raft fault watch", shutdown, view_task::watch_faults(self.clone(), fault, shutdown.clone()));
        tasks.spawn("raft duties", shutdown, duties_task::run(self.clone(), hearing, shutdown.clone()));
        tasks.spawn("raft presence", shutdown, presence_task::run(self.clone(), shutdown.clone()));
        tasks.spawn("raft vouching", shutdown, vouch_task::run(self.clone(), shutdown.clone()));
        tokio::spawn(self.clone().stop_when_told());
    }

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
        self.inner.identity.node_id
    }

    /// The cluster's identity.
    pub fn cluster_id(&self) -> &str {
        &self.inner.identity.cluster_id
    }

    /// Whether this node leads and a majority has acknowledged that within the last election timeout: it may commit verdicts.
    pub fn is_leader_with_quorum(&self) -> bool {
        view_task::is_leader_with_quorum(self)
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

    async fn stop_when_told(self) {
        // Whoever waits for the end is not left waiting, whatever happens here.
        let _stopped = self.inner.stopped.clone().drop_guard();
        self.inner.shutdown.cancelled().await;
        self.hand_over_in_time().await;
        if timeout(STOP, self.inner.raft.shutdown()).await.is_err() {
            tracing::warn!("raft did not stop in time");
        }
        self.inner.halt.cancel();
        let closed = timeout(STOP, self.inner.log.close()).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!(?closed, "raft log was not closed cleanly");
        }
        if timeout(STOP, self.inner.tasks.all_ended()).await.is_err() {
            tracing::warn!(tasks = self.inner.tasks.running(), "raft tasks did not stop in time");
        }
    }

    /// Lets another voter lead, if this one does.
    pub(super) async fn hand_over_in_time(&self) {
        if timeout(HAND_OVER, self.hand_over()).await.is_err() {
            tracing::warn!("leadership was not taken over in time");
        }
    }

    /// Gives leadership to the voter whose log is nearest, and waits until it is gone.
    async fn hand_over(&self) {
        let mut metrics = self.inner.raft.metrics();
        let (leads, successor) = {
            let metrics = metrics.borrow_watched();
            (metrics.state == ServerState::Leader, view_task::successor(&metrics, &self.state().borrow()))
        };
        let Some(successor) = successor.filter(|_| leads) else { return };
        tracing::info!(node = %NodeId(successor), "leadership is handed over");
        if self.inner.raft.trigger().transfer_leader(successor).await.is_err() {
            return;
        }
        while metrics.borrow_watched().state == ServerState::Leader {
            if metrics.changed().await.is_err() {
                return;
            }
        }
        // The successor's first entry should find this node still answering, or a cluster of two or three waits for nothing.
        sleep(self.inner.timing.pause).await;
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.inner.fault.borrow().clone()
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.inner.credentials
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.inner.directory
    }

    pub(super) fn arrivals(&self) -> &Mutex<Arrivals> {
        &self.inner.arrivals
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.inner.leaving.load(Ordering::Relaxed)
    }

    pub(super) fn set_leaving(&self, leaving: bool) {
        self.inner.leaving.store(leaving, Ordering::Relaxed);
    }

    /// What members say that answer this node and trust it no more than it trusts them; `None`: some do.
    pub(super) fn untrusted(&self) -> Option<String> {
        self.inner.untrusted.borrow().clone()
    }

    pub(super) fn set_untrusted(&self, why: Option<String>) {
        self.inner.untrusted.send_replace(why);
    }

    pub(super) fn timing(&self) -> RaftTiming {
        self.inner.timing
    }

    pub(super) fn raft(&self) -> &OurRaft {
        &self.inner.raft
    }

    pub(super) fn log(&self) -> &LogStore {
        &self.inner.log
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.inner.peers
    }

    pub(super) fn heard(&self) -> &Heard {
        &self.inner.heard
    }

    pub(super) fn live(&self) -> watch::Receiver<BTreeSet<NodeName>> {
        self.inner.live.clone()
    }

    /// Who is heard and who is silent, since when.
    pub(super) fn hearing(&self) -> Arc<Hearing> {
        self.inner.hearing.borrow().clone()
    }

    pub(super) fn published(&self) -> watch::Receiver<Published> {
        self.inner.published.clone()
    }
}

/// Starts openraft over an open log. It has applied what is known as committed when it returns.
pub(super) async fn open_raft(
    identity: &Identity,
    timing: RaftTiming,
    network: Network,
    log: LogStore,
    machine: StateMachine,
) -> Result<OurRaft, String> {
    let config = timing.config(&identity.cluster_id).validate().map_err(|error| error.to_string())?;
    Raft::new(identity.node_id.0, Arc::new(config), network, log, machine).await.map_err(|error| error.to_string())
}

mod parcels;
#[cfg(test)]
mod tests;
