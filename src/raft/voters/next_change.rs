//! The next membership change: up to five voters, an odd number of them, directors first, spread over zones, the living instead of the
//! dead, one at a time. Pure.

use super::selection::{self, Precedence, VoterCandidate, VoterChange, Zone, best_addition, most_voters};
use crate::model::{NodeId, NodeName, NodeRecord, Role};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// A voter that has been silent for so long is dead: another member takes its place. Long enough for a machine to restart, so that an upgrade
/// changes no voters; short enough that the next failure, minutes later, meets whole voters again. Nothing waits for it: a majority decides
/// without the dead one all the while.
pub const DEAD_AFTER: Duration = Duration::from_secs(60);
/// A living voter is displaced for a better one only when the membership has rested for this time: while nodes come one after the other, each of
/// them changes which set is best.
pub(super) const CALM: Duration = Duration::from_secs(10);
/// How long a node that left is still sent entries if it does not acknowledge that it has them: it may be gone.
const TELL: Duration = Duration::from_secs(5);

/// One step. Each becomes one membership entry (two where voters change: a joint one, then at once the uniform one).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MembershipChange {
    /// Finish a joint membership that a former leader left behind: go to its new set.
    Complete,
    /// A voter that is no member any more becomes a learner, which is removed next. As a learner it is told that it may stop.
    RemoveVoter(NodeId),
    /// A learner votes from now on.
    Promote(NodeId),
    /// A voter becomes a learner: it is dead, or others make better voters, or the number of voters would be even.
    Demote(NodeId),
    /// A node starts to follow the log.
    AddLearner(NodeRecord),
    /// A member answers at another address.
    SetAddress(NodeRecord),
    /// A learner that is no member of the cluster any more goes.
    RemoveLearner(NodeId),
}

/// The effective Raft membership.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RaftMembers {
    /// One set of voters, or two while it is joint.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// All its nodes, with the addresses at which they are reached.
    pub addresses: BTreeMap<NodeId, SocketAddr>,
}

/// What the leader knows when it decides.
#[derive(Clone, Copy, Debug)]
pub struct MembershipInput<'a> {
    /// The leader itself.
    pub me: NodeId,
    /// The cluster's members.
    pub nodes: &'a BTreeMap<NodeName, NodeRecord>,
    /// Those whose gossip is heard.
    pub live: &'a BTreeSet<NodeName>,
    /// For how long the others have been silent, as far as the leader knows since it began to lead.
    pub silent_for: &'a BTreeMap<NodeName, Duration>,
    /// Those that were dead and have not been back for long.
    pub lately_back: &'a BTreeSet<NodeName>,
    /// Nodes whose log is nearly the leader's.
    pub caught_up: &'a BTreeSet<NodeId>,
    /// Nodes that acknowledged this leader a moment ago, whether gossip hears them or not.
    pub acking: &'a BTreeSet<NodeId>,
    /// Nodes that have the membership's own entry in their log: they know of it.
    pub told: &'a BTreeSet<NodeId>,
    /// The effective membership.
    pub members: &'a RaftMembers,
    /// Its entry is committed.
    pub settled: bool,
    /// An entry of the leader's own term is committed (docs/lease.md, "The ghost": nothing is built upon a membership of a former term).
    pub own_term_committed: bool,
    /// Time since the leader saw the last membership entry committed, or since its leadership began, whichever is later.
    pub quiet_for: Duration,
    /// Time since this node saw the last membership entry committed, whoever led: a new leader does not count anew.
    pub settled_for: Duration,
    /// `2·ttl_max` of docs/lease.md, "Changes of the voters": how long voters stay before the next change of voters.
    pub spacing: Duration,
}

/// The next step, if there is one to take now.
pub fn next_change(input: &MembershipInput) -> Option<MembershipChange> {
    if !input.settled || !input.own_term_committed {
        return None;
    }
    match input.members.voters.as_slice() {
        [] => None,
        // The joint membership's own change was spaced; completing it moves to a set that counts already.
        [_, _, ..] => Some(MembershipChange::Complete),
        [voters] => {
            let voters_may_change = input.quiet_for >= input.spacing;
            voters_may_change.then(|| change_of_voters(input, voters)).flatten().or_else(|| change_of_learners(input, voters))
        }
    }
}

fn change_of_voters(input: &MembershipInput, voters: &BTreeSet<NodeId>) -> Option<MembershipChange> {
    if voters.iter().any(|id| record(input, *id).is_none()) {
        return remove_gone(input, voters).or_else(|| stand_in_for_gone(input, voters));
    }
    let calm = input.quiet_for >= CALM.max(input.spacing);
    let wanted = wanted_move(input, voters, calm)?;
    wanted.first(voters.len()).map(|step| match step {
        VoterChange::Add(id) => MembershipChange::Promote(id),
        VoterChange::Remove(id) => MembershipChange::Demote(id),
    })
}

/// Where the voters, all of them members, should go from here.
pub(super) fn wanted_move(input: &MembershipInput, voters: &BTreeSet<NodeId>, calm: bool) -> Option<selection::Move> {
    let (voting, others) = electorate(input, voters);
    let (voting, others): (Vec<_>, Vec<_>) = (voting.iter().collect(), others.iter().collect());
    selection::next_move(&voting, &others, calm)
}

/// A voter that left, or whose node came back with an empty disk and a new number, is removed as soon as the rest can decide. Whether it still
/// answers is not checked: if it is needed and does not answer, nothing can be decided anyhow. Others that left and wait for the same do decide.
/// The dead are removed first and the leader last, so that as many as possible can decide for as long as they are needed.
fn remove_gone(input: &MembershipInput, voters: &BTreeSet<NodeId>) -> Option<MembershipChange> {
    let (staying, _) = electorate(input, voters);
    let able = staying.iter().filter(|voter| voter.able).count();
    let mut gone: Vec<NodeId> = voters.iter().copied().filter(|id| record(input, *id).is_none()).collect();
    gone.sort_by_key(|id| (decides_still(input, *id), *id == input.me));
    let waiting = gone.iter().filter(|id| decides_still(input, **id)).count();
    let rest = voters.len() - 1;
    let can_go = |id: &NodeId| (able + waiting - usize::from(decides_still(input, *id))) * 2 > rest;
    gone.into_iter().find(can_go).map(MembershipChange::RemoveVoter)
}

/// The rest cannot decide without those that left: another member votes before they go.
fn stand_in_for_gone(input: &MembershipInput, voters: &BTreeSet<NodeId>) -> Option<MembershipChange> {
    let (staying, others) = electorate(input, voters);
    let (staying, others): (Vec<_>, Vec<_>) = (staying.iter().collect(), others.iter().collect());
    // A leader that leaves still counts; of other such nodes this is not known.
    let me = usize::from(record(input, input.me).is_none() && voters.contains(&input.me));
    let able = staying.iter().filter(|voter| voter.able).count() + me;
    let wanted = staying.len() < most_voters(input.nodes.len());
    let reachable = able * 2 > voters.len() && (able + 1) * 2 > voters.len() + 1;
    (wanted && reachable).then(|| best_addition(&staying, &others)).flatten().map(MembershipChange::Promote)
}

/// Whether a voter that is no member any more still does its part.
fn decides_still(input: &MembershipInput, id: NodeId) -> bool {
    id == input.me || (input.caught_up.contains(&id) && input.acking.contains(&id))
}

/// Members that vote, and those that do not.
fn electorate<'a>(input: &MembershipInput<'a>, voters: &BTreeSet<NodeId>) -> (Vec<VoterCandidate<'a>>, Vec<VoterCandidate<'a>>) {
    // Members do not gossip any more with a leader that is no member.
    let is_deaf = record(input, input.me).is_none();
    input.nodes.values().map(|record| elector(input, record, is_deaf)).partition(|elector| voters.contains(&elector.id))
}

fn elector<'a>(input: &MembershipInput<'a>, record: &'a NodeRecord, is_deaf: bool) -> VoterCandidate<'a> {
    let is_me = record.id == input.me;
    let follows = input.members.addresses.contains_key(&record.id) && input.caught_up.contains(&record.id);
    let is_heard = if is_deaf { input.acking.contains(&record.id) } else { input.live.contains(&record.name) };
    VoterCandidate {
        id: record.id,
        is_me,
        precedence: precedence(record),
        zone: record.zone.as_ref().map_or(Zone::Own(record.id), Zone::Named),
        present: is_me || is_deaf || input.silent_for.get(&record.name).is_none_or(|silent| *silent < DEAD_AFTER),
        able: is_me || (follows && is_heard),
        steady: !input.lately_back.contains(&record.name),
    }
}

pub(super) fn precedence(record: &NodeRecord) -> Precedence {
    if record.roles.has(Role::Director) {
        Precedence::Director
    } else if record.roles.has(Role::RealServer) {
        Precedence::RealServer
    } else {
        Precedence::Witness
    }
}

fn change_of_learners(input: &MembershipInput, voters: &BTreeSet<NodeId>) -> Option<MembershipChange> {
    let addresses = &input.members.addresses;
    let moved = input.nodes.values().find(|record| addresses.get(&record.id).is_some_and(|addr| *addr != record.addr));
    let missing = || input.nodes.values().filter(|record| !addresses.contains_key(&record.id)).min_by_key(|record| record.id);
    // A node that waits to hear that it votes no more is told for as long as it is a learner.
    // Learners do not matter to leases, so no more than that is waited for; leaders may come and go meanwhile.
    let has_heard =
        |id: &NodeId| input.settled_for >= if input.told.contains(id) { input.spacing } else { TELL.max(input.spacing) };
    let gone = || addresses.keys().find(|id| !voters.contains(id) && record(input, **id).is_none() && has_heard(id));
    moved
        .map(|record| MembershipChange::SetAddress(record.clone()))
        .or_else(|| missing().map(|record| MembershipChange::AddLearner(record.clone())))
        .or_else(|| gone().map(|id| MembershipChange::RemoveLearner(*id)))
}

pub(super) fn record<'a>(input: &MembershipInput<'a>, id: NodeId) -> Option<&'a NodeRecord> {
    input.nodes.values().find(|record| record.id == id)
}

#[cfg(test)]
mod tests;
