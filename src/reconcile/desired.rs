//! Computes what this node's kernel should have, from the replicated state and from what is known of the servers. Pure.

use crate::{
    kernel::{Dest, DestKey, IpvsService, KernelState, ServiceKey, ServiceOptions},
    model::{Holding, NodeName, Ownership, RealServer, Role, Roles, Service, ServiceName, VipName, Weight},
    rules::{ClusterState, Target, Verdict},
    verdict::{Finding, Observation, check_address, check_fingerprint},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

/// For each VIP group whether it is ready on a real server: on `lo`, with ARP silenced. `Err` says why not.
pub type VipsReady = BTreeMap<VipName, Result<(), String>>;

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct DesiredInput<'a> {
    /// This node's roles.
    pub roles: &'a Roles,
    /// This node's address.
    pub address: IpAddr,
    /// Rules, committed verdicts, members.
    pub state: &'a ClusterState,
    /// For each node whether its VIPs are ready, as it gossips. Absent means unknown.
    pub in_place: &'a BTreeMap<NodeName, VipsReady>,
    /// The observations of this node itself.
    pub own: &'a BTreeMap<Target, Observation>,
    /// Which VIP groups this node holds, as its guard says. Absent means unknown.
    pub ownership: &'a Ownership,
    /// The pools that stay whole whatever this node observes, because it alone does not reach most of their servers, and another director is to take
    /// their VIP.
    pub kept_whole: &'a BTreeSet<ServiceName>,
    /// What the kernel has. Where something is unknown, a server that is in stays in and one that is out stays out, so that an agent that restarts
    /// changes nothing.
    pub observed: &'a KernelState,
}

/// The cluster's part of this node's kernel as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Desired {
    /// Services on the cluster's VIPs, complete with their destinations.
    pub services: BTreeMap<ServiceKey, IpvsService>,
    /// VIPs on `lo`. ARP is silenced exactly while there are any.
    pub lo_vips: BTreeSet<IpAddr>,
    /// Whether this node is a director, so that the agent sets IPVS's settings.
    pub directs: bool,
    /// Every address of the cluster's VIP groups. Services on them are the cluster's.
    pub vips: BTreeSet<IpAddr>,
    /// On directors: for each server, whether it is in or out, and why.
    pub decisions: Vec<Decision>,
    /// The VIP groups that should be ready on this node as a real server, with their addresses; `Err` says why they cannot be.
    pub serves: BTreeMap<VipName, Result<BTreeSet<IpAddr>, String>>,
}

/// Whether this director forwards to a real server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Presence {
    /// It forwards to the server.
    In {
        /// With this weight; 0 means no new connections.
        weight: Weight,
    },
    /// It forwards as it did before, because something is not known yet.
    Kept {
        /// With this weight.
        weight: Weight,
    },
    /// It does not forward to the server.
    Out(OutReason),
}

/// Why a real server is out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OutReason {
    /// The verdict is down; with the votes of that verdict change.
    Down(String),
    /// There is no verdict yet.
    NotJudged,
    /// Its agent says that the VIP is not ready.
    VipNotInPlace(String),
    /// Its agent has not said yet whether the VIP is ready.
    NoWord(NodeName),
    /// No agent of the cluster has its address, and it is not marked as agentless.
    NoAgent,
    /// This director cannot reach it, whatever others find.
    PathFault(String),
    /// This node is a real server of the service itself, and does not hold the VIP.
    NotHolder,
}

impl fmt::Display for OutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutReason::Down(votes) => f.pad(votes),
            OutReason::NotJudged => f.pad("waiting for its first verdict"),
            OutReason::VipNotInPlace(why) => write!(f, "its VIP is not in place: {why}"),
            OutReason::NoWord(node) => write!(f, "waiting for word from {node} that its VIP is in place"),
            OutReason::NoAgent => f.pad("no node of the cluster has this address: `lvs-agent join` there, or mark it agentless"),
            OutReason::PathFault(why) => write!(f, "path fault, this director cannot reach it: {why}"),
            OutReason::NotHolder => f.pad("this director is a real server of the service itself and does not hold the VIP"),
        }
    }
}

/// A server's presence, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The server.
    pub target: Target,
    /// Whether it is in or out.
    pub presence: Presence,
    /// Why, in one line.
    pub reason: String,
}

impl Presence {
    /// The weight of a server that is forwarded to.
    pub fn weight(&self) -> Option<Weight> {
        match self {
            Presence::In { weight } | Presence::Kept { weight } => Some(*weight),
            Presence::Out(_) => None,
        }
    }
}

/// What this node's kernel should have.
pub fn desired(input: &DesiredInput<'_>) -> Desired {
    let rules = &input.state.rules;
    let mut desired = Desired {
        directs: input.roles.has(Role::Director),
        vips: rules.vips.values().flat_map(|group| &group.addresses).copied().collect(),
        ..Desired::default()
    };
    for service in rules.services.values() {
        serve(input, service, &mut desired);
        if desired.directs {
            forward(input, service, &mut desired);
        }
    }
    desired
}

/// The real server's part: VIPs on `lo`.
fn serve(input: &DesiredInput<'_>, service: &Service, desired: &mut Desired) {
    if !is_served_here(input, service) {
        return;
    }
    let addresses = vip_addresses(input.state, &service.vip);
    let serves = if input.roles.has(Role::RealServer) {
        desired.lo_vips.extend(&addresses);
        Ok(addresses)
    } else {
        Err("this node does not have the role real-server: add it in its agent.toml".to_owned())
    };
    desired.serves.insert(service.vip.clone(), serves);
}

/// The director's part: one IPVS service on each address of the group.
fn forward(input: &DesiredInput<'_>, service: &Service, desired: &mut Desired) {
    let keys: Vec<ServiceKey> = vip_addresses(input.state, &service.vip)
        .into_iter()
        .map(|address| ServiceKey { protocol: service.protocol, address, port: service.port })
        .collect();
    let keys: Vec<ServiceKey> = keys.into_iter().filter(|key| belongs_here(input, service, key)).collect();
    let decisions = if keys.is_empty() { not_holder(service) } else { decide(input, service, &keys) };
    let dests: BTreeMap<DestKey, Dest> = decisions
        .iter()
        .filter_map(|decision| {
            let server = &service.servers[&decision.target.server];
            Some((dest_key(server), Dest::plain(decision.presence.weight()?, service.forward)))
        })
        .collect();
    for key in keys {
        let options = ServiceOptions::plain(service.scheduler, key.address);
        // Direct routing sends the packet on unchanged, so an IPv4 server cannot serve an IPv6 VIP.
        let same_family = dests.iter().filter(|(dest, _)| dest.address.is_ipv4() == key.address.is_ipv4());
        let dests = same_family.map(|(dest, properties)| (*dest, *properties)).collect();
        desired.services.insert(key, IpvsService { options, dests });
    }
    desired.decisions.extend(decisions);
}

/// Invariant 9: on a director that is a real server of the service too, the service is in IPVS only while it holds the VIP. Otherwise two such
/// directors would forward packets to each other endlessly.
fn belongs_here(input: &DesiredInput<'_>, service: &Service, key: &ServiceKey) -> bool {
    if !is_served_here(input, service) {
        return true;
    }
    match input.ownership.get(&service.vip) {
        Some(Holding::Held { .. } | Holding::Fallback { .. }) => true,
        Some(Holding::NotHeld) => false,
        None => input.observed.services.contains_key(key),
    }
}

fn not_holder(service: &Service) -> Vec<Decision> {
    let out = |server: &RealServer| decision(service, server, Presence::Out(OutReason::NotHolder), "");
    service.servers.values().map(out).collect()
}

fn decide(input: &DesiredInput<'_>, service: &Service, keys: &[ServiceKey]) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = service
        .servers
        .values()
        .map(|server| {
            let (presence, reason) = judge(input, service, server, keys);
            decision(service, server, presence, &reason)
        })
        .collect();
    leave_out_path_faults(input, service, &mut decisions);
    decisions
}

/// Decides by the verdict and by what the server's own agent says.
fn judge(input: &DesiredInput<'_>, service: &Service, server: &RealServer, keys: &[ServiceKey]) -> (Presence, String) {
    let dest = dest_key(server);
    let in_kernel =
        keys.iter().any(|key| input.observed.services.get(key).is_some_and(|service| service.dests.contains_key(&dest)));
    let keep = |out: OutReason| {
        let reason = format!("{out}; kept in as it was");
        if in_kernel { (Presence::Kept { weight: server.weight }, reason) } else { (Presence::Out(out), String::new()) }
    };
    let health = match (&service.check, input.state.verdicts.get(&target(service, server))) {
        (None, _) => "no check",
        (Some(_), Some((Verdict::Up, _))) => "up",
        (Some(_), Some((Verdict::Down, votes))) => return (Presence::Out(OutReason::Down(votes.clone())), String::new()),
        (Some(_), None) => return keep(OutReason::NotJudged),
    };
    let place = if server.agentless {
        "agentless"
    } else {
        let Some(node) = input.state.node_at(server.address) else { return (Presence::Out(OutReason::NoAgent), String::new()) };
        match input.in_place.get(&node.name).and_then(|word| word.get(&service.vip)) {
            Some(Ok(())) => "VIP in place",
            Some(Err(why)) => return (Presence::Out(OutReason::VipNotInPlace(why.clone())), String::new()),
            None => return keep(OutReason::NoWord(node.name.clone())),
        }
    };
    (Presence::In { weight: server.weight }, format!("{health}, {place}"))
}

/// Invariant 4: a director leaves out a server that it cannot reach itself, whatever others find. It never leaves out the whole pool: if it reaches
/// none of the servers, the fault is more likely its own. Where it alone does not reach most of a pool, it leaves out none of it.
fn leave_out_path_faults(input: &DesiredInput<'_>, service: &Service, decisions: &mut [Decision]) {
    let fault = |decision: &Decision| {
        let check = service.check.as_ref()?;
        let asked = check_fingerprint(check_address(&service.servers[&decision.target.server], check), &check.kind);
        let own = input.own.get(&decision.target).filter(|own| own.fingerprint == asked)?;
        (own.seen == Finding::Down).then(|| own.reason.clone())
    };
    let takes_traffic = |decision: &Decision| decision.presence.weight().is_some_and(|weight| weight.0 > 0);
    let keeps_all = input.kept_whole.contains(&service.name);
    let some_remain = decisions.iter().any(|decision| takes_traffic(decision) && fault(decision).is_none());
    for decision in decisions.iter_mut().filter(|decision| decision.presence.weight().is_some()) {
        let Some(reason) = fault(decision) else { continue };
        if keeps_all {
            decision.reason += &format!(
                "; this director alone cannot reach it ({reason}), nor most of this pool: it keeps it in, and leaves the VIP to another director"
            );
        } else if some_remain {
            let out = OutReason::PathFault(reason);
            decision.reason = out.to_string();
            decision.presence = Presence::Out(out);
        } else {
            decision.reason += &format!("; this director cannot reach it ({reason}), but it would be left with none");
        }
    }
}

fn decision(service: &Service, server: &RealServer, presence: Presence, reason: &str) -> Decision {
    let reason = match &presence {
        Presence::Out(out) => out.to_string(),
        Presence::In { .. } | Presence::Kept { .. } => reason.to_owned(),
    };
    Decision { target: target(service, server), presence, reason }
}

fn is_served_here(input: &DesiredInput<'_>, service: &Service) -> bool {
    service.servers.values().any(|server| server.address == input.address)
}

fn vip_addresses(state: &ClusterState, vip: &VipName) -> BTreeSet<IpAddr> {
    state.rules.vips.get(vip).map(|group| group.addresses.clone()).unwrap_or_default()
}

fn dest_key(server: &RealServer) -> DestKey {
    DestKey { address: server.address, port: server.port }
}

fn target(service: &Service, server: &RealServer) -> Target {
    Target { service: service.name.clone(), server: server.name.clone() }
}

#[cfg(test)]
mod tests;
