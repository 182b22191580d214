//! Everything a worker runs while its node is a member of a cluster, from start to stop or leave.

use super::{
    fan_out_task,
    member_error::MemberError,
    refusals::refused,
    remote::Remote,
    running::Running,
    wires::{Parts, Sink, Wires, listen_remotely},
};
use crate::{
    api::{AdminError, CHANGE_DEADLINE, Status},
    base::build::VERSION,
    clock::{BootClock, Clock},
    config::AgentConfig,
    gossip::{ClusterView, Facts, KeyInventory},
    guard::GuardChannel,
    health::io::script::ScriptRunner,
    kernel::io::{self as kernel, Linux},
    link::io::files,
    members::{ClusterMember, MemberSettings, NodeIdentity, renewal_task},
    raft::{Committed, RaftNode, RaftView},
    reconcile::{OwnedVips, ReconcileReport},
    rules::{ClusterState, Command, Target},
    status,
    tasks::Tasks,
    verdict::Observation,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::UdpSocket,
    sync::Arc,
};
use tokio::sync::{Mutex, watch};
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
    report: watch::Receiver<ReconcileReport>,
    troubles: watch::Receiver<Vec<String>>,
    seen_by_guard: watch::Receiver<Vec<String>>,
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

    /// Makes a change of the cluster that an operator has asked this node for. What the node is asked next is answered with it.
    ///
    /// # Errors
    /// A refusal, or nobody to decide.
    pub async fn change(&self, change: Command) -> Result<Committed, AdminError> {
        self.raft().propose_and_see(change, CHANGE_DEADLINE).await.map_err(refused)
    }

    /// All that this node knows.
    pub fn status(&self) -> Status {
        let state = self.state();
        let mut interfaces = fan_out_task::interface_problems(&state, &self.config);
        interfaces.extend(self.seen_by_guard.borrow().iter().cloned());
        status::status(&status::StatusInput {
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
        identity: NodeIdentity,
        guard: &mut GuardChannel,
        scripts: &ScriptRunner,
        remote: &Remote,
        withdrawn: &watch::Sender<bool>,
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
        let membership_observer = Arc::new(Sink(guard.handle.clone()));
        let cluster = ClusterMember::start(settings, membership_observer, live, CancellationToken::new()).await?;
        let raft = cluster.raft().clone();
        let facts = Facts {
            roles: config.roles.clone(),
            addr: config.address,
            version: VERSION.to_owned(),
            kernel: kernel::capabilities().await,
            holds: KeyInventory::default(),
            withdrawn: *withdrawn.borrow(),
        };
        let wires = Wires::new(&config, &raft, facts.clone(), guard, withdrawn);
        let member = Arc::new(Self {
            config: config.clone(),
            cluster: cluster.clone(),
            state: raft.state(),
            raft_view: raft.view(),
            view: wires.view.1.clone(),
            own: wires.own.1.clone(),
            report: wires.report.1.clone(),
            troubles: wires.troubles.1.clone(),
            seen_by_guard: guard.problems.clone(),
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
            withdrawn: withdrawn.clone(),
            tasks: Tasks::default(),
            shutdown,
        };
        if let Some(listener) = listener {
            parts.serve_remote(listener, remote);
        }
        Ok((member, wires.spawn(parts, generation)))
    }
}
