//! Tables of situations and the step that each calls for, and a simulation that takes the steps.

use super::*;
use crate::model::Roles;
use proptest::prelude::*;

/// A situation in few words: `d1 d2 r3` are nodes (letter: role, number: id).
struct Case {
    nodes: &'static str,
    voters: &'static [&'static [u64]],
    learners: &'static [u64],
    dead: &'static [u64],
    behind: &'static [u64],
    ready: bool,
    due: bool,
}

const CALM: Case = Case { nodes: "", voters: &[&[1]], learners: &[], dead: &[], behind: &[], ready: true, due: true };

fn address(id: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(id).unwrap()], 7946))
}

fn node(word: &str) -> NodeRecord {
    let (role, id) = word.split_at(1);
    let role = if role == "d" { Role::Director } else { Role::RealServer };
    let id: u64 = id.parse().unwrap();
    NodeRecord {
        id: NodeId(id),
        name: word.parse().unwrap(),
        roles: Roles::new([role]).unwrap(),
        addr: address(id),
        zone: None,
        key: crate::model::PublicKey([0; 32]),
    }
}

fn step(case: &Case) -> Option<Change> {
    let nodes: BTreeMap<NodeName, NodeRecord> = case.nodes.split_whitespace().map(node).map(|n| (n.name.clone(), n)).collect();
    let live = nodes.values().filter(|n| !case.dead.contains(&n.id.0)).map(|n| n.name.clone()).collect();
    let caught_up = nodes.values().map(|n| n.id).filter(|id| !case.behind.contains(&id.0)).collect();
    let ids = case.voters.iter().copied().flatten().chain(case.learners);
    let members = Members {
        voters: case.voters.iter().map(|set| set.iter().copied().map(NodeId).collect()).collect(),
        addresses: ids.map(|id| (NodeId(*id), address(*id))).collect(),
    };
    next_change(&Input {
        me: NodeId(1),
        nodes: &nodes,
        live: &live,
        caught_up: &caught_up,
        members: &members,
        settled: case.ready,
        own_term_committed: case.ready,
        quiet_for: Duration::from_millis(if case.due { 600 } else { 599 }),
        spacing: Duration::from_millis(600),
    })
}

fn promote(id: u64) -> Option<Change> {
    Some(Change::Promote(NodeId(id)))
}

fn remove(id: u64) -> Option<Change> {
    Some(Change::RemoveVoter(NodeId(id)))
}

#[test]
fn who_joins_becomes_a_learner_at_once() {
    let add = |word| Some(Change::AddLearner(node(word)));
    assert_eq!(step(&Case { nodes: "d1 d2 r3", due: false, ..CALM }), add("d2"));
    assert_eq!(step(&Case { nodes: "d1 d2 r3", learners: &[2], due: false, ..CALM }), add("r3"));
    assert_eq!(step(&Case { nodes: "d1 d2", learners: &[2], ..CALM }), None);
}

#[test]
fn one_voter_becomes_three_and_three_become_five() {
    let three: &[&[u64]] = &[&[1, 2, 3]];
    assert_eq!(step(&Case { nodes: "d1 d2", learners: &[2], ..CALM }), None, "two voters survive less than one");
    assert_eq!(step(&Case { nodes: "d1 d2 r3", learners: &[2, 3], ..CALM }), promote(2));
    assert_eq!(step(&Case { nodes: "d1 d2 r3", voters: &[&[1, 2]], learners: &[3], ..CALM }), promote(3));
    assert_eq!(step(&Case { nodes: "d1 d2 r3 r4", voters: three, learners: &[4], ..CALM }), None);
    assert_eq!(step(&Case { nodes: "d1 d2 r3 r4 r5", voters: three, learners: &[4, 5], ..CALM }), promote(4));
    assert_eq!(step(&Case { nodes: "d1 d2 r3 r4 r5", voters: &[&[1, 2, 3, 4]], learners: &[5], ..CALM }), promote(5));
    assert_eq!(
        step(&Case { nodes: "d1 d2 r3 r4 r5 r6 r7", voters: &[&[1, 2, 3, 4, 5]], learners: &[6, 7], ..CALM }),
        None,
        "five are enough"
    );
}

#[test]
fn directors_vote_first_and_only_the_living_and_up_to_date() {
    let three = Case { nodes: "d1 r2 r3 d4", learners: &[2, 3, 4], ..CALM };
    assert_eq!(step(&three), promote(4));
    assert_eq!(step(&Case { dead: &[4], ..three }), promote(2));
    assert_eq!(step(&Case { dead: &[4], behind: &[2], ..three }), None, "one candidate alone would make it even");
    assert_eq!(step(&Case { dead: &[4], voters: &[&[1, 2]], learners: &[3, 4], ..three }), promote(3));
    assert_eq!(step(&Case { dead: &[3, 4], voters: &[&[1, 2]], learners: &[3, 4], ..three }), None, "they may come back");
}

#[test]
fn voters_change_no_sooner_than_the_spacing_allows() {
    let three = Case { nodes: "d1 d2 r3", learners: &[2, 3], ..CALM };
    assert_eq!(step(&Case { due: false, ..three }), None);
    assert_eq!(step(&Case { due: false, nodes: "d1 d2", voters: &[&[1, 2, 3]], learners: &[], ..CALM }), None);
}

#[test]
fn nothing_moves_before_the_leader_has_committed_something_of_its_own() {
    assert_eq!(step(&Case { nodes: "d1 d2 r3", ready: false, ..CALM }), None);
    assert_eq!(step(&Case { nodes: "d1 d2 r3", voters: &[&[1], &[1, 2]], ready: false, ..CALM }), None);
}

#[test]
fn a_joint_membership_is_completed_at_once() {
    let joint: &[&[u64]] = &[&[1], &[1, 2]];
    assert_eq!(step(&Case { nodes: "d1 d2 r3", voters: joint, learners: &[3], due: false, ..CALM }), Some(Change::Complete));
}

#[test]
fn who_left_is_removed_when_the_rest_can_decide() {
    let three: &[&[u64]] = &[&[1, 2, 3]];
    assert_eq!(step(&Case { nodes: "d1 d2", voters: three, ..CALM }), remove(3));
    assert_eq!(step(&Case { nodes: "d1 d2", voters: three, dead: &[2], ..CALM }), None, "one of two is no majority");
    assert_eq!(step(&Case { nodes: "d1 d2", learners: &[2, 3], ..CALM }), Some(Change::RemoveLearner(NodeId(3))));
    assert_eq!(step(&Case { nodes: "d2 r3", voters: three, ..CALM }), remove(1), "the leader itself may leave");
}

#[test]
fn the_last_voter_leaves_only_when_another_votes() {
    assert_eq!(step(&Case { nodes: "d2", learners: &[2], ..CALM }), promote(2));
    assert_eq!(step(&Case { nodes: "d2", voters: &[&[1, 2]], ..CALM }), remove(1));
    assert_eq!(step(&Case { nodes: "", ..CALM }), None, "nobody is left to decide");
}

#[test]
fn a_node_with_a_new_disk_replaces_its_old_number() {
    // d3 was wiped and is d4 now (its name does not matter here).
    let wiped = Case { nodes: "d1 d2 d4", voters: &[&[1, 2, 3]], ..CALM };
    assert_eq!(step(&Case { due: false, ..wiped }), Some(Change::AddLearner(node("d4"))));
    assert_eq!(step(&Case { learners: &[4], ..wiped }), remove(3));
    assert_eq!(step(&Case { voters: &[&[1, 2]], learners: &[4], ..wiped }), promote(4));
}

#[test]
fn a_surplus_voter_steps_back() {
    let demote = |id| Some(Change::Demote(NodeId(id)));
    assert_eq!(step(&Case { nodes: "d1 d2", voters: &[&[1, 2]], ..CALM }), demote(2));
    assert_eq!(step(&Case { nodes: "d1 r2 d3 d4", voters: &[&[1, 2, 3, 4]], ..CALM }), demote(2), "directors stay");
    assert_eq!(
        step(&Case { nodes: "d1 d2 r3 d4", voters: &[&[1, 2, 3, 4]], dead: &[4], ..CALM }),
        demote(4),
        "the dead go first"
    );
    assert_eq!(step(&Case { nodes: "d1 d2", voters: &[&[1, 2]], dead: &[2], ..CALM }), demote(2));
}

#[test]
fn a_member_that_moved_is_followed() {
    let mut moved = node("d2");
    moved.addr = address(9);
    let nodes = BTreeMap::from([(node("d1").name, node("d1")), (moved.name.clone(), moved.clone())]);
    let members = Members {
        voters: vec![BTreeSet::from([NodeId(1)])],
        addresses: BTreeMap::from([(NodeId(1), address(1)), (NodeId(2), address(2))]),
    };
    let input = Input {
        me: NodeId(1),
        nodes: &nodes,
        live: &BTreeSet::new(),
        caught_up: &BTreeSet::new(),
        members: &members,
        settled: true,
        own_term_committed: true,
        quiet_for: Duration::ZERO,
        spacing: Duration::from_millis(600),
    };
    assert_eq!(next_change(&input), Some(Change::SetAddress(moved)));
}

/// What openraft makes of a step.
fn take(members: &mut Members, change: &Change) {
    let voters = &mut members.voters[0];
    match change {
        Change::Complete => unreachable!("the simulation has no joint memberships"),
        Change::Promote(id) => assert!(voters.insert(*id)),
        Change::Demote(id) | Change::RemoveVoter(id) => assert!(voters.remove(id)),
        Change::RemoveLearner(id) => {
            assert!(!voters.contains(id));
            members.addresses.remove(id);
        }
        Change::AddLearner(record) | Change::SetAddress(record) => {
            members.addresses.insert(record.id, record.addr);
        }
    }
}

proptest! {
    /// From any voters, with everybody alive, the steps end, one voter at a time, in an odd number of voters, all of them members.
    #[test]
    fn steps_end_in_an_odd_number_of_members(directors: Vec<bool>, first in proptest::collection::btree_set(2_u64..12, 0..5)) {
        let words: Vec<String> = std::iter::once(&true)
            .chain(directors.iter().take(9))
            .zip(1_u64..)
            .map(|(director, id)| format!("{}{id}", if *director { 'd' } else { 'r' }))
            .collect();
        let nodes: BTreeMap<NodeName, NodeRecord> = words.iter().map(|w| node(w)).map(|n| (n.name.clone(), n)).collect();
        let live = nodes.keys().cloned().collect();
        let caught_up = nodes.values().map(|n| n.id).collect();
        let voters: BTreeSet<NodeId> = first.into_iter().chain([1]).map(NodeId).collect();
        let mut members = Members { addresses: voters.iter().map(|id| (*id, address(id.0))).collect(), voters: vec![voters] };
        // Those whose nodes are gone do not answer: what remains must be able to decide, or nothing can be done.
        let alive = members.voters[0].iter().filter(|id| nodes.values().any(|n| n.id == **id)).count();
        prop_assume!(alive * 2 > members.voters[0].len());
        for _ in 0..100 {
            let change = next_change(&Input {
                me: NodeId(1), nodes: &nodes, live: &live, caught_up: &caught_up, members: &members, settled: true,
                own_term_committed: true, quiet_for: Duration::from_secs(1), spacing: Duration::from_secs(1),
            });
            let Some(change) = change else { break };
            let before = members.voters[0].clone();
            take(&mut members, &change);
            prop_assert!(before.symmetric_difference(&members.voters[0]).count() <= 1);
            prop_assert!(!members.voters[0].is_empty());
        }
        let most = nodes.len().min(MAX_VOTERS);
        prop_assert_eq!(members.voters[0].len(), most - (most + 1) % 2);
        prop_assert!(members.voters[0].iter().all(|id| nodes.values().any(|n| n.id == *id)));
        prop_assert_eq!(members.addresses.len(), nodes.len());
    }
}
