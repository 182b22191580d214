//! Which membership change comes next: up to five voters, an odd number of them, directors first, one at a time. Pure.

use crate::model::{NodeId, NodeName, NodeRecord, Role};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// Five survive two failures at once. Seven would survive one more, and make every commit and every lease renewal wait for one more.
pub const MAX_VOTERS: usize = 5;

/// One step. Each becomes one membership entry (two where voters change: a joint one, then at once the uniform one).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Finish a joint membership that a former leader left behind: go to its new set.
    Complete,
    /// A voter that is no member of the cluster any more becomes a learner, which goes next. A node that leaves so hears that it may stop.
    RemoveVoter(NodeId),
    /// A learner votes from now on.
    Promote(NodeId),
    /// A voter becomes a learner, because without it the number of voters is odd.
    Demote(NodeId),
    /// A node starts to follow the log.
    AddLearner(NodeRecord),
    /// A member answers at another address.
    SetAddress(NodeRecord),
    /// A learner that is no member of the cluster any more goes.
    RemoveLearner(NodeId),
}

/// Who is in the effective Raft membership.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Members {
    /// One set of voters, or two while it is joint.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// Everybody in it, with the address it is reached at.
    pub addresses: BTreeMap<NodeId, SocketAddr>,
}

/// What the leader knows when it decides.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The leader itself.
    pub me: NodeId,
    /// The cluster's members.
    pub nodes: &'a BTreeMap<NodeName, NodeRecord>,
    /// Those whose gossip is heard.
    pub live: &'a BTreeSet<NodeName>,
    /// Learners whose log is nearly the leader's.
    pub caught_up: &'a BTreeSet<NodeId>,
    /// The effective membership.
    pub members: &'a Members,
    /// Its entry is committed.
    pub settled: bool,
    /// An entry of the leader's own term is committed (LEASE.md: a ghost membership of a former term must not be built upon).
    pub own_term_committed: bool,
    /// Time since the leader saw the last membership entry committed, or since its leadership began, whichever is later.
    pub quiet_for: Duration,
    /// LEASE.md's `2·ttl_max`: how long voters stay before the next change of voters.
    pub spacing: Duration,
}

/// The next step, if there is one to take now.
pub fn next_change(input: &Input) -> Option<Change> {
    if !input.settled || !input.own_term_committed {
        return None;
    }
    match input.members.voters.as_slice() {
        [] => None,
        // The joint membership's own change was spaced; completing it moves to a set that counts already.
        [_, _, ..] => Some(Change::Complete),
        [voters] => {
            let voters_may_change = input.quiet_for >= input.spacing;
            voters_may_change.then(|| change_of_voters(input, voters)).flatten().or_else(|| change_of_learners(input, voters))
        }
    }
}

fn change_of_voters(input: &Input, voters: &BTreeSet<NodeId>) -> Option<Change> {
    remove_gone(input, voters).or_else(|| promote(input, voters)).or_else(|| demote(input, voters))
}

/// A voter that left, or whose node came back with an empty disk and a new number.
fn remove_gone(input: &Input, voters: &BTreeSet<NodeId>) -> Option<Change> {
    let gone = voters.iter().find(|id| record(input, **id).is_none())?;
    works_without(input, voters, *gone).then_some(Change::RemoveVoter(*gone))
}

fn promote(input: &Input, voters: &BTreeSet<NodeId>) -> Option<Change> {
    let staying = voters.iter().filter(|id| record(input, **id).is_some()).count();
    if staying >= wanted_voters(input) {
        return None;
    }
    let candidates = candidates(input, voters);
    // From odd to even only with a second candidate at hand that makes it odd again: an even number survives no more than the odd one below it.
    let ends_odd = staying % 2 == 0 || candidates.len() >= 2;
    candidates.first().filter(|_| ends_odd).map(|record| Change::Promote(record.id))
}

/// Too many, or an even number that nobody can make odd: the one that is missed least becomes a learner.
fn demote(input: &Input, voters: &BTreeSet<NodeId>) -> Option<Change> {
    if voters.len() <= wanted_voters(input) {
        return None;
    }
    let least = voters
        .iter()
        .filter(|id| **id != input.me)
        .filter_map(|id| record(input, *id))
        .min_by_key(|record| (is_live(input, record.id), record.roles.has(Role::Director), std::cmp::Reverse(record.id)))?;
    works_without(input, voters, least.id).then_some(Change::Demote(least.id))
}

fn change_of_learners(input: &Input, voters: &BTreeSet<NodeId>) -> Option<Change> {
    let addresses = &input.members.addresses;
    let moved = input.nodes.values().find(|record| addresses.get(&record.id).is_some_and(|addr| *addr != record.addr));
    let missing = || input.nodes.values().filter(|record| !addresses.contains_key(&record.id)).min_by_key(|record| record.id);
    let gone = || addresses.keys().find(|id| !voters.contains(id) && record(input, **id).is_none());
    moved
        .map(|record| Change::SetAddress(record.clone()))
        .or_else(|| missing().map(|record| Change::AddLearner(record.clone())))
        .or_else(|| gone().map(|id| Change::RemoveLearner(*id)))
}

/// The greatest odd number of voters that the cluster has nodes for.
fn wanted_voters(input: &Input) -> usize {
    let most = input.nodes.len().min(MAX_VOTERS);
    if most.is_multiple_of(2) { most.saturating_sub(1) } else { most }
}

/// Learners that may vote: alive and up to date; directors first, then as they joined.
fn candidates<'a>(input: &Input<'a>, voters: &BTreeSet<NodeId>) -> Vec<&'a NodeRecord> {
    let may_vote = |record: &&NodeRecord| {
        !voters.contains(&record.id)
            && input.members.addresses.contains_key(&record.id)
            && input.caught_up.contains(&record.id)
            && is_live(input, record.id)
    };
    let mut candidates: Vec<&NodeRecord> = input.nodes.values().filter(may_vote).collect();
    candidates.sort_by_key(|record| (!record.roles.has(Role::Director), record.id));
    candidates
}

/// Whether a majority of the others is alive, so that the cluster can still decide without `leaving`.
fn works_without(input: &Input, voters: &BTreeSet<NodeId>, leaving: NodeId) -> bool {
    let rest: Vec<&NodeId> = voters.iter().filter(|id| **id != leaving).collect();
    rest.iter().filter(|id| is_live(input, ***id)).count() * 2 > rest.len()
}

fn record<'a>(input: &Input<'a>, id: NodeId) -> Option<&'a NodeRecord> {
    input.nodes.values().find(|record| record.id == id)
}

fn is_live(input: &Input, id: NodeId) -> bool {
    id == input.me || record(input, id).is_some_and(|record| input.live.contains(&record.name))
}

#[cfg(test)]
mod tests;
