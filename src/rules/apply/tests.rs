//! Every change and every refusal, and what holds after any sequence of changes.

use super::*;
use crate::{
    model::{PublicKey, Role, Roles, TimingProfile, Weight},
    rules::{
        SecurityChange, Target, Verdict,
        fixture::{
            check, cluster, founding, host, http, joined, joining, name, server, server_of, service, some_rules, target,
            verdict_change, vip, web,
        },
    },
};
use proptest::prelude::*;

mod members;

fn init(cluster_id: &str, timing: TimingProfile) -> Command {
    Command::Init { cluster_id: cluster_id.to_owned(), timing, founding: founding() }
}

fn replace(base_revision: Option<u64>, rules: RuleSet) -> Command {
    Command::Apply { base_revision, rules }
}

fn left(node: &str) -> Command {
    Command::NodeLeft(name(node))
}

/// The same node again, with the log that it had.
fn keeping_its_number(change: Command) -> Command {
    match change {
        Command::NodeJoined(joining) => Command::NodeJoined(Joining { keeps_id: true, ..joining }),
        other => other,
    }
}

fn is_refused(state: &mut ClusterState, change: &Command, why: &CommandRefusal) {
    let before = state.clone();
    assert_eq!(state.apply(change).as_ref(), Err(why));
    assert_eq!(*state, before, "a refused change changed something");
}

#[test]
fn a_cluster_is_initialised_once() {
    let mut state = ClusterState::default();
    assert_eq!(state.apply(&init("one", TimingProfile::Wan)), Ok(None));
    assert_eq!((state.cluster_id.as_str(), state.timing, state.revision), ("one", TimingProfile::Wan, 0));
    is_refused(&mut state, &init("two", TimingProfile::Fast), &CommandRefusal::Initialised);
    is_refused(&mut state, &init("one", TimingProfile::Wan), &CommandRefusal::Initialised);
}

#[test]
fn new_rules_are_a_new_revision_and_the_same_rules_are_not() {
    let mut state = cluster();
    assert_eq!((state.revision, &state.rules), (1, &web()));
    assert_eq!(state.apply(&replace(None, web())), Ok(None));
    assert_eq!(state.revision, 1);
    assert_eq!(state.apply(&replace(Some(1), RuleSet::default())), Ok(None));
    assert_eq!((state.revision, &state.rules), (2, &RuleSet::default()));
    // The way back is a change too: a revision names one moment, not one content.
    assert_eq!(state.apply(&replace(None, web())), Ok(None));
    assert_eq!(state.revision, 3);
}

#[test]
fn rules_made_for_another_revision_are_refused() {
    let mut state = cluster();
    for base in [0, 2, u64::MAX] {
        is_refused(&mut state, &replace(Some(base), RuleSet::default()), &CommandRefusal::Stale { base, current: 1 });
    }
    // Who looked at something else is told so, even where it comes to the same.
    is_refused(&mut state, &replace(Some(0), web()), &CommandRefusal::Stale { base: 0, current: 1 });
    assert_eq!(state.apply(&replace(Some(1), RuleSet::default())), Ok(None));
}

#[test]
fn a_vip_is_no_nodes_address() {
    let mut state = cluster();
    let mut rules = web();
    rules.vips.insert(name("back"), vip("back", 101));
    rules.vips.get_mut(&name("back")).unwrap().addresses.insert(host(22));
    is_refused(&mut state, &replace(None, rules.clone()), &CommandRefusal::VipIsNode { address: host(22), node: name("r2") });
    state.apply(&left("r2")).unwrap();
    assert_eq!(state.apply(&replace(None, rules)), Ok(None));
    // Nor the other way round; another port is no other address.
    is_refused(
        &mut state,
        &joined("r2", 22, Role::RealServer),
        &CommandRefusal::VipIsNode { address: host(22), node: name("r2") },
    );
    let new = joining("x", 1, Role::Witness);
    let name = new.name.clone();
    let moved = Command::NodeJoined(Joining { addr: (host(100), 9).into(), ..new });
    is_refused(&mut state, &moved, &CommandRefusal::VipIsNode { address: host(100), node: name });
}

#[test]
fn two_nodes_never_have_one_address() {
    let mut state = cluster();
    let taken = CommandRefusal::AddressTaken { addr: "192.0.2.12:7420".to_owned(), owner: name("d2") };
    is_refused(&mut state, &joined("d3", 12, Role::Director), &taken);
    is_refused(&mut state, &keeping_its_number(joined("d1", 12, Role::Director)), &taken);
    state.apply(&left("d2")).unwrap();
    assert_eq!(state.apply(&joined("d3", 12, Role::Director)), Ok(Some(NodeId(5))));
    // A node that comes back is not in its own way.
    assert_eq!(state.apply(&joined("d3", 12, Role::Director)), Ok(Some(NodeId(6))));
}

#[test]
fn a_number_is_never_given_twice() {
    let mut state = cluster();
    assert_eq!(state.apply(&left("r2")), Ok(Some(NodeId(4))));
    assert_eq!(state.apply(&joined("r3", 23, Role::RealServer)), Ok(Some(NodeId(5))));
    // Back with an empty disk.
    assert_eq!(state.apply(&joined("r3", 23, Role::RealServer)), Ok(Some(NodeId(6))));
    assert_eq!(state.node_by_id(NodeId(5)), None);
    // It left: the number that it had a log of is not its own any more.
    state.apply(&left("r3")).unwrap();
    assert_eq!(state.apply(&keeping_its_number(joined("r3", 23, Role::RealServer))), Ok(Some(NodeId(7))));
}

#[test]
fn a_node_that_kept_its_log_keeps_its_number_with_other_roles_and_address() {
    let mut state = cluster();
    assert_eq!(state.apply(&keeping_its_number(joined("r1", 31, Role::Witness))), Ok(Some(NodeId(3))));
    let expected = NodeRecord {
        id: NodeId(3),
        name: name("r1"),
        roles: Roles::new([Role::Witness]).unwrap(),
        addr: (host(31), 7420).into(),
        zone: None,
        key: PublicKey([31; 32]),
    };
    assert_eq!(state.nodes[&name("r1")], expected);
    assert_eq!((state.nodes.len(), state.next_node), (4, 4));
    assert_eq!(state.node_at(host(21)), None);
    assert_eq!(state.node_at(host(31)), Some(&expected));
}

#[test]
fn only_a_member_can_leave() {
    let mut state = cluster();
    assert_eq!(state.apply(&left("d1")), Ok(Some(NodeId(1))));
    assert!(!state.nodes.contains_key(&name("d1")));
    is_refused(&mut state, &left("d1"), &CommandRefusal::NoSuchNode(name("d1")));
}

#[test]
fn a_verdict_is_kept_with_its_reason_and_the_last_one_counts() {
    let mut state = cluster();
    let (up, down) = (Verdict::Up, Verdict::Down);
    let changes = vec![
        verdict_change("http", "r1", up, "one"),
        verdict_change("http", "r2", up, "two"),
        verdict_change("http", "r1", down, "three"),
    ];
    assert_eq!(state.apply(&Command::Verdicts(changes)), Ok(None));
    assert_eq!(state.verdicts[&target("http", "r1")], (down, "three".to_owned()));
    assert_eq!(state.verdicts[&target("http", "r2")], (up, "two".to_owned()));
    state.apply(&Command::Verdicts(vec![verdict_change("http", "r2", down, "four")])).unwrap();
    assert_eq!(state.verdicts[&target("http", "r2")], (down, "four".to_owned()));
    assert_eq!(state.revision, 1, "a verdict is no change of the rules");
}

#[test]
fn verdicts_on_what_is_not_in_the_rules_are_ignored() {
    let mut state = cluster();
    let up = Verdict::Up;
    let changes = vec![
        verdict_change("http", "r9", up, ""),
        verdict_change("smtp", "r1", up, ""),
        verdict_change("http", "r1", up, "known"),
    ];
    assert_eq!(state.apply(&Command::Verdicts(changes)), Ok(None));
    assert_eq!(state.verdicts.keys().collect::<Vec<_>>(), [&target("http", "r1")]);
}

/// The targets that still have the verdicts of r1 and r2 when `edit` was applied.
fn judged_after(edit: impl FnOnce(&mut RuleSet)) -> Vec<String> {
    let mut state = cluster();
    let changes = ["r1", "r2"].map(|server| verdict_change("http", server, Verdict::Down, "votes"));
    state.apply(&Command::Verdicts(changes.into())).unwrap();
    let mut rules = web();
    edit(&mut rules);
    state.apply(&replace(None, rules)).unwrap();
    assert!(state.verdicts.values().all(|verdict| *verdict == (Verdict::Down, "votes".to_owned())));
    state.verdicts.keys().map(ToString::to_string).collect()
}

#[test]
fn a_verdict_stays_while_it_speaks_of_the_same_server() {
    type Edit = fn(&mut RuleSet);
    let edits: [Edit; 8] = [
        |_| {},
        |rules| server_of(rules, "r1").weight = Weight(0),
        |rules| server_of(rules, "r1").agentless = true,
        |rules| service(rules).scheduler = crate::model::Scheduler::Rr,
        |rules| service(rules).check.as_mut().unwrap().fall = 9,
        // Another question: the next votes answer it, until then nobody is taken out.
        |rules| service(rules).check = Some(check(http("/up"))),
        |rules| {
            service(rules).servers.insert(name("r3"), server(3));
        },
        |rules| {
            rules.vips.insert(name("back"), vip("back", 101));
        },
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        assert_eq!(judged_after(edit), ["http/r1", "http/r2"], "edit {at}");
    }
}

#[test]
fn a_server_that_became_another_one_is_judged_afresh() {
    assert_eq!(judged_after(|rules| server_of(rules, "r1").address = host(29)), ["http/r2"]);
    assert_eq!(judged_after(|rules| server_of(rules, "r1").port = 81), ["http/r2"]);
    assert_eq!(judged_after(|rules| drop(service(rules).servers.remove(&name("r1")))), ["http/r2"]);
    let none = [""; 0];
    assert_eq!(judged_after(|rules| service(rules).check = None), none);
    assert_eq!(judged_after(|rules| rules.services.clear()), none);
    let renamed = |rules: &mut RuleSet| {
        let mut service = rules.services.remove(&name("http")).unwrap();
        service.name = name("web");
        rules.services.insert(name("web"), service);
    };
    assert_eq!(judged_after(renamed), none);
}

#[test]
fn a_check_that_comes_back_finds_no_old_verdict() {
    let mut state = cluster();
    state.apply(&Command::Verdicts(vec![verdict_change("http", "r1", Verdict::Down, "votes")])).unwrap();
    let mut unchecked = web();
    service(&mut unchecked).check = None;
    state.apply(&replace(None, unchecked)).unwrap();
    // Proposed before the check went, committed after.
    state.apply(&Command::Verdicts(vec![verdict_change("http", "r2", Verdict::Down, "late votes")])).unwrap();
    state.apply(&replace(None, web())).unwrap();
    assert!(state.verdicts.is_empty(), "{:?}", state.verdicts);
}

#[test]
fn a_refused_apply_keeps_the_verdicts() {
    let mut state = cluster();
    state.apply(&Command::Verdicts(vec![verdict_change("http", "r1", Verdict::Up, "votes")])).unwrap();
    is_refused(&mut state, &replace(Some(7), RuleSet::default()), &CommandRefusal::Stale { base: 7, current: 1 });
    let mut on_a_node = RuleSet::default();
    on_a_node.vips.insert(name("front"), vip("front", 11));
    is_refused(&mut state, &replace(None, on_a_node), &CommandRefusal::VipIsNode { address: host(11), node: name("d1") });
}

/// Members are at `host(1)` to `host(5)`: some of these may be VIPs of [`some_rules`].
fn some_change() -> impl Strategy<Value = Command> {
    let node = || (1_u8..5).prop_map(|n| format!("n{n}"));
    let verdict = || prop::bool::ANY.prop_map(|up| if up { Verdict::Up } else { Verdict::Down });
    let change = (1_u8..5, 1_u8..5, verdict(), "[ab]").prop_map(|(service, server, to, why)| VerdictChange {
        target: target(&format!("s{service}"), &format!("r{server}")),
        to,
        why,
    });
    prop_oneof![
        1 => ("[ab]?", prop::bool::ANY).prop_map(|(id, own)| match init(&id, TimingProfile::Wan) {
            Command::Init { cluster_id, timing, mut founding } => {
                founding.authority = founding.authority.filter(|_| own);
                Command::Init { cluster_id, timing, founding }
            }
            other => other,
        }),
        4 => (prop::option::of(0_u64..4), some_rules()).prop_map(|(base, rules)| replace(base, rules)),
        4 => prop::collection::vec(change, 0..6).prop_map(Command::Verdicts),
        4 => (node(), 1_u8..6, prop::sample::select(&Role::ALL[..]), prop::bool::ANY).prop_map(|(node, number, role, keeps)| {
            let change = joined(&node, number, role);
            if keeps { keeping_its_number(change) } else { change }
        }),
        2 => node().prop_map(|node| left(&node)),
        2 => node().prop_map(|node| Command::NodeRemoved(name(&node))),
        1 => node().prop_map(|node| Command::Security(SecurityChange::NodeAllowed(name(&node)))),
        2 => (node(), prop::sample::select(&Role::ALL[..])).prop_map(|(node, role)| {
            Command::NodeRoles { name: name(&node), roles: Roles::new([role]).unwrap() }
        }),
    ]
}

fn some_changes() -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(some_change(), 0..24)
}

/// The state as it comes out of a snapshot.
fn restored(state: &ClusterState) -> ClusterState {
    let bytes = bincode::serde::encode_to_vec(state, bincode::config::standard()).unwrap();
    bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap().0
}

proptest! {
    #[test]
    fn every_copy_goes_the_same_way(changes in some_changes(), cut in 0_usize..24) {
        let (mut one, mut other) = (ClusterState::default(), ClusterState::default());
        for (at, change) in changes.iter().enumerate() {
            if at == cut {
                other = restored(&other);
            }
            prop_assert_eq!(one.apply(change), other.apply(change));
            prop_assert_eq!(&one, &other);
        }
    }

    #[test]
    fn a_refused_change_leaves_the_state_as_it_was(changes in some_changes()) {
        let mut state = ClusterState::default();
        for change in &changes {
            let before = state.clone();
            if state.apply(change).is_err() {
                prop_assert_eq!(&state, &before);
            }
        }
    }

    #[test]
    fn the_revision_grows_by_one_exactly_when_the_rules_change(changes in some_changes()) {
        let mut state = ClusterState::default();
        for change in &changes {
            let before = state.clone();
            let _ = state.apply(change);
            prop_assert_eq!(state.revision - before.revision, u64::from(state.rules != before.rules));
        }
    }

    #[test]
    fn numbers_belong_to_one_node_for_ever(changes in some_changes()) {
        let mut state = ClusterState::default();
        let mut given: std::collections::BTreeMap<NodeId, NodeName> = std::collections::BTreeMap::new();
        for change in &changes {
            let before = state.clone();
            let result = state.apply(change);
            if let (Command::NodeJoined(Joining { name, keeps_id, .. }), Ok(Some(id))) = (change, result) {
                let kept = *keeps_id && before.nodes.get(name).is_some_and(|node| node.id == id);
                prop_assert_eq!(given.insert(id, name.clone()), kept.then(|| name.clone()));
            }
        }
    }

    #[test]
    fn no_state_has_a_shared_address_or_a_verdict_on_nothing(changes in some_changes()) {
        let mut state = ClusterState::default();
        for change in &changes {
            let _ = state.apply(change);
            let addresses: BTreeSet<_> = state.nodes.values().map(|node| node.addr.ip()).collect();
            prop_assert_eq!(addresses.len(), state.nodes.len());
            let vips = state.rules.vips.values().flat_map(|group| &group.addresses);
            prop_assert_eq!(vips.copied().find(|vip| state.node_at(*vip).is_some()), None);
            let targets: BTreeSet<Target> = state.rules.targets().map(|(target, ..)| target).collect();
            prop_assert!(state.verdicts.keys().all(|target| targets.contains(target)));
        }
    }

    #[test]
    fn members_always_have_a_director_once_they_had_one_and_are_never_barred(changes in some_changes()) {
        let directs = |state: &ClusterState| state.nodes.values().any(|node| node.roles.has(Role::Director));
        let mut state = ClusterState::default();
        for change in &changes {
            let before = state.clone();
            let _ = state.apply(change);
            prop_assert!(!directs(&before) || state.nodes.is_empty() || directs(&state), "{}", change);
            prop_assert_eq!(state.security.barred.names().find(|name| state.nodes.contains_key(*name)), None);
        }
    }

    #[test]
    fn whoever_knows_the_gossip_key_and_is_no_member_any_more_makes_it_stale(changes in some_changes()) {
        let keys = |state: &ClusterState| state.nodes.values().map(|node| node.key).collect::<BTreeSet<_>>();
        let mut state = ClusterState::default();
        for change in &changes {
            let before = state.clone();
            let _ = state.apply(change);
            prop_assert!(keys(&before).is_subset(&keys(&state)) || state.security.keyring.stale, "{}", change);
        }
    }
}
