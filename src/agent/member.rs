//! Everything a worker runs while its node is a member of a cluster, from start to stop or leave.

use super::{
    Remote, derive,
    hub_task::{self, Hub},
    judge_task,
    member_error::MemberError,
    network_task, parcel_task,
    running::Running,
};
use crate::{
    api::{self, AdminError, Status},
    clock::{BootClock, Clock},
    config::AgentConfig,
    gossip::{self, ClusterView, Facts, GossipSettings, Holds, Word},
    guard::{GuardChannel, GuardHandle},
    health::{self, HealthInputs, io::script::ScriptRunner},
    kernel::io::{self as kernel, Linux},
    link::{io::files, node_key::NodeKey, parcel::Mailbox, tls::Credentials},
    members::{
        ClusterMember, Identity, MemberSettings, address_task,
        renewal_task::{self, Renewal},
        rotation_task,
    },
    model::{NodeName, Obstacles, Ownership},
    raft::{MembershipSink, RaftNode, RaftView, SinkError},
    reconcile::{self, Inputs, OwnedVips, Report},
    rules::{ClusterState, Target, security::Speakers},
    status,
    tasks::Tasks,
    verdict::Observation,
    vip::Membership,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, Notify, watch},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How far this node's member is.
#[derive(Clone)]
pub enum Stage {
    /// There is none: the node is in no cluster.
    Outside,
    /// It cannot start, for this reason.
    NotStarted(String),
    /// It runs.
    Running(Arc<Member>),
}

impl Stage {
    /// The running member.
    ///
    /// # Errors
    /// Why there is none.
    pub fn member(&self) -> Result<Arc<Member>, AdminError> {
        match self {
            Self::Outside => Err(AdminError::NotInCluster),
            Self::NotStarted(why) => Err(AdminError::NotStarted(why.clone())),
            Self::Running(member) => Ok(member.clone()),
        }
    }
}

/// A running member, as the API looks at it.
pub struct Member {
    config: Arc<AgentConfig>,
    cluster: ClusterMember,
    state: watch::Receiver<Arc<ClusterState>>,
    raft_view: watch::Receiver<RaftView>,
    view: watch::Receiver<Arc<ClusterView>>,
    own: watch::Receiver<Arc<BTreeMap<Target, Observation>>>,
    report: watch::Receiver<Report>,
    troubles: watch::Receiver<Vec<String>>,
    key_files: Arc<Mutex<()>>,
}

impl Member {
    /// This node's Raft.
    pub fn raft(&self) -> &RaftNode {
        self.cluster.raft()
    }

    /// The replicated state as far as this node has applied it.
    pub fn state(&self) -> Arc<ClusterState> {
        self.state.borrow().clone()
    }

    /// Who is heard, and what they say.
    pub fn view(&self) -> Arc<ClusterView> {
        self.view.borrow().clone()
    }

    /// Who has it may write keys and certificates of this node.
    pub fn key_files(&self) -> &Mutex<()> {
        &self.key_files
    }

    /// All that this node knows.
    pub fn status(&self) -> Status {
        let state = self.state();
        let interfaces = hub_task::interface_problems(&state, &self.config);
        status::status(&status::Sources {
            me: &self.config.node,
            state: &state,
            view: &self.view.borrow(),
            raft: &self.raft_view.borrow(),
            report: &self.report.borrow(),
            own: &self.own.borrow(),
            voters_why: &self.raft().voters_why(),
            configured: &self.config.roles,
            interfaces: &interfaces,
            troubles: &self.troubles.borrow(),
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
        scripts: &ScriptRunner,
        remote: &Remote,
    ) -> Result<(Arc<Self>, Running), MemberError> {
        if config.node != identity.name {
            return Err(MemberError::Renamed { config: config.node.clone(), identity: identity.name });
        }
        let node_key = files::node_key(&config.data_dir)?;
        let pkcs8 = Zeroizing::new(node_key.pkcs8().to_vec());
        guard.handle.hello(identity.node_id, identity.cluster_id.clone(), identity.timing, pkcs8)?;
        let credentials = renewal_task::load(&config).map_err(MemberError::Credentials)?;
        let data_plane = Linux::open(&config.data_dir)?;
        let owned = OwnedVips::open(&config.data_dir)?;
        let unix_ms = u64::try_from(BootClock.unix_now().as_millis()).unwrap_or(u64::MAX);
        let generation = files::next_session(&config.data_dir, "gossip", unix_ms)?;
        let listener = listen_remotely(&config).await?;
        // Gossip binds it in its own task, where a port that is taken would end the worker.
        UdpSocket::bind(config.address).map_err(|source| MemberError::Gossip { listen: config.address, source })?;
        let (live_out, live) = watch::channel(BTreeSet::new());
        let shutdown = CancellationToken::new();
        let settings = MemberSettings {
            data_dir: config.data_dir.clone(),
            identity: identity.clone(),
            addr: config.address,
            credentials: credentials.clone(),
        };
        // Last of all that may fail: it would have to be stopped again. It outlives the tasks that speak through it, so it has a token of its own.
        let sink = Arc::new(Sink(guard.handle.clone()));
        let cluster = ClusterMember::start(settings, sink, live, CancellationToken::new()).await?;
        let raft = cluster.raft().clone();
        let facts = Facts {
            roles: config.roles.clone(),
            addr: config.address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: kernel::capabilities().await,
            holds: Holds::default(),
        };
        let wires = Wires::new(&config, &raft, facts.clone(), guard);
        let member = Arc::new(Self {
            config: config.clone(),
            cluster: cluster.clone(),
            state: raft.state(),
            raft_view: raft.view(),
            view: wires.view.1.clone(),
            own: wires.own.1.clone(),
            report: wires.report.1.clone(),
            troubles: wires.troubles.1.clone(),
            key_files: Arc::default(),
        });
        let parts = Parts {
            config,
            identity,
            cluster,
            facts,
            node_key: Arc::new(node_key),
            credentials,
            key_files: member.key_files.clone(),
            renew_now: guard.reload.clone(),
            data_plane,
            owned,
            live: live_out,
            guard: guard.handle.clone(),
            scripts: scripts.clone(),
            tasks: Tasks::default(),
            shutdown,
        };
        if let Some(listener) = listener {
            parts.serve_remote(listener, remote);
        }
        Ok((member, wires.spawn(parts, generation)))
    }
}

/// What a member's tasks are made of.
struct Parts {
    config: Arc<AgentConfig>,
    identity: Identity,
    cluster: ClusterMember,
    facts: Facts,
    node_key: Arc<NodeKey>,
    credentials: Credentials,
    key_files: Arc<Mutex<()>>,
    renew_now: Arc<Notify>,
    data_plane: Linux,
    owned: OwnedVips,
    live: watch::Sender<BTreeSet<NodeName>>,
    guard: GuardHandle,
    scripts: ScriptRunner,
    tasks: Tasks,
    shutdown: CancellationToken,
}

impl Parts {
    /// The remote API, where the configuration wants it. It needs this node's certificate, so it is there while the node is a member.
    fn serve_remote(&self, listener: TcpListener, remote: &Remote) {
        let (admin, gate, credentials) = (remote.admin.clone(), remote.gate.clone(), self.credentials.clone());
        let serving = api::serve_remote(listener, credentials, admin, gate, self.shutdown.child_token());
        self.tasks.spawn("remote api", &self.shutdown, serving);
    }
}

async fn listen_remotely(config: &AgentConfig) -> Result<Option<TcpListener>, MemberError> {
    let Some(listen) = config.api_listen else { return Ok(None) };
    let listener = TcpListener::bind(listen).await.map_err(|source| MemberError::Remote { listen, source })?;
    tracing::info!(%listen, "remote api is served");
    Ok(Some(listener))
}

/// Both ends of a watch.
type Wire<T> = (watch::Sender<T>, watch::Receiver<T>);

/// The channels between the tasks.
struct Wires {
    view: Wire<Arc<ClusterView>>,
    own: Wire<Arc<BTreeMap<Target, Observation>>>,
    report: Wire<Report>,
    word: Wire<Arc<Word>>,
    seeds: Wire<BTreeSet<SocketAddr>>,
    speakers: Wire<Arc<Speakers>>,
    holds: Wire<Holds>,
    troubles: Wire<Vec<String>>,
    health: Wire<HealthInputs>,
    reconcile: Wire<Inputs>,
    ownership: watch::Receiver<Ownership>,
    refused: watch::Receiver<Obstacles>,
}

impl Wires {
    fn new(config: &AgentConfig, raft: &RaftNode, facts: Facts, guard: &GuardChannel) -> Self {
        let state = raft.state().borrow().clone();
        let word = Word {
            facts,
            observations: BTreeMap::new(),
            in_place: BTreeMap::new(),
            holding: guard.ownership.borrow().clone(),
            obstacles: guard.obstacles.borrow().clone(),
            network: None,
            revision: 0,
            informed: false,
        };
        let speakers = Arc::new(derive::speakers(&state));
        let inputs = Inputs {
            loaded: false,
            roles: config.roles.clone(),
            address: config.address.ip(),
            state,
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
            speakers: watch::channel(speakers),
            holds: watch::channel(Holds::default()),
            troubles: watch::channel(Vec::new()),
            health: watch::channel(HealthInputs::default()),
            reconcile: watch::channel(inputs),
            ownership: guard.ownership.clone(),
            refused: guard.obstacles.clone(),
        }
    }

    fn spawn(self, parts: Parts, generation: u64) -> Running {
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
        let health = health::run(scripts, self.health.1, self.own.0, clock, shutdown.child_token());
        tasks.spawn("health", &shutdown, health);
        let reconciling = shutdown.child_token();
        let reconcile = reconcile::run(data_plane, owned, self.reconcile.1, self.report.0, BootClock, reconciling.clone());
        let reconcile = tasks.spawn("reconcile", &reconciling, reconcile);
        tasks.spawn("address update", &shutdown, address_task::run(config.clone(), raft.clone(), shutdown.child_token()));
        tasks.spawn("judge", &shutdown, judge_task::run(raft.clone(), self.view.1.clone(), shutdown.child_token()));
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
        let hub = Hub {
            config: config.clone(),
            facts,
            sources: hub_task::Sources {
                state: raft.state(),
                raft: raft.view(),
                view: self.view.1,
                own: self.own.1,
                ownership: self.ownership,
                refused: self.refused,
                network: network_task::start(&tasks, config.clone(), &shutdown),
                report: self.report.1,
                holds: self.holds.1,
            },
            sinks: hub_task::Sinks {
                live,
                seeds: self.seeds.0,
                speakers: self.speakers.0,
                word: self.word.0,
                health: self.health.0,
                reconcile: self.reconcile.0,
                guard: guard.clone(),
            },
            told: hub_task::Told::default(),
            uninformed_since: None,
            assigned: Default::default(),
            kept: None,
        };
        tasks.spawn("hub", &shutdown, hub.run(shutdown.child_token()));
        Running { config, identity, cluster, view, reconcile, reconciling, tasks, guard, key_files, renew_now, shutdown }
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
