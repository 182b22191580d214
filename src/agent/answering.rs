//! Asks the LAN of this director for VIPs that are new in a rule set: a machine that is no member may have one of them.

use crate::{
    gossip::ClusterView,
    guard::{arp::Mac, io::arp_probe},
    model::{NodeName, Role, VipName},
    rules::{ClusterState, RuleSet, Warning},
    status::warnings::is_on_one_interface,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

/// Most addresses that are asked for at a time; whoever adds more VIPs at once is not told of all.
const MOST: usize = 64;

/// Those of the new VIPs that somebody answers for. Takes half a second if there are any, and nothing if not. What is in `found` already is not asked for.
pub async fn answering(
    me: &NodeName,
    rules: &RuleSet,
    state: &ClusterState,
    view: &ClusterView,
    found: &[Warning],
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (interface, wanted) in new_vips(me, rules, state, view, found) {
        let addresses: BTreeSet<Ipv4Addr> = wanted.keys().copied().collect();
        match arp_probe::taken(&interface, &addresses).await {
            Ok(taken) => warnings.extend(taken.into_iter().filter_map(|(address, mac)| {
                let (vip, address, seen_by) = (wanted.get(&address)?.clone(), IpAddr::V4(address), me.clone());
                Some(Warning::VipAnswers { vip, address, hardware_address: shown(mac), interface: interface.clone(), seen_by })
            })),
            // Nothing was learnt, and nothing is claimed.
            Err(error) => tracing::debug!(interface, %error, "cannot ask the lan for vips"),
        }
    }
    warnings
}

/// By the interface that they would go on here.
fn new_vips(
    me: &NodeName,
    rules: &RuleSet,
    state: &ClusterState,
    view: &ClusterView,
    found: &[Warning],
) -> BTreeMap<String, BTreeMap<Ipv4Addr, VipName>> {
    let mut wanted: BTreeMap<String, BTreeMap<Ipv4Addr, VipName>> = BTreeMap::new();
    let directs = state.nodes.get(me).is_some_and(|node| node.roles.has(Role::Director));
    let network = view.nodes.get(me).and_then(|node| node.network.as_ref()).filter(|_| directs);
    let Some(network) = network else { return wanted };
    let one_interface = is_on_one_interface(rules);
    let old: BTreeSet<&IpAddr> = state.rules.vips.values().flat_map(|group| &group.addresses).collect();
    let known = |address: &IpAddr| {
        let of = |warning: &Warning| matches!(warning, Warning::VipIsAHostsAddress { address: host, .. } if host == address);
        old.contains(address) || found.iter().any(of)
    };
    let vips = rules.vips.values().flat_map(|group| group.addresses.iter().map(move |address| (group, address)));
    for (group, address) in vips.filter(|(_, address)| !known(address)).take(MOST) {
        let interface = network.places(&group.interface, one_interface);
        if let IpAddr::V4(address) = address
            && !network.lacks(interface)
        {
            wanted.entry(interface.to_owned()).or_default().insert(*address, group.name.clone());
        }
    }
    wanted
}

fn shown(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gossip::NodeView,
        model::NodeNetwork,
        rules::fixture::{cluster, host, name, vip, web},
    };

    #[test]
    fn a_director_asks_for_new_vips_on_the_interface_that_it_has_for_them() {
        let (state, mut rules) = (cluster(), web());
        for (group, number, interface) in [("new", 101, "eth0"), ("odd", 102, "eth9"), ("host", 21, "eth0")] {
            rules.vips.insert(name(group), crate::model::VipGroup { interface: interface.to_owned(), ..vip(group, number) });
        }
        let network = NodeNetwork { interfaces: ["eth0".to_owned()].into(), ..NodeNetwork::default() };
        let node = |at: &str| (name(at), NodeView { live: true, network: Some(network.clone()), ..NodeView::default() });
        let view = ClusterView { nodes: [node("d1"), node("r1")].into() };
        let taken = Warning::VipIsAHostsAddress { vip: name("host"), address: host(21), node: name("r1") };
        let asked = |me: &str| new_vips(&name(me), &rules, &state, &view, std::slice::from_ref(&taken));
        let IpAddr::V4(new) = host(101) else { panic!("not IPv4") };
        assert_eq!(asked("d1"), [("eth0".to_owned(), [(new, name("new"))].into())].into());
        assert_eq!(asked("r1"), BTreeMap::new(), "it is no director");
        assert_eq!(asked("d2"), BTreeMap::new(), "it has not looked at its interfaces yet");
    }

    #[tokio::test]
    async fn where_nothing_is_new_nobody_is_asked() {
        let (state, view) = (cluster(), ClusterView::default());
        assert_eq!(answering(&name("d1"), &web(), &state, &view, &[]).await, []);
    }

    #[test]
    fn a_hardware_address_is_shown_as_ip_shows_it() {
        assert_eq!(shown([2, 0, 10, 0, 0, 171]), "02:00:0a:00:00:ab");
    }
}
