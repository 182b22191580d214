//! The membership entries of a Raft log, as the lease needs them: elections, replication, truncation, commitment, and the rules for changes
//! ("Changes of the voters" in docs/lease.md). What Raft does over many messages happens here in one step; what matters to the lease (who has
//! stored what, and when a leader may go on) is Raft's.

use super::{Nanos, node::listens_at};
use lvs_agent::{
    model::NodeId,
    vip::{LeaseMembership, MembershipId, majority_of_each},
};
use std::collections::{BTreeMap, BTreeSet};

/// Voter sets of a membership entry: one, or two while joint.
pub type Sets = Vec<BTreeSet<NodeId>>;

/// One switch for each rule of docs/lease.md, "Changes of the voters".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRuleToggles {
    /// At least 2·ttl_max between changes.
    pub spacing: bool,
    /// …counted from the later of: last membership seen committed, leadership began.
    pub later_of: bool,
    /// The voter set changes by one voter.
    pub one_at_a_time: bool,
    /// Only a leader that has committed an entry of its own term proposes.
    pub own_term: bool,
    /// A joint membership completes only to its new set.
    pub completes_forward: bool,
    /// A guard is told of an entry before the entry is reported as stored.
    pub order_of_knowing: bool,
}

impl LogRuleToggles {
    /// As docs/lease.md has it.
    pub const ON: Self = Self {
        spacing: true,
        later_of: true,
        one_at_a_time: true,
        own_term: true,
        completes_forward: true,
        order_of_knowing: true,
    };
}

/// One entry: a membership, or the blank one with which a leader begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    term: u64,
    leader: NodeId,
    sets: Option<Sets>,
}

/// One node's log. It outlives crashes.
#[derive(Clone, Debug)]
struct Replica {
    term: u64,
    entries: Vec<Entry>,
    /// How many entries this node knows to be committed; forgotten in a crash.
    known_committed: usize,
    /// When it learned that as a leader, by its own clock, and of which membership entry.
    seen: Option<(usize, Nanos)>,
}

#[derive(Clone, Debug)]
struct Leadership {
    term: u64,
    began: Nanos,
    matched: Vec<usize>,
}

/// All nodes' logs.
#[derive(Clone, Debug)]
pub struct MembershipLog {
    replicas: Vec<Replica>,
    leaders: BTreeMap<usize, Leadership>,
    rules: LogRuleToggles,
    spacing: Nanos,
}

impl MembershipLog {
    /// Every node has stored `first`, and knows it committed.
    pub fn new(nodes: usize, first: Sets, spacing: Nanos, rules: LogRuleToggles) -> Self {
        let entry = Entry { term: 1, leader: NodeId(0), sets: Some(first) };
        let replica = Replica { term: 1, entries: vec![entry], known_committed: 1, seen: Some((0, 0)) };
        Self { replicas: vec![replica; nodes], leaders: BTreeMap::new(), rules, spacing }
    }

    /// What the worker of `node` tells its guard.
    pub fn effective(&self, node: usize) -> LeaseMembership {
        membership_of(&self.replicas[node].entries)
    }

    /// Who believes to lead.
    pub fn leaders(&self) -> Vec<usize> {
        self.leaders.keys().copied().collect()
    }

    /// How many entries `node` has stored.
    pub fn len(&self, node: usize) -> usize {
        self.replicas[node].entries.len()
    }

    /// Whether it has stored nothing. Never so: all begin with the first membership.
    pub fn is_empty(&self, node: usize) -> bool {
        self.replicas[node].entries.is_empty()
    }

    /// The node's worker has died.
    pub fn crashed(&mut self, node: usize) {
        self.leaders.remove(&node);
        self.replicas[node].known_committed = 0;
        self.replicas[node].seen = None;
    }

    /// `candidate` asks `reachable` for their votes; says whether it leads now. Its first entry is to be appended with [`Self::with_blank`].
    pub fn elect(&mut self, candidate: usize, reachable: &[usize], local_now: Nanos) -> bool {
        let term = self.replicas[candidate].term + 1;
        let position = self.position(candidate);
        let mut votes = BTreeSet::from([NodeId(candidate as u64)]);
        self.enter_term(candidate, term);
        for voter in reachable.iter().copied().filter(|voter| *voter != candidate) {
            let theirs = self.replicas[voter].term;
            // It hears of that term with the refusal.
            self.enter_term(candidate, theirs);
            if theirs < term {
                self.enter_term(voter, term);
                if self.position(voter) <= position {
                    votes.insert(NodeId(voter as u64));
                }
            }
        }
        let is_up_to_date = self.replicas[candidate].term == term;
        let won = is_up_to_date && majority_of_each(&self.effective(candidate).voters, |node| votes.contains(node));
        if won {
            let matched = vec![0; self.replicas.len()];
            self.leaders.insert(candidate, Leadership { term, began: local_now, matched });
        }
        won
    }

    /// The leader's log with the blank entry that begins its term.
    pub fn with_blank(&self, leader: usize) -> Vec<Entry> {
        self.with_entry(leader, None)
    }

    /// The leader's log with a membership entry, if the rules let it propose one. `target` is the wanted voter set; a joint membership is
    /// completed whatever it is, unless it may go back and `target` is the old set.
    pub fn with_change(&self, leader: usize, target: &BTreeSet<NodeId>, local_now: Nanos) -> Option<Vec<Entry>> {
        let leadership = self.leaders.get(&leader)?;
        let replica = &self.replicas[leader];
        let last = last_membership(&replica.entries);
        let own_term = replica.known_committed.checked_sub(1).is_some_and(|at| replica.entries[at].term == leadership.term);
        if replica.known_committed <= last || (self.rules.own_term && !own_term) {
            return None;
        }
        let sets = replica.entries[last].sets.clone()?;
        match &sets[..] {
            [old, _] if !self.rules.completes_forward && old == target => Some(self.with_entry(leader, Some(vec![old.clone()]))),
            [_, new] => Some(self.with_entry(leader, Some(vec![new.clone()]))),
            [old] if self.spaced(leadership, replica, local_now) && self.is_legal(old, target) => {
                Some(self.with_entry(leader, Some(vec![old.clone(), target.clone()])))
            }
            _ => None,
        }
    }

    fn spaced(&self, leadership: &Leadership, replica: &Replica, local_now: Nanos) -> bool {
        let seen = replica.seen.map_or(leadership.began, |(_, at)| at);
        let from = if self.rules.later_of { seen.max(leadership.began) } else { seen.min(leadership.began) };
        !self.rules.spacing || local_now >= from + self.spacing
    }

    fn is_legal(&self, old: &BTreeSet<NodeId>, target: &BTreeSet<NodeId>) -> bool {
        let changed = old.symmetric_difference(target).count();
        changed == 1 || (changed > 1 && !self.rules.one_at_a_time)
    }

    fn with_entry(&self, leader: usize, sets: Option<Sets>) -> Vec<Entry> {
        let mut entries = self.replicas[leader].entries.clone();
        let term = self.leaders.get(&leader).map_or(self.replicas[leader].term, |leadership| leadership.term);
        entries.push(Entry { term, leader: NodeId(leader as u64), sets });
        entries
    }

    /// What `follower`'s log becomes when `leader` sends its log up to `sent` entries; `None` if the follower follows a later leader.
    pub fn offered(&mut self, leader: usize, follower: usize, sent: usize) -> Option<Vec<Entry>> {
        let term = self.leaders.get(&leader)?.term;
        if self.replicas[follower].term > term {
            let newer = self.replicas[follower].term;
            self.enter_term(leader, newer);
            return None;
        }
        self.enter_term(follower, term);
        let (ours, theirs) = (&self.replicas[leader].entries, &self.replicas[follower].entries);
        let sent = sent.min(ours.len());
        let same = ours.iter().zip(theirs).take_while(|(one, other)| one == other).count();
        Some(if sent > same { ours[..sent].to_vec() } else { theirs.clone() })
    }

    /// `node` has stored this log.
    pub fn store(&mut self, node: usize, entries: Vec<Entry>) {
        let replica = &mut self.replicas[node];
        replica.known_committed = replica.known_committed.min(entries.len());
        replica.seen.take_if(|(entry, _)| entries.get(*entry) != replica.entries.get(*entry));
        replica.entries = entries;
    }

    /// `follower` has told `leader` that it has stored the leader's log up to `sent` entries. Commits what can be.
    pub fn acknowledged(&mut self, leader: usize, follower: usize, sent: usize, local_now: Nanos) {
        let Some(leadership) = self.leaders.get_mut(&leader) else { return };
        let matched = &mut leadership.matched[follower];
        *matched = sent.max(*matched);
        let replica = &self.replicas[leader];
        let sets = membership_of(&replica.entries).voters;
        let committed = (replica.known_committed + 1..=replica.entries.len())
            .filter(|count| replica.entries[count - 1].term == leadership.term)
            .rfind(|count| majority_of_each(&sets, |node| leadership.matched[node.0 as usize] >= *count));
        if let Some(committed) = committed {
            let last = last_membership(&replica.entries[..committed]);
            let replica = &mut self.replicas[leader];
            replica.known_committed = committed;
            if replica.seen.is_none_or(|(entry, _)| entry != last) {
                replica.seen = Some((last, local_now));
            }
        }
    }

    /// The leader has told `follower` how much is committed.
    pub fn heard_commit(&mut self, leader: usize, follower: usize) {
        let known = self.replicas[leader].known_committed.min(self.replicas[follower].entries.len());
        let same = self.replicas[leader].entries[..known] == self.replicas[follower].entries[..known];
        if same {
            let replica = &mut self.replicas[follower];
            replica.known_committed = replica.known_committed.max(known);
        }
    }

    fn enter_term(&mut self, node: usize, term: u64) {
        if term > self.replicas[node].term {
            self.replicas[node].term = term;
            self.leaders.remove(&node);
        }
    }

    /// Raft's "up to date", to be compared.
    fn position(&self, node: usize) -> (u64, usize) {
        let entries = &self.replicas[node].entries;
        (entries.last().map_or(0, |entry| entry.term), entries.len())
    }
}

/// The effective membership of a log: its last, committed or not.
pub fn membership_of(entries: &[Entry]) -> LeaseMembership {
    let index = last_membership(entries);
    let entry = &entries[index];
    let id = MembershipId { term: entry.term, leader: entry.leader, index: index as u64 };
    let voters = entry.sets.clone().unwrap_or_default();
    let addresses = voters.iter().flatten().map(|node| (*node, listens_at(*node))).collect();
    LeaseMembership { id, voters, addresses }
}

fn last_membership(entries: &[Entry]) -> usize {
    entries.iter().rposition(|entry| entry.sets.is_some()).unwrap_or(0)
}
