//! Votes, observers and verdict changes by scenario tables, and against a twin that is too simple to be wrong.

use super::*;
use crate::{
    model::{
        Check, CheckKind, ForwardMethod, NodeId, NodeRecord, Protocol, RealServer, Role, Roles, Scheduler, Service, VipName,
        Weight,
    },
    rules::{ClusterState, Target},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// A ballot from one letter: up, suspect, down, x cannot ask, `?` not probed yet; a capital letter is a stale observer's.
fn ballot(observer: &str, letter: char) -> Ballot {
    let seen = match letter.to_ascii_lowercase() {
        'u' => Some(Finding::Up),
        's' => Some(Finding::Suspect),
        'd' => Some(Finding::Down),
        'x' => Some(Finding::Unable),
        _ => None,
    };
    let reason = if seen == Some(Finding::Up) { "200 in 1 ms" } else { "connection refused" };
    let observation = seen.map(|seen| Observation { seen, reason: reason.to_owned(), since_unix_ms: 0, fingerprint: 0 });
    Ballot { observer: name(observer), fresh: !letter.is_ascii_uppercase(), observation }
}

fn ballots_of(letters: &str) -> Vec<Ballot> {
    letters.chars().enumerate().map(|(i, letter)| ballot(&format!("o{i}"), letter)).collect()
}

#[test]
fn a_majority_of_all_observers_decides() {
    let (up, down, none) = (VoteOutcome::Decided(Verdict::Up), VoteOutcome::Decided(Verdict::Down), VoteOutcome::Undecided);
    for (letters, expected) in [
        ("", none),
        ("u", up),
        ("d", down),
        ("ud", none),
        ("dd", down),
        ("uud", up),
        ("ddu", down),
        ("dd?", down),
        // One vote is no majority of three, whoever else is silent.
        ("d??", none),
        ("dDD", none),
        ("uUU", none),
        ("d?U", none),
        // A suspicion is not a down yet.
        ("dsu", up),
        ("dds", down),
        ("sss", up),
        ("ddDuu", none),
        ("dddUU", down),
        // Who cannot ask has no vote, and counts as an elector.
        ("ddx", down),
        ("uux", up),
        ("dxx", none),
    ] {
        assert_eq!(decide(&ballots_of(letters)), expected, "{letters}");
    }
}

#[test]
fn the_votes_are_told_in_one_line() {
    let ballots = [ballot("d1", 'd'), ballot("d2", 'd'), ballot("r2", 'D')];
    assert_eq!(why(&ballots), "down: d1 connection refused, d2 connection refused; up: none; silent: r2");
    let ballots = [ballot("d1", 's'), ballot("d2", 'u'), ballot("r2", '?')];
    assert_eq!(
        why(&ballots),
        "down: none; up: d1 suspects: connection refused, d2 200 in 1 ms; silent: r2 (no probe finished yet)"
    );
    let ballots = [ballot("d1", 'u'), ballot("d2", 'x')];
    assert_eq!(why(&ballots), "down: none; up: d1 200 in 1 ms; silent: d2 (cannot ask: connection refused)");
}

/// A majority of the observers says so.
fn twin(letters: &str) -> VoteOutcome {
    let says = |of: &str| letters.chars().filter(|letter| of.contains(*letter)).count();
    let rest = |votes: usize| letters.len() - votes;
    if says("d") > rest(says("d")) {
        VoteOutcome::Decided(Verdict::Down)
    } else if says("us") > rest(says("us")) {
        VoteOutcome::Decided(Verdict::Up)
    } else {
        VoteOutcome::Undecided
    }
}

proptest! {
    #[test]
    fn decisions_are_those_of_the_dumb_twin(letters in "[usdx?USD]{0,9}") {
        prop_assert_eq!(decide(&ballots_of(&letters)), twin(&letters));
    }

    #[test]
    fn a_minority_stays_undecided(fresh in "[usd]{0,4}", silent in "[USDx?]{5,9}") {
        prop_assert_eq!(decide(&ballots_of(&(fresh + &silent))), VoteOutcome::Undecided);
    }

    #[test]
    fn two_halves_of_the_observers_never_decide_differently(letters in "[usd]{1,9}", cut in 0_usize..9) {
        let cut = cut.min(letters.len());
        let (left, right) = letters.split_at(cut);
        let one = decide(&ballots_of(&(left.to_owned() + &right.to_uppercase())));
        let other = decide(&ballots_of(&(left.to_uppercase() + right)));
        prop_assert!(one == VoteOutcome::Undecided || other == VoteOutcome::Undecided);
    }
}

/// Nodes from a text of names: `d…` are directors, others real servers. Node n has address 10.0.0.n.
fn members(names: &str) -> BTreeMap<NodeName, NodeRecord> {
    let record = |(i, text): (usize, &str)| {
        let role = if text.starts_with('d') { Role::Director } else { Role::RealServer };
        let addr = format!("10.0.{}.{}:7400", i / 200, i % 200 + 1).parse().unwrap();
        let name: NodeName = name(text);
        (
            name.clone(),
            NodeRecord {
                id: NodeId(i as u64 + 1),
                name,
                roles: Roles::new([role]).unwrap(),
                addr,
                zone: None,
                key: crate::model::PublicKey([0; 32]),
            },
        )
    };
    names.split_whitespace().enumerate().map(record).collect()
}

fn target(service: &str, server: &str) -> Target {
    Target { service: name(service), server: name(server) }
}

#[test]
fn directors_observe_and_witnesses_make_the_number_odd() {
    for (nodes, own, size) in [
        ("d1 d2 r1 r2 r3", Some("r1"), 3),
        ("d1 d2 r1 r2 r3", None, 3),
        ("d1 r1 r2 r3", Some("r1"), 3),
        ("d1 d2 d3 r1", Some("r1"), 3),
        ("d1 d2 d3 d4 r1 r2", Some("r1"), 5),
        // The server runs on a director, which does not observe itself.
        ("d1 d2 d3 r1", Some("d1"), 3),
        // Too few nodes for an odd number of three.
        ("d1 d2 r1", Some("r1"), 2),
        ("d1 r1", Some("r1"), 1),
        ("r1", Some("r1"), 0),
    ] {
        let nodes = members(nodes);
        let own = own.map(name::<NodeName>);
        let live = nodes.keys().cloned().collect();
        let electors = observers(own.as_ref(), &nodes, &live, &target("web", "a"));
        assert_eq!(electors.len(), size, "{electors:?} of {:?}", nodes.keys());
        for node in nodes.values().filter(|node| node.roles.has(Role::Director)) {
            assert_eq!(electors.contains(&node.name), Some(&node.name) != own.as_ref(), "{electors:?}");
        }
        assert!(own.is_none_or(|own| !electors.contains(&own)));
    }
}

#[test]
fn witnesses_are_spread_over_the_nodes() {
    let nodes = members("d1 d2 r1 r2 r3 r4 r5 r6 r7 r8");
    let live = nodes.keys().cloned().collect();
    let mut load: BTreeMap<NodeName, u32> = BTreeMap::new();
    for i in 0..800 {
        for elector in observers(None, &nodes, &live, &target("web", &format!("s{i}"))) {
            *load.entry(elector).or_default() += 1;
        }
    }
    for (node, count) in &load {
        let director = node.as_str().starts_with('d');
        assert!(if director { *count == 800 } else { (60..=140).contains(count) }, "{node} observes {count} of 800");
    }
}

prop_compose! {
    fn some_cluster()(directors in 0_usize..6, others in 0_usize..8, dead in prop::collection::btree_set(0_usize..14, 0..6))
        -> (BTreeMap<NodeName, NodeRecord>, BTreeSet<NodeName>) {
        let text: Vec<String> = (0..directors).map(|i| format!("d{i}")).chain((0..others).map(|i| format!("r{i}"))).collect();
        let nodes = members(&text.join(" "));
        let live = nodes.keys().enumerate().filter(|(i, _)| !dead.contains(i)).map(|(_, node)| node.clone()).collect();
        (nodes, live)
    }
}

proptest! {
    #[test]
    fn the_number_of_observers_follows_from_the_members_alone((nodes, live) in some_cluster(), server in 0_u16..500) {
        let target = target("web", &format!("s{server}"));
        let all = nodes.keys().cloned().collect();
        let none = BTreeSet::new();
        let size = observers(None, &nodes, &live, &target).len();
        prop_assert_eq!(size, observers(None, &nodes, &all, &target).len());
        prop_assert_eq!(size, observers(None, &nodes, &none, &target).len());
        prop_assert!(size == nodes.len() || (size >= 3 && size % 2 == 1));
    }

    #[test]
    fn a_death_replaces_at_most_the_dead_node((nodes, live) in some_cluster(), server in 0_u16..500, who in 0_usize..14) {
        let target = target("web", &format!("s{server}"));
        let Some(dead) = live.iter().nth(who) else { return Ok(()) };
        let mut left = live.clone();
        left.remove(dead);
        let before = observers(None, &nodes, &live, &target);
        let after = observers(None, &nodes, &left, &target);
        let gone: Vec<_> = before.difference(&after).collect();
        prop_assert!(gone.is_empty() || gone == vec![dead], "{before:?} became {after:?} when {dead} died");
    }
}

fn web(check: bool) -> ClusterState {
    let server = |text: &str, ip: &str| {
        let server = RealServer { name: name(text), address: ip.parse().unwrap(), port: 80, weight: Weight(1), agentless: false };
        (server.name.clone(), server)
    };
    let check = check.then(|| Check {
        kind: CheckKind::Tcp,
        port: None,
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        fall: 3,
        rise: 2,
    });
    let service = Service {
        name: name("web"),
        vip: name::<VipName>("front"),
        protocol: Protocol::Tcp,
        port: 80,
        scheduler: Scheduler::Wlc,
        forward: ForwardMethod::Dr,
        check,
        servers: [server("r1", "10.0.0.3"), server("r2", "10.0.0.4")].into(),
    };
    let mut state = ClusterState { nodes: members("d1 d2 r1 r2"), ..ClusterState::default() };
    state.rules.services.insert(service.name.clone(), service);
    state
}

/// What observers report of r1 and r2 of `web`, as `d1:du` (down, up), live unless in capitals.
fn edges_of(state: &ClusterState, words: &str) -> Vec<String> {
    let questions = ["10.0.0.3:80", "10.0.0.4:80"].map(|address| check_fingerprint(address.parse().unwrap(), &CheckKind::Tcp));
    let said = |letters: &str| -> (bool, BTreeMap<Target, Observation>) {
        let live = !letters.contains(|letter: char| letter.is_ascii_uppercase());
        let about = |(i, letter): (usize, char)| {
            let mut observation = ballot("x", letter).observation?;
            observation.fingerprint = questions[i];
            Some((target("web", ["r1", "r2"][i]), observation))
        };
        (live, letters.chars().enumerate().filter_map(about).collect())
    };
    let heard: BTreeMap<NodeName, (bool, BTreeMap<Target, Observation>)> =
        words.split_whitespace().map(|word| word.split_once(':').unwrap()).map(|(node, l)| (name(node), said(l))).collect();
    let live = heard.iter().filter(|(_, (live, _))| *live).map(|(node, _)| node.clone()).collect();
    let heard = heard.iter().map(|(node, (live, observations))| (node, ObserverReport { live: *live, observations })).collect();
    verdict_changes(state, &heard, &observers_of_targets(state, &live))
        .into_iter()
        .map(|edge| format!("{} {:?}", edge.target, edge.to))
        .collect()
}

#[test]
fn only_what_a_majority_sees_otherwise_becomes_an_edge() {
    let mut state = web(true);
    assert_eq!(edges_of(&state, "d1:uu d2:uu r1:?u r2:u?"), ["web/r1 Up", "web/r2 Up"]);
    state.verdicts.insert(target("web", "r1"), (Verdict::Up, String::new()));
    state.verdicts.insert(target("web", "r2"), (Verdict::Up, String::new()));
    for (words, expected) in [
        ("d1:uu d2:uu r1:?u r2:u?", &[][..]),
        ("d1:du d2:du r1:?u r2:u?", &["web/r1 Down"]),
        ("d1:du d2:su r1:?u r2:d?", &["web/r1 Down"]),
        ("d1:du d2:su r1:?u r2:s?", &[]),
        // d1 lost its link: it hears nobody, or nobody hears it.
        ("d1:dd d2:UU r1:?U r2:U?", &[]),
        ("d1:DD d2:uu r1:?u r2:u?", &[]),
        ("", &[]),
        // r2's own node and nodes that are no members have no vote on it.
        ("d1:ud d2:uu r2:?d x:dd", &[]),
    ] {
        assert_eq!(edges_of(&state, words), expected, "{words}");
    }
}

#[test]
fn a_target_without_check_is_never_judged() {
    assert_eq!(edges_of(&web(false), "d1:dd d2:dd r1:?d r2:d?"), [""; 0]);
}

#[test]
fn a_word_about_the_former_address_is_no_vote() {
    let mut state = web(true);
    let service = state.rules.services.get_mut(&name("web")).unwrap();
    service.servers.get_mut(&name("r1")).unwrap().address = "10.0.0.99".parse().unwrap();
    assert_eq!(edges_of(&state, "d1:dd d2:dd r1:?d r2:d?"), ["web/r2 Down"]);
}
