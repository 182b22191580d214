//! This node as a member of its cluster: its Raft, served at its address, and what members do for each other.

use super::{arrivals::Arrivals, io::identity::Identity};
use crate::{link::parcel::Slot, raft::RaftNode};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Mutex;

mod start;

pub use start::{MemberSettings, StartError};

/// This node as a member. Clones are handles to the same.
#[derive(Clone)]
pub struct ClusterMember {
    inner: Arc<Inner>,
}

struct Inner {
    raft: RaftNode,
    data_dir: PathBuf,
    identity: Identity,
    arrivals: Mutex<Arrivals>,
    parcels: Slot,
}

impl ClusterMember {
    /// This node's Raft.
    pub fn raft(&self) -> &RaftNode {
        &self.inner.raft
    }

    /// Where parcels of other members come in.
    pub fn parcels(&self) -> &Slot {
        &self.inner.parcels
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    pub(super) fn arrivals(&self) -> &Mutex<Arrivals> {
        &self.inner.arrivals
    }
}

#[cfg(test)]
mod tests;
