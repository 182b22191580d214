//! Who this node is in gossip.

use crate::{
    link::node_key::NodeKey,
    model::{NodeId, NodeName},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// Who this node is in gossip.
#[derive(Clone, Debug)]
pub struct GossipSettings {
    /// This node.
    pub node: NodeName,
    /// Its number, in the header of its datagrams.
    pub id: NodeId,
    /// Whose gossip it is: other clusters' is not heard.
    pub cluster_id: String,
    /// Where it listens (UDP), and where others reach it.
    pub listen: SocketAddr,
    /// Time between two rounds of gossip.
    pub interval: Duration,
    /// Must be higher at each start of this node's agent: `link::io::files::next_session`.
    pub generation: u64,
    /// What its datagrams and its word are signed with.
    pub key: Arc<NodeKey>,
}
