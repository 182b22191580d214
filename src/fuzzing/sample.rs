//! Values with everything in them, as seeds.

use crate::{
    config::cluster,
    model::{
        Access, Fingerprint, IdentityName, KeyId, NodeId, NodeRecord, PublicKey, Role, Roles, Secret, TimingProfile, TokenId,
    },
    rules::{
        ClusterState, Command, Joining, RuleSet, SecurityChange, Target, Verdict, VerdictChange,
        security::{Founding, KeyRing, RemoteIdentity, Token, TokenUse},
    },
    vip::{LeaseMembership, MembershipId},
};
use std::{collections::BTreeMap, net::SocketAddr};

pub const AGENT_FILE: &str = r#"
node = "edge-1"
roles = ["director", "real-server"]
address = "10.0.0.11:7400"
interface = "ens3"
seeds = ["10.0.0.11", "10.0.0.12:7500"]
data_dir = "/srv/lvs"
socket = "/srv/lvs.sock"
timing = "wan"
log = "debug"
[scripts]
user = "lvs-check"
directory = "/srv/checks"
"#;

pub const CLUSTER_FILE: &str = r#"
[[vip]]
name = "web"
addresses = ["10.0.0.100"]
interface = "eth0"
[[service]]
name = "http"
vip = "web"
protocol = "tcp"
port = 80
scheduler = "wlc"
forward = "dr"
[service.check]
type = "http"
path = "/"
status = [200, "300-399"]
interval = "1s"
timeout = "500ms"
fall = 2
rise = 2
[[service.server]]
name = "r1"
address = "10.0.0.21"
weight = 1
[[service.server]]
name = "r2"
address = "10.0.0.22"
weight = 0
[[service]]
name = "sql"
vip = "web"
port = 3306
[service.check]
type = "script"
script = "check-mysql"
args = ["--user", "monitor"]
"#;

pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("samples use proper names")
}

pub fn addr(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 7400).into()
}

pub fn roles() -> Roles {
    Roles::new([Role::Director, Role::RealServer]).expect("two roles")
}

pub fn rules() -> RuleSet {
    cluster::parse("sample", CLUSTER_FILE).expect("the sample is right")
}

pub fn target() -> Target {
    Target { service: name("http"), server: name("r1") }
}

pub fn node() -> NodeRecord {
    NodeRecord {
        id: NodeId(3),
        name: name("d1"),
        roles: roles(),
        addr: addr(11),
        zone: Some(name("rack-1")),
        key: PublicKey([7; 32]),
    }
}

pub fn joining() -> Joining {
    Joining {
        name: name("d2"),
        roles: roles(),
        addr: addr(12),
        zone: None,
        key: PublicKey([8; 32]),
        keeps_id: false,
        token: Some(TokenUse { id: TokenId([1; 8]), at_unix_s: 1_800_000_000 }),
    }
}

pub fn keyring() -> KeyRing {
    KeyRing {
        primary: Some(KeyId(1)),
        keys: BTreeMap::from([(KeyId(1), Secret::new([3; 32]))]),
        last: 1,
        stale: false,
        departures: 0,
    }
}

fn token() -> Token {
    Token {
        key: PublicKey([1; 32]),
        roles: roles(),
        uses_left: 3,
        expires_unix_s: 1_900_000_000,
        made_by: name("d1"),
        authority: Fingerprint([1; 32]),
    }
}

/// One of each kind of log entry.
pub fn changes() -> Vec<Command> {
    let founding = Founding { authority: Some((Fingerprint([1; 32]), vec![48, 3, 1, 1, 255])), key: Secret::new([2; 32]) };
    let identity = RemoteIdentity {
        access: Access::ReadOnly,
        certificate: Fingerprint([9; 32]),
        expires_unix_s: 1_900_000_000,
        authority: Fingerprint([1; 32]),
    };
    let security = [
        SecurityChange::TokenMade { id: TokenId([1; 8]), token: token(), at_unix_s: 1_700_000_000 },
        SecurityChange::KeyAdded { key: Secret::new([5; 32]), departures: None },
        SecurityChange::KeyPromoted(KeyId(2)),
        SecurityChange::AuthorityAdded { fingerprint: Fingerprint([4; 32]), der: vec![48, 0] },
        SecurityChange::IdentityAdded { name: name::<IdentityName>("alice"), identity },
        SecurityChange::NodeAllowed(name("d3")),
    ];
    let change = VerdictChange { target: target(), to: Verdict::Up, why: "3 of 3".to_owned() };
    let mut changes = vec![
        Command::Init { cluster_id: "0123456789abcdef".to_owned(), timing: TimingProfile::Lan, founding },
        Command::Apply { base_revision: Some(0), rules: rules() },
        Command::Verdicts(vec![change]),
        Command::NodeJoined(Joining { name: name("d1"), addr: addr(11), token: None, ..joining() }),
        Command::NodeRoles { name: name("d1"), roles: roles() },
        Command::NodeRemoved(name("d3")),
    ];
    changes.extend(security.into_iter().map(Command::Security));
    changes
}

/// What they make.
pub fn state() -> ClusterState {
    let mut state = ClusterState::default();
    for change in changes() {
        // Whatever is refused is not in the sample.
        let _ = state.apply(&change);
    }
    state
}

pub fn membership() -> LeaseMembership {
    LeaseMembership {
        id: MembershipId { term: 2, leader: NodeId(1), index: 9 },
        voters: vec![[NodeId(1), NodeId(2), NodeId(3)].into(), [NodeId(1)].into()],
        addresses: (1..4).map(|n| (NodeId(u64::from(n)), addr(n))).collect(),
    }
}
