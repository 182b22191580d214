//! What goes wrong, and how the membership changes meanwhile. All by chance.

use super::{TTL, world::Event, world::World};
use lvs_agent::{
    guard::leases::LeaseEvent,
    model::{Fitness, NodeId},
    vip::LeaseTiming,
};
use std::{collections::BTreeSet, time::Duration};

/// How many voters a membership has at least and at most.
const VOTERS: std::ops::RangeInclusive<usize> = 3..=5;

impl World {
    /// One thing goes wrong, or is put right.
    pub fn mishap(&mut self) {
        let count = self.nodes.len();
        let node = self.any_node();
        match self.dice.below(100) {
            0..=6 => self.deafen_or_heal(node),
            7..=29 => self.network.change(count, &mut self.dice),
            30..=36 => {
                let power = self.dice.chance(500);
                self.crash(node, power);
                let down = self.some_time();
                self.after(down, Event::Start(node));
            }
            37..=52 => {
                let time = self.some_time();
                self.pause(node, time);
            }
            53..=58 => {
                let holders = self.holders();
                if let Some(holder) = self.dice.pick(&holders) {
                    self.befall(holder);
                }
            }
            59..=63 => {
                let rate = self.dice.between(995_000, 1_005_000);
                let now = self.now;
                self.nodes[node].clock.change_rate(now, rate);
            }
            64..=68 => {
                self.input(node, LeaseEvent::Ready(false));
                let later = self.some_time();
                self.for_guard(node, later, LeaseEvent::Ready(true));
            }
            69..=71 => {
                self.input(node, LeaseEvent::RetireAll);
                let later = self.some_time();
                self.come_back(node, later);
            }
            72..=77 => self.change_rules(),
            78..=79 => self.change_fitness(node),
            80..=83 => {
                let down = self.dice.pick(&[1, 4, 20]).unwrap_or(1) * self.some_time();
                self.kill_worker(node, down);
            }
            84..=95 => self.change_pace(node),
            _ => self.start_guard(node),
        }
    }

    /// Half of all mishaps would miss the one node that matters.
    fn befall(&mut self, holder: usize) {
        let time = self.some_time();
        match self.dice.below(3) {
            0 => self.pause(holder, time),
            1 => {
                let power = self.dice.chance(300);
                self.crash(holder, power);
                self.after(time, Event::Start(holder));
            }
            _ => self.network.isolate(holder, self.nodes.len()),
        }
    }

    fn deafen_or_heal(&mut self, node: usize) {
        if self.dice.chance(400) {
            for node in std::mem::take(&mut self.deaf) {
                self.hear_of_newest_rules(node);
            }
        } else {
            self.deaf.insert(node);
        }
    }

    fn any_node(&mut self) -> usize {
        self.dice.below(self.nodes.len() as u64) as usize
    }

    fn some_time(&mut self) -> u64 {
        let longest = self.dice.pick(&[TTL / 4, TTL, 3 * TTL]).unwrap_or(TTL);
        self.dice.below(longest)
    }

    /// A node that was to let go for good returns, or its guard ends and another starts.
    fn come_back(&mut self, node: usize, later: u64) {
        let returns = self.dice.chance(400);
        let Some(guard) = self.nodes[node].guard.as_mut() else { return };
        if returns {
            self.for_guard(node, later, LeaseEvent::Return);
        } else {
            guard.stopping = true;
            let incarnation = guard.incarnation;
            self.after(later, Event::Stop(node, incarnation));
            let down = self.some_time();
            self.after(later + down, Event::Start(node));
        }
    }

    fn change_fitness(&mut self, node: usize) {
        let names = self.rules.at(self.nodes[node].revision).iter().map(|order| order.group.name.clone()).collect::<Vec<_>>();
        let mut fitness = || Fitness(self.dice.pick(&[1, 300, 300, 700, 1000, 1000]).unwrap_or(1000));
        let told = names.into_iter().map(|name| (name, fitness())).collect();
        self.input(node, LeaseEvent::Fitness(told));
    }

    fn change_pace(&mut self, node: usize) {
        let ttl = self.dice.pick(&[TTL, TTL, TTL / 2, TTL / 5]).unwrap_or(TTL);
        // No reserve of so short a lease is enough for a kernel that takes its time.
        if self.nodes[node].kernel.pace > 0 {
            return;
        }
        if let Some(guard) = self.nodes[node].guard.as_mut() {
            guard.leases.set_timing(LeaseTiming::of(Duration::from_nanos(ttl)));
        }
    }

    /// One thing happens in Raft: an election, a leader reaching a follower, a change proposed.
    pub fn raft_work(&mut self) {
        let leaders = self.log.leaders();
        let leader = self.dice.pick(&leaders);
        match (self.dice.below(100), leader) {
            (roll, _) if roll < self.elections => {
                let candidate = self.any_node();
                self.election(candidate);
            }
            (_, None) => {
                let candidate = self.any_node();
                self.election(candidate);
            }
            (0..=25, Some(leader)) => {
                let target = self.wanted_voters(leader);
                self.propose(leader, &target);
            }
            (_, Some(leader)) => {
                let follower = self.any_node();
                let all = self.log.len(leader);
                let sent = if self.dice.chance(700) { all } else { self.dice.between(1, all as u64) as usize };
                self.replicate(leader, follower, sent);
            }
        }
    }

    /// `candidate` stands for election among all it can reach.
    pub fn election(&mut self, candidate: usize) -> bool {
        if !self.nodes[candidate].has_worker() || self.deaf.contains(&candidate) {
            return false;
        }
        let mut reachable = self.reachable(candidate);
        if self.dice.chance(500) {
            let others = self.dice.between(1, reachable.len() as u64 + 1) as usize;
            self.dice.shuffle(&mut reachable);
            reachable.truncate(others);
        }
        self.election_among(candidate, &reachable)
    }

    /// `candidate` stands for election among these.
    pub fn election_among(&mut self, candidate: usize, reachable: &[usize]) -> bool {
        let local_now = self.nodes[candidate].clock.local(self.now);
        let won = self.log.elect(candidate, reachable, local_now);
        if won {
            let entries = self.log.with_blank(candidate);
            self.append(candidate, entries);
        }
        won
    }

    fn reachable(&self, node: usize) -> Vec<usize> {
        let connected =
            |other: &usize| self.nodes[*other].has_worker() && !self.deaf.contains(other) && self.network.connected(node, *other);
        (0..self.nodes.len()).filter(|other| *other != node).filter(connected).collect()
    }

    /// `leader` wants `target` to be the voters. Says whether it has proposed something.
    pub fn propose(&mut self, leader: usize, target: &BTreeSet<NodeId>) -> bool {
        let local_now = self.nodes[leader].clock.local(self.now);
        let Some(entries) = self.log.with_change(leader, target, local_now) else { return false };
        self.append(leader, entries)
    }

    /// The leader stores an entry of its own.
    fn append(&mut self, leader: usize, entries: Vec<super::log::Entry>) -> bool {
        let count = entries.len();
        let stored = self.store(leader, entries);
        if stored {
            let local_now = self.nodes[leader].clock.local(self.now);
            self.log.acknowledged(leader, leader, count, local_now);
        }
        stored
    }

    /// `leader` sends `follower` its log up to `sent` entries; the answer may be lost.
    pub fn replicate(&mut self, leader: usize, follower: usize, sent: usize) {
        let hears = self.nodes[follower].has_worker() && !self.deaf.contains(&follower) && !self.deaf.contains(&leader);
        let reachable = hears && self.network.connected(leader, follower);
        if leader == follower || !reachable {
            return;
        }
        let Some(entries) = self.log.offered(leader, follower, sent) else { return };
        if !self.store(follower, entries) {
            return;
        }
        if !self.dice.chance(self.network.loss) {
            let local_now = self.nodes[leader].clock.local(self.now);
            self.log.acknowledged(leader, follower, sent, local_now);
        }
        self.log.heard_commit(leader, follower);
    }

    /// Another voter set: one node more or less, or, without that rule, up to three.
    fn wanted_voters(&mut self, leader: usize) -> BTreeSet<NodeId> {
        let mut wanted = self.log.effective(leader).voters.last().cloned().unwrap_or_default();
        let flips = if self.options.log.one_at_a_time { 1 } else { self.dice.between(1, 3) };
        for _ in 0..flips {
            let node = NodeId(self.any_node() as u64);
            if wanted.contains(&node) && wanted.len() > *VOTERS.start() {
                wanted.remove(&node);
            } else if wanted.len() < *VOTERS.end() {
                wanted.insert(node);
            }
        }
        wanted
    }
}
