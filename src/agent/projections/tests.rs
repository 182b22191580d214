//! Who may hold which VIP, whom gossip asks, who is alive.

use super::*;
use crate::{
    gossip::NodeView,
    model::{Role, Roles},
    rules::fixture::{cluster, joined, name, server_of, vip},
};

/// Directors of these names, in the order in which they joined, and VIP groups of these names.
fn directors_and_groups(directors: &[&str], groups: &[&str]) -> ClusterState {
    let mut state = ClusterState::default();
    for (number, director) in (1..).zip(directors) {
        state.apply(&joined(director, number, Role::Director)).unwrap();
    }
    state.apply(&joined("r1", 91, Role::RealServer)).unwrap();
    state.apply(&joined("w1", 92, Role::Witness)).unwrap();
    state.rules.vips = (101..).zip(groups).map(|(number, group)| (name(group), vip(group, number))).collect();
    state
}

/// `group: candidates` for each order.
fn orders(state: &ClusterState) -> Vec<String> {
    let line = |order: GroupOrder| format!("{}: {:?}", order.group.name, order.candidates);
    guard_orders(state, &name("r1"), &BTreeMap::new(), &BTreeSet::new()).into_iter().map(line).collect()
}

#[test]
fn each_group_begins_at_another_director() {
    let state = directors_and_groups(&["d1", "d2", "d3"], &["a", "b", "c", "d"]);
    assert_eq!(orders(&state), ["a: [n1, n2, n3]", "b: [n2, n3, n1]", "c: [n3, n1, n2]", "d: [n1, n2, n3]"]);
    assert_eq!(orders(&directors_and_groups(&["d1"], &["a", "b"])), ["a: [n1]", "b: [n1]"]);
}

#[test]
fn candidates_go_by_name_so_that_a_new_number_moves_no_vip() {
    let mut state = directors_and_groups(&["d2", "d1"], &["a", "b"]);
    assert_eq!(orders(&state), ["a: [n2, n1]", "b: [n1, n2]"]);
    // d1 comes back with an empty disk.
    state.apply(&joined("d1", 2, Role::Director)).unwrap();
    assert_eq!(orders(&state), ["a: [n5, n1]", "b: [n1, n5]"]);
}

#[test]
fn packets_are_taken_by_a_real_server_linger_where_they_are_forwarded_and_stop_elsewhere() {
    let mut state = cluster();
    let packets = |state: &ClusterState| {
        ["d1", "r1"].map(|node| guard_orders(state, &name(node), &BTreeMap::new(), &BTreeSet::new())[0].packets)
    };
    assert_eq!(packets(&state), [Packets::Linger, Packets::Take]);
    server_of(&mut state.rules, "r2").address = state.nodes[&name("d1")].addr.ip();
    assert_eq!(packets(&state), [Packets::Linger, Packets::Take], "a director alone has no VIP on lo");
    state.nodes.get_mut(&name("d1")).unwrap().roles = Roles::new([Role::Director, Role::RealServer]).unwrap();
    assert_eq!(packets(&state), [Packets::Take; 2]);
    state.rules.services.clear();
    assert_eq!(packets(&state), [Packets::Stop; 2]);
}

#[test]
fn without_a_director_a_group_has_no_candidate() {
    assert_eq!(orders(&directors_and_groups(&[], &["a", "b"])), ["a: []", "b: []"]);
    assert_eq!(orders(&directors_and_groups(&["d1"], &[])), [""; 0]);
}

/// agent.toml of d1 with these lines.
fn config(lines: &str) -> AgentConfig {
    let text = format!("node = \"d1\"\nroles = [\"director\"]\naddress = \"10.0.0.11\"\n{lines}");
    AgentConfig::parse("agent.toml", &text, "d1").unwrap()
}

/// Two directors and groups on interfaces of these names.
fn groups_on(interfaces: &[&str]) -> ClusterState {
    let mut state = directors_and_groups(&["d1", "d2"], &["a", "b", "c"][..interfaces.len()]);
    for (group, interface) in state.rules.vips.values_mut().zip(interfaces) {
        group.interface = (*interface).to_owned();
    }
    state
}

#[test]
fn interface_means_the_one_vip_network_and_the_table_names_each_of_several() {
    let placed = |named: &[&str], lines: &str| {
        let placed = interfaces(&groups_on(named), &config(lines));
        placed.into_values().collect::<Vec<_>>()
    };
    assert_eq!(placed(&["eth0", "eth0"], ""), ["eth0", "eth0"]);
    assert_eq!(placed(&["eth0", "eth0"], "interface = \"bond0\"\n"), ["bond0", "bond0"], "as before there was a table");
    assert_eq!(placed(&["eth0", "eth1"], "interface = \"bond0\"\n"), ["eth0", "eth1"], "it must not put both on one");
    assert_eq!(placed(&["eth0", "eth1"], "[interfaces]\neth1 = \"ens4\"\n"), ["eth0", "ens4"]);
    let both = "interface = \"bond0\"\n[interfaces]\neth1 = \"ens4\"\n";
    assert_eq!((placed(&["eth0"], both), placed(&["eth1"], both)), (vec!["bond0".to_owned()], vec!["ens4".to_owned()]));
}

#[test]
fn an_interface_that_means_nothing_is_said_to() {
    let said = |named: &[&str], lines: &str| unused_interface(&groups_on(named), &config(lines));
    let ambiguous = said(&["eth0", "eth1"], "interface = \"bond0\"\n").unwrap();
    assert!(ambiguous.contains("[interfaces] what eth0 and what eth1 is called"), "{ambiguous}");
    assert_eq!(said(&["eth0", "eth0"], "interface = \"bond0\"\n"), None);
    assert_eq!(said(&["eth0", "eth1"], ""), None);
    assert_eq!(said(&["eth0", "eth1"], "interface = \"bond0\"\n[interfaces]\neth0 = \"ens3\"\neth1 = \"ens4\"\n"), None);
}

#[test]
fn a_director_does_not_stand_for_groups_whose_interface_it_lacks() {
    let (state, here) = (groups_on(&["eth0", "eth1"]), config("[interfaces]\neth1 = \"ens4\"\n"));
    let orders = |absent: &[&str]| {
        let absent = absent.iter().map(|name| (*name).to_owned()).collect();
        let orders = guard_orders(&state, &here.node, &interfaces(&state, &here), &absent);
        orders.iter().map(|order| format!("{}: {:?}", order.group.interface, order.candidates)).collect::<Vec<_>>()
    };
    assert_eq!(orders(&[]), ["eth0: [n1, n2]", "ens4: [n2, n1]"]);
    assert_eq!(orders(&["ens4"]), ["eth0: [n1, n2]", "ens4: [n2]"]);
    assert_eq!(orders(&["eth0", "ens4"]), ["eth0: [n2]", "ens4: [n2]"]);
}

#[test]
fn what_is_nearest_to_the_cause_is_said_to_be_in_the_way() {
    let state = directors_and_groups(&["d1"], &["a"]);
    let refused = || Obstacles::from([(name("a"), "no permission".to_owned())]);
    let said = |absent: &[&str], refused, ready: Option<bool>, trouble: Option<&str>| {
        let report = ReconcileReport { ready: false, error: trouble.map(str::to_owned), ..ReconcileReport::default() };
        let absent = absent.iter().map(|name| (*name).to_owned()).collect();
        let groups = guard_orders(&state, &name("d1"), &BTreeMap::new(), &absent);
        obstacles(&groups, &absent, refused, unready(ready, &report)).remove(&name("a"))
    };
    assert_eq!(said(&[], Obstacles::new(), Some(true), None), None);
    assert_eq!(said(&[], Obstacles::new(), None, None).as_deref(), Some("its kernel does not have the rules yet"));
    let trouble = said(&[], Obstacles::new(), Some(false), Some("no ip_vs"));
    assert_eq!(trouble.as_deref(), Some("its kernel is not as the rules want it: no ip_vs"));
    assert_eq!(said(&[], refused(), Some(false), None).as_deref(), Some("no permission"));
    assert_eq!(said(&["eth0"], refused(), Some(false), None).as_deref(), Some("no interface eth0"));
    assert_eq!(said(&["eth9"], Obstacles::new(), Some(true), None), None, "it is another group's");
    let uninformed = ReconcileReport { ready: true, ..ReconcileReport::default() };
    assert_eq!(unready(Some(false), &uninformed).as_deref(), Some("it knows of no server whether it takes traffic"));
}

#[test]
fn the_dead_are_not_live_but_what_they_said_is_known() {
    let node = |live| {
        let in_place = [(name("front"), Ok(()))].into();
        NodeView { live, in_place, ..NodeView::default() }
    };
    let view = ClusterView { nodes: [(name("d1"), node(true)), (name("r1"), node(false))].into() };
    assert_eq!(view.live(), [name("d1")].into());
    let heard: Vec<(String, bool)> =
        view.observer_reports().into_iter().map(|(name, word)| (name.to_string(), word.live)).collect();
    assert_eq!(heard, [("d1".to_owned(), true), ("r1".to_owned(), false)]);
    assert_eq!(in_place(&view)[&name::<NodeName>("r1")], VipsReady::from([(name("front"), Ok(()))]));
    assert_eq!(ClusterView::default().live(), BTreeSet::new());
}

#[test]
fn a_director_that_knows_of_no_server_leaves_vips_to_one_that_does() {
    let state = directors_and_groups(&["d1", "d2"], &["a"]);
    let informed = |live, informed| NodeView { live, informed, ..NodeView::default() };
    let known = |node: &str, view: NodeView| {
        let view = ClusterView { nodes: [(name("d1"), informed(true, true)), (name(node), view)].into() };
        informed_directors(&state, &view, &name("d1"))
    };
    assert!(known("d2", informed(true, true)));
    assert!(!known("d2", informed(true, false)) && !known("d2", informed(false, true)));
    // Only a director could hold it instead.
    assert!(!known("r1", informed(true, true)) && !known("x", informed(true, true)));
    // It waits for word at first; then it goes by what others have.
    assert_eq!((readiness(true, None, true), readiness(false, None, false)), (Some(true), Some(false)));
    assert_eq!((readiness(true, Some(false), true), readiness(true, Some(false), false)), (None, None));
    assert_eq!((readiness(true, Some(true), true), readiness(true, Some(true), false)), (Some(false), Some(true)));
}

#[test]
fn a_withdrawn_node_says_of_every_vip_that_it_has_and_takes_none_of_them() {
    let mut state = directors_and_groups(&["d1", "d2"], &["a", "b"]);
    let here = config("");
    let facts = |roles: &[Role]| Facts {
        roles: Roles::new(roles.iter().copied()).unwrap(),
        addr: here.address,
        version: String::new(),
        kernel: Vec::new(),
        holds: crate::gossip::KeyInventory::default(),
        withdrawn: false,
    };
    let word = |roles: &[Role]| NodeState {
        facts: facts(roles),
        observations: BTreeMap::new(),
        in_place: [(name("gone"), Ok(()))].into(),
        holding: BTreeMap::new(),
        obstacles: Obstacles::new(),
        less_fit: BTreeMap::new(),
        network: None,
        revision: 3,
        informed: true,
    };
    let said = withdrawn(word(&[Role::Director]), &state, &here);
    assert!(said.facts.withdrawn && !said.informed);
    let why = || WITHDRAWN.to_owned();
    assert_eq!(said.obstacles, [(name("a"), why()), (name("b"), why())].into());
    assert_eq!(said.in_place, [(name("gone"), Err(why()))].into(), "what it was ready for, it is not any more");
    // A real server that was started anew has not been ready for anything.
    state.rules = crate::rules::fixture::web();
    server_of(&mut state.rules, "r1").address = here.address.ip();
    let said = withdrawn(NodeState { in_place: BTreeMap::new(), ..word(&[Role::RealServer]) }, &state, &here);
    assert_eq!((said.obstacles, said.in_place), (Obstacles::new(), [(name("front"), Err(why()))].into()));
}

#[test]
fn the_last_director_in_service_is_warned_of() {
    let state = directors_and_groups(&["d1", "d2"], &["a"]);
    let said = |live, withdrawn| {
        let facts = Facts {
            roles: Roles::new([Role::Director]).unwrap(),
            addr: "10.0.0.12:7400".parse().unwrap(),
            version: String::new(),
            kernel: Vec::new(),
            holds: crate::gossip::KeyInventory::default(),
            withdrawn,
        };
        let view = ClusterView { nodes: [(name("d2"), NodeView { live, facts: Some(facts), ..NodeView::default() })].into() };
        undirected(&state, &view, &name("d1"))
    };
    assert_eq!(said(true, false), None);
    assert!(said(false, false).is_some() && said(true, true).is_some());
    assert_eq!(undirected(&state, &ClusterView::default(), &name("r1")), None, "it held nothing");
    let none = directors_and_groups(&["d1", "d2"], &[]);
    assert_eq!(undirected(&none, &ClusterView::default(), &name("d1")), None, "there are no vips");
}
