//! The start of a node's Raft: it opens the log, runs openraft, and starts the tasks that look after it.

use super::{Inner, OurRaft, RaftNode};
use crate::{
    link::tls::Credentials,
    model::{NodeId, NodeName, TimingProfile},
    peers::{Answers, BootstrapPeer, Directory, Peers, Port, serve},
    raft::{
        RaftView,
        fault::{Fault, StartError},
        heartbeat_task,
        io::{disk::Stamp, log_store::LogStore, raft_client::Network, state_machine::StateMachine},
        recipients::Recipients,
        sink::MembershipSink,
        timing::RaftTiming,
        view_task,
        voters::{Liveness, leader_task},
        vouch_task,
    },
    rules::ClusterState,
    tasks::Tasks,
};
use openraft::Raft;
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
};
use tokio_util::sync::CancellationToken;

/// What a node's Raft needs to know to start.
#[derive(Clone)]
pub struct RaftSettings {
    /// Where its log is.
    pub data_dir: PathBuf,
    /// The cluster.
    pub cluster_id: String,
    /// This node's number in it.
    pub me: NodeId,
    /// This node's name in it.
    pub name: NodeName,
    /// The cluster's rhythm.
    pub timing: TimingProfile,
    /// The members when this node joined: whom it hears before it has the cluster's state.
    pub met: Vec<BootstrapPeer>,
    /// What it presents and trusts. Whoever renews them replaces what is in them.
    pub credentials: Credentials,
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
        let RaftSettings { data_dir, cluster_id, me, name, timing, met, credentials } = settings;
        let stamp = Stamp::new(&cluster_id, me.0);
        let (log, snapshot) = LogStore::open(&data_dir, &stamp, sink).await?;
        let (timing, ttl) = (RaftTiming::of(timing), timing.ttl());
        let (machine, published) = StateMachine::new(log.clone(), snapshot);
        let directory = Directory::new(&cluster_id, published.clone(), &met);
        let peers = Peers::of_member(me, directory.clone(), credentials);
        let recipients = Recipients::default();
        let network = Network::new(peers.clone(), Some(directory.clone()), timing, recipients.clone());
        let raft = open_raft(&cluster_id, me, timing, network, log.clone(), machine);
        let raft = raft.await.map_err(|why| StartError::Raft { data_dir: data_dir.clone(), why })?;
        let (view_sender, view) = watch::channel(RaftView::default());
        let (state_sender, state) = watch::channel(published.borrow().state.clone());
        let (liveness_sender, liveness) = watch::channel(Arc::default());
        let (fault_sender, fault) = watch::channel(None);
        let node = Self {
            inner: Arc::new(Inner {
                me,
                name,
                directory,
                timing,
                ttl,
                raft,
                log,
                peers,
                heard: Default::default(),
                vouched: Default::default(),
                doubts: Notify::new(),
                leaving: AtomicBool::new(false),
                live,
                published,
                state,
                view,
                liveness,
                fault,
                shutdown,
                halt: CancellationToken::new(),
                tasks: Tasks::default(),
                stopped: CancellationToken::new(),
            }),
        };
        node.spawn_tasks(view_sender, state_sender, liveness_sender, fault_sender);
        let (shutdown, halt) = (&node.inner.shutdown, node.inner.halt.clone());
        node.inner.tasks.spawn("raft heartbeats", shutdown, heartbeat_task::run(node.clone(), recipients, halt));
        Ok(node)
    }

    fn spawn_tasks(
        &self,
        view: watch::Sender<RaftView>,
        state: watch::Sender<Arc<ClusterState>>,
        liveness: watch::Sender<Arc<Liveness>>,
        fault: watch::Sender<Option<Fault>>,
    ) {
        let Inner { tasks, shutdown, halt, .. } = self.inner.as_ref();
        // Those that serve until `halt` may end once the rest has been told to.
        tasks.spawn("raft view", shutdown, view_task::run(self.clone(), view, state, halt.clone()));
        tasks.spawn("raft fault watch", shutdown, view_task::watch_faults(self.clone(), fault, shutdown.clone()));
        tasks.spawn("raft leader", shutdown, leader_task::run(self.clone(), liveness, shutdown.clone()));
        tasks.spawn("raft vouching", shutdown, vouch_task::run(self.clone(), shutdown.clone()));
        tokio::spawn(self.clone().stop_when_told());
    }

    /// Takes connections of other nodes at `listener` until this node's Raft has handed over, and gives their questions to `answers`.
    pub fn serve(&self, listener: TcpListener, credentials: Credentials, answers: Arc<dyn Answers>) {
        let Inner { tasks, shutdown, halt, directory, me, .. } = self.inner.as_ref();
        let port = Port { me: *me, directory: directory.clone(), credentials, answers };
        tasks.spawn("peer server", shutdown, serve(listener, port, halt.clone()));
    }
}

/// Starts openraft over an open log. It has applied what is known as committed when it returns.
pub(super) async fn open_raft(
    cluster_id: &str,
    me: NodeId,
    timing: RaftTiming,
    network: Network,
    log: LogStore,
    machine: StateMachine,
) -> Result<OurRaft, String> {
    let config = timing.config(cluster_id).validate().map_err(|error| error.to_string())?;
    Raft::new(me.0, Arc::new(config), network, log, machine).await.map_err(|error| error.to_string())
}
