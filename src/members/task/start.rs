//! The start of a member: it listens, starts its Raft, and answers other nodes.

use super::{ClusterMember, Inner};
use crate::{
    link::tls::Credentials,
    members::{io::identity::NodeIdentity, lost_contact_task},
    model::NodeName,
    raft::{MembershipObserver, RaftNode, RaftSettings, RaftStartError},
};
use std::{collections::BTreeSet, io, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

/// The settings of a member's start.
#[derive(Clone)]
pub struct MemberSettings {
    /// Where its files are.
    pub data_dir: PathBuf,
    /// The node's identity in its cluster.
    pub identity: NodeIdentity,
    /// Where it listens (TCP; gossip has the same port for UDP).
    pub addr: SocketAddr,
    /// The certificate that it presents and the CAs that it trusts. The certificate renewal replaces them in place.
    pub credentials: Credentials,
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum MemberStartError {
    /// The address cannot be used.
    #[error("cannot listen on {addr} (TCP): is it this machine's, and is no other agent running?")]
    Listen {
        /// Which.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its Raft.
    #[error(transparent)]
    Raft(#[from] RaftStartError),
}

impl ClusterMember {
    /// Listens, starts this node's Raft and answers other nodes. When it returns, everything that was known as committed at the last stop is in
    /// [`RaftNode::state`].
    ///
    /// `live` are the nodes whose gossip is heard. Cancelling `shutdown` stops it: leadership is handed over, the log closed; then
    /// [`RaftNode::stopped`] returns.
    ///
    /// # Errors
    /// The log cannot be used, or the address is taken.
    pub async fn start(
        settings: MemberSettings,
        membership_observer: Arc<dyn MembershipObserver>,
        live: watch::Receiver<BTreeSet<NodeName>>,
        shutdown: CancellationToken,
    ) -> Result<Self, MemberStartError> {
        let MemberSettings { data_dir, identity, addr, credentials } = settings;
        // The listener comes before the log, so that a start that fails again and again does not read the log each time.
        let listener = TcpListener::bind(addr).await.map_err(|source| MemberStartError::Listen { addr, source })?;
        let NodeIdentity { cluster_id, node_id, name, timing, bootstrap_peers } = identity.clone();
        let raft = RaftSettings {
            data_dir: data_dir.clone(),
            cluster_id,
            me: node_id,
            name,
            timing,
            bootstrap_peers,
            credentials: credentials.clone(),
        };
        let raft = RaftNode::start(raft, membership_observer, live, shutdown.clone()).await?;
        let inner =
            Inner { raft: raft.clone(), data_dir, identity, recent_admissions: Default::default(), parcels: Default::default() };
        let member = Self { inner: Arc::new(inner) };
        raft.serve(listener, credentials, Arc::new(member.clone()));
        raft.tasks().spawn("lost contact", &shutdown, lost_contact_task::run(member.clone(), shutdown.clone()));
        Ok(member)
    }
}
