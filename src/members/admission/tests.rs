//! Requests to join, each decided from a state at hand.

use super::*;
use crate::{
    link::{
        node_key::{NodeKey, Signature},
        token::JoinToken,
    },
    members::request::SignedJoin,
    model::{Fingerprint, NodeName, PublicKey, Role, TimingProfile},
    rules::{
        SecurityChange,
        fixture::{cluster, name},
        security::Token,
    },
};

const NOW: u64 = 1_800_000_000;
/// The fixture's.
const CA: Fingerprint = Fingerprint([1; 32]);

struct Case {
    state: ClusterState,
    key: NodeKey,
    token: JoinToken,
    living: Vec<NodeName>,
    awaited: Vec<NodeName>,
}

impl Case {
    fn new() -> Self {
        let (mut state, token) = (cluster(), JoinToken::make(CA));
        let known = Token {
            key: token.public(),
            roles: Roles::new([Role::RealServer]).unwrap(),
            uses_left: 2,
            expires_unix_s: NOW + 60,
            made_by: name("d1"),
            authority: CA,
        };
        let made = SecurityChange::TokenMade { id: token.id(), token: known, at_unix_s: NOW };
        state.apply(&Command::Security(made)).unwrap();
        Self { state, key: NodeKey::generate(), token, living: Vec::new(), awaited: Vec::new() }
    }

    fn request(&self) -> JoinRequest {
        JoinRequest {
            name: name("r9"),
            roles: Roles::new([Role::RealServer]).unwrap(),
            addr: "192.0.2.99:7420".parse().unwrap(),
            zone: None,
            key: self.key.public(),
            version: "0.1.0".to_owned(),
            timing: None,
            known: None,
            authority: Some(CA),
            at_unix_s: NOW,
        }
    }

    fn signed(&self, request: &JoinRequest) -> SignedJoin {
        SignedJoin::sign(request, &self.key, Some(&self.token)).unwrap()
    }

    fn decide_as(&self, signed: &SignedJoin, certificate: Option<&Certificate>) -> Result<Admission, JoinRefusal> {
        let is_heard = |node: &NodeRecord| self.living.contains(&node.name);
        let is_awaited = |node: &NodeRecord| self.awaited.contains(&node.name);
        let join = signed.clone().verify()?;
        decide(&AdmissionInput {
            state: &self.state,
            join: &join,
            certificate,
            is_heard: &is_heard,
            is_awaited: &is_awaited,
            now_unix_s: NOW,
        })
    }

    fn decide(&self, request: &JoinRequest) -> Result<Admission, JoinRefusal> {
        self.decide_as(&self.signed(request), None)
    }

    /// Lets it in.
    fn commit(&mut self, request: &JoinRequest) -> NodeId {
        match self.decide(request).unwrap() {
            Admission::Commit(change) => self.state.apply(&change).unwrap().unwrap(),
            Admission::Is(id) => id,
        }
    }
}

fn joining(admission: Result<Admission, JoinRefusal>) -> Joining {
    match admission.unwrap() {
        Admission::Commit(Command::NodeJoined(joining)) => joining,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_lets_a_new_node_in_and_is_named_in_the_entry_that_uses_it_up() {
    let case = Case::new();
    let joined = joining(case.decide(&case.request()));
    assert_eq!(joined.token, Some(TokenUse { id: case.token.id(), at_unix_s: NOW }));
    assert_eq!((joined.key, joined.keeps_id), (case.key.public(), false));
}

#[test]
fn a_captured_request_lets_nobody_else_in() {
    let case = Case::new();
    let signed = case.signed(&case.request());
    let thief = NodeKey::generate();
    // The token's signature under the thief's own key, or name: not what it signed.
    for stolen in [
        JoinRequest { key: thief.public(), ..case.request() },
        JoinRequest { key: thief.public(), name: name("r8"), ..case.request() },
    ] {
        let mut forged = SignedJoin::sign(&stolen, &thief, None).unwrap();
        forged.by_token = signed.by_token.clone();
        assert_eq!(case.decide_as(&forged, None), Err(JoinRefusal::ForgedToken(case.token.id())));
    }
    let mut renamed = signed.clone();
    renamed.request = case.signed(&JoinRequest { name: name("r8"), ..case.request() }).request;
    assert_eq!(case.decide_as(&renamed, None), Err(JoinRefusal::Forged));
    let late = NOW + SIGNED_WITHIN_S + 1;
    let nobody = |_: &NodeRecord| false;
    let (state, join) = (&case.state, &signed.verify().unwrap());
    let asked = AdmissionInput { state, join, certificate: None, is_heard: &nobody, is_awaited: &nobody, now_unix_s: late };
    assert_eq!(decide(&asked), Err(JoinRefusal::Clock { s: 3601 }));
}

#[test]
fn every_flipped_bit_of_a_request_is_noticed() {
    let case = Case::new();
    let signed = case.signed(&case.request());
    for bit in 0..signed.request.len() * 8 {
        let mut wrong = signed.clone();
        wrong.request[bit / 8] ^= 1 << (bit % 8);
        let refused = case.decide_as(&wrong, None).unwrap_err();
        assert!(matches!(refused, JoinRefusal::Forged | JoinRefusal::Unreadable(_)), "bit {bit}: {refused}");
    }
    let cut = SignedJoin { by_node: Signature(Vec::new()), ..signed };
    assert_eq!(case.decide_as(&cut, None), Err(JoinRefusal::Forged));
}

#[test]
fn what_was_signed_for_another_cluster_is_worth_nothing() {
    let case = Case::new();
    for authority in [None, Some(Fingerprint([9; 32]))] {
        let request = JoinRequest { authority, ..case.request() };
        assert_eq!(case.decide(&request), Err(JoinRefusal::OtherAuthority));
    }
    let request = JoinRequest { known: Some(("other".to_owned(), NodeId(1))), ..case.request() };
    assert!(matches!(case.decide(&request), Err(JoinRefusal::OtherCluster { .. })));
}

#[test]
fn asked_again_a_member_needs_no_second_use_of_its_token() {
    let mut case = Case::new();
    let first = case.commit(&case.request());
    assert_eq!(case.state.security.tokens[&case.token.id()].uses_left, 1);
    // With an empty disk, or the answer lost: a number that has never voted.
    let again = joining(case.decide(&case.request()));
    assert_eq!((again.token, again.keeps_id), (None, false));
    let returning = JoinRequest { known: Some(("test".to_owned(), first)), ..case.request() };
    assert_eq!(case.decide(&returning), Ok(Admission::Is(first)));
    let moved = JoinRequest { addr: "192.0.2.98:7420".parse().unwrap(), zone: Some(name("z1")), ..returning.clone() };
    let change = joining(case.decide(&moved));
    assert_eq!((change.addr, change.zone.clone(), change.keeps_id), (moved.addr, moved.zone.clone(), true));
    case.living.push(name("r9"));
    assert!(matches!(case.decide(&moved), Err(JoinRefusal::NameTaken { .. })), "it answers at its old address: this is a copy");
    case.state.apply(&Command::NodeLeft(name("r9"))).unwrap();
    assert_eq!(case.decide(&returning), Err(JoinRefusal::Forgotten { id: first }));
}

#[test]
fn a_request_that_somebody_kept_moves_no_member_that_is_heard() {
    let mut case = Case::new();
    case.commit(&case.request());
    case.awaited.push(name("r9"));
    assert!(case.decide(&case.request()).is_ok(), "its answer was lost, and it asks again");
    case.living.push(name("r9"));
    assert!(matches!(case.decide(&case.request()), Err(JoinRefusal::NameTaken { .. })), "it would have another number");
}

#[test]
fn a_member_keeps_its_roles_whatever_its_file_says() {
    let mut case = Case::new();
    let id = case.commit(&case.request());
    let both = Roles::new([Role::RealServer, Role::Witness]).unwrap();
    case.state.apply(&Command::NodeRoles { name: name("r9"), roles: both.clone() }).unwrap();
    let fewer = JoinRequest { known: Some(("test".to_owned(), id)), ..case.request() };
    assert_eq!(case.decide(&fewer), Ok(Admission::Is(id)));
    let more = JoinRequest { roles: Roles::new(Role::ALL).unwrap(), ..fewer };
    let refused = case.decide(&more).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "r9 is real-server,witness in this cluster, not director,real-server,witness: run `lvs-agent node rename-roles r9 --roles \
         director,real-server,witness` on a director"
    );
}

#[test]
fn a_dead_nodes_name_is_free_for_a_token_and_a_living_ones_is_not() {
    let mut case = Case::new();
    let request = JoinRequest { name: name("r1"), ..case.request() };
    assert!(!joining(case.decide(&request)).keeps_id);
    case.living.push(name("r1"));
    let addr = case.state.nodes[&name("r1")].addr;
    assert_eq!(case.decide(&request), Err(JoinRefusal::NameTaken { name: name("r1"), addr }));
    // That it says it is at the same address is nothing that anybody has looked at.
    let same_place = JoinRequest { addr, ..request };
    let refused = case.decide(&same_place).unwrap_err();
    assert_eq!(refused, JoinRefusal::NameTaken { name: name("r1"), addr });
    let words = refused.to_string();
    for next in ["is still heard", "stop that one and wait", "`lvs-agent node remove r1`"] {
        assert!(words.contains(next), "{words}");
    }
    case.living.clear();
    assert!(case.decide(&same_place).is_ok(), "the machine was set up anew");
}

#[test]
fn a_real_servers_token_does_not_take_a_directors_place() {
    let mut case = Case::new();
    let addr = case.state.nodes[&name("d1")].addr;
    let request = JoinRequest { name: name("d1"), addr, ..case.request() };
    let replaces = CommandRefusal::Replaces { name: name("d1"), has: "director".to_owned() };
    assert_eq!(case.decide(&request), Err(JoinRefusal::Refused(replaces)));
    // Nor does a director's one when nobody else would direct.
    let all = Token { roles: Roles::new(Role::ALL).unwrap(), ..case.state.security.tokens[&case.token.id()].clone() };
    case.state.security.tokens.insert(case.token.id(), all);
    assert!(!joining(case.decide(&request)).keeps_id);
    case.state.apply(&Command::NodeLeft(name("d2"))).unwrap();
    assert_eq!(case.decide(&request), Err(JoinRefusal::Refused(CommandRefusal::OnlyDirector(name("d1")))));
}

#[test]
fn another_members_address_is_refused_whatever_the_port() {
    let case = Case::new();
    let request = JoinRequest { addr: "192.0.2.21:9".parse().unwrap(), ..case.request() };
    assert!(matches!(case.decide(&request), Err(JoinRefusal::Refused(CommandRefusal::AddressTaken { .. }))));
}

#[test]
fn a_copied_key_is_refused_under_another_name() {
    let mut case = Case::new();
    case.commit(&case.request());
    let copy = JoinRequest { name: name("r8"), addr: "192.0.2.98:7420".parse().unwrap(), ..case.request() };
    assert!(matches!(case.decide(&copy), Err(JoinRefusal::KeyTaken { .. })));
}

#[test]
fn addresses_where_nobody_can_be_reached_and_other_rhythms_are_refused() {
    let case = Case::new();
    for addr in ["0.0.0.0:7420", "[::]:7420", "224.0.0.1:7420", "255.255.255.255:7420", "192.0.2.99:0"] {
        let addr = addr.parse().unwrap();
        assert_eq!(case.decide(&JoinRequest { addr, ..case.request() }), Err(JoinRefusal::Address(addr)));
    }
    let request = JoinRequest { timing: Some(TimingProfile::Wan), ..case.request() };
    assert!(matches!(case.decide(&request), Err(JoinRefusal::Timing { .. })));
}

#[test]
fn where_certificates_come_from_elsewhere_the_certificate_lets_in_and_nothing_else() {
    let mut case = Case::new();
    case.state.security.authorities = crate::rules::security::Authorities::default();
    let request = JoinRequest { authority: None, ..case.request() };
    assert_eq!(case.decide(&request), Err(JoinRefusal::NoCertificate));
    let certificate = |node: &str, roles: &[Role]| Certificate {
        fingerprint: CA,
        subject: Subject::Node { name: name(node), roles: Roles::new(roles.iter().copied()).unwrap(), id: None },
        cluster_id: None,
        key: Some(PublicKey([9; 32])),
        not_before_unix_s: 0,
        not_after_unix_s: u64::MAX,
        der: Vec::new(),
    };
    let signed = case.signed(&request);
    for wrong in [certificate("r8", &[Role::RealServer]), certificate("r9", &[Role::Witness])] {
        assert!(matches!(case.decide_as(&signed, Some(&wrong)), Err(JoinRefusal::Certificate { .. })));
    }
    let right = certificate("r9", &Role::ALL);
    let joined = joining(case.decide_as(&signed, Some(&right)));
    assert_eq!((&joined.token, &joined.roles), (&None, &request.roles));
    // Asked again with other roles, what the certificate covers counts, not what it had.
    case.state.apply(&Command::NodeJoined(joined)).unwrap();
    let more = JoinRequest { roles: Roles::new([Role::RealServer, Role::Witness]).unwrap(), ..request.clone() };
    assert_eq!(joining(case.decide_as(&case.signed(&more), Some(&right))).roles, more.roles);
    // Removed, it is out whatever its certificate says, with another key as well.
    case.state.apply(&Command::NodeRemoved(name("r9"))).unwrap();
    let barred = Err(JoinRefusal::Refused(CommandRefusal::Barred(name("r9"))));
    assert_eq!(case.decide_as(&signed, Some(&right)), barred);
    case.key = NodeKey::generate();
    let anew = case.signed(&JoinRequest { key: case.key.public(), ..request });
    assert_eq!(case.decide_as(&anew, Some(&right)), barred);
    assert_eq!(case.decide_as(&anew, None), Err(JoinRefusal::NoCertificate), "who shows none is told nothing");
    case.state.apply(&Command::Security(SecurityChange::NodeAllowed(name("r9")))).unwrap();
    assert!(case.decide_as(&anew, Some(&right)).is_ok());
}
