//! What keeps a node in touch: voters have connections to each other at hand, so that an election does not wait for handshakes; and a node that hears
//! no leader asks others whether it still is a member, so that one that was removed while it was away hears it, and one that nobody trusts any more can tell.

use super::task::ClusterMember;
use crate::{
    model::NodeId,
    peers::{CallError, Greeting},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// Looks without a leader before others are asked. A cluster that is well elects one in a fraction of that.
const PATIENCE: u32 = 2;
/// Of so many looks one, while nobody trusts this node: it would only have doors shut in its face.
const RARELY: u32 = 10;
/// Members asked at one look.
const AT_A_TIME: usize = 3;

/// Keeps in touch until `shutdown`; not any more once this node has been told that it is no member.
pub async fn run(member: ClusterMember, shutdown: CancellationToken) {
    let node = member.raft();
    let (mut turn, mut leaderless) = (0, 0);
    let mut seen = node.view();
    let mut voters = BTreeSet::new();
    let (mut trust, mut looks) = (Trust::default(), 0_u32);
    loop {
        tokio::select! {
            // Cancel-safe: nothing is lost but a look.
            () = shutdown.cancelled() => return,
            () = sleep(EVERY) => {}
            Ok(_) = seen.wait_for(|view| view.voters != voters) => {}
        }
        let view = node.view().borrow().clone();
        voters.clone_from(&view.voters);
        // One that was removed and votes still, as far as it knows, asks on: others tell it when it does not.
        if node.peers().removed().borrow().is_some() || (view.refused.is_some() && !view.voters.contains(&node.id())) {
            return shutdown.cancelled().await;
        }
        leaderless = if view.quorum { 0 } else { leaderless + 1 };
        if view.quorum {
            trust = Trust::default();
            node.peers().set_untrusted(None);
        }
        let is_lost = leaderless > PATIENCE;
        looks = looks.wrapping_add(1);
        if node.peers().untrusted().is_some() && looks % RARELY != 0 {
            continue;
        }
        let whom = if is_lost {
            turn += AT_A_TIME;
            some_of(others(&member), turn)
        } else if view.voters.contains(&node.id()) {
            others(&member).into_iter().filter(|(id, _)| view.voters.contains(id)).collect()
        } else {
            Vec::new()
        };
        for (id, addr) in whom {
            tokio::select! {
                // Cancel-safe, both.
                () = shutdown.cancelled() => return,
                // What it says is noted where it is heard.
                greeted = node.peers().greet(id, addr, greeting(&view.voters, node.id(), id, is_lost)) => trust.note(id, &greeted),
            }
        }
        node.peers().set_untrusted(trust.nobody(&others(&member)));
    }
}

/// Voters keep connections to each other. All others leave at once: in an outage everybody greets everybody.
fn greeting(voters: &BTreeSet<NodeId>, me: NodeId, other: NodeId, is_lost: bool) -> Greeting {
    match (voters.contains(&me) && voters.contains(&other), is_lost) {
        (true, false) => Greeting::AtHand,
        (true, true) => Greeting::Anew,
        (false, _) => Greeting::Short,
    }
}

/// What members said of each other's certificates when they were last greeted; those that were not reached have said nothing.
#[derive(Default)]
struct Trust(BTreeMap<NodeId, Option<String>>);

impl Trust {
    fn note(&mut self, id: NodeId, greeted: &Result<(), CallError>) {
        match greeted {
            Ok(()) | Err(CallError::Refused { .. } | CallError::SomebodyElse { .. }) => drop(self.0.insert(id, None)),
            Err(error @ (CallError::Tls { .. } | CallError::Broken { .. } | CallError::Answer { .. })) => {
                drop(self.0.insert(id, Some(error.to_string())))
            }
            Err(
                CallError::Connect { .. }
                | CallError::Closed { .. }
                | CallError::Late { .. }
                | CallError::Failed { .. }
                | CallError::TooLong { .. }
                | CallError::Connecting { .. },
            ) => {}
        }
    }

    /// One of their words, if all that have said anything do not trust, and they are more than half of the members.
    fn nobody(&self, members: &[(NodeId, SocketAddr)]) -> Option<String> {
        let said: Vec<&Option<String>> = members.iter().filter_map(|(id, _)| self.0.get(id)).collect();
        let words: Option<Vec<&String>> = said.iter().map(|word| word.as_ref()).collect();
        words.filter(|words| words.len() * 2 > members.len())?.first().map(|word| (*word).clone())
    }
}

fn some_of(members: Vec<(NodeId, SocketAddr)>, turn: usize) -> Vec<(NodeId, SocketAddr)> {
    let from = turn % members.len().max(1);
    members.iter().cycle().skip(from).take(AT_A_TIME.min(members.len())).copied().collect()
}

fn others(member: &ClusterMember) -> Vec<(NodeId, SocketAddr)> {
    let node = member.raft();
    let state = node.published().borrow().state.clone();
    let met = member.identity().met.iter().map(|met| (met.id, met.addr));
    let members: Vec<_> = if state.nodes.is_empty() {
        met.collect()
    } else {
        state.nodes.values().map(|record| (record.id, record.addr)).collect()
    };
    members.into_iter().filter(|(id, _)| *id != node.id()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn only_voters_keep_connections_to_each_other_and_greet_anew_in_an_outage() {
        let voters: BTreeSet<NodeId> = [1, 2].map(NodeId).into();
        let ask = |me, other, is_lost| greeting(&voters, NodeId(me), NodeId(other), is_lost);
        assert_eq!(ask(1, 2, false), Greeting::AtHand);
        assert_eq!(ask(1, 2, true), Greeting::Anew);
        assert_eq!(ask(1, 300, true), Greeting::Short);
        assert_eq!(ask(300, 1, true), Greeting::Short);
    }

    #[test]
    fn nobody_trusts_this_node_when_all_that_answer_do_not_and_they_are_most() {
        let addr = SocketAddr::from(([192, 0, 2, 1], 7400));
        let members: Vec<_> = (1..=3).map(|id| (NodeId(id), addr)).collect();
        let distrust = || Err(CallError::Tls { addr, source: io::Error::other("another ca") });
        let silence = || Err(CallError::Connect { addr, source: io::Error::other("refused") });
        let mut trust = Trust::default();
        assert_eq!(trust.nobody(&members), None, "nobody has said anything");
        trust.note(NodeId(1), &distrust());
        trust.note(NodeId(2), &silence());
        assert_eq!(trust.nobody(&members), None, "one of three may be a stranger in their place");
        trust.note(NodeId(3), &distrust());
        assert!(trust.nobody(&members).unwrap().contains("another ca"));
        trust.note(NodeId(2), &Ok(()));
        assert_eq!(trust.nobody(&members), None);
        assert_eq!(Trust::default().nobody(&[]), None, "alone");
    }
}
