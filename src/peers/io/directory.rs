//! The members of the cluster, as this node knows them at this moment.

use crate::{
    link::certificate::Certificate,
    model::{NodeId, NodeName},
    peers::{
        hello::HelloRefusal,
        identify::{BootstrapPeer, KnownMembers, PeerStatus},
    },
    rules::ClusterState,
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::sync::watch;

/// The cluster's state as this node has applied it.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// The state.
    pub state: Arc<ClusterState>,
    /// Index of the last log entry in it.
    pub applied: u64,
    /// The voters of the last membership in it, of all its voter sets.
    pub voters: BTreeSet<NodeId>,
}

/// Looks members up in the state, and before there is any, among the bootstrap peers. Clones share it.
#[derive(Clone)]
pub struct Directory {
    cluster_id: Arc<str>,
    published: watch::Receiver<Published>,
    bootstrap_peers: Arc<[BootstrapPeer]>,
}

impl Directory {
    /// The directory of this cluster.
    pub fn new(cluster_id: &str, published: watch::Receiver<Published>, bootstrap_peers: &[BootstrapPeer]) -> Self {
        Self { cluster_id: cluster_id.into(), published, bootstrap_peers: bootstrap_peers.into() }
    }

    /// The cluster.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The members when this node joined.
    pub fn bootstrap_peers(&self) -> &[BootstrapPeer] {
        &self.bootstrap_peers
    }

    /// The status of the holder of `certificate`, if it is the node that it `says`.
    ///
    /// # Errors
    /// The reason for which its messages are refused.
    pub fn status(&self, certificate: &Certificate, says: NodeId) -> Result<PeerStatus, HelloRefusal> {
        self.look(|known| known.status(certificate, says))
    }

    /// The name of the node with this number.
    pub fn name_of(&self, id: NodeId) -> Option<NodeName> {
        self.look(|known| known.name_of(id))
    }

    /// Whether `id` votes by the committed membership.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.published.borrow().voters.contains(&id)
    }

    /// The address of the member with this number.
    pub fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
        self.look(|known| known.state.node_by_id(id).map(|record| record.addr))
    }

    /// How many members there are besides this one, which may be none any more.
    pub fn others(&self, me: NodeId) -> usize {
        self.look(|known| {
            let members = known.state.nodes.values().filter(|record| record.id != me).count();
            members.max(known.bootstrap_peers.iter().filter(|met| met.id != me).count())
        })
    }

    /// Whether a member has this address.
    pub fn is_members(&self, address: IpAddr) -> bool {
        self.look(|known| {
            known.state.node_at(address).is_some() || known.bootstrap_peers.iter().any(|met| met.addr.ip() == address)
        })
    }

    fn look<T>(&self, how: impl FnOnce(&KnownMembers<'_>) -> T) -> T {
        let state = self.published.borrow().state.clone();
        how(&KnownMembers { cluster_id: &self.cluster_id, state: &state, bootstrap_peers: &self.bootstrap_peers })
    }
}
