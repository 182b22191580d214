//! Everything a worker runs while its node is a member of a cluster, from start to stop or leave.

use super::{
    hub_task::{self, Hub},
    judge_task, renew_task,
    running::Running,
    status,
};
use crate::{
    api::Status,
    clock::{BootClock, Clock},
    config::AgentConfig,
    gossip::{self, ClusterView, Facts, GossipError, GossipSettings, Holds, Word},
    guard::{GuardChannel, GuardGone, GuardHandle},
    health::{self, HealthInputs},
    kernel::{
        DataPlaneError,
        io::{self as kernel, Linux, address::AddressError},
    },
    model::Ownership,
    raft::{Fault, Identity, MembershipSink, RaftNode, RaftSettings, RaftView, SinkError, StartError},
    reconcile::{self, Inputs, OwnedVips, Report},
    rules::{ClusterState, Target},
    verdict::Observation,
    vip::Membership,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Why a member does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The guard is gone.
    #[error(transparent)]
    Guard(#[from] GuardGone),
    /// No data plane.
    #[error("cannot reach the kernel")]
    Kernel(#[from] AddressError),
    /// No record of which VIPs are the cluster's.
    #[error(transparent)]
    OwnedVips(#[from] DataPlaneError),
    /// No Raft.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Raft ended.
    #[error(transparent)]
    Raft(#[from] Fault),
    /// Gossip ended.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// Another name than the one that the cluster knows.
    #[error(
        "this node is called {config} in agent.toml, but {identity} in its cluster: set `node = \"{identity}\"`, or move the data directory away and join anew"
    )]
    Renamed {
        /// As configured.
        config: crate::model::NodeName,
        /// As the cluster knows it.
        identity: crate::model::NodeName,
    },
}

/// A running member, as the API looks at it.
pub struct Member {
    config: Arc<AgentConfig>,
    raft: RaftNode,
    state: watch::Receiver<Arc<ClusterState>>,
    raft_view: watch::Receiver<RaftView>,
    view: watch::Receiver<Arc<ClusterView>>,
    own: watch::Receiver<Arc<BTreeMap<Target, Observation>>>,
    report: watch::Receiver<Report>,
}

impl Member {
    /// This node's Raft.
    pub fn raft(&self) -> &RaftNode {
        &self.raft
    }

    /// The replicated state as far as this node has applied it.
    pub fn state(&self) -> Arc<ClusterState> {
        self.state.borrow().clone()
    }

    /// All that this node knows.
    pub fn status(&self) -> Status {
        status::status(&status::Sources {
            me: &self.config.node,
            state: &self.state.borrow(),
            view: &self.view.borrow(),
            raft: &self.raft_view.borrow(),
            report: &self.report.borrow(),
            own: &self.own.borrow(),
            unix_now: BootClock.unix_now(),
        })
    }

    /// Starts everything. When it returns, the guard knows who this node is and what the disk says of the membership.
    ///
    /// # Errors
    /// What the node cannot be a member without.
    pub async fn start(
        config: Arc<AgentConfig>,
        identity: Identity,
        guard: &mut GuardChannel,
    ) -> Result<(Arc<Self>, Running), MemberError> {
        if config.node != identity.name {
            return Err(MemberError::Renamed { config: config.node.clone(), identity: identity.name });
        }
        guard.handle.hello(
            identity.node_id,
            identity.cluster_id.clone(),
            identity.timing,
            zeroize::Zeroizing::new(Vec::new()),
        )?;
        let data_plane = Linux::open(&config.data_dir)?;
        let owned = OwnedVips::open(&config.data_dir)?;
        let (live_out, live) = watch::channel(BTreeSet::new());
        let shutdown = CancellationToken::new();
        let settings = RaftSettings { data_dir: config.data_dir.clone(), identity: identity.clone(), addr: config.address };
        // Raft outlives the tasks that speak through it, so it has a token of its own.
        let raft = RaftNode::start(settings, Arc::new(Sink(guard.handle.clone())), live, CancellationToken::new()).await?;
        let facts = Facts {
            roles: config.roles.clone(),
            addr: config.address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: kernel::capabilities().await,
            holds: Holds::default(),
        };
        let sources = Wires::new(&config, &raft, facts.clone(), guard.ownership.clone());
        let member = Arc::new(Self {
            config: config.clone(),
            raft: raft.clone(),
            state: raft.state(),
            raft_view: raft.view(),
            view: sources.view.1.clone(),
            own: sources.own.1.clone(),
            report: sources.report.1.clone(),
        });
        let running = sources.spawn(config, identity, raft, facts, (data_plane, owned), live_out, guard.handle.clone(), shutdown);
        Ok((member, running))
    }
}

/// Both ends of a watch.
type Wire<T> = (watch::Sender<T>, watch::Receiver<T>);

/// The channels between the tasks.
struct Wires {
    view: Wire<Arc<ClusterView>>,
    own: Wire<Arc<BTreeMap<Target, Observation>>>,
    report: Wire<Report>,
    word: Wire<Arc<Word>>,
    seeds: Wire<BTreeSet<std::net::SocketAddr>>,
    health: Wire<HealthInputs>,
    reconcile: Wire<Inputs>,
    ownership: watch::Receiver<Ownership>,
}

impl Wires {
    fn new(config: &AgentConfig, raft: &RaftNode, facts: Facts, ownership: watch::Receiver<Ownership>) -> Self {
        let word = Word {
            facts,
            observations: BTreeMap::new(),
            in_place: BTreeMap::new(),
            holding: ownership.borrow().clone(),
            revision: 0,
        };
        let inputs = Inputs {
            loaded: false,
            roles: config.roles.clone(),
            address: config.address.ip(),
            state: raft.state().borrow().clone(),
            in_place: Arc::default(),
            own: Arc::default(),
            ownership: Ownership::new(),
        };
        Self {
            view: watch::channel(Arc::default()),
            own: watch::channel(Arc::default()),
            report: watch::channel(Report::default()),
            word: watch::channel(Arc::new(word)),
            seeds: watch::channel(config.seeds.iter().copied().collect()),
            health: watch::channel(HealthInputs::default()),
            reconcile: watch::channel(inputs),
            ownership,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the composition root hands every task its parts, once")]
    fn spawn(
        self,
        config: Arc<AgentConfig>,
        identity: Identity,
        raft: RaftNode,
        facts: Facts,
        (data_plane, owned): (Linux, OwnedVips),
        live: watch::Sender<BTreeSet<crate::model::NodeName>>,
        guard: GuardHandle,
        shutdown: CancellationToken,
    ) -> Running {
        let clock: Arc<dyn Clock> = Arc::new(BootClock);
        let tasks = TaskTracker::new();
        let gossip = GossipSettings {
            node: config.node.clone(),
            id: identity.node_id,
            cluster_id: identity.cluster_id.clone(),
            listen: config.address,
            interval: identity.timing.gossip_interval(),
            generation: u64::try_from(clock.unix_now().as_millis()).unwrap_or(u64::MAX),
            key: Arc::new(crate::link::node_key::NodeKey::generate()),
        };
        let speakers = watch::channel(Arc::new(crate::rules::security::Speakers::default())).1;
        let gossip = tokio::spawn(gossip::run(gossip, self.seeds.1, speakers, self.word.1, self.view.0, shutdown.child_token()));
        tasks.spawn(health::run(self.health.1, self.own.0, clock.clone(), shutdown.child_token()));
        let reconciling = shutdown.child_token();
        let reconcile = reconcile::run(data_plane, owned, self.reconcile.1, self.report.0, BootClock, reconciling.clone());
        let reconcile = tokio::spawn(reconcile);
        tasks.spawn(renew_task::run(config.clone(), raft.clone(), shutdown.child_token()));
        tasks.spawn(judge_task::run(raft.clone(), self.view.1.clone(), shutdown.child_token()));
        let view = self.view.1.clone();
        let hub = Hub {
            config: config.clone(),
            facts,
            sources: hub_task::Sources {
                state: raft.state(),
                raft: raft.view(),
                view: self.view.1,
                own: self.own.1,
                ownership: self.ownership,
                report: self.report.1,
            },
            sinks: hub_task::Sinks {
                live,
                seeds: self.seeds.0,
                word: self.word.0,
                health: self.health.0,
                reconcile: self.reconcile.0,
                guard: guard.clone(),
            },
            told: hub_task::Told::default(),
        };
        tasks.spawn(hub.run(shutdown.child_token()));
        tasks.close();
        Running { config, identity, raft, view, gossip, reconcile, reconciling, tasks, guard, shutdown }
    }
}

/// The guard's voter side, as Raft's log tells it who votes.
struct Sink(GuardHandle);

#[async_trait::async_trait]
impl MembershipSink for Sink {
    async fn effective(&self, membership: Membership) -> Result<(), SinkError> {
        self.0.membership_known(membership).await.map_err(|gone| SinkError(gone.to_string()))
    }
}
