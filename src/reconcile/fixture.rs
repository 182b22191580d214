//! A small cluster for tests: directors d1, d2, real servers r1 to r3, one VIP, one HTTP service with a check.

use crate::{
    kernel::{DestKey, ServiceKey},
    model::{
        Check, CheckKind, ForwardMethod, NodeId, NodeName, NodeRecord, Protocol, RealServer, Role, Roles, Scheduler, ServerName,
        Service, ServiceName, VipGroup, VipName, Weight,
    },
    reconcile::{ReconcileInputs, VipsReady},
    rules::{ClusterState, RuleSet, Target, Verdict},
    verdict::{Finding, Observation, check_address, check_fingerprint},
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn host(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

pub const VIP: u8 = 100;

pub fn vip() -> IpAddr {
    host(VIP)
}

pub fn vip_name() -> VipName {
    name("web")
}

pub fn http() -> ServiceKey {
    ServiceKey { protocol: Protocol::Tcp, address: vip(), port: 80 }
}

pub fn dest(number: u8) -> DestKey {
    DestKey { address: host(number), port: 80 }
}

/// The target of server `r1`, `r2` or `r3`.
pub fn target(server: &str) -> Target {
    Target { service: name("http"), server: name(server) }
}

pub fn roles(roles: &[Role]) -> Roles {
    Roles::new(roles.iter().copied()).unwrap()
}

/// Every node is a member; every server is up; no revision is 0.
pub fn cluster() -> ClusterState {
    let nodes =
        [("d1", 11, Role::Director), ("d2", 12, Role::Director), ("r1", 21, Role::RealServer), ("r2", 22, Role::RealServer)];
    let nodes = nodes.into_iter().chain([("r3", 23, Role::RealServer)]).map(|(node, number, role)| {
        let record = NodeRecord {
            id: NodeId(u64::from(number)),
            name: name(node),
            roles: roles(&[role]),
            addr: (host(number), 7420).into(),
            zone: None,
            key: crate::model::PublicKey([number; 32]),
        };
        (name::<NodeName>(node), record)
    });
    let group = VipGroup {
        name: vip_name(),
        addresses: [vip()].into(),
        interface: "eth0".to_owned(),
        on_quorum_loss: crate::model::OnQuorumLoss::default(),
    };
    let service = service();
    let verdicts = service.servers.keys().map(|server| (Target { service: service.name.clone(), server: server.clone() }, up()));
    ClusterState {
        cluster_id: "test".to_owned(),
        revision: 4,
        verdicts: verdicts.collect(),
        nodes: nodes.collect(),
        rules: RuleSet { vips: [(vip_name(), group)].into(), services: [(service.name.clone(), service)].into() },
        ..ClusterState::default()
    }
}

fn service() -> Service {
    let servers = [("r1", 21), ("r2", 22), ("r3", 23)].map(|(server, number)| {
        let record = RealServer {
            name: name(server),
            address: host(number),
            port: 80,
            weight: Weight(u16::from(number)),
            agentless: false,
        };
        (name::<ServerName>(server), record)
    });
    Service {
        name: name::<ServiceName>("http"),
        vip: vip_name(),
        protocol: Protocol::Tcp,
        port: 80,
        scheduler: Scheduler::Wlc,
        forward: ForwardMethod::Dr,
        check: Some(Check {
            kind: CheckKind::Tcp,
            port: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            fall: 2,
            rise: 2,
        }),
        servers: servers.into(),
    }
}

pub fn up() -> (Verdict, String) {
    (Verdict::Up, "3 of 3 say up".to_owned())
}

pub fn down() -> (Verdict, String) {
    (Verdict::Down, "2 of 3 say down".to_owned())
}

/// What this node sees of server `r1`, `r2` or `r3`.
pub fn own(server: &str, seen: Finding) -> (Target, Observation) {
    let service = service();
    let asked = check_address(&service.servers[&name::<ServerName>(server)], service.check.as_ref().unwrap());
    let fingerprint = check_fingerprint(asked, &CheckKind::Tcp);
    (target(server), Observation { seen, reason: "connection refused".to_owned(), since_unix_ms: 0, fingerprint })
}

/// On all real servers the VIP is ready.
pub fn all_in_place() -> BTreeMap<NodeName, VipsReady> {
    ["r1", "r2", "r3"].map(|node| (name(node), VipsReady::from([(vip_name(), Ok(()))]))).into()
}

/// The inputs of a director that knows all.
pub fn director() -> ReconcileInputs {
    ReconcileInputs {
        loaded: true,
        roles: roles(&[Role::Director]),
        address: host(11),
        state: Arc::new(cluster()),
        in_place: Arc::new(all_in_place()),
        own: Arc::default(),
        ownership: [].into(),
        kept_whole: [].into(),
    }
}

/// The inputs of r1.
pub fn real_server() -> ReconcileInputs {
    ReconcileInputs { roles: roles(&[Role::RealServer]), address: host(21), in_place: Arc::default(), ..director() }
}
