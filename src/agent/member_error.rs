//! Why a member does not start, or does not go on.

use crate::{
    guard::GuardGone,
    kernel::{DataPlaneError, io::address::AddressError},
    link::io::files,
    members::StartError,
    model::NodeName,
    raft::Fault,
    tasks::TaskFault,
};
use std::{io, net::SocketAddr};

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
    /// A task ended.
    #[error(transparent)]
    Task(#[from] TaskFault),
    /// Its keys and certificates.
    #[error(transparent)]
    Files(#[from] files::FileError),
    /// They cannot be used.
    #[error("{0}")]
    Credentials(String),
    /// The remote API's address.
    #[error("cannot listen on {listen} (TCP) for the remote api")]
    Remote {
        /// Which.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Gossip's address.
    #[error("cannot listen on {listen} (UDP) for gossip: is no other agent running?")]
    Gossip {
        /// Which.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another name than the one that the cluster knows.
    #[error(
        "this node is called {config} in agent.toml, but {identity} in its cluster: set `node = \"{identity}\"`, or move the data directory away and join anew"
    )]
    Renamed {
        /// As configured.
        config: NodeName,
        /// As the cluster knows it.
        identity: NodeName,
    },
}
