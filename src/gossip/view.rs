//! What this node says, and what it has heard of the others.

use crate::{
    model::{Fingerprint, Holding, KeyId, LessFitGroups, NodeName, NodeNetwork, Obstacles, Roles, VipName},
    rules::Target,
    verdict::{Observation, ObserverReport, ObserverReports},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// What it does.
    pub roles: Roles,
    /// Its gossip and Raft address.
    pub addr: SocketAddr,
    /// The agent's version.
    pub version: String,
    /// What its kernel can do for LVS, for example `ip_vs 1.2.1`.
    pub kernel: Vec<String>,
    /// What it holds of the cluster's keys, so that a rotation knows when everybody has followed. Empty from agents that say nothing of it.
    #[serde(default)]
    pub holds: KeyInventory,
    /// An administrator has taken it out of service until its agent is restarted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
}

/// Which keys and certificates a node has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeyInventory {
    /// Gossip keys that it accepts.
    pub keys: BTreeSet<KeyId>,
    /// CAs that it trusts.
    pub authorities: BTreeSet<Fingerprint>,
    /// The CA that signed its certificate; `None` where certificates come from elsewhere.
    pub issuer: Option<Fingerprint>,
    /// When its certificate ends. Unix seconds.
    pub certificate_expires_unix_s: Option<u64>,
    /// CAs whose private keys it has. Empty from agents that say nothing of it.
    #[serde(default)]
    pub signs: BTreeSet<Fingerprint>,
}

/// All that this node publishes. What is not in it is no word at all: a VIP that was taken away is said to be away, not left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeState {
    /// Of itself.
    pub facts: Facts,
    /// What its probes say.
    pub observations: BTreeMap<Target, Observation>,
    /// Real servers: for each VIP group they serve, whether the VIP is on `lo` and ARP is silenced. `Err` says what is in the way.
    pub in_place: BTreeMap<VipName, Result<(), String>>,
    /// Directors: what their guard says.
    pub holding: BTreeMap<VipName, Holding>,
    /// Directors: what keeps them from taking groups that they do not hold.
    pub obstacles: Obstacles,
    /// Directors: the groups for which they are less fit than [`Fitness::WELL`](crate::model::Fitness::WELL), and why.
    pub less_fit: LessFitGroups,
    /// Its interfaces and addresses, once they have been looked at; as much of them as is told.
    pub network: Option<NodeNetwork>,
    /// The rules' revision that its kernel has.
    pub revision: u64,
    /// Directors: they know of some server whether it takes traffic, so that their kernel can send it some.
    pub informed: bool,
}

/// What is known of one node. It stays known, with `live` false, when the node falls silent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeView {
    /// Its heartbeat is heard.
    pub live: bool,
    /// Its own facts, once they have been heard.
    pub facts: Option<Facts>,
    /// What its probes say.
    pub observations: BTreeMap<Target, Observation>,
    /// See [`NodeState::in_place`].
    pub in_place: BTreeMap<VipName, Result<(), String>>,
    /// See [`NodeState::holding`].
    pub holding: BTreeMap<VipName, Holding>,
    /// See [`NodeState::obstacles`].
    pub obstacles: Obstacles,
    /// See [`NodeState::less_fit`].
    pub less_fit: LessFitGroups,
    /// See [`NodeState::network`].
    pub network: Option<NodeNetwork>,
    /// See [`NodeState::revision`].
    pub revision: u64,
    /// See [`NodeState::informed`].
    pub informed: bool,
}

/// What is known of all nodes, this one among them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterView {
    /// By name.
    pub nodes: BTreeMap<NodeName, NodeView>,
}

impl ClusterView {
    /// What the nodes say of targets, as verdicts are made from it.
    pub fn observer_reports(&self) -> ObserverReports<'_> {
        self.nodes
            .iter()
            .map(|(name, view)| (name, ObserverReport { live: view.live, observations: &view.observations }))
            .collect()
    }

    /// The nodes whose heartbeat is heard, this one among them.
    pub fn live(&self) -> BTreeSet<NodeName> {
        self.nodes.iter().filter(|(_, view)| view.live).map(|(name, _)| name.clone()).collect()
    }
}

/// One start of a node's agent, as gossip knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incarnation {
    /// The node.
    pub node: NodeName,
    /// Which start: later ones have higher numbers.
    pub generation: u64,
    /// What it says, and whether it is alive.
    pub view: NodeView,
}

/// Most silent nodes that are remembered: more than a cluster has, so that only names that come and go are ever forgotten.
const MAX_REMEMBERED: usize = 1000;

/// The last word of every node. chitchat forgets the dead after minutes; a node's last word is to be seen for as long as this agent runs.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    nodes: BTreeMap<NodeName, NodeView>,
    /// The latest start of a node that was seen alive. Starts only grow, so an earlier one that shows up after it is no news but somebody's record of it.
    started: BTreeMap<NodeName, u64>,
}

impl Memory {
    /// Takes in what gossip knows now, and returns the view of all nodes.
    ///
    /// Of several incarnations of a node a living one counts, even if its clock was set back before it started; then the latest. One that
    /// has not spoken yet counts least: a node that was restarted has not taken back what it said.
    pub fn view(&mut self, heard: impl Iterator<Item = Incarnation>) -> ClusterView {
        let mut best: BTreeMap<NodeName, Incarnation> = BTreeMap::new();
        for incarnation in heard {
            if self.started.get(&incarnation.node).is_some_and(|latest| incarnation.generation < *latest) {
                continue;
            }
            let rank = |Incarnation { generation, view, .. }: &Incarnation| {
                let spoke = view.facts.is_some();
                (spoke && view.live, spoke, *generation)
            };
            match best.get(&incarnation.node) {
                Some(other) if rank(other) >= rank(&incarnation) => {}
                Some(_) | None => {
                    best.insert(incarnation.node.clone(), incarnation);
                }
            }
        }
        for view in self.nodes.values_mut() {
            view.live = false;
        }
        for (node, Incarnation { view, generation, .. }) in best {
            if view.live && view.facts.is_some() {
                self.started.insert(node.clone(), generation);
            }
            if view.facts.is_some() || !self.nodes.contains_key(&node) {
                self.nodes.insert(node, view);
            }
        }
        self.forget();
        ClusterView { nodes: self.nodes.clone() }
    }

    fn forget(&mut self) {
        let excess = self.nodes.len().saturating_sub(MAX_REMEMBERED);
        let silent: Vec<NodeName> =
            self.nodes.iter().filter(|(_, view)| !view.live).map(|(n, _)| n.clone()).take(excess).collect();
        for node in silent {
            self.nodes.remove(&node);
            self.started.remove(&node);
        }
    }

    /// Forgets all nodes but these: the others are members no more, or are other nodes by the same name now.
    pub fn keep(&mut self, kept: impl Fn(&NodeName) -> bool) {
        self.nodes.retain(|node, _| kept(node));
        self.started.retain(|node, _| kept(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(node: &str, generation: u64, live: bool, revision: u64) -> Incarnation {
        let roles = Roles::new([crate::model::Role::Director]).unwrap();
        let facts = Facts {
            roles,
            addr: "10.0.0.1:7400".parse().unwrap(),
            version: String::new(),
            kernel: Vec::new(),
            holds: KeyInventory::default(),
            withdrawn: false,
        };
        let view = NodeView { live, revision, facts: Some(facts), ..NodeView::default() };
        Incarnation { node: node.parse().unwrap(), generation, view }
    }

    fn seen(view: &ClusterView) -> Vec<String> {
        view.nodes
            .iter()
            .map(|(name, view)| format!("{name} {} {}", if view.live { "live" } else { "silent" }, view.revision))
            .collect()
    }

    #[test]
    fn the_latest_living_incarnation_speaks_for_its_node() {
        for (incarnations, expected) in [
            (vec![heard("a", 1, true, 10)], "a live 10"),
            (vec![heard("a", 1, false, 10), heard("a", 2, true, 20)], "a live 20"),
            (vec![heard("a", 2, true, 20), heard("a", 1, true, 10)], "a live 20"),
            (vec![heard("a", 1, false, 10), heard("a", 2, false, 20)], "a silent 20"),
            // The clock was set back before the second start.
            (vec![heard("a", 9, false, 10), heard("a", 2, true, 20)], "a live 20"),
        ] {
            assert_eq!(seen(&Memory::default().view(incarnations.into_iter())), [expected]);
        }
    }

    #[test]
    fn a_record_of_an_earlier_start_is_not_taken_for_the_present_one() {
        let mut memory = Memory::default();
        assert_eq!(seen(&memory.view([heard("a", 2, true, 20)].into_iter())), ["a live 20"]);
        assert_eq!(seen(&memory.view([heard("a", 2, false, 20), heard("a", 1, true, 10)].into_iter())), ["a silent 20"]);
        // Another node by that name starts to count from anywhere.
        memory.keep(|_| false);
        assert_eq!(seen(&memory.view([heard("a", 1, true, 10)].into_iter())), ["a live 10"]);
    }

    #[test]
    fn the_last_word_stays_when_gossip_has_forgotten_the_node() {
        let mut memory = Memory::default();
        memory.view([heard("a", 1, true, 10), heard("b", 1, true, 5)].into_iter());
        assert_eq!(seen(&memory.view([heard("b", 1, true, 6)].into_iter())), ["a silent 10", "b live 6"]);
    }

    #[test]
    fn a_restarted_node_keeps_its_word_until_it_speaks_again() {
        let mute = |generation| {
            let mut incarnation = heard("a", generation, true, 0);
            incarnation.view.facts = None;
            incarnation
        };
        let mut memory = Memory::default();
        assert_eq!(seen(&memory.view([mute(1)].into_iter())), ["a live 0"]);
        assert_eq!(seen(&memory.view([heard("a", 1, true, 10)].into_iter())), ["a live 10"]);
        assert_eq!(seen(&memory.view([heard("a", 1, false, 10), mute(2)].into_iter())), ["a silent 10"]);
        // chitchat has forgotten the old one by now.
        assert_eq!(seen(&memory.view([mute(2)].into_iter())), ["a silent 10"]);
        assert_eq!(seen(&memory.view([heard("a", 2, true, 20)].into_iter())), ["a live 20"]);
    }

    #[test]
    fn the_memory_of_silent_nodes_is_bounded_and_the_living_are_kept() {
        let mut memory = Memory::default();
        memory.view((0..MAX_REMEMBERED).map(|i| heard(&format!("n{i:05}"), 1, true, 0)));
        let view = memory.view((0..10).map(|i| heard(&format!("a{i}"), 1, true, 0)));
        assert_eq!((view.nodes.len(), view.live().len()), (MAX_REMEMBERED, 10));
    }
}
