//! Warnings about a rule set: things that it names and the cluster does not have, as far as this node knows. Pure.

use crate::{
    gossip::{ClusterView, NodeView},
    model::{Holding, NodeName, Role, VipGroup},
    rules::{ClusterState, MissingInterface, RuleSet, Warning},
};
use std::{collections::BTreeSet, net::IpAddr};

/// Everything that an operator should look at before `rules` are applied: VIP groups first.
pub fn warnings(rules: &RuleSet, state: &ClusterState, view: &ClusterView) -> Vec<Warning> {
    let known = WarningInput { state, view, one_interface: is_on_one_interface(rules) };
    let mut found = Vec::new();
    for group in rules.vips.values() {
        found.extend(known.interfaces(group));
        found.extend(group.addresses.iter().filter_map(|address| known.host(group, *address)));
    }
    found.extend(rules.targets().filter(|(_, _, server)| !server.agentless).filter_map(|(target, _, server)| {
        match state.node_at(server.address) {
            None => Some(Warning::ServerIsNoMember { service: target.service, server: target.server, address: server.address }),
            Some(node) if !node.roles.has(Role::RealServer) => Some(Warning::ServerHasOtherRoles {
                service: target.service,
                server: target.server,
                node: node.name.clone(),
                roles: node.roles.clone(),
            }),
            Some(_) => None,
        }
    }));
    found
}

/// The holder of a group, as the nodes that are heard say.
pub fn holder<'a>(state: &ClusterState, view: &'a ClusterView, group: &VipGroup) -> Option<&'a NodeName> {
    let members = view.nodes.iter().filter(|(name, node)| node.live && state.nodes.contains_key(*name));
    let claims = members.filter_map(|(name, node)| match node.holding.get(&group.name)? {
        Holding::Held { epoch, since_unix_ms } => Some((*epoch, *since_unix_ms, name)),
        Holding::Fallback { since_unix_ms } => Some((0, *since_unix_ms, name)),
        Holding::NotHeld => None,
    });
    // The latest claim counts: the new holder's gossip arrives before the former holder's.
    claims.max().map(|(_, _, name)| name)
}

/// Whether all groups are on the same interface.
pub fn is_on_one_interface(rules: &RuleSet) -> bool {
    rules.vips.values().map(|group| &group.interface).collect::<BTreeSet<_>>().len() == 1
}

struct WarningInput<'a> {
    state: &'a ClusterState,
    view: &'a ClusterView,
    one_interface: bool,
}

impl<'a> WarningInput<'a> {
    fn heard(&self, name: &NodeName) -> Option<&'a NodeView> {
        self.view.nodes.get(name).filter(|node| node.live)
    }

    fn interfaces(&self, group: &VipGroup) -> Option<Warning> {
        let directors = self.state.nodes.values().filter(|node| node.roles.has(Role::Director)).map(|node| &node.name);
        let (mut lacking, mut unknown, mut having) = (Vec::new(), Vec::new(), false);
        for name in directors {
            let Some(network) = self.heard(name).and_then(|node| node.network.as_ref()) else {
                unknown.push(name.clone());
                continue;
            };
            let interface = network.places(&group.interface, self.one_interface);
            if network.lacks(interface) {
                lacking.push(MissingInterface {
                    node: name.clone(),
                    interface: interface.to_owned(),
                    configured: *interface != group.interface,
                    has: network.interfaces.iter().filter(|name| *name != "lo").cloned().collect(),
                });
            } else {
                having = true;
            }
        }
        if lacking.is_empty() {
            return None;
        }
        let holder = holder(self.state, self.view, group).filter(|holder| lacking.iter().any(|lacks| lacks.node == **holder));
        let (vip, holder, directors) = (group.name.clone(), holder.cloned(), lacking);
        Some(if having {
            Warning::SomeDirectorsLackInterface { vip, holder, directors }
        } else {
            Warning::NoDirectorHasInterface { vip, holder, directors, unknown }
        })
    }

    /// A member's address that the cluster knows counts even while it is not heard; others as long as it is.
    fn host(&self, group: &VipGroup, address: IpAddr) -> Option<Warning> {
        let registered = self.state.node_at(address).map(|node| &node.name);
        let has = |name: &&NodeName| {
            self.heard(name).and_then(|node| node.network.as_ref()).is_some_and(|network| network.addresses.contains(&address))
        };
        let node = registered.or_else(|| self.state.nodes.keys().find(has))?;
        Some(Warning::VipIsAHostsAddress { vip: group.name.clone(), address, node: node.clone() })
    }
}

#[cfg(test)]
mod tests;
