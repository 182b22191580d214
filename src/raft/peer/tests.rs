//! Certificates against states, and changes against peers.

use super::*;
use crate::{
    link::{
        authority::{Authority, NodeSubject, request},
        node_key::NodeKey,
    },
    model::{Fingerprint, PublicKey, Roles, Secret},
    rules::{
        Joining, RuleSet, SecurityChange,
        fixture::{cluster, foreign_cluster, joining, name},
    },
};
use std::time::Duration;

fn roles(roles: &[Role]) -> Roles {
    Roles::new(roles.iter().copied()).unwrap()
}

fn certificate(node: &str, id: u64, roles_: &[Role]) -> Certificate {
    Certificate {
        fingerprint: Fingerprint([0; 32]),
        subject: Subject::Node { name: name(node), roles: roles(roles_), id: Some(NodeId(id)) },
        cluster_id: Some("test".to_owned()),
        // As the fixture's members have it.
        key: Some(PublicKey([if id < 3 { 10 + id as u8 } else { 18 + id as u8 }; 32])),
        not_before_unix_s: 0,
        not_after_unix_s: u64::MAX,
        der: Vec::new(),
    }
}

fn standing(state: &ClusterState, certificate: &Certificate, says: u64) -> Result<Standing, HelloRefusal> {
    let met = [Met { id: NodeId(1), name: name("d1"), addr: "192.0.2.11:7420".parse().unwrap() }];
    Known { cluster_id: "test", state, met: &met }.standing(certificate, NodeId(says))
}

#[test]
fn a_member_is_who_its_certificate_its_number_and_its_key_agree_on() {
    let state = cluster();
    let d1 = certificate("d1", 1, &[Role::Director]);
    assert!(matches!(standing(&state, &d1, 1), Ok(Standing::Member { director: true, .. })));
    assert!(matches!(standing(&state, &d1, 2), Err(HelloRefusal::NotYou { .. })));
    let stolen_name = Certificate { key: Some(PublicKey([9; 32])), ..d1.clone() };
    assert!(matches!(standing(&state, &stolen_name, 1), Err(HelloRefusal::NotYou { .. })));
    let other = Certificate { cluster_id: Some("other".to_owned()), ..d1.clone() };
    assert!(matches!(standing(&state, &other, 1), Err(HelloRefusal::WrongCluster { .. })));
    let person = Subject::Identity { name: name("d1"), access: crate::model::Access::Admin };
    assert!(matches!(standing(&state, &Certificate { subject: person, ..d1.clone() }, 1), Err(HelloRefusal::NotYou { .. })));
    let numberless = Subject::Node { name: name("d1"), roles: roles(&[Role::Director]), id: None };
    assert!(
        standing(&state, &Certificate { subject: numberless, ..d1 }, 1).is_err(),
        "a cluster with a CA of its own gives numbers"
    );
}

#[test]
fn a_director_is_one_by_certificate_and_by_record() {
    let mut state = cluster();
    let as_real_server = certificate("d1", 1, &[Role::RealServer]);
    assert!(matches!(standing(&state, &as_real_server, 1), Ok(Standing::Member { director: false, .. })));
    state.nodes.get_mut(&name::<NodeName>("d1")).unwrap().roles = roles(&[Role::RealServer]);
    let as_director = certificate("d1", 1, &[Role::Director]);
    assert!(matches!(standing(&state, &as_director, 1), Ok(Standing::Member { director: false, .. })));
}

#[test]
fn a_removed_or_replaced_node_is_told_so_and_a_later_one_is_not_taken_for_it() {
    let mut state = cluster();
    state.apply(&RuleChange::NodeLeft(name("r1"))).unwrap();
    let server = [Role::RealServer];
    assert_eq!(standing(&state, &certificate("r1", 3, &server), 3), Err(HelloRefusal::Removed { id: NodeId(3), barred: None }));
    assert_eq!(standing(&state, &certificate("r1", 9, &server), 9), Ok(Standing::Later));
    assert_eq!(standing(&state, &certificate("r2", 9, &server), 9), Ok(Standing::Later), "r2 with a new disk");
}

#[test]
fn before_there_is_a_state_those_count_who_were_met() {
    let empty = ClusterState::default();
    let director = [Role::Director];
    assert_eq!(standing(&empty, &certificate("d1", 1, &director), 1), Ok(Standing::Met));
    assert!(standing(&empty, &certificate("d2", 1, &director), 1).is_err());
    assert_eq!(standing(&empty, &certificate("d2", 2, &director), 2), Ok(Standing::Later));
    let elsewhere = Certificate {
        subject: Subject::Node { name: name("d1"), roles: roles(&director), id: None },
        cluster_id: None,
        ..certificate("d1", 1, &director)
    };
    assert_eq!(standing(&empty, &elsewhere, 1), Ok(Standing::Met), "certificates of another PKI have no number");
}

/// As somebody else's CA makes them: without cluster and number, for a key of its own.
fn foreign(node: &str) -> Certificate {
    Certificate {
        subject: Subject::Node { name: name(node), roles: roles(&[Role::Director, Role::RealServer]), id: None },
        cluster_id: None,
        key: None,
        ..certificate(node, 1, &[Role::Director])
    }
}

#[test]
fn a_certificate_that_names_no_number_is_heard_for_a_members_name_only() {
    let state = foreign_cluster();
    assert!(matches!(standing(&state, &foreign("d1"), 1), Ok(Standing::Member { director: true, .. })));
    assert_eq!(
        standing(&state, &foreign("d1"), 1_000_000_000),
        Ok(Standing::Later),
        "d1 with a new disk, as far as is known here"
    );
    let unknown = HelloRefusal::Unknown { name: name("r9") };
    assert_eq!(standing(&state, &foreign("r9"), 1_000_000_000), Err(unknown.clone()));
    assert!(unknown.to_string().contains("restart the agent of the leader"), "{unknown}");
    assert_eq!(standing(&state, &foreign("r9"), 1), Err(HelloRefusal::Removed { id: NodeId(1), barred: None }));
    let empty = ClusterState::default();
    assert_eq!(standing(&empty, &foreign("d1"), 1), Ok(Standing::Met));
    assert_eq!(standing(&empty, &foreign("d1"), 9), Ok(Standing::Later), "it has been given another number since");
    assert_eq!(standing(&empty, &foreign("r9"), 9), Err(unknown));
}

#[test]
fn a_removed_node_with_a_good_certificate_is_told_so_and_what_lets_it_in_again() {
    let mut state = foreign_cluster();
    state.apply(&RuleChange::NodeRemoved(name("r1"))).unwrap();
    let refused = standing(&state, &foreign("r1"), 3).unwrap_err();
    assert_eq!(refused, HelloRefusal::Removed { id: NodeId(3), barred: Some(name("r1")) });
    assert_eq!(
        refused.to_string(),
        "n3 was removed from the cluster: run `lvs-agent leave` on it; if it shall be a member again, then run `lvs-agent node allow r1` on a \
         director and `lvs-agent join SEED` here"
    );
    // A number that was never given: it may have been allowed back since, so it is not told that it is no member.
    let refused = standing(&state, &foreign("r1"), 1_000_000_000).unwrap_err();
    assert_eq!(refused, HelloRefusal::Barred { name: name("r1") });
    assert!(refused.to_string().contains("`lvs-agent node allow r1`"), "{refused}");
}

#[test]
fn a_certificate_as_it_is_made_is_its_members() {
    let mut state = cluster();
    let (key, ca) = (NodeKey::generate(), Authority::make("test", Duration::from_secs(1_000_000_000)));
    state.nodes.get_mut(&name::<NodeName>("d2")).unwrap().key = key.public();
    let subject = NodeSubject { cluster_id: "test", name: &name("d2"), id: NodeId(2), roles: &roles(&[Role::Director]) };
    let made = ca.sign_node(&request(&key), &subject, Duration::from_secs(1_000_000_000)).unwrap();
    assert!(matches!(standing(&state, &made, 2), Ok(Standing::Member { director: true, .. })));
}

#[test]
fn members_change_what_is_theirs_and_directors_the_rules() {
    let state = cluster();
    let (d1, r1) = (&state.nodes[&name("d1")], &state.nodes[&name("r1")]);
    let rules = RuleChange::Apply { base_revision: None, rules: RuleSet::default() };
    let left = |node: &str| RuleChange::NodeLeft(name(node));
    let roles_of = RuleChange::NodeRoles { name: name("r1"), roles: roles(&[Role::Director]) };
    let key = RuleChange::Security(SecurityChange::KeyAdded { key: Secret::new([1; 32]), departures: None });
    for (change, by_director, by_server) in [
        (rules, true, false),
        (left("r1"), true, true),
        (left("d1"), true, false),
        (RuleChange::NodeRemoved(name("r1")), true, false),
        (roles_of, true, false),
        (key, true, false),
        (RuleChange::Verdicts(Vec::new()), false, false),
        (RuleChange::NodeJoined(joining("new", 99, Role::RealServer)), false, false),
    ] {
        assert_eq!(may_propose(d1, true, &change), by_director, "a director: {change}");
        assert_eq!(may_propose(r1, false, &change), by_server, "a real server: {change}");
        let own = matches!(&change, RuleChange::NodeLeft(name) if *name == d1.name);
        assert_eq!(may_propose(d1, false, &change), own, "a director whose certificate does not say so: {change}");
    }
    let moved = Joining { keeps_id: true, ..joining("r1", 77, Role::RealServer) };
    let moved = Joining { key: r1.key, ..moved };
    assert!(may_propose(r1, false, &RuleChange::NodeJoined(moved.clone())), "its own address");
    for forged in [
        Joining { roles: roles(&[Role::Director]), ..moved.clone() },
        Joining { key: PublicKey([1; 32]), ..moved.clone() },
        Joining { keeps_id: false, ..moved.clone() },
        Joining { name: name("d1"), ..moved.clone() },
        Joining { addr: "0.0.0.0:7420".parse().unwrap(), ..moved.clone() },
        Joining { addr: "255.255.255.255:7420".parse().unwrap(), ..moved.clone() },
        Joining { addr: "[::ffff:224.0.0.1]:7420".parse().unwrap(), ..moved.clone() },
        Joining { addr: "192.0.2.77:0".parse().unwrap(), ..moved },
    ] {
        assert!(!may_propose(r1, false, &RuleChange::NodeJoined(forged.clone())), "{forged:?}");
    }
}
