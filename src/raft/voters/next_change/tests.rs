//! Tables of situations and the step that each calls for. Whole histories are in `history`.

mod history;

use super::*;
use crate::{model::Roles, raft::voters::explain::reasons};

/// A situation in few words: `d1 d2 r3@b` are nodes (letter: role, number: id, then the zone if it has one).
struct Case {
    nodes: &'static str,
    voters: &'static [&'static [u64]],
    learners: &'static [u64],
    /// Silent for two minutes.
    dead: &'static [u64],
    /// Silent for 20 seconds.
    silent: &'static [u64],
    behind: &'static [u64],
    lately_back: &'static [u64],
    ready: bool,
    quiet_ms: u64,
    settled_ms: Option<u64>,
    untold: &'static [u64],
    /// Answer the leader no more.
    mute: &'static [u64],
}

const CALM_MS: u64 = 10_000;
const SPACING_MS: u64 = 600;

const CALM: Case = Case {
    nodes: "",
    voters: &[&[1]],
    learners: &[],
    dead: &[],
    silent: &[],
    behind: &[],
    lately_back: &[],
    ready: true,
    quiet_ms: CALM_MS,
    settled_ms: None,
    untold: &[],
    mute: &[],
};

fn address(id: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(id).unwrap()], 7946))
}

fn node(word: &str) -> NodeRecord {
    let (word, zone) = word.split_once('@').map_or((word, None), |(word, zone)| (word, Some(zone.parse().unwrap())));
    let (role, id) = word.split_at(1);
    let role = match role {
        "d" => Role::Director,
        "w" => Role::Witness,
        _ => Role::RealServer,
    };
    let id: u64 = id.parse().unwrap();
    NodeRecord {
        id: NodeId(id),
        name: word.parse().unwrap(),
        roles: Roles::new([role]).unwrap(),
        addr: address(id),
        zone,
        key: crate::model::PublicKey([0; 32]),
    }
}

fn look<T>(case: &Case, at: impl FnOnce(&MembershipInput) -> T) -> T {
    let nodes: BTreeMap<NodeName, NodeRecord> = case.nodes.split_whitespace().map(node).map(|n| (n.name.clone(), n)).collect();
    let heard = |n: &&NodeRecord| !case.dead.contains(&n.id.0) && !case.silent.contains(&n.id.0);
    let named = |ids: &[u64]| nodes.values().filter(|n| ids.contains(&n.id.0)).map(|n| n.name.clone()).collect::<BTreeSet<_>>();
    let live = nodes.values().filter(heard).map(|n| n.name.clone()).collect();
    let dead = named(case.dead).into_iter().map(|name| (name, Duration::from_secs(120)));
    let silent = named(case.silent).into_iter().map(|name| (name, Duration::from_secs(20)));
    let ids: BTreeSet<NodeId> = case.voters.iter().copied().flatten().chain(case.learners).copied().map(NodeId).collect();
    let members = RaftMembers {
        voters: case.voters.iter().map(|set| set.iter().copied().map(NodeId).collect()).collect(),
        addresses: ids.iter().map(|id| (*id, address(id.0))).collect(),
    };
    at(&MembershipInput {
        me: NodeId(1),
        nodes: &nodes,
        live: &live,
        silent_for: &dead.chain(silent).collect(),
        lately_back: &named(case.lately_back),
        caught_up: &ids.iter().copied().filter(|id| !case.behind.contains(&id.0)).collect(),
        acking: &ids.iter().copied().filter(|id| !case.mute.contains(&id.0)).collect(),
        told: &ids.iter().copied().filter(|id| !case.untold.contains(&id.0)).collect(),
        members: &members,
        settled: case.ready,
        own_term_committed: case.ready,
        quiet_for: Duration::from_millis(case.quiet_ms),
        settled_for: Duration::from_millis(case.settled_ms.unwrap_or(case.quiet_ms)),
        spacing: Duration::from_millis(SPACING_MS),
    })
}

fn step(case: &Case) -> Option<MembershipChange> {
    look(case, next_change)
}

fn demote(id: u64) -> Option<MembershipChange> {
    Some(MembershipChange::Demote(NodeId(id)))
}

fn promote(id: u64) -> Option<MembershipChange> {
    Some(MembershipChange::Promote(NodeId(id)))
}

fn remove(id: u64) -> Option<MembershipChange> {
    Some(MembershipChange::RemoveVoter(NodeId(id)))
}

#[test]
fn who_joins_becomes_a_learner_at_once() {
    let add = |word| Some(MembershipChange::AddLearner(node(word)));
    assert_eq!(step(&Case { nodes: "d1 d2 r3", quiet_ms: SPACING_MS - 1, ..CALM }), add("d2"));
    assert_eq!(step(&Case { nodes: "d1 d2 r3", learners: &[2], quiet_ms: SPACING_MS - 1, ..CALM }), add("r3"));
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
    assert_eq!(step(&Case { quiet_ms: SPACING_MS - 1, ..three }), None);
    assert_eq!(step(&Case { quiet_ms: SPACING_MS - 1, nodes: "d1 d2", voters: &[&[1, 2, 3]], learners: &[], ..CALM }), None);
}

#[test]
fn nothing_moves_before_the_leader_has_committed_something_of_its_own() {
    assert_eq!(step(&Case { nodes: "d1 d2 r3", ready: false, ..CALM }), None);
    assert_eq!(step(&Case { nodes: "d1 d2 r3", voters: &[&[1], &[1, 2]], ready: false, ..CALM }), None);
}

#[test]
fn a_joint_membership_is_completed_at_once() {
    let joint: &[&[u64]] = &[&[1], &[1, 2]];
    assert_eq!(
        step(&Case { nodes: "d1 d2 r3", voters: joint, learners: &[3], quiet_ms: SPACING_MS - 1, ..CALM }),
        Some(MembershipChange::Complete)
    );
}

#[test]
fn who_left_is_removed_when_the_rest_can_decide() {
    let three: &[&[u64]] = &[&[1, 2, 3]];
    assert_eq!(step(&Case { nodes: "d1 d2", voters: three, ..CALM }), remove(3));
    assert_eq!(step(&Case { nodes: "d1 d2", voters: three, silent: &[2], ..CALM }), None, "one of two is no majority");
    assert_eq!(step(&Case { nodes: "d2 r3", voters: three, ..CALM }), remove(1), "the leader itself may leave");
}

#[test]
fn who_left_stays_a_learner_until_it_has_heard_of_it() {
    let gone = Some(MembershipChange::RemoveLearner(NodeId(3)));
    let left = Case { nodes: "d1 d2", learners: &[2, 3], ..CALM };
    // It waits for word that it does not vote any more, and nobody tells it once it is no learner either.
    assert_eq!(step(&Case { quiet_ms: SPACING_MS - 1, ..left }), None);
    assert_eq!(step(&Case { quiet_ms: SPACING_MS, ..left }), gone);
    assert_eq!(step(&Case { quiet_ms: 4999, untold: &[3], ..left }), None);
    assert_eq!(step(&Case { quiet_ms: 5000, untold: &[3], ..left }), gone, "it may be switched off");
    let new_leader = Case { quiet_ms: 1, settled_ms: Some(5000), ..left };
    assert_eq!(step(&Case { untold: &[3], ..new_leader }), gone, "leaders that come and go do not keep it");
}

#[test]
fn the_last_voter_leaves_only_when_another_votes() {
    assert_eq!(step(&Case { nodes: "d2", learners: &[2], ..CALM }), promote(2));
    assert_eq!(step(&Case { nodes: "d2", voters: &[&[1, 2]], ..CALM }), remove(1));
    assert_eq!(step(&Case { nodes: "", ..CALM }), None, "nobody is left to decide");
    let deaf = Case { nodes: "d2", voters: &[&[1, 2]], silent: &[2], ..CALM };
    assert_eq!(step(&deaf), remove(1), "gossip of members does not reach a leader that is none, its heartbeats are answered");
    assert_eq!(step(&Case { mute: &[2], ..deaf }), None);
    assert_eq!(step(&Case { nodes: "d2", learners: &[2], silent: &[2], ..CALM }), promote(2));
}

#[test]
fn those_that_leave_together_decide_until_each_is_gone() {
    let three: &[&[u64]] = &[&[1, 2, 3]];
    assert_eq!(step(&Case { nodes: "d1", voters: three, ..CALM }), remove(2));
    assert_eq!(step(&Case { nodes: "d1", voters: three, mute: &[3], ..CALM }), remove(3), "who answers no more goes first");
    assert_eq!(step(&Case { nodes: "d1", voters: three, mute: &[2, 3], ..CALM }), None, "one of three decides nothing");
    assert_eq!(step(&Case { nodes: "d3", voters: three, silent: &[3], ..CALM }), remove(2), "the leader goes last");
    assert_eq!(step(&Case { nodes: "d4 d5", voters: &[&[1, 2, 3, 4, 5]], ..CALM }), remove(2));
}

#[test]
fn a_node_with_a_new_disk_replaces_its_old_number() {
    // d3 was wiped and is d4 now (its name does not matter here).
    let wiped = Case { nodes: "d1 d2 d4", voters: &[&[1, 2, 3]], ..CALM };
    assert_eq!(step(&Case { quiet_ms: SPACING_MS - 1, ..wiped }), Some(MembershipChange::AddLearner(node("d4"))));
    assert_eq!(step(&Case { learners: &[4], ..wiped }), remove(3));
    assert_eq!(step(&Case { voters: &[&[1, 2]], learners: &[4], ..wiped }), promote(4));
}

#[test]
fn a_surplus_voter_steps_back() {
    assert_eq!(step(&Case { nodes: "d1 d2", voters: &[&[1, 2]], ..CALM }), demote(2));
    assert_eq!(step(&Case { nodes: "d1 r2 d3 d4", voters: &[&[1, 2, 3, 4]], ..CALM }), demote(2), "directors stay");
    let four = Case { nodes: "d1 d2 r3 d4", voters: &[&[1, 2, 3, 4]], ..CALM };
    assert_eq!(step(&Case { dead: &[4], ..four }), demote(4), "the dead go first");
    assert_eq!(step(&Case { nodes: "d1 d2 d3 d4", silent: &[2], ..four }), demote(2), "then the silent");
    let lost = Case { nodes: "d1 d2", voters: &[&[1, 2]], dead: &[2], ..CALM };
    assert_eq!(step(&lost), None, "one of two cannot even decide that");
}

#[test]
fn a_dead_voter_is_replaced_and_a_silent_one_waited_for() {
    let three = Case { nodes: "d1 d2 r3 r4", voters: &[&[1, 2, 3]], learners: &[4], ..CALM };
    assert_eq!(step(&Case { silent: &[2], ..three }), None);
    let dead = Case { dead: &[2], ..three };
    assert_eq!(step(&dead), promote(4), "three never become two: the new one first");
    assert_eq!(step(&Case { voters: &[&[1, 2, 3, 4]], ..dead }), demote(2));
    assert_eq!(step(&Case { behind: &[4], ..dead }), None);
    assert_eq!(step(&Case { silent: &[4], ..dead }), None);
    assert_eq!(step(&Case { silent: &[3], ..dead }), None, "one of three decides nothing");
    let five = Case { nodes: "d1 d2 r3 r4 r5 r6", voters: &[&[1, 2, 3, 4, 5]], learners: &[6], ..dead };
    assert_eq!(step(&five), demote(2), "five never become six: the dead one first");
    assert_eq!(step(&Case { voters: &[&[1, 3, 4, 5]], learners: &[2, 6], ..five }), promote(6));
    assert_eq!(step(&Case { voters: &[&[1, 3, 4, 5]], learners: &[2, 6], lately_back: &[6], ..five }), promote(6));
}

#[test]
fn five_become_three_when_that_survives_more() {
    let five = Case { nodes: "d1 d2 d3 d4 d5", voters: &[&[1, 2, 3, 4, 5]], ..CALM };
    assert_eq!(step(&Case { dead: &[5], ..five }), None, "either way one more may die, and this one may come back");
    assert_eq!(step(&Case { dead: &[4, 5], ..five }), demote(5));
    assert_eq!(step(&Case { dead: &[4, 5], voters: &[&[1, 2, 3, 4]], learners: &[5], ..five }), demote(4));
    assert_eq!(step(&Case { dead: &[4], silent: &[5], ..five }), None);
    let three = Case { voters: &[&[1, 2, 3]], learners: &[4, 5], ..five };
    assert_eq!(step(&Case { dead: &[3, 4, 5], ..three }), None, "never below three");
    assert_eq!(step(&Case { dead: &[4], ..three }), None, "one alone would make it even");
    assert_eq!(step(&three), promote(4));
    assert_eq!(step(&Case { lately_back: &[5], ..three }), None, "it has to stay for a while first");
    assert_eq!(step(&Case { lately_back: &[2, 3], voters: &[&[1]], learners: &[2, 3, 4, 5], ..three }), promote(4));
}

#[test]
fn an_idle_director_displaces_a_real_server_in_calm_times() {
    let four = Case { nodes: "d1 r2 r3 d4", voters: &[&[1, 2, 3]], learners: &[4], ..CALM };
    assert_eq!(step(&four), promote(4));
    assert_eq!(step(&Case { voters: &[&[1, 2, 3, 4]], learners: &[], ..four }), demote(3));
    assert_eq!(step(&Case { voters: &[&[1, 2, 4]], learners: &[3], ..four }), None, "once");
    assert_eq!(step(&Case { quiet_ms: CALM_MS - 1, ..four }), None);
    assert_eq!(step(&Case { lately_back: &[4], ..four }), None);
    assert_eq!(step(&Case { silent: &[2], ..four }), None, "first it should be known what becomes of that one");
    assert_eq!(step(&Case { nodes: "d1 r2 r3 d4 r5", learners: &[4, 5], quiet_ms: SPACING_MS, ..four }), promote(4));
}

#[test]
fn an_idle_witness_displaces_a_real_server_and_no_director() {
    let four = Case { nodes: "d1 r2 r3 w4", voters: &[&[1, 2, 3]], learners: &[4], ..CALM };
    assert_eq!(step(&four), promote(4));
    assert_eq!(step(&Case { voters: &[&[1, 2, 3, 4]], learners: &[], ..four }), demote(3));
    assert_eq!(step(&Case { voters: &[&[1, 2, 4]], learners: &[3], ..four }), None, "once");
    assert_eq!(step(&Case { nodes: "d1 w2 w3 d4", ..four }), promote(4));
    assert_eq!(step(&Case { nodes: "d1 d2 d3 w4", ..four }), None);
    assert_eq!(step(&Case { nodes: "d1 r2 r3 w4 d5", learners: &[4, 5], quiet_ms: SPACING_MS, ..four }), promote(5));
}

#[test]
fn voters_are_spread_over_zones() {
    let three = Case { nodes: "d1@a d2@a r3@a r4@b", learners: &[2, 3, 4], ..CALM };
    assert_eq!(step(&three), promote(2));
    assert_eq!(step(&Case { voters: &[&[1, 2]], learners: &[3, 4], ..three }), promote(4), "a zone is not to have them all");
    assert_eq!(step(&Case { nodes: "d1@a d2@b r3@a r4@c", voters: &[&[1, 2]], learners: &[3, 4], ..three }), promote(4));
    assert_eq!(step(&Case { voters: &[&[1, 2, 3]], learners: &[4], ..three }), promote(4), "nor to keep them");
    assert_eq!(step(&Case { voters: &[&[1, 2, 3, 4]], learners: &[], ..three }), demote(3));
    let spread = Case { nodes: "d1@a r2@b r3@c d4@a d5@a", voters: &[&[1, 2, 3]], learners: &[4, 5], ..CALM };
    assert_eq!(step(&spread), None, "five would hang on zone a");
    assert_eq!(step(&Case { nodes: "d1@a r2@b r3@c d4@a d5@b", ..spread }), promote(4), "so would they not");
    let loose = Case { nodes: "d1 r2 r3 d4 d5", ..spread };
    assert_eq!(step(&loose), promote(4), "a node without a zone is one of its own");
}

#[test]
fn the_fiftieth_node_disturbs_nobody() {
    let words: Vec<String> = (1..=50).map(|n| format!("{}{n}@z{}", if n % 10 == 1 { 'd' } else { 'r' }, n % 3)).collect();
    let ids: Vec<u64> = (1..=50).collect();
    let case = |count: usize, voters: &[u64]| Case {
        nodes: Box::leak(words[..count].join(" ").into_boxed_str()),
        voters: Box::leak(Box::new([&*Box::leak(voters.to_vec().into_boxed_slice())])),
        learners: Box::leak(ids[..count].to_vec().into_boxed_slice()),
        ..CALM
    };
    let mut voters: Vec<u64> = vec![1];
    let mut grown = Vec::new();
    for count in 1..=50 {
        while let Some(change) = step(&case(count, &voters)) {
            match change {
                MembershipChange::Promote(id) => voters.push(id.0),
                MembershipChange::Demote(id) => voters.retain(|voter| *voter != id.0),
                other => panic!("{other:?}"),
            }
        }
        grown.push(voters.clone());
    }
    // From the fifth on only directors change anything: 11, 21, 31 and 41 each take a place, as far as zones allow.
    for count in 6..=50 {
        let is_director = count % 10 == 1;
        assert!(
            is_director || grown[count - 1] == grown[count - 2],
            "node {count}: {:?} -> {:?}",
            grown[count - 2],
            grown[count - 1]
        );
    }
    let directors = voters.iter().filter(|id| *id % 10 == 1).count();
    assert_eq!((voters.len(), directors), (5, 5), "{voters:?}");
}

#[test]
fn status_says_in_words_who_votes_and_why() {
    let says = |case: &Case, id: u64| {
        look(case, |input| reasons(input)[&input.nodes.values().find(|node| node.id == NodeId(id)).unwrap().name].clone())
    };
    let six = Case { nodes: "d1 d2 r3 w4 r5 r6", voters: &[&[1, 2, 3, 4, 5]], learners: &[6], ..CALM };
    assert_eq!(says(&six, 1), "votes: director");
    assert_eq!(says(&six, 3), "votes: real server, there are not enough directors");
    assert_eq!(says(&six, 4), "votes: witness, there are not enough directors");
    assert_eq!(says(&six, 6), "does not vote: five others do, and one more would survive no more failures");
    assert_eq!(says(&Case { silent: &[2], ..six }, 2), "votes: not heard for 20 s, will be replaced in 40 s");
    assert_eq!(says(&Case { silent: &[2, 6], ..six }, 2), "votes: not heard for 20 s");
    assert_eq!(says(&Case { silent: &[2], dead: &[3, 6], ..six }, 2), "votes: not heard for 20 s, will vote no more in 40 s");
    assert_eq!(says(&Case { dead: &[2], ..six }, 2), "votes: not heard for 2 min, is being replaced");
    assert_eq!(says(&Case { dead: &[2], ..six }, 6), "does not vote yet: it will in a moment");
    assert_eq!(says(&Case { dead: &[2, 6], ..six }, 2), "votes: not heard for 2 min, and nobody can take its place");
    assert_eq!(says(&Case { dead: &[6], ..six }, 6), "does not vote: not heard for 2 min");
    assert_eq!(says(&Case { behind: &[6], ..six }, 6), "does not vote: its log is not up to date yet");
    assert_eq!(says(&Case { learners: &[], ..six }, 6), "does not vote: its log is not up to date yet");
    let zones = Case { nodes: "d1@a d2@a r3@b d4@a d5@a", voters: &[&[1, 2, 3]], learners: &[4, 5], ..CALM };
    assert_eq!(says(&zones, 3), "votes: real server, zone b has no other voter");
    let idle = Case { nodes: "d1 d2 r3 d4", voters: &[&[1, 2, 3]], learners: &[4], ..CALM };
    assert_eq!(says(&idle, 3), "votes: real server, until d4 takes its place");
    assert_eq!(says(&idle, 4), "does not vote yet: it will in a moment");
    let back = Case { nodes: "d1 d2 d3 d4 d5", voters: &[&[1, 2, 3]], learners: &[4, 5], lately_back: &[4], ..CALM };
    assert_eq!(says(&back, 4), "does not vote: three others do, and it is back only lately");
}

#[test]
fn a_member_that_moved_is_followed() {
    let mut moved = node("d2");
    moved.addr = address(9);
    let nodes = BTreeMap::from([(node("d1").name, node("d1")), (moved.name.clone(), moved.clone())]);
    let members = RaftMembers {
        voters: vec![BTreeSet::from([NodeId(1)])],
        addresses: BTreeMap::from([(NodeId(1), address(1)), (NodeId(2), address(2))]),
    };
    let input = MembershipInput {
        me: NodeId(1),
        nodes: &nodes,
        live: &BTreeSet::new(),
        acking: &BTreeSet::new(),
        silent_for: &BTreeMap::new(),
        lately_back: &BTreeSet::new(),
        caught_up: &BTreeSet::new(),
        told: &BTreeSet::new(),
        members: &members,
        settled: true,
        own_term_committed: true,
        quiet_for: Duration::ZERO,
        settled_for: Duration::ZERO,
        spacing: Duration::from_millis(600),
    };
    assert_eq!(next_change(&input), Some(MembershipChange::SetAddress(moved)));
}
