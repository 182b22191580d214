//! Whom the guard speaks for.

use crate::model::{NodeId, TimingProfile};

/// Who this node is, as its worker said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    /// Its number in the cluster.
    pub id: NodeId,
    /// The cluster's identity.
    pub cluster_id: String,
    /// The cluster's profile.
    pub timing: TimingProfile,
}
