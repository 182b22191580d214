//! Makes this node's kernel as the rules want it, again and again.
//!
//! [`desired`] computes what the kernel should have, [`plan`] the steps that lead there, and [`run`] is the loop that carries them out.

mod desired;
#[cfg(test)]
mod fixture;
mod io;
mod plan;
mod reach;
mod task;
mod unprogrammed;

pub use desired::{Decision, Desired, DesiredInput, OutReason, Presence, VipsReady, desired};
pub use io::{OwnedVips, PutBackError, put_back};
pub use plan::{foreign, plan};
pub use reach::{LostPool, ReachInput, lost_pools};
pub use task::{RESYNC, WithdrawError, run, withdraw};
pub use unprogrammed::Unprogrammed;

use crate::{
    kernel::ServiceKey,
    model::{NodeName, Ownership, Roles, ServiceName, VipName},
    rules::{ClusterState, Target},
    verdict::Observation,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// All that reconciling depends on. The fan-out fills it from the other tasks.
#[derive(Clone, PartialEq, Debug)]
pub struct ReconcileInputs {
    /// Whether the replicated state has been loaded up to the last entry known to be committed. Before that the kernel is left alone.
    pub loaded: bool,
    /// The roles of this node.
    pub roles: Roles,
    /// The address of this node: real servers of the rules with this address are this node.
    pub address: IpAddr,
    /// Rules, committed verdicts, members.
    pub state: Arc<ClusterState>,
    /// For each node and VIP group whether the VIP is ready there, as the node gossips. Absent means unknown.
    pub in_place: Arc<BTreeMap<NodeName, VipsReady>>,
    /// The observations of this node itself.
    pub own: Arc<BTreeMap<Target, Observation>>,
    /// Which VIP groups this node holds, as its guard says. Absent means unknown.
    pub ownership: Ownership,
    /// The pools of which this director alone does not reach most, while a fitter one could take their VIP: see [`DesiredInput::kept_whole`].
    pub kept_whole: BTreeSet<ServiceName>,
}

/// The result of the last pass.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReconcileReport {
    /// For each real server of each service, on directors: whether this node forwards to it, and why.
    pub decisions: Vec<Decision>,
    /// The rules' revision that the kernel has; 0 before the first.
    pub applied_revision: u64,
    /// Whether this node is a director whose kernel has all that the rules want in it, so that it may take VIPs.
    pub ready: bool,
    /// The groups whose IPVS services the kernel does not take, pass after pass.
    pub unprogrammed: BTreeMap<VipName, Unprogrammed>,
    /// Whether it is known of at least one server of the rules whether it takes traffic, or there are no servers. A director for which this is false
    /// forwards to no server.
    pub informed: bool,
    /// On real servers: for each VIP group that they serve, whether it is ready, or why not. For gossip.
    pub in_place: VipsReady,
    /// Foreign services: those on no VIP of the cluster.
    pub foreign: Vec<ServiceKey>,
    /// The number of steps in the last pass that had any.
    pub steps_last: usize,
    /// How often drift was found: another program had changed what is the cluster's.
    pub drifts: u64,
    /// Why the kernel is not as the rules want it, in one line.
    pub error: Option<String>,
}
