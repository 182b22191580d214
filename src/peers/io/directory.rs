//! Who belongs to the cluster, as this node knows it at this moment.

use crate::{
    link::certificate::Certificate,
    model::{NodeId, NodeName},
    peers::{
        hello::HelloRefusal,
        identify::{BootstrapPeer, Known, PeerStatus},
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
    /// Who votes by the last membership in it, in any of its sets.
    pub voters: BTreeSet<NodeId>,
}

/// Looks it up in the state, and before there is any, in what this node was told when it joined. Clones share it.
#[derive(Clone)]
pub struct Directory {
    cluster_id: Arc<str>,
    published: watch::Receiver<Published>,
    met: Arc<[BootstrapPeer]>,
}

impl Directory {
    /// Of this cluster.
    pub fn new(cluster_id: &str, published: watch::Receiver<Published>, met: &[BootstrapPeer]) -> Self {
        Self { cluster_id: cluster_id.into(), published, met: met.into() }
    }

    /// The cluster.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The members when this node joined.
    pub fn met(&self) -> &[BootstrapPeer] {
        &self.met
    }

    /// What the holder of `certificate` is here, if it is the node that it `says`.
    ///
    /// # Errors
    /// Why that one is not heard.
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

    /// Where the member with this number is.
    pub fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
        self.look(|known| known.state.node_by_id(id).map(|record| record.addr))
    }

    /// How many members there are besides this one, which may be none any more.
    pub fn others(&self, me: NodeId) -> usize {
        self.look(|known| {
            let members = known.state.nodes.values().filter(|record| record.id != me).count();
            members.max(known.met.iter().filter(|met| met.id != me).count())
        })
    }

    /// Whether a member has this address.
    pub fn is_members(&self, address: IpAddr) -> bool {
        self.look(|known| known.state.node_at(address).is_some() || known.met.iter().any(|met| met.addr.ip() == address))
    }

    fn look<T>(&self, how: impl FnOnce(&Known<'_>) -> T) -> T {
        let state = self.published.borrow().state.clone();
        how(&Known { cluster_id: &self.cluster_id, state: &state, met: &self.met })
    }
}
