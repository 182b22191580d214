//! For tests: short ways to write members and rule sets, and generators of them.

use super::{
    change::{Command, Joining, VerdictChange},
    security::{Authorities, Founding},
    state::{ClusterState, RuleSet, Target, Verdict},
};
use crate::model::{
    Check, CheckKind, Fingerprint, ForwardMethod, OnQuorumLoss, Protocol, PublicKey, RealServer, Role, Roles, Scheduler, Secret,
    ServerName, Service, StatusRange, TimingProfile, VipGroup, Weight,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn host(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

pub fn target(service: &str, server: &str) -> Target {
    Target { service: name(service), server: name(server) }
}

pub fn verdict_change(service: &str, server: &str, to: Verdict, why: &str) -> VerdictChange {
    VerdictChange { target: target(service, server), to, why: why.to_owned() }
}

/// A new node at `host(number)`.
pub fn joined(node: &str, number: u8, role: Role) -> Command {
    Command::NodeJoined(joining(node, number, role))
}

/// The same, to be edited.
pub fn joining(node: &str, number: u8, role: Role) -> Joining {
    Joining {
        name: name(node),
        roles: Roles::new([role]).unwrap(),
        addr: (host(number), 7420).into(),
        zone: None,
        key: PublicKey([number; 32]),
        keeps_id: false,
        token: None,
    }
}

/// With a CA whose fingerprint is 1s, and a first gossip key of 1s.
pub fn founding() -> Founding {
    Founding { authority: Some((Fingerprint([1; 32]), vec![1])), key: Secret::new([1; 32]) }
}

/// A group with one address, `host(number)`.
pub fn vip(group: &str, number: u8) -> VipGroup {
    VipGroup {
        name: name(group),
        addresses: [host(number)].into(),
        interface: "eth0".to_owned(),
        on_quorum_loss: OnQuorumLoss::default(),
    }
}

/// The server `r<n>` at `host(20 + n)`.
pub fn server(n: u8) -> RealServer {
    RealServer { name: name(&format!("r{n}")), address: host(20 + n), port: 80, weight: Weight(1), agentless: false }
}

pub fn check(kind: CheckKind) -> Check {
    let (interval, timeout) = (Duration::from_secs(1), Duration::from_millis(500));
    Check { kind, port: None, interval, timeout, fall: 2, rise: 2 }
}

pub fn http(path: &str) -> CheckKind {
    CheckKind::Http { path: path.to_owned(), host: None, status: vec![StatusRange { first: 200, last: 299 }] }
}

pub fn script(script: &str) -> CheckKind {
    CheckKind::Script { script: name(script), args: vec!["--quick".to_owned()] }
}

/// VIP group `front` at `host(100)`, and on it service `http` with a check and servers `r1` and `r2`.
pub fn web() -> RuleSet {
    let group = vip("front", 100);
    let service = Service {
        name: name("http"),
        vip: name("front"),
        protocol: Protocol::Tcp,
        port: 80,
        scheduler: Scheduler::Wlc,
        forward: ForwardMethod::Dr,
        check: Some(check(CheckKind::Tcp)),
        servers: [1, 2].map(|n| (server(n).name, server(n))).into(),
    };
    RuleSet { vips: [(group.name.clone(), group)].into(), services: [(service.name.clone(), service)].into() }
}

/// The service `http` of [`web`], to be edited.
pub fn service(rules: &mut RuleSet) -> &mut Service {
    rules.services.get_mut(&name("http")).unwrap()
}

/// A server of `http`, to be edited.
pub fn server_of<'a>(rules: &'a mut RuleSet, server: &str) -> &'a mut RealServer {
    service(rules).servers.get_mut(&name::<ServerName>(server)).unwrap()
}

/// [`web`] applied in a cluster of directors d1, d2 (n1, n2) and real servers r1, r2 (n3, n4).
pub fn cluster() -> ClusterState {
    let (director, real) = (Role::Director, Role::RealServer);
    let init = Command::Init { cluster_id: "test".to_owned(), timing: TimingProfile::Lan, founding: founding() };
    let nodes = [("d1", 11, director), ("d2", 12, director), ("r1", 21, real), ("r2", 22, real)];
    let nodes = nodes.map(|(node, number, role)| joined(node, number, role));
    let apply = Command::Apply { base_revision: None, rules: web() };
    let mut state = ClusterState::default();
    for change in [init].into_iter().chain(nodes).chain([apply]) {
        state.apply(&change).unwrap();
    }
    state
}

/// The same with certificates of somebody else's CA.
pub fn foreign_cluster() -> ClusterState {
    let mut state = cluster();
    state.security.authorities = Authorities::default();
    state
}

prop_compose! {
    fn some_server()(n in 1_u8..4, address in 1_u8..4, weight in 0_u16..3, agentless: bool) -> RealServer {
        RealServer { address: host(address), weight: Weight(weight), agentless, ..server(n) }
    }
}

prop_compose! {
    fn some_check()(kind in prop::sample::select(vec![CheckKind::Tcp, http("/"), http("/up"), script("up")]), port in prop::option::of(80_u16..82),
        fall in 1_u8..3, interval in 1_u64..3) -> Check {
        Check { port, fall, interval: Duration::from_secs(interval), ..check(kind) }
    }
}

prop_compose! {
    fn some_service()(n in 1_u8..4, group in 1_u8..4, udp: bool, scheduler in prop::sample::select(&Scheduler::ALL[..3]),
        check in prop::option::of(some_check()), servers in prop::collection::vec(some_server(), 0..4)) -> Service {
        let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
        let servers: BTreeMap<_, _> = servers.into_iter().map(|server| (server.name.clone(), server)).collect();
        let (name, vip) = (name(&format!("s{n}")), name(&format!("v{group}")));
        Service { name, vip, protocol, port: 80, scheduler, forward: ForwardMethod::Dr, check, servers }
    }
}

prop_compose! {
    fn some_group()(n in 1_u8..4, addresses in prop::collection::btree_set(4_u8..9, 1..3), eth in 0_u8..2, release: bool) -> VipGroup {
        let addresses = addresses.into_iter().map(host).collect();
        let on_quorum_loss = if release { OnQuorumLoss::Release } else { OnQuorumLoss::Fallback };
        VipGroup { name: name(&format!("v{n}")), addresses, interface: format!("eth{eth}"), on_quorum_loss }
    }
}

prop_compose! {
    /// Few names and values, so that two rule sets have much in common. VIPs are `host(4)` to `host(8)`.
    pub fn some_rules()(groups in prop::collection::vec(some_group(), 0..3), services in prop::collection::vec(some_service(), 0..3))
        -> RuleSet {
        RuleSet {
            vips: groups.into_iter().map(|group| (group.name.clone(), group)).collect(),
            services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        }
    }
}
