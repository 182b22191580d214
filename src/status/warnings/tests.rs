//! Which rules are warned of, and how it reads.

use super::*;
use crate::{
    model::NodeNetwork,
    rules::fixture::{cluster, host, joined, name, server_of, web},
};

/// d1 and d2 with eth0, r1 and r2; all are heard, d1 holds `front`.
fn well() -> (ClusterState, ClusterView) {
    let state = cluster();
    let node = |name: &NodeName| {
        let network = NodeNetwork { interfaces: ["eth0".to_owned(), "lo".to_owned()].into(), ..NodeNetwork::default() };
        (name.clone(), NodeView { live: true, network: Some(network), ..NodeView::default() })
    };
    let mut view = ClusterView { nodes: state.nodes.keys().map(node).collect() };
    let held = Holding::Held { epoch: 1, since_unix_ms: 1 };
    view.nodes.get_mut(&name("d1")).unwrap().holding.insert(name("front"), held);
    (state, view)
}

fn network<'a>(view: &'a mut ClusterView, node: &str) -> &'a mut NodeNetwork {
    view.nodes.get_mut(&name(node)).unwrap().network.as_mut().unwrap()
}

fn on(interface: &str) -> RuleSet {
    let mut rules = web();
    rules.vips.get_mut(&name("front")).unwrap().interface = interface.to_owned();
    rules
}

fn said(rules: &RuleSet, state: &ClusterState, view: &ClusterView) -> Vec<String> {
    warnings(rules, state, view).iter().map(ToString::to_string).collect()
}

#[test]
fn rules_that_fit_the_cluster_are_not_warned_of() {
    let (state, view) = well();
    assert_eq!(said(&web(), &state, &view), [""; 0]);
}

#[test]
fn a_server_without_an_agent_is_named_with_its_address_unless_it_is_said_to_have_none() {
    let (state, view) = well();
    let mut rules = web();
    server_of(&mut rules, "r2").address = host(99);
    let found = said(&rules, &state, &view);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("server http/r2: no member of the cluster is at 192.0.2.99, so"), "{found:?}");
    server_of(&mut rules, "r2").agentless = true;
    assert_eq!(said(&rules, &state, &view), [""; 0]);
}

#[test]
fn a_server_on_a_node_that_is_no_real_server_is_named_with_what_to_do() {
    let (mut state, view) = well();
    state.apply(&joined("w1", 23, Role::Witness)).unwrap();
    let mut rules = web();
    server_of(&mut rules, "r2").address = host(23);
    let found = said(&rules, &state, &view);
    assert!(found[0].contains("w1 is no real server (witness)"), "{found:?}");
    assert!(found[0].ends_with("`lvs-agent node rename-roles w1 --roles witness,real-server`"), "{found:?}");
}

#[test]
fn an_interface_that_no_director_has_is_told_with_those_that_they_have() {
    let (state, mut view) = well();
    network(&mut view, "d2").interfaces.insert("eth1".to_owned());
    assert_eq!(
        said(&on("eth9"), &state, &view),
        [
            "vip front: no director that is heard has its interface: d1 has no eth9, it has eth0; d2 has no eth9, it has eth0, eth1; \
          d1 holds it now and gives it up, then nobody holds it; correct `interface`, or make that interface"
        ]
    );
    view.nodes.get_mut(&name("d1")).unwrap().live = false;
    let found = said(&on("eth9"), &state, &view);
    assert!(found[0].contains("of d1 it is not known; nobody can hold it;"), "{found:?}");
}

#[test]
fn what_is_not_known_of_directors_is_not_warned_of() {
    let (state, mut view) = well();
    network(&mut view, "d1").more = true;
    let found = warnings(&on("eth9"), &state, &view);
    assert!(matches!(&found[..], [Warning::SomeDirectorsLackInterface { directors, .. }] if directors.len() == 1), "{found:?}");
    for node in ["d1", "d2"] {
        view.nodes.get_mut(&name(node)).unwrap().network = None;
    }
    assert_eq!(warnings(&on("eth9"), &state, &view), []);
}

#[test]
fn a_director_that_could_not_take_over_is_named() {
    let (state, mut view) = well();
    network(&mut view, "d1").interfaces.insert("eth1".to_owned());
    let found = said(&on("eth1"), &state, &view);
    assert!(found[0].starts_with("vip front: d2 has no eth1, it has eth0; it cannot be taken over there;"), "{found:?}");
    network(&mut view, "d1").interfaces.remove("eth1");
    network(&mut view, "d2").interfaces.insert("eth1".to_owned());
    let found = said(&on("eth1"), &state, &view);
    assert!(found[0].contains("d1 has no eth1, it has eth0; d1 holds it now and gives it up;"), "{found:?}");
}

#[test]
fn a_directors_own_interface_counts_more_than_the_files() {
    let (state, mut view) = well();
    for node in ["d1", "d2"] {
        network(&mut view, node).vips_on = Some("eth0".to_owned());
    }
    assert_eq!(said(&on("eth9"), &state, &view), [""; 0]);
    network(&mut view, "d2").called = [("eth0".to_owned(), "ens3".to_owned())].into();
    let found = said(&on("eth0"), &state, &view);
    assert!(found[0].contains("d2 has no ens3 (as its agent.toml says), it has eth0;"), "{found:?}");
}

#[test]
fn a_vip_that_is_a_hosts_address_names_the_host() {
    let (state, mut view) = well();
    let mut rules = web();
    rules.vips.get_mut(&name("front")).unwrap().addresses = [host(21), host(77)].into();
    let hosts = |view: &ClusterView| -> Vec<String> {
        let node = |warning| match warning {
            Warning::VipIsAHostsAddress { address, node, .. } => format!("{address} {node}"),
            other => panic!("{other:?}"),
        };
        warnings(&rules, &state, view).into_iter().map(node).collect()
    };
    assert_eq!(hosts(&view), ["192.0.2.21 r1"]);
    network(&mut view, "r2").addresses.insert(host(77));
    assert_eq!(hosts(&view), ["192.0.2.21 r1", "192.0.2.77 r2"]);
    for node in ["r1", "r2"] {
        view.nodes.get_mut(&name(node)).unwrap().live = false;
    }
    assert_eq!(hosts(&view), ["192.0.2.21 r1"], "a member that is off comes back");
}

#[test]
fn long_lists_are_cut() {
    let mut state = ClusterState::default();
    let mut view = ClusterView::default();
    for number in 1..=20 {
        let node = format!("d{number:02}");
        state.apply(&joined(&node, number, Role::Director)).unwrap();
        let network = Some(NodeNetwork { interfaces: (0..20).map(|n| format!("eth{n:02}")).collect(), ..NodeNetwork::default() });
        view.nodes.insert(name(&node), NodeView { live: true, network, ..NodeView::default() });
    }
    let found = said(&RuleSet { services: Default::default(), ..on("eth9") }, &state, &view);
    assert!(found[0].contains("eth07 and 12 more; and 12 more; nobody"), "{found:?}");
}
