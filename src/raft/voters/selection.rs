//! Voter selection: what makes one set of voters better than another, and the move to make from the present one. Pure.
//!
//! A move goes from one odd set to another that is strictly better; what happens in between (an even set) goes on to the best odd set next
//! to it, which is the one aimed at or a better one. So, while nobody dies or comes back, moves end, and no two nodes ever swap for ever.
//! Sets that are as good as the present one are not moved to: a new node disturbs nobody unless it makes the voters better.

use crate::model::{NodeId, ZoneName};
use std::{cmp::Reverse, collections::BTreeMap};

/// Five survive two failures at once. Seven would survive one more, and make every commit and every lease renewal wait for one more.
pub const MAX_VOTERS: usize = 5;

/// What fails together. A node without a zone is one of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Zone<'a> {
    /// As configured.
    Named(&'a ZoneName),
    /// This node alone.
    Own(NodeId),
}

/// Who is to vote before others. A real server's load is the clients', and its loss is what the cluster is there for; so it votes where others are lacking.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Precedence {
    /// Neither of the others.
    RealServer,
    /// It is there to vote.
    Witness,
    /// It holds VIPs.
    Director,
}

/// A member with the properties that decide whether it should vote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoterCandidate<'a> {
    /// Its number.
    pub id: NodeId,
    /// It is the leader itself.
    pub is_me: bool,
    /// Directors come first.
    pub precedence: Precedence,
    /// What fails together with it.
    pub zone: Zone<'a>,
    /// It has not been silent for so long that it counts as dead.
    pub present: bool,
    /// It is heard and its log is nearly the leader's: it can be counted upon now.
    pub able: bool,
    /// It was dead lately: no voter is displaced for it.
    pub steady: bool,
}

/// The quality of a set of voters. Greater is better; earlier fields count first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Worth {
    /// A majority is left whichever zone fails.
    survives_a_zone: bool,
    /// How many of those that are present may fail.
    spare: isize,
    /// Of two that survive as much, the one in which dead voters may come back.
    size: usize,
    /// By how many voters a zone is too large to be survived.
    crowd: Reverse<usize>,
    /// Directors that are present.
    directors: usize,
    /// Witnesses that are present.
    witnesses: usize,
}

/// The nodes that lose their votes, and the nodes that get one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Move {
    /// In the order in which they go.
    pub out: Vec<NodeId>,
    /// In the order in which they come.
    pub into: Vec<NodeId>,
}

impl Move {
    /// The next single step: whether a node gets a vote, and which. A swap adds first, as long as that does not make more than [`MAX_VOTERS`].
    pub fn first(&self, voters: usize) -> Option<VoterChange> {
        let add = self.into.first().map(|id| VoterChange::Add(*id));
        let remove = self.out.first().map(|id| VoterChange::Remove(*id));
        if voters < MAX_VOTERS { add.or(remove) } else { remove.or(add) }
    }
}

/// One voter more or less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoterChange {
    /// It votes from now on.
    Add(NodeId),
    /// It votes no more.
    Remove(NodeId),
}

/// The greatest odd number of voters that so many members have.
pub fn most_voters(members: usize) -> usize {
    let most = members.min(MAX_VOTERS);
    if most.is_multiple_of(2) { most.saturating_sub(1) } else { most }
}

/// Whether a majority of these can be counted upon now.
pub fn decides(voters: &[&VoterCandidate<'_>]) -> bool {
    voters.iter().filter(|voter| voter.able).count() * 2 > voters.len()
}

/// The move to make. `calm`: the membership has rested for a while, so that living voters may be displaced for the better.
///
/// Every set on the way can decide with those that can be counted upon now, and so can the present one: the joint quorums in between are reached.
pub fn next_move(voters: &[&VoterCandidate<'_>], others: &[&VoterCandidate<'_>], calm: bool) -> Option<Move> {
    if !decides(voters) {
        return None;
    }
    let most = most_voters(voters.len() + others.len());
    let least = most.min(3);
    let candidates = representatives(others);
    let moves = if voters.len() % 2 == 1 {
        let moves = odd_moves(voters, &candidates, least, most);
        moves.into_iter().filter(|plan| plan.set.worth > Worth::of(voters) && is_due(plan, voters, least, calm)).collect()
    } else {
        even_moves(voters, &candidates, least, most)
    };
    let reachable = moves.into_iter().filter(|plan| plan.is_reachable(voters));
    reachable.max_by_key(|plan| (plan.set.clone(), plan.manner())).map(|plan| plan.to_move())
}

/// The best of `others` to add when voters that left cannot be taken away yet.
pub fn best_addition(voters: &[&VoterCandidate<'_>], others: &[&VoterCandidate<'_>]) -> Option<NodeId> {
    let candidates = representatives(others);
    let plans = candidates.iter().map(|new| PlannedMove::new(voters, &[], &[new]));
    plans.max_by_key(|plan| (plan.set.clone(), plan.manner())).map(|plan| plan.into[0].id)
}

/// Living voters are displaced only in calm times, while no voter is silent, and not for a node that was dead lately; the cluster is not enlarged
/// for such a node either.
fn is_due(plan: &PlannedMove<'_, '_>, voters: &[&VoterCandidate<'_>], least: usize, calm: bool) -> bool {
    let displaces = plan.out.iter().any(|voter| voter.present);
    let grows = plan.into.len() > plan.out.len() && voters.len() >= least;
    let undecided_fate = || voters.iter().any(|voter| voter.present && !voter.able);
    let steady = plan.into.iter().all(|new| new.steady);
    (!displaces || (calm && !undecided_fate())) && (steady || !(displaces || grows))
}

/// How a set is chosen among several. Which of two is better decides, except that a node that was dead lately is not preferred for what it
/// is, or where. (The moves that only that decides are not made for such nodes at all, see [`is_due`], so moves still end.)
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rank {
    survives: (bool, isize, usize),
    unsteady: Reverse<usize>,
    worth: Worth,
    spread: Reverse<usize>,
}

/// A move with the set it leads to.
struct PlannedMove<'p, 'a> {
    out: Vec<&'p VoterCandidate<'a>>,
    into: Vec<&'p VoterCandidate<'a>>,
    set: Rank,
}

impl<'p, 'a> PlannedMove<'p, 'a> {
    fn new(voters: &[&'p VoterCandidate<'a>], out: &[&'p VoterCandidate<'a>], into: &[&'p VoterCandidate<'a>]) -> Self {
        let set = changed(voters, out, into);
        let worth = Worth::of(&set);
        let set = Rank {
            survives: (worth.survives_a_zone, worth.spare, worth.size),
            unsteady: Reverse(into.iter().filter(|new| !new.steady).count()),
            worth,
            spread: Reverse(zones(&set).map(|count| count * count).sum()),
        };
        // The dead go first, so that the even set on the way is the best there is; then the youngest. Who comes: directors first, then witnesses, of each the eldest.
        let (mut out, mut into) = (out.to_vec(), into.to_vec());
        out.sort_by_key(|voter| (voter.present, voter.able, Reverse(voter.id)));
        into.sort_by_key(|new| (Reverse(new.precedence), new.id));
        Self { out, into, set }
    }

    /// Of moves to sets that are equally good: take the vote from silent ones, not from the leader, from the youngest; give it to the eldest.
    fn manner(&self) -> impl Ord + use<> {
        let silent = self.out.iter().filter(|voter| !voter.able).count();
        let spares_me = !self.out.iter().any(|voter| voter.is_me);
        let out: Vec<NodeId> = self.out.iter().map(|voter| voter.id).collect();
        let into: Vec<NodeId> = self.into.iter().map(|new| new.id).collect();
        (silent, spares_me, out, Reverse(into))
    }

    /// Each set on the way can decide.
    fn is_reachable(&self, voters: &[&'p VoterCandidate<'a>]) -> bool {
        let (mut out, mut into) = (self.out.as_slice(), self.into.as_slice());
        let mut set = voters.to_vec();
        while let Some(step) = self.part(out, into).first(set.len()) {
            set = match step {
                VoterChange::Add(_) => changed(&set, &[], &into[..1]),
                VoterChange::Remove(_) => changed(&set, &out[..1], &[]),
            };
            match step {
                VoterChange::Add(_) => into = &into[1..],
                VoterChange::Remove(_) => out = &out[1..],
            }
            if !decides(&set) {
                return false;
            }
        }
        true
    }

    fn part(&self, out: &[&VoterCandidate<'_>], into: &[&VoterCandidate<'_>]) -> Move {
        let ids = |electors: &[&VoterCandidate<'_>]| electors.iter().map(|elector| elector.id).collect();
        Move { out: ids(out), into: ids(into) }
    }

    fn to_move(&self) -> Move {
        self.part(&self.out, &self.into)
    }
}

/// From an odd set: two more, two less, or another one instead.
fn odd_moves<'p, 'a>(
    voters: &[&'p VoterCandidate<'a>],
    candidates: &[&'p VoterCandidate<'a>],
    least: usize,
    most: usize,
) -> Vec<PlannedMove<'p, 'a>> {
    let mut plans = Vec::new();
    if voters.len() + 2 <= most {
        plans.extend(pairs(candidates).map(|pair| PlannedMove::new(voters, &[], &pair)));
    }
    if voters.len() >= least + 2 {
        plans.extend(pairs(voters).map(|pair| PlannedMove::new(voters, &pair, &[])));
    }
    // The only voter keeps its vote: a swap would pass through a set in which both must live.
    if voters.len() >= 3 {
        plans.extend(voters.iter().flat_map(|old| candidates.iter().map(|new| PlannedMove::new(voters, &[*old], &[*new]))));
    }
    plans
}

/// From an even set, which survives no more than the odd one below it: one more or one less.
fn even_moves<'p, 'a>(
    voters: &[&'p VoterCandidate<'a>],
    candidates: &[&'p VoterCandidate<'a>],
    least: usize,
    most: usize,
) -> Vec<PlannedMove<'p, 'a>> {
    let mut plans = Vec::new();
    if voters.len() < most {
        plans.extend(candidates.iter().map(|new| PlannedMove::new(voters, &[], &[*new])));
    }
    if voters.len() > least {
        plans.extend(voters.iter().map(|old| PlannedMove::new(voters, &[*old], &[])));
    }
    plans
}

fn pairs<'p, 'a>(of: &[&'p VoterCandidate<'a>]) -> impl Iterator<Item = [&'p VoterCandidate<'a>; 2]> {
    of.iter().enumerate().flat_map(|(at, first)| of[at + 1..].iter().map(|second| [*first, *second]))
}

fn changed<'p, 'a>(
    voters: &[&'p VoterCandidate<'a>],
    out: &[&VoterCandidate<'_>],
    into: &[&'p VoterCandidate<'a>],
) -> Vec<&'p VoterCandidate<'a>> {
    let stays = |voter: &&&VoterCandidate<'_>| !out.iter().any(|gone| gone.id == voter.id);
    voters.iter().filter(stays).chain(into).copied().collect()
}

/// Of the candidates that differ in nothing that matters, the two eldest: a thousand candidates make a handful of moves.
fn representatives<'p, 'a>(others: &[&'p VoterCandidate<'a>]) -> Vec<&'p VoterCandidate<'a>> {
    let mut kinds: BTreeMap<_, Vec<&VoterCandidate<'_>>> = BTreeMap::new();
    let mut able: Vec<_> = others.iter().copied().filter(|other| other.able).collect();
    able.sort_by_key(|other| other.id);
    for candidate in able {
        let zone = match candidate.zone {
            Zone::Named(zone) => Some(zone),
            Zone::Own(_) => None,
        };
        let kind = kinds.entry((candidate.precedence, candidate.steady, zone)).or_default();
        if kind.len() < 2 {
            kind.push(candidate);
        }
    }
    kinds.into_values().flatten().collect()
}

/// How many voters each zone has.
fn zones(voters: &[&VoterCandidate<'_>]) -> impl Iterator<Item = usize> {
    let mut counts: BTreeMap<Zone<'_>, usize> = BTreeMap::new();
    for voter in voters {
        *counts.entry(voter.zone).or_default() += 1;
    }
    counts.into_values().collect::<Vec<_>>().into_iter()
}

impl Worth {
    fn of(voters: &[&VoterCandidate<'_>]) -> Self {
        let quorum = voters.len() / 2 + 1;
        let present: Vec<&VoterCandidate<'_>> = voters.iter().copied().filter(|voter| voter.present).collect();
        let spare = present.len().cast_signed() - quorum.cast_signed();
        let largest_present = zones(&present).max().unwrap_or(0);
        let largest = zones(voters).max().unwrap_or(0);
        let having = |precedence| present.iter().filter(|voter| voter.precedence == precedence).count();
        Self {
            survives_a_zone: spare >= largest_present.cast_signed(),
            spare,
            size: voters.len(),
            crowd: Reverse(largest.saturating_sub(voters.len() - quorum.min(voters.len()))),
            directors: having(Precedence::Director),
            witnesses: having(Precedence::Witness),
        }
    }
}
