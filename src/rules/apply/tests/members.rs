//! Who may come in, under which name and address, and what going for good means.

use super::*;
use crate::{
    model::TokenId,
    rules::{
        SecurityRefusal,
        fixture::foreign_cluster,
        security::{Token, TokenUse},
    },
};

const TOKEN: TokenId = TokenId([1; 8]);

fn removed(node: &str) -> Command {
    Command::NodeRemoved(name(node))
}

fn allowed(node: &str) -> Command {
    Command::Security(SecurityChange::NodeAllowed(name(node)))
}

fn given(node: &str, role: Role) -> Command {
    Command::NodeRoles { name: name(node), roles: Roles::new([role]).unwrap() }
}

/// [`cluster`] with a token for nodes with these roles.
fn with_token(roles: &[Role]) -> ClusterState {
    let mut state = cluster();
    let token = Token {
        key: PublicKey([9; 32]),
        roles: Roles::new(roles.iter().copied()).unwrap(),
        uses_left: 1,
        expires_unix_s: 100,
        made_by: name("d1"),
        authority: crate::model::Fingerprint([1; 32]),
    };
    let made = SecurityChange::TokenMade { id: TOKEN, token, at_unix_s: 50 };
    state.apply(&Command::Security(made)).unwrap();
    state
}

/// Comes in by that token, with the key `number`.
fn by_token(node: &str, number: u8, role: Role) -> Command {
    let token = Some(TokenUse { id: TOKEN, at_unix_s: 60 });
    Command::NodeJoined(Joining { token, ..joining(node, number, role) })
}

#[test]
fn a_removed_node_whose_certificate_is_somebody_elses_stays_out_until_it_is_allowed_back() {
    let mut state = foreign_cluster();
    assert_eq!(state.apply(&removed("r1")), Ok(Some(NodeId(3))));
    assert!(!state.nodes.contains_key(&name("r1")));
    let back = joined("r1", 21, Role::RealServer);
    is_refused(&mut state, &back, &CommandRefusal::Barred(name("r1")));
    let words = CommandRefusal::Barred(name("r1")).to_string();
    assert!(words.contains("was removed") && words.contains("`lvs-agent node allow r1`"), "{words}");
    assert_eq!(state.apply(&allowed("r1")), Ok(None));
    assert_eq!(state.apply(&back), Ok(Some(NodeId(5))));
    is_refused(&mut state, &allowed("r1"), &SecurityRefusal::NotBarred(name("r1")).into());
}

#[test]
fn a_node_that_left_by_itself_may_come_back_unless_it_is_removed_after_that() {
    let mut state = foreign_cluster();
    state.apply(&left("r1")).unwrap();
    assert!(state.apply(&joined("r1", 21, Role::RealServer)).is_ok());
    state.apply(&left("r1")).unwrap();
    // A stolen node that leaves before it can be removed is not safe from it.
    assert_eq!(state.apply(&removed("r1")), Ok(None));
    assert_eq!(state.apply(&removed("r1")), Ok(None), "asked again, because an answer was lost");
    is_refused(&mut state, &joined("r1", 21, Role::RealServer), &CommandRefusal::Barred(name("r1")));
}

#[test]
fn a_cluster_with_a_ca_of_its_own_bars_nobody() {
    let mut state = cluster();
    assert_eq!(state.apply(&removed("r1")), Ok(Some(NodeId(3))));
    assert!(state.security.keyring.stale);
    assert_eq!(state.security.barred.names().next(), None);
    is_refused(&mut state, &removed("r1"), &CommandRefusal::NoSuchNode(name("r1")));
    is_refused(&mut state, &allowed("r1"), &SecurityRefusal::NeedsToken(name("r1")).into());
    assert!(state.apply(&joined("r1", 21, Role::RealServer)).is_ok());
}

#[test]
fn nobody_is_let_in_again_for_want_of_room() {
    let mut state = foreign_cluster();
    for n in 0..crate::rules::MAX_BARRED {
        state.apply(&removed(&format!("n{n}"))).unwrap();
    }
    let full = SecurityRefusal::TooManyBarred(4096);
    is_refused(&mut state, &removed("r1"), &full.clone().into());
    assert!(full.to_string().contains("`lvs-agent node allow NAME`"), "{full}");
    assert!(state.nodes.contains_key(&name("r1")));
    state.apply(&removed("n7")).unwrap();
    state.apply(&allowed("n7")).unwrap();
    state.apply(&removed("r1")).unwrap();
}

#[test]
fn another_port_of_a_members_machine_is_its_address_too() {
    let mut state = cluster();
    let at = |addr: &str, node: &str| {
        let addr: SocketAddr = addr.parse().unwrap();
        Command::NodeJoined(Joining { addr, ..joining(node, 99, Role::RealServer) })
    };
    let taken = |addr: &str| CommandRefusal::AddressTaken { addr: addr.to_owned(), owner: name("r2") };
    // A member of its own name or a new one; IPv4 in an IPv6 dress is no way around it.
    for addr in ["192.0.2.22:1", "[::ffff:192.0.2.22]:7420"] {
        is_refused(&mut state, &at(addr, "a"), &taken(addr));
        is_refused(&mut state, &keeping_its_number(at(addr, "r1")), &taken(addr));
    }
    let vip = CommandRefusal::VipIsNode { address: host(100), node: name("a") };
    is_refused(&mut state, &at("[::ffff:192.0.2.100]:7420", "a"), &vip);
    // Tests have several agents on one machine.
    assert!(state.apply(&at("127.0.0.1:7420", "a")).is_ok());
    assert!(state.apply(&at("127.0.0.1:7430", "b")).is_ok());
    let taken = CommandRefusal::AddressTaken { addr: "127.0.0.1:7430".to_owned(), owner: name("b") };
    is_refused(&mut state, &at("127.0.0.1:7430", "c"), &taken);
}

#[test]
fn a_members_name_with_another_key_wants_a_token_for_that_members_roles() {
    let (director, real) = (Role::Director, Role::RealServer);
    let refusal = |has: &str, node: &str| CommandRefusal::Replaces { name: name(node), has: has.to_owned() };
    let mut state = with_token(&[real]);
    is_refused(&mut state, &by_token("d1", 91, real), &refusal("director", "d1"));
    let words = refusal("director", "d1").to_string();
    assert!(words.contains("`lvs-agent token create --roles director`"), "{words}");
    assert!(state.apply(&by_token("r1", 91, real)).is_ok(), "a real server set up anew");

    let mut state = with_token(&[director, real]);
    assert!(state.apply(&by_token("d1", 91, real)).is_ok(), "d2 directs");
    // The same key needs no token; a new name is nobody's.
    let mut state = with_token(&[real]);
    assert!(state.apply(&by_token("d1", 11, real)).is_ok());
    let mut state = with_token(&[real]);
    assert!(state.apply(&by_token("r9", 99, real)).is_ok());
}

#[test]
fn a_key_that_is_replaced_makes_the_gossip_key_stale_and_one_that_comes_back_does_not() {
    let mut state = cluster();
    state.apply(&joined("r1", 21, Role::RealServer)).unwrap();
    state.apply(&joined("r9", 99, Role::RealServer)).unwrap();
    assert!(!state.security.keyring.stale, "with an empty log, but its key; and a new node");
    let Joining { addr, .. } = joining("r1", 21, Role::RealServer);
    state.apply(&Command::NodeJoined(Joining { addr, ..joining("r1", 91, Role::RealServer) })).unwrap();
    assert!(state.security.keyring.stale);
}

#[test]
fn the_only_director_of_other_members_stays_one() {
    let (director, real) = (Role::Director, Role::RealServer);
    let mut state = cluster();
    state.apply(&left("d1")).unwrap();
    let refusal = CommandRefusal::OnlyDirector(name("d2"));
    assert!(refusal.to_string().contains("`lvs-agent node rename-roles`"), "{refusal}");
    for change in [left("d2"), removed("d2"), given("d2", real), joined("d2", 12, real), joined("d2", 92, Role::Witness)] {
        is_refused(&mut state, &change, &refusal);
    }
    state.apply(&given("r1", director)).unwrap();
    assert!(state.apply(&given("d2", real)).is_ok(), "there is another one");
    let mut state = foreign_cluster();
    state.apply(&removed("d1")).unwrap();
    is_refused(&mut state, &removed("d2"), &refusal);
    assert!(!state.security.barred.has(&name("d2")));
}

#[test]
fn the_last_node_may_leave_and_not_give_its_cluster_up_otherwise() {
    let mut state = cluster();
    for node in ["d1", "r1", "r2"] {
        state.apply(&left(node)).unwrap();
    }
    is_refused(&mut state, &given("d2", Role::Witness), &CommandRefusal::OnlyDirector(name("d2")));
    assert!(state.apply(&left("d2")).is_ok());
}

#[test]
fn roles_that_certificates_say_are_not_given_by_hand() {
    let mut state = foreign_cluster();
    is_refused(&mut state, &given("r1", Role::Director), &CommandRefusal::RolesFromCertificate(name("r1")));
    is_refused(&mut state, &given("r9", Role::Director), &CommandRefusal::NoSuchNode(name("r9")));
    let words = CommandRefusal::RolesFromCertificate(name("r1")).to_string();
    assert!(words.contains("have one made for r1") && words.contains("`lvs-agent join SEED`"), "{words}");
}

#[test]
fn there_are_as_many_members_as_gossip_has_room_for() {
    let mut state = cluster();
    let newcomer = |number: usize| {
        let joining = joining(&format!("n{number}"), 0, Role::RealServer);
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        Command::NodeJoined(Joining { addr: ([10, 9, high, low], 7400).into(), ..joining })
    };
    let let_in = (0..).take_while(|number| state.apply(&newcomer(*number)).is_ok()).count();
    assert_eq!((state.nodes.len(), let_in > 270), (MAX_MEMBERS, true));
    is_refused(&mut state, &newcomer(1000), &CommandRefusal::Full(MAX_MEMBERS));
    let words = CommandRefusal::Full(MAX_MEMBERS).to_string();
    assert!(words.contains("280") && words.contains("`lvs-agent node remove NAME`"), "{words}");
    // A member comes back, and in the place of one that is gone there is room.
    assert!(state.apply(&newcomer(5)).is_ok());
    assert!(state.apply(&Command::NodeLeft(name("n7"))).is_ok());
    assert!(state.apply(&newcomer(1000)).is_ok());
}
