//! A status with everything in it, for tests of what shows it.

use super::*;
use std::net::Ipv4Addr;

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("samples use proper names")
}

fn node(text: &str, last: u8, role: crate::model::Role, reachable: bool) -> NodeStatus {
    NodeStatus {
        name: name(text),
        address: (Ipv4Addr::new(10, 0, 0, last), 7400).into(),
        roles: Roles::new([role]).expect("one role"),
        version: reachable.then(|| "0.1.0".to_owned()),
        reachable,
        voter_why: if role == crate::model::Role::Director {
            "votes: director"
        } else {
            "votes: real server, there are not enough directors"
        }
        .to_owned(),
        zone: None,
        certificate_expires_unix_s: Some(1_800_000_000),
        voter: true,
        kernel: vec!["ip_vs 1.2.1".to_owned()],
        revision: if reachable { 7 } else { 6 },
        withdrawn: false,
    }
}

fn vote(observer: &str, state: ObservationStatus, reason: &str, fresh: bool) -> VoteStatus {
    VoteStatus { observer: name(observer), state, reason: reason.to_owned(), age_ms: Some(12_400), fresh }
}

fn server(text: &str, last: u8, votes: Vec<VoteStatus>) -> ServerStatus {
    ServerStatus {
        name: name(text),
        address: (Ipv4Addr::new(10, 0, 0, last), 80).into(),
        weight: 1,
        state: Pool::In,
        verdict: VerdictStatus::Up,
        why: "3 of 3 observers say up".to_owned(),
        in_place: true,
        agentless: false,
        local: Some(LocalView { state: ObservationStatus::Up, reason: "200 in 1 ms".to_owned() }),
        votes,
    }
}

fn up(observer: &str) -> VoteStatus {
    vote(observer, ObservationStatus::Up, "200 in 1 ms", true)
}

/// Three real servers behind two directors: one server is down, one has no VIP in place, one node is away.
pub(crate) fn status() -> Status {
    use crate::model::Role::{Director, RealServer};
    let refused = "connection refused";
    let r1 = ServerStatus {
        local: Some(LocalView { state: ObservationStatus::Down, reason: "no answer in 500ms".to_owned() }),
        ..server("r1", 21, vec![vote("d1", ObservationStatus::Down, "no answer in 500ms", true), up("d2"), up("r2")])
    };
    let r2 = ServerStatus {
        state: Pool::Out,
        verdict: VerdictStatus::Down,
        why: "2 of 3 observers say down: connection refused".to_owned(),
        local: Some(LocalView { state: ObservationStatus::Down, reason: refused.to_owned() }),
        ..server(
            "r2",
            22,
            vec![
                vote("d1", ObservationStatus::Down, refused, true),
                vote("d2", ObservationStatus::Suspect, refused, true),
                up("r1"),
            ],
        )
    };
    let r3 = ServerStatus {
        state: Pool::Out,
        verdict: VerdictStatus::Undecided,
        why: "waits for r3 to say that its VIP is in place".to_owned(),
        in_place: false,
        votes: vec![up("d1"), up("d2"), VoteStatus { age_ms: None, ..vote("r1", ObservationStatus::Unknown, "", false) }],
        ..server("r3", 23, Vec::new())
    };
    Status {
        cluster: Some(ClusterStatus {
            id: "7f3a9c51e2b04d18".to_owned(),
            revision: 7,
            leader: Some(name("d1")),
            term: 3,
            voters: ["d1", "d2", "r1", "r2", "r3"].map(name).to_vec(),
            quorum: true,
            security: SecurityStatus {
                authority: Some(Fingerprint([0x1a; 32])),
                key: Some(KeyId(1)),
                ..SecurityStatus::default()
            },
        }),
        this: name("d1"),
        version: "0.1.0".to_owned(),
        nodes: vec![
            node("d1", 11, Director, true),
            node("d2", 12, Director, true),
            node("r1", 21, RealServer, true),
            node("r2", 22, RealServer, true),
            node("r3", 23, RealServer, false),
        ],
        vips: vec![VipStatus {
            name: name("web"),
            addresses: vec![Ipv4Addr::new(10, 0, 0, 100).into()],
            interface: "eth0".to_owned(),
            mode: VipMode::Lease,
            holder: Some(name("d1")),
            holders: vec![name("d1")],
            epoch: Some(4),
            held_ms: Some(133_000),
            why_unheld: None,
            could_hold: Some(vec![name("d2")]),
            less_fit: vec![LessFitDirector { node: name("d2"), fitness: 333, why: "reaches 1 of 3 servers of http".to_owned() }],
            in_place: vec![name("r1"), name("r2")],
            missing: vec![MissingVip { node: name("r3"), why: "its agent is not heard".to_owned() }],
        }],
        services: vec![ServiceStatus {
            name: name("http"),
            vip: name("web"),
            protocol: Protocol::Tcp,
            port: 80,
            scheduler: Scheduler::Wlc,
            forward: ForwardMethod::Dr,
            check: Some("http GET / expects 200-299 every 1s, timeout 500ms, fall 2, rise 2".to_owned()),
            servers: vec![r1, r2, r3],
        }],
        foreign: vec!["tcp 192.0.2.9:443 wrr".to_owned()],
        problems: vec!["node r3 is not heard".to_owned()],
        not_started: None,
        guard_version: Some("0.1.0".to_owned()),
        no_fence: Some("cannot open a socket for nftables: Protocol not supported".to_owned()),
    }
}

/// The same with every name as long as names can be, and reasons longer than a line.
pub(crate) fn status_with_long_names() -> Status {
    let text = serde_json::to_string(&status()).expect("a status is JSON");
    let long = ["d1", "d2", "r1", "r2", "r3", "web", "http"].into_iter().fold(text, |text, short| {
        text.replace(&format!("\"{short}\""), &format!("\"{short}-{}\"", "x".repeat(62 - short.len())))
    });
    let long = long.replace("connection refused", &"connection refused by a peer ".repeat(20));
    serde_json::from_str(&long.replace("node r3 is not heard", &"y".repeat(300))).expect("still a status")
}
