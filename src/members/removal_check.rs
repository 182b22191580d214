//! Checks whether a node may go out of the cluster, or stop being a director: the votes that stay, the last director, the CA's key. Pure.

use crate::{
    gossip::ClusterView,
    model::{Fingerprint, NodeId, NodeName, Role},
    rules::ClusterState,
};
use std::collections::BTreeSet;

/// The input of the check.
#[derive(Clone, Copy)]
pub struct RemovalCheck<'a> {
    /// The replicated state.
    pub state: &'a ClusterState,
    /// The nodes that are heard, with the keys and CAs that they say they have.
    pub view: &'a ClusterView,
    /// The voters.
    pub voters: &'a BTreeSet<NodeId>,
}

impl RemovalCheck<'_> {
    fn is_heard(&self, id: NodeId) -> bool {
        self.state.node_by_id(id).is_some_and(|node| self.view.nodes.get(&node.name).is_some_and(|heard| heard.live))
    }

    /// Leaving takes effect before a node's vote is gone, so those that stay must be able to take it away.
    ///
    /// # Errors
    /// A text that is printed after "no quorum:".
    pub fn votes_suffice_without(&self, gone: NodeId) -> Result<(), String> {
        if !self.voters.contains(&gone) {
            return Ok(());
        }
        let others: Vec<NodeId> = self.voters.iter().copied().filter(|id| *id != gone).collect();
        let (wanted, there) = match others.len() {
            // The only voter gives its vote to any other member.
            0 => (1, self.state.nodes.values().filter(|node| node.id != gone && self.is_heard(node.id)).count()),
            others_vote => (others_vote / 2 + 1, others.iter().filter(|id| self.is_heard(**id)).count()),
        };
        if there >= wanted {
            return Ok(());
        }
        Err(format!(
            "without that node only {there} of the {wanted} voters that are needed are heard: bring others back first, or try again in a moment where one is only just leaving"
        ))
    }

    /// The directors that are heard and have the private key of this CA.
    pub fn signers(&self, ca: Fingerprint) -> BTreeSet<&NodeName> {
        let live = self.view.nodes.iter().filter(|(_, node)| node.live);
        let signs = live.filter(|(_, node)| node.facts.as_ref().is_some_and(|facts| facts.holds.signs.contains(&ca)));
        signs.map(|(name, _)| name).filter(|name| self.directs(name)).collect()
    }

    fn directs(&self, name: &NodeName) -> bool {
        self.state.nodes.get(name).is_some_and(|node| node.roles.has(Role::Director))
    }

    /// Refuses the removal of the last director, and of the last one with the CA's key: without a director nothing can be changed, and
    /// without the key no certificate can be made.
    ///
    /// # Errors
    /// The text names what is lost with `gone`, and what to do first.
    pub fn is_directed_without(&self, gone: &NodeName) -> Result<(), String> {
        let others = self.state.nodes.keys().filter(|name| *name != gone);
        if !self.directs(gone) || others.clone().next().is_none() {
            return Ok(());
        }
        let todo = if self.state.security.is_foreign() {
            "let another node join whose certificate says lvs-director, or take the other nodes out first"
        } else {
            "make another node a director too (`lvs-agent node rename-roles NAME --roles` with all that it has and director, or let one join), or take the other nodes out first"
        };
        if !others.clone().any(|name| self.directs(name)) {
            return Err(format!("{gone} is the only director, and the others could do nothing without one: {todo}"));
        }
        let Some(issuing) = self.state.security.authorities.issuing else { return Ok(()) };
        let signers = self.signers(issuing);
        if signers.contains(gone) && signers.len() == 1 {
            return Err(format!(
                "of the directors that are heard, only {gone} has the key of the ca, which would be lost: wait until another one has fetched it, {todo}"
            ));
        }
        Ok(())
    }

    /// The consequences of a removal that is allowed: with its only node the whole cluster ends, with its last director that is heard all that
    /// directors do. `None`: nothing ends.
    pub fn lost_with(&self, gone: &NodeName) -> Option<String> {
        let ClusterState { nodes, rules, security, cluster_id, .. } = self.state;
        if nodes.keys().eq([gone]) {
            let (vips, services) = (rules.vips.len(), rules.services.len());
            let rules = match vips + services {
                0 => String::new(),
                _ => format!("its rules ({vips} in [[vip]], {services} in [[service]]; `lvs-agent export` keeps them), "),
            };
            let ca = if security.is_foreign() { "" } else { ", the key of its ca, its tokens and remote identities" };
            return Some(format!(
                "{gone} is the only node of cluster {cluster_id}, which ends with it: {rules}its log{ca} are gone for good"
            ));
        }
        let others: Vec<&NodeName> = nodes.keys().filter(|name| *name != gone && self.directs(name)).collect();
        let is_heard = |name: &&NodeName| nodes.get(*name).is_some_and(|node| self.is_heard(node.id));
        if !self.directs(gone) || others.iter().any(is_heard) {
            return None;
        }
        let names: Vec<&str> = others.iter().map(|name| name.as_str()).collect();
        Some(format!(
            "{gone} is the last director that is heard: until {} is back, nobody holds the VIPs and nothing in the cluster can be changed",
            names.join(" or ")
        ))
    }

    /// The CA that was to issue next, if no member that is heard has its key: the rotation then cannot end. `me` says whether this node has the key.
    pub fn lost_upcoming(&self, me_has: impl Fn(&[u8]) -> bool) -> Option<Fingerprint> {
        let authorities = &self.state.security.authorities;
        let upcoming = authorities.upcoming.filter(|ca| self.signers(*ca).is_empty())?;
        authorities.trusted.get(&upcoming).is_none_or(|der| !me_has(der)).then_some(upcoming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gossip::{Facts, KeyInventory, NodeView},
        rules::{
            Command, SecurityChange,
            fixture::{cluster, name},
        },
    };

    const CA: Fingerprint = Fingerprint([1; 32]);
    const NEXT: Fingerprint = Fingerprint([2; 32]);

    /// Two directors, two real servers. Those named are heard; those of the second list have the CA's key.
    fn view(state: &ClusterState, heard: &[&str], signs: &[(&str, Fingerprint)]) -> ClusterView {
        let nodes = state.nodes.values().filter(|node| heard.contains(&node.name.as_str())).map(|node| {
            let has = signs.iter().filter(|(who, _)| *who == node.name.as_str()).map(|(_, ca)| *ca);
            let holds = KeyInventory { signs: has.collect(), ..KeyInventory::default() };
            let facts = Facts {
                roles: node.roles.clone(),
                addr: node.addr,
                version: String::new(),
                kernel: Vec::new(),
                holds,
                withdrawn: false,
            };
            (node.name.clone(), NodeView { live: true, facts: Some(facts), ..NodeView::default() })
        });
        ClusterView { nodes: nodes.collect() }
    }

    const ALL: [&str; 4] = ["d1", "d2", "r1", "r2"];

    fn voters(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_majority_of_the_voters_that_stay_must_be_heard() {
        let (state, three) = (cluster(), voters(&[1, 2, 3]));
        let ask = |heard: &[&str], gone: u64| {
            let view = view(&state, heard, &[]);
            RemovalCheck { state: &state, view: &view, voters: &three }.votes_suffice_without(NodeId(gone))
        };
        assert_eq!(ask(&ALL, 1), Ok(()));
        assert_eq!(ask(&["d1", "d2"], 4), Ok(()), "it does not vote");
        assert!(ask(&["d1", "d2"], 1).unwrap_err().starts_with("without that node only 1 of the 2 voters"));
    }

    #[test]
    fn the_only_voter_goes_when_somebody_is_there_to_vote_whoever_wants_it() {
        let (mut state, one) = (cluster(), voters(&[1]));
        ["r1", "r2"].iter().for_each(|gone| drop(state.apply(&Command::NodeLeft(name(gone)))));
        let ask = |heard: &[&str]| {
            let view = view(&state, heard, &[]);
            RemovalCheck { state: &state, view: &view, voters: &one }.votes_suffice_without(NodeId(1))
        };
        assert_eq!(ask(&["d1", "d2"]), Ok(()), "of two nodes the founder can be taken out");
        assert!(ask(&["d1"]).is_err());
    }

    #[test]
    fn the_last_director_and_the_last_that_has_the_key_stay() {
        let mut state = cluster();
        state.security.authorities.issuing = Some(CA);
        let ask = |state: &ClusterState, heard: &[&str], signs: &[&str], gone: &str| {
            let signs: Vec<_> = signs.iter().map(|who| (*who, CA)).collect();
            let (view, voters) = (view(state, heard, &signs), voters(&[1, 2, 3]));
            RemovalCheck { state, view: &view, voters: &voters }.is_directed_without(&name(gone))
        };
        assert_eq!(ask(&state, &ALL, &["d1", "d2"], "d1"), Ok(()));
        assert_eq!(ask(&state, &ALL, &["d1"], "d2"), Ok(()));
        assert_eq!(ask(&state, &ALL, &["d1"], "r1"), Ok(()));
        assert!(ask(&state, &ALL, &["d1"], "d1").unwrap_err().contains("only d1 has the key of the ca"));
        assert!(ask(&state, &["d1", "r1", "r2"], &["d1", "d2"], "d1").is_err(), "d2 is not heard");
        assert_eq!(ask(&state, &["d1"], &["d1"], "d2"), Ok(()), "what a dead node has is lost already");
        assert_eq!(ask(&state, &ALL, &[], "d1"), Ok(()), "nobody has it: nothing is lost with d1");
        state.apply(&Command::NodeLeft(name("d2"))).unwrap();
        assert!(ask(&state, &ALL, &["d1"], "d1").unwrap_err().contains("d1 is the only director"));
        ["r1", "r2"].iter().for_each(|gone| drop(state.apply(&Command::NodeLeft(name(gone)))));
        assert_eq!(ask(&state, &ALL, &["d1"], "d1"), Ok(()), "it is alone");
    }

    #[test]
    fn what_ends_with_the_only_node_and_with_the_last_director_is_said() {
        let mut state = cluster();
        let ask = |state: &ClusterState, heard: &[&str], gone: &str| {
            let (view, voters) = (view(state, heard, &[]), voters(&[1]));
            RemovalCheck { state, view: &view, voters: &voters }.lost_with(&name(gone))
        };
        assert_eq!(ask(&state, &ALL, "d1"), None, "d2 goes on");
        assert_eq!(ask(&state, &["d1", "r1", "r2"], "r1"), None, "it directs nothing");
        let last = ask(&state, &["d1", "r1", "r2"], "d1").unwrap();
        assert!(last.starts_with("d1 is the last director that is heard: until d2 is back"), "{last}");
        ["d2", "r1", "r2"].iter().for_each(|gone| drop(state.apply(&Command::NodeLeft(name(gone)))));
        let alone = ask(&state, &["d1"], "d1").unwrap();
        assert!(
            alone.starts_with(&format!("d1 is the only node of cluster {}, which ends with it", state.cluster_id)),
            "{alone}"
        );
        assert!(alone.contains("`lvs-agent export` keeps them") && alone.ends_with("are gone for good"), "{alone}");
    }

    #[test]
    fn a_rotation_whose_key_is_with_nobody_is_lost() {
        let mut state = cluster();
        state.security.authorities.issuing = Some(CA);
        let ask = |state: &ClusterState, signs: &[(&str, Fingerprint)], me_has: bool| {
            let (view, voters) = (view(state, &["d1", "r1"], signs), voters(&[1]));
            RemovalCheck { state, view: &view, voters: &voters }.lost_upcoming(|_| me_has)
        };
        assert_eq!(ask(&state, &[], false), None, "there is none");
        let added = SecurityChange::AuthorityAdded { fingerprint: NEXT, der: vec![2] };
        state.apply(&Command::Security(added)).unwrap();
        assert_eq!(ask(&state, &[("d1", NEXT)], false), None);
        assert_eq!(ask(&state, &[("d1", CA)], true), None, "this node has not said it yet");
        assert_eq!(ask(&state, &[("d1", CA), ("d2", NEXT)], false), Some(NEXT), "d2 is not heard");
    }
}
