//! The start of a member: it listens, starts its Raft, and answers other nodes.

use super::{ClusterMember, Inner};
use crate::{
    link::tls::Credentials,
    members::{io::identity::Identity, lost_contact_task},
    model::NodeName,
    raft::{MembershipSink, RaftNode, RaftSettings, StartError as RaftStartError},
};
use std::{collections::BTreeSet, io, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

/// What a member needs to know to start.
#[derive(Clone)]
pub struct MemberSettings {
    /// Where its files are.
    pub data_dir: PathBuf,
    /// Who this node is.
    pub identity: Identity,
    /// Where it listens (TCP; gossip has the same port for UDP).
    pub addr: SocketAddr,
    /// What it presents and trusts. Whoever renews them replaces what is in them.
    pub credentials: Credentials,
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
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
    /// A log that cannot be used, an address that is taken.
    pub async fn start(
        settings: MemberSettings,
        sink: Arc<dyn MembershipSink>,
        live: watch::Receiver<BTreeSet<NodeName>>,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let MemberSettings { data_dir, identity, addr, credentials } = settings;
        // Before the log, so that a start that is tried again and again reads nothing.
        let listener = TcpListener::bind(addr).await.map_err(|source| StartError::Listen { addr, source })?;
        let Identity { cluster_id, node_id, name, timing, met } = identity.clone();
        let raft = RaftSettings {
            data_dir: data_dir.clone(),
            cluster_id,
            me: node_id,
            name,
            timing,
            met,
            credentials: credentials.clone(),
        };
        let raft = RaftNode::start(raft, sink, live, shutdown.clone()).await?;
        let inner = Inner { raft: raft.clone(), data_dir, identity, arrivals: Default::default(), parcels: Default::default() };
        let member = Self { inner: Arc::new(inner) };
        raft.serve(listener, credentials, Arc::new(member.clone()));
        raft.tasks().spawn("lost contact", &shutdown, lost_contact_task::run(member.clone(), shutdown.clone()));
        Ok(member)
    }
}
