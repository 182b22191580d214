//! Keeps a node in contact with the others. Voters keep connections to each other, so that an election does not wait for handshakes. A node that
//! hears no leader asks other members whether it still is a member: so a removed node learns of its removal, and so does a node that is not trusted.

use super::task::ClusterMember;
use crate::{
    model::NodeId,
    peers::{CallError, GreetingPurpose},
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
/// After so many ticks without a leader, this node asks other members. A healthy cluster elects a leader in a fraction of that time.
const PATIENCE: u32 = 2;
/// While no peer trusts this node, it contacts them only every tenth tick; more would only trip their rate limits.
const RARELY: u32 = 10;
/// Members asked at one look.
const AT_A_TIME: usize = 3;

/// Keeps contact until `shutdown`, or until this node has been told that it was removed.
pub async fn run(member: ClusterMember, shutdown: CancellationToken) {
    let node = member.raft();
    let (mut turn, mut leaderless) = (0, 0);
    let mut seen = node.view();
    let mut voters = BTreeSet::new();
    let (mut trust, mut looks) = (TrustReports::default(), 0_u32);
    loop {
        tokio::select! {
            // Cancel-safe: only one tick is lost.
            () = shutdown.cancelled() => return,
            () = sleep(EVERY) => {}
            Ok(_) = seen.wait_for(|view| view.voters != voters) => {}
        }
        let view = node.view().borrow().clone();
        voters.clone_from(&view.voters);
        // A removed node that still votes, as far as it knows, keeps asking: other members tell it when it votes no more.
        if node.peers().removed().borrow().is_some() || (view.refused.is_some() && !view.voters.contains(&node.id())) {
            return shutdown.cancelled().await;
        }
        leaderless = if view.quorum { 0 } else { leaderless + 1 };
        if view.quorum {
            trust = TrustReports::default();
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
                // The connection pool notes the answer.
                greeted = node.peers().greet(id, addr, greeting(&view.voters, node.id(), id, is_lost)) => trust.note(id, &greeted),
            }
        }
        node.peers().set_untrusted(trust.nobody(&others(&member)));
    }
}

/// Voters keep their connections to each other. All others close theirs at once: in an outage every node greets every other one.
fn greeting(voters: &BTreeSet<NodeId>, me: NodeId, other: NodeId, is_lost: bool) -> GreetingPurpose {
    match (voters.contains(&me) && voters.contains(&other), is_lost) {
        (true, false) => GreetingPurpose::AtHand,
        (true, true) => GreetingPurpose::Anew,
        (false, _) => GreetingPurpose::Short,
    }
}

/// Whether each member and this node trusted each other's certificates at the last greeting. Members that were not reached have no entry.
#[derive(Default)]
struct TrustReports(BTreeMap<NodeId, Option<String>>);

impl TrustReports {
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

    /// The reason of one member, if every member with an entry does not trust, and these are more than half of the members.
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
    let met = member.identity().bootstrap_peers.iter().map(|met| (met.id, met.addr));
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
        assert_eq!(ask(1, 2, false), GreetingPurpose::AtHand);
        assert_eq!(ask(1, 2, true), GreetingPurpose::Anew);
        assert_eq!(ask(1, 300, true), GreetingPurpose::Short);
        assert_eq!(ask(300, 1, true), GreetingPurpose::Short);
    }

    #[test]
    fn nobody_trusts_this_node_when_all_that_answer_do_not_and_they_are_most() {
        let addr = SocketAddr::from(([192, 0, 2, 1], 7400));
        let members: Vec<_> = (1..=3).map(|id| (NodeId(id), addr)).collect();
        let distrust = || Err(CallError::Tls { addr, source: io::Error::other("another ca") });
        let silence = || Err(CallError::Connect { addr, source: io::Error::other("refused") });
        let mut trust = TrustReports::default();
        assert_eq!(trust.nobody(&members), None, "nobody has said anything");
        trust.note(NodeId(1), &distrust());
        trust.note(NodeId(2), &silence());
        assert_eq!(trust.nobody(&members), None, "one of three may be a stranger in their place");
        trust.note(NodeId(3), &distrust());
        assert!(trust.nobody(&members).unwrap().contains("another ca"));
        trust.note(NodeId(2), &Ok(()));
        assert_eq!(trust.nobody(&members), None);
        assert_eq!(TrustReports::default().nobody(&[]), None, "alone");
    }
}
