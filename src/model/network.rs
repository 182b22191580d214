//! The network interfaces and addresses of a node, as far as the rules need them.

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Most interfaces of a node that are gossiped.
const MAX_INTERFACES: usize = 20;
/// Most addresses of a node that are gossiped.
const MAX_ADDRESSES: usize = 12;
/// Most entries of `[interfaces]` in agent.toml that are gossiped.
const MAX_CALLED: usize = 8;
/// Longest name of an interface (`IFNAMSIZ`).
const MAX_NAME_BYTES: usize = 15;

/// The network interfaces and addresses of a node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeNetwork {
    /// Names of its interfaces, the alternative ones among them.
    pub interfaces: BTreeSet<String>,
    /// The node may have more interfaces than these.
    #[serde(default)]
    pub more: bool,
    /// Its own addresses, without VIPs that the agent has put there, addresses on `lo`, and link-local ones.
    pub addresses: BTreeSet<IpAddr>,
    /// `interface` in its agent.toml: where it puts VIPs, if the cluster file names only one interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vips_on: Option<String>,
    /// `[interfaces]` in its agent.toml: the names that interfaces of the cluster file have on this node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub called: BTreeMap<String, String>,
}

impl NodeNetwork {
    /// The interface on which this node puts a group that the cluster file puts on `interface`. `only`: the cluster file names no other interface.
    pub fn places<'a>(&'a self, interface: &'a str, only: bool) -> &'a str {
        let default = self.vips_on.as_ref().filter(|_| only);
        self.called.get(interface).or(default).map_or(interface, String::as_str)
    }

    /// Whether it certainly has no such interface.
    pub fn lacks(&self, interface: &str) -> bool {
        !self.more && !self.interfaces.contains(interface)
    }

    /// The part of it that is gossiped.
    pub fn told(&self) -> Self {
        let known: BTreeSet<String> = self.interfaces.iter().filter(|name| is_name(name)).take(MAX_INTERFACES).cloned().collect();
        Self {
            // An interface whose name is left out may be the one that is meant.
            more: self.more || known.len() < self.interfaces.len() || self.called.len() > MAX_CALLED,
            interfaces: known,
            addresses: self.addresses.iter().take(MAX_ADDRESSES).copied().collect(),
            vips_on: self.vips_on.clone(),
            called: self.called.iter().take(MAX_CALLED).map(|(name, here)| (name.clone(), here.clone())).collect(),
        }
    }

    /// Whether a node may gossip this: no more than [`NodeNetwork::told`] returns, and only names that can be shown.
    pub fn may_be_told(&self) -> bool {
        let configured = self.called.iter().flat_map(|(name, here)| [name, here]).chain(&self.vips_on);
        self.interfaces.len() <= MAX_INTERFACES
            && self.addresses.len() <= MAX_ADDRESSES
            && self.called.len() <= MAX_CALLED
            && self.interfaces.iter().chain(configured).all(|name| is_name(name))
    }
}

/// Whether Linux accepts a name (`dev_valid_name` in net/core/dev.c) that a terminal can show, too. Longer alternative names are not gossiped.
fn is_name(name: &str) -> bool {
    let shown = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.chars().all(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn having(interfaces: &[&str]) -> NodeNetwork {
        NodeNetwork { interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(), ..NodeNetwork::default() }
    }

    #[test]
    fn an_interface_is_lacking_only_where_all_are_known() {
        let network = having(&["eth0", "lo"]);
        assert!(network.lacks("eth9") && !network.lacks("eth0"));
        assert!(!NodeNetwork { more: true, ..network }.lacks("eth9"));
    }

    #[test]
    fn what_agent_toml_says_counts_more_than_the_cluster_file() {
        assert_eq!(having(&[]).places("eth0", true), "eth0");
        let mut network = NodeNetwork { vips_on: Some("ens3".to_owned()), ..having(&[]) };
        assert_eq!((network.places("eth0", true), network.places("eth0", false)), ("ens3", "eth0"));
        network.called = [("eth0".to_owned(), "ens4".to_owned())].into();
        assert_eq!((network.places("eth0", true), network.places("eth1", true)), ("ens4", "ens3"));
    }

    #[test]
    fn what_is_told_is_bounded_and_says_so() {
        let few = having(&["eth0", "lo"]);
        assert_eq!(few.told(), few);
        let many: Vec<String> = (0..100).map(|n| format!("\"\"\"\"\"\"\"\"\"\"\"{n:04}")).collect();
        let mut many = having(&many.iter().map(String::as_str).collect::<Vec<_>>());
        many.addresses =
            (0..100).map(|n| IpAddr::from([0x2001, 0xdb8, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0x8000 + n])).collect();
        many.called = many.interfaces.iter().map(|name| (name.clone(), name.clone())).collect();
        many.vips_on = many.interfaces.first().cloned();
        let told = many.told();
        assert!(told.more && told.may_be_told() && !many.may_be_told());
        assert!(serde_json::to_string(&told).unwrap().len() < 2048);
    }

    #[test]
    fn what_cannot_be_shown_is_not_told() {
        for odd in ["eth\u{1b}[2J", "a b", "", "a-name-that-is-an-alternative-one"] {
            let network = having(&["eth0", odd]);
            assert!(!network.may_be_told());
            assert_eq!((network.told().interfaces, network.told().more), (having(&["eth0"]).interfaces, true));
        }
    }
}
