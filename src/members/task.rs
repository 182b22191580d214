//! This node as a member of its cluster: its Raft, served at its address, and what members do for each other.

use super::{io::identity::NodeIdentity, recent_admissions::RecentAdmissions};
use crate::{link::parcel::ParcelInbox, raft::RaftNode};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Mutex;

mod start;

pub use start::{MemberSettings, MemberStartError};

/// This node as a member. Clones are handles to the same.
#[derive(Clone)]
pub struct ClusterMember {
    inner: Arc<Inner>,
}

struct Inner {
    raft: RaftNode,
    data_dir: PathBuf,
    identity: NodeIdentity,
    recent_admissions: Mutex<RecentAdmissions>,
    parcels: ParcelInbox,
}

impl ClusterMember {
    /// This node's Raft.
    pub fn raft(&self) -> &RaftNode {
        &self.inner.raft
    }

    /// The inbox for parcels of other members.
    pub fn parcels(&self) -> &ParcelInbox {
        &self.inner.parcels
    }

    pub(super) fn identity(&self) -> &NodeIdentity {
        &self.inner.identity
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.inner.data_dir
    }

    pub(super) fn recent_admissions(&self) -> &Mutex<RecentAdmissions> {
        &self.inner.recent_admissions
    }
}

#[cfg(test)]
mod tests;
