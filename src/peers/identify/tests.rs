//! Certificates against states.

use super::*;
use crate::{
    link::{
        authority::{Authority, NodeSubject, request},
        node_key::NodeKey,
    },
    model::{Fingerprint, PublicKey, Roles},
    rules::{
        Command,
        fixture::{cluster, foreign_cluster, name},
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

fn status(state: &ClusterState, certificate: &Certificate, says: u64) -> Result<PeerStatus, HelloRefusal> {
    let met = [BootstrapPeer { id: NodeId(1), name: name("d1"), addr: "192.0.2.11:7420".parse().unwrap() }];
    KnownMembers { cluster_id: "test", state, bootstrap_peers: &met }.status(certificate, NodeId(says))
}

#[test]
fn a_member_is_who_its_certificate_its_number_and_its_key_agree_on() {
    let state = cluster();
    let d1 = certificate("d1", 1, &[Role::Director]);
    assert!(matches!(status(&state, &d1, 1), Ok(PeerStatus::Member { director: true, .. })));
    assert!(matches!(status(&state, &d1, 2), Err(HelloRefusal::NotYou { .. })));
    let stolen_name = Certificate { key: Some(PublicKey([9; 32])), ..d1.clone() };
    assert!(matches!(status(&state, &stolen_name, 1), Err(HelloRefusal::NotYou { .. })));
    let other = Certificate { cluster_id: Some("other".to_owned()), ..d1.clone() };
    assert!(matches!(status(&state, &other, 1), Err(HelloRefusal::WrongCluster { .. })));
    let person = Subject::Identity { name: name("d1"), access: crate::model::Access::Admin };
    assert!(matches!(status(&state, &Certificate { subject: person, ..d1.clone() }, 1), Err(HelloRefusal::NotYou { .. })));
    let numberless = Subject::Node { name: name("d1"), roles: roles(&[Role::Director]), id: None };
    assert!(
        status(&state, &Certificate { subject: numberless, ..d1 }, 1).is_err(),
        "a cluster with a CA of its own gives numbers"
    );
}

#[test]
fn a_director_is_one_by_certificate_and_by_record() {
    let mut state = cluster();
    let as_real_server = certificate("d1", 1, &[Role::RealServer]);
    assert!(matches!(status(&state, &as_real_server, 1), Ok(PeerStatus::Member { director: false, .. })));
    state.nodes.get_mut(&name::<NodeName>("d1")).unwrap().roles = roles(&[Role::RealServer]);
    let as_director = certificate("d1", 1, &[Role::Director]);
    assert!(matches!(status(&state, &as_director, 1), Ok(PeerStatus::Member { director: false, .. })));
}

#[test]
fn a_removed_or_replaced_node_is_told_so_and_a_later_one_is_not_taken_for_it() {
    let mut state = cluster();
    state.apply(&Command::NodeLeft(name("r1"))).unwrap();
    let server = [Role::RealServer];
    assert_eq!(status(&state, &certificate("r1", 3, &server), 3), Err(HelloRefusal::Removed { id: NodeId(3), barred: None }));
    assert_eq!(status(&state, &certificate("r1", 9, &server), 9), Ok(PeerStatus::Later));
    assert_eq!(status(&state, &certificate("r2", 9, &server), 9), Ok(PeerStatus::Later), "r2 with a new disk");
}

#[test]
fn before_there_is_a_state_those_count_who_were_met() {
    let empty = ClusterState::default();
    let director = [Role::Director];
    assert_eq!(status(&empty, &certificate("d1", 1, &director), 1), Ok(PeerStatus::Bootstrap));
    assert!(status(&empty, &certificate("d2", 1, &director), 1).is_err());
    assert_eq!(status(&empty, &certificate("d2", 2, &director), 2), Ok(PeerStatus::Later));
    let elsewhere = Certificate {
        subject: Subject::Node { name: name("d1"), roles: roles(&director), id: None },
        cluster_id: None,
        ..certificate("d1", 1, &director)
    };
    assert_eq!(status(&empty, &elsewhere, 1), Ok(PeerStatus::Bootstrap), "certificates of another PKI have no number");
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
    assert!(matches!(status(&state, &foreign("d1"), 1), Ok(PeerStatus::Member { director: true, .. })));
    assert_eq!(
        status(&state, &foreign("d1"), 1_000_000_000),
        Ok(PeerStatus::Later),
        "d1 with a new disk, as far as is known here"
    );
    let unknown = HelloRefusal::Unknown { name: name("r9") };
    assert_eq!(status(&state, &foreign("r9"), 1_000_000_000), Err(unknown.clone()));
    assert!(unknown.to_string().contains("restart the agent of the leader"), "{unknown}");
    assert_eq!(status(&state, &foreign("r9"), 1), Err(HelloRefusal::Removed { id: NodeId(1), barred: None }));
    let empty = ClusterState::default();
    assert_eq!(status(&empty, &foreign("d1"), 1), Ok(PeerStatus::Bootstrap));
    assert_eq!(status(&empty, &foreign("d1"), 9), Ok(PeerStatus::Later), "it has been given another number since");
    assert_eq!(status(&empty, &foreign("r9"), 9), Err(unknown));
}

#[test]
fn a_removed_node_with_a_good_certificate_is_told_so_and_what_lets_it_in_again() {
    let mut state = foreign_cluster();
    state.apply(&Command::NodeRemoved(name("r1"))).unwrap();
    let refused = status(&state, &foreign("r1"), 3).unwrap_err();
    assert_eq!(refused, HelloRefusal::Removed { id: NodeId(3), barred: Some(name("r1")) });
    assert_eq!(
        refused.to_string(),
        "n3 was removed from the cluster: run `lvs-agent leave` on it; if it shall be a member again, then run `lvs-agent node allow r1` on a \
         director and `lvs-agent join SEED` here"
    );
    // A number that was never given: it may have been allowed back since, so it is not told that it is no member.
    let refused = status(&state, &foreign("r1"), 1_000_000_000).unwrap_err();
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
    assert!(matches!(status(&state, &made, 2), Ok(PeerStatus::Member { director: true, .. })));
}
