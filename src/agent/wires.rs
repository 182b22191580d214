//! The channels between a member's tasks, and the tasks' start.

use super::{
    fan_out_task::{self, FanOut},
    fitness::OwnFitness,
    member_error::MemberError,
    network_task, parcel_task, projections,
    remote::Remote,
    running::{ReconcileTask, Running},
    verdict_task,
};
use crate::{
    api,
    clock::{BootClock, Clock},
    config::AgentConfig,
    gossip::{self, ClusterView, Facts, GossipSettings, KeyInventory, NodeState},
    guard::{GuardChannel, GuardHandle},
    health::{self, HealthInputs, io::script::ScriptRunner, track::TrackFindings, track_task},
    kernel::io::Linux,
    link::{node_key::NodeKey, parcel::Mailbox, tls::Credentials},
    members::{ClusterMember, NodeIdentity, address_task, renewal_task::Renewal, rotation_task},
    model::{NodeName, Obstacles, Ownership},
    raft::{MembershipObserver, MembershipObserverError, RaftNode},
    reconcile::{self, OwnedVips, ReconcileInputs, ReconcileReport},
    rules::{Target, security::PeerKeys},
    tasks::Tasks,
    verdict::Observation,
    vip::LeaseMembership,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, Notify, watch},
};
use tokio_util::sync::CancellationToken;

/// What a member's tasks are made of.
pub struct Parts {
    pub config: Arc<AgentConfig>,
    pub identity: NodeIdentity,
    pub cluster: ClusterMember,
    pub facts: Facts,
    pub node_key: Arc<NodeKey>,
    pub credentials: Credentials,
    pub key_files: Arc<Mutex<()>>,
    pub renew_now: Arc<Notify>,
    pub data_plane: Linux,
    pub owned: OwnedVips,
    pub live: watch::Sender<BTreeSet<NodeName>>,
    pub guard: GuardHandle,
    pub scripts: ScriptRunner,
    pub withdrawn: watch::Sender<bool>,
    pub tasks: Tasks,
    pub shutdown: CancellationToken,
}

impl Parts {
    /// The remote API, where the configuration wants it. It needs this node's certificate, so it is there while the node is a member.
    pub fn serve_remote(&self, listener: TcpListener, remote: &Remote) {
        let (admin, authorisation, credentials) = (remote.admin.clone(), remote.gate.clone(), self.credentials.clone());
        let serving = api::serve_remote(listener, credentials, admin, authorisation, self.shutdown.child_token());
        self.tasks.spawn("remote api", &self.shutdown, serving);
    }
}

/// Listens for remote administrators, where agent.toml says so.
///
/// # Errors
/// An address that is taken.
pub async fn listen_remotely(config: &AgentConfig) -> Result<Option<TcpListener>, MemberError> {
    let Some(listen) = config.api_listen else { return Ok(None) };
    let listener = TcpListener::bind(listen).await.map_err(|source| MemberError::Remote { listen, source })?;
    tracing::info!(%listen, "remote api is served");
    Ok(Some(listener))
}

/// Both ends of a watch.
type Wire<T> = (watch::Sender<T>, watch::Receiver<T>);

/// The channels between the tasks.
pub struct Wires {
    pub view: Wire<Arc<ClusterView>>,
    pub own: Wire<Arc<BTreeMap<Target, Observation>>>,
    pub report: Wire<ReconcileReport>,
    pub tracks: Wire<Arc<TrackFindings>>,
    pub word: Wire<Arc<NodeState>>,
    pub seeds: Wire<BTreeSet<SocketAddr>>,
    pub speakers: Wire<Arc<PeerKeys>>,
    pub holds: Wire<KeyInventory>,
    pub troubles: Wire<Vec<String>>,
    pub health: Wire<HealthInputs>,
    pub reconcile: Wire<ReconcileInputs>,
    pub ownership: watch::Receiver<Ownership>,
    pub refused: watch::Receiver<Obstacles>,
    pub withdrawn: watch::Receiver<bool>,
}

impl Wires {
    /// All that can be said before anything has happened.
    pub fn new(
        config: &AgentConfig,
        raft: &RaftNode,
        facts: Facts,
        guard: &GuardChannel,
        withdrawn: &watch::Sender<bool>,
    ) -> Self {
        let state = raft.state().borrow().clone();
        let word = NodeState {
            facts,
            observations: BTreeMap::new(),
            in_place: BTreeMap::new(),
            holding: guard.ownership.borrow().clone(),
            obstacles: guard.obstacles.borrow().clone(),
            less_fit: BTreeMap::new(),
            network: None,
            revision: 0,
            informed: false,
        };
        let speakers = Arc::new(projections::speakers(&state));
        let inputs = ReconcileInputs {
            loaded: false,
            roles: config.roles.clone(),
            address: config.address.ip(),
            state,
            in_place: Arc::default(),
            own: Arc::default(),
            ownership: Ownership::new(),
            kept_whole: BTreeSet::new(),
        };
        Self {
            view: watch::channel(Arc::default()),
            own: watch::channel(Arc::default()),
            report: watch::channel(ReconcileReport::default()),
            tracks: watch::channel(Arc::default()),
            word: watch::channel(Arc::new(word)),
            seeds: watch::channel(config.seeds.iter().copied().collect()),
            speakers: watch::channel(speakers),
            holds: watch::channel(KeyInventory::default()),
            troubles: watch::channel(Vec::new()),
            health: watch::channel(HealthInputs::default()),
            reconcile: watch::channel(inputs),
            ownership: guard.ownership.clone(),
            refused: guard.obstacles.clone(),
            withdrawn: withdrawn.subscribe(),
        }
    }

    /// Starts every task.
    pub fn spawn(self, parts: Parts, generation: u64) -> Running {
        let Parts {
            config,
            identity,
            cluster,
            facts,
            node_key,
            credentials,
            key_files,
            renew_now,
            data_plane,
            owned,
            live,
            guard,
            scripts,
            withdrawn,
            tasks,
            shutdown,
        } = parts;
        let raft = cluster.raft().clone();
        let clock: Arc<dyn Clock> = Arc::new(BootClock);
        let gossip = GossipSettings {
            node: config.node.clone(),
            id: identity.node_id,
            key: node_key,
            cluster_id: identity.cluster_id.clone(),
            listen: config.address,
            interval: identity.timing.gossip_interval(),
            generation,
        };
        let (mailbox, sent) = Mailbox::new(cluster.parcels());
        let (seeds, speakers, word) = (self.seeds.1, self.speakers.1, self.word.1);
        let gossip = gossip::run(gossip, seeds, speakers, word, self.view.0, mailbox, shutdown.child_token());
        tasks.spawn("gossip", &shutdown, gossip);
        tasks.spawn("parcels", &shutdown, parcel_task::run(raft.clone(), sent, shutdown.child_token()));
        let tracks = Arc::new(config.tracks.clone());
        let tracks = track_task::run(tracks, scripts.clone(), self.tracks.0, shutdown.child_token());
        tasks.spawn("tracks", &shutdown, tracks);
        let health = health::run(scripts, self.health.1, self.own.0, clock, shutdown.child_token());
        tasks.spawn("health", &shutdown, health);
        let reconciling = shutdown.child_token();
        let report = self.report.0;
        let reconcile = reconcile::run(data_plane, owned, self.reconcile.1, report.clone(), BootClock, reconciling.clone());
        // Nothing is put in place on a node that is out of service.
        let reconcile = (!*withdrawn.borrow()).then(|| tasks.spawn("reconcile", &reconciling, reconcile));
        tasks.spawn("address update", &shutdown, address_task::run(config.clone(), raft.clone(), shutdown.child_token()));
        tasks.spawn("verdicts", &shutdown, verdict_task::run(raft.clone(), self.view.1.clone(), shutdown.child_token()));
        let rotation = rotation_task::run(config.node.clone(), raft.clone(), self.view.1.clone(), shutdown.child_token());
        tasks.spawn("rotation", &shutdown, rotation);
        let renewal = Renewal {
            config: config.clone(),
            member: cluster.clone(),
            credentials,
            holds: self.holds.0,
            troubles: self.troubles.0,
            key_files: key_files.clone(),
            look_now: renew_now.clone(),
        };
        tasks.spawn("certificate renewal", &shutdown, renewal.run(shutdown.child_token()));
        let view = self.view.1.clone();
        let fan_out = FanOut {
            config: config.clone(),
            facts,
            sources: fan_out_task::Sources {
                state: raft.state(),
                raft: raft.view(),
                view: self.view.1,
                own: self.own.1,
                ownership: self.ownership,
                refused: self.refused,
                withdrawn: self.withdrawn,
                network: network_task::start(&tasks, config.clone(), &shutdown),
                report: self.report.1,
                tracks: self.tracks.1,
                holds: self.holds.1,
            },
            sinks: fan_out_task::Sinks {
                live,
                seeds: self.seeds.0,
                speakers: self.speakers.0,
                word: self.word.0,
                health: self.health.0,
                reconcile: self.reconcile.0,
                guard: guard.clone(),
            },
            told: fan_out_task::Told::default(),
            uninformed_since: None,
            assigned: Default::default(),
            fitness: OwnFitness::new(identity.timing, BootClock.now()),
            kept: None,
        };
        tasks.spawn("fan-out", &shutdown, fan_out.run(shutdown.child_token()));
        let kernel = ReconcileTask { running: reconcile, stop: reconciling, report };
        Running { config, identity, cluster, view, kernel, withdrawn, tasks, guard, key_files, renew_now, shutdown }
    }
}

/// The guard's voter side, as Raft's log tells it who votes.
pub struct Sink(pub GuardHandle);

#[async_trait::async_trait]
impl MembershipObserver for Sink {
    async fn effective(&self, membership: LeaseMembership) -> Result<(), MembershipObserverError> {
        self.0.membership_known(membership).await.map_err(|gone| MembershipObserverError(gone.to_string()))
    }
}
