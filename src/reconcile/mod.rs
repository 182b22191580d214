//! Bringing this node's kernel to what the cluster agreed on, and keeping it there.
//!
//! [`desired`] says what the kernel should hold, [`plan`] with which steps it gets there, [`run`] does it again and again.

mod desired;
#[cfg(test)]
mod fixture;
mod io;
mod plan;
mod task;

pub use desired::{Decision, Desired, DesiredInput, OutReason, Presence, VipsReady, desired};
pub use io::OwnedVips;
pub use plan::{foreign, plan};
pub use task::{RESYNC, WithdrawError, run, withdraw};

use crate::{
    kernel::ServiceKey,
    model::{NodeName, Ownership, Roles},
    rules::{ClusterState, Target},
    verdict::Observation,
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// All that reconciling depends on. The composition root fills it from the other tasks.
#[derive(Clone, PartialEq, Debug)]
pub struct ReconcileInputs {
    /// The replicated state is complete up to what was known committed. Before that the kernel is left alone.
    pub loaded: bool,
    /// What it does.
    pub roles: Roles,
    /// Its address: real servers of the rules with this address are this node.
    pub address: IpAddr,
    /// Rules, committed verdicts, members.
    pub state: Arc<ClusterState>,
    /// For each node whether it has its VIPs in place, as it says by gossip. A node or VIP that is absent has not said anything (yet).
    pub in_place: Arc<BTreeMap<NodeName, VipsReady>>,
    /// What this node's own probes say.
    pub own: Arc<BTreeMap<Target, Observation>>,
    /// What the guard says. A VIP group that is absent has not been heard of (yet).
    pub ownership: Ownership,
}

/// What the last pass found and did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReconcileReport {
    /// For each real server of each service, on directors: whether this node forwards to it, and why.
    pub decisions: Vec<Decision>,
    /// The rules' revision that the kernel has; 0 before the first.
    pub applied_revision: u64,
    /// This node is a director, and its kernel has all that the rules want in it: it may take VIPs.
    pub ready: bool,
    /// Of some server of the rules it is known whether it takes traffic, or there is none to know of. A director that does not know it sends nobody
    /// anywhere.
    pub informed: bool,
    /// Real servers: for each VIP group that they serve, whether it is on `lo` with ARP silenced, or what is in the way. For gossip.
    pub in_place: VipsReady,
    /// Services that are not the cluster's.
    pub foreign: Vec<ServiceKey>,
    /// How many steps the last pass took that changed anything.
    pub steps_last: usize,
    /// How often the kernel was found changed by somebody else.
    pub drifts: u64,
    /// What is in the way, in one line.
    pub error: Option<String>,
}
