//! What happens to datagrams: cut links, loss, delay, duplicates, stragglers that overtake nobody.

use super::{Nanos, TTL, dice::Dice};
use std::collections::BTreeSet;

/// The weather between the nodes.
#[derive(Clone, Debug)]
pub struct Network {
    /// Directed links that let nothing through.
    pub cut: BTreeSet<(usize, usize)>,
    /// Of a thousand datagrams, how many are lost.
    pub loss: u64,
    /// Of a thousand, how many arrive twice.
    pub duplicates: u64,
    /// Of a thousand, how many take up to [`Network::straggle`] longer.
    pub stragglers: u64,
    /// Longest extra time of a straggler.
    pub straggle: Nanos,
    /// Longest usual time under way.
    pub delay: Nanos,
}

impl Network {
    /// One quiet switch.
    pub fn calm() -> Self {
        Self { cut: BTreeSet::new(), loss: 0, duplicates: 0, stragglers: 0, straggle: 0, delay: TTL / 300 }
    }

    /// The weather in which most datagrams of former leases meet later ones.
    pub fn late(&mut self) {
        (self.duplicates, self.stragglers, self.straggle) = (300, 100, 3 * TTL);
    }

    /// After how long each copy of a datagram arrives.
    pub fn fate(&self, from: usize, to: usize, dice: &mut Dice) -> Vec<Nanos> {
        if from == to {
            return vec![TTL / 30_000];
        }
        if self.cut.contains(&(from, to)) || dice.chance(self.loss) {
            return Vec::new();
        }
        let copies = if dice.chance(self.duplicates) { 2 } else { 1 };
        (0..copies).map(|copy| self.time_under_way(copy > 0, dice)).collect()
    }

    fn time_under_way(&self, duplicate: bool, dice: &mut Dice) -> Nanos {
        let usual = dice.between(self.delay / 20, self.delay);
        let straggles = duplicate || dice.chance(self.stragglers);
        usual + if straggles { dice.below(self.straggle + 1) } else { 0 }
    }

    /// Whether the two hear each other (what a Raft connection needs).
    pub fn connected(&self, one: usize, other: usize) -> bool {
        !self.cut.contains(&(one, other)) && !self.cut.contains(&(other, one))
    }

    /// New weather.
    pub fn change(&mut self, nodes: usize, dice: &mut Dice) {
        match dice.below(10) {
            0..=2 => self.cut.clear(),
            3 => self.isolate(dice.below(nodes as u64) as usize, nodes),
            4 => self.split(nodes, dice),
            5 => {
                let (from, to) = (dice.below(nodes as u64) as usize, dice.below(nodes as u64) as usize);
                self.cut.insert((from, to));
            }
            6 => self.loss = dice.pick(&[0, 0, 20, 100, 300]).unwrap_or(0),
            7 => self.duplicates = dice.pick(&[0, 50, 300]).unwrap_or(0),
            8 => self.delay = dice.pick(&[TTL / 300, TTL / 300, TTL / 60, TTL / 10, TTL / 3]).unwrap_or(TTL),
            _ => {
                self.stragglers = dice.pick(&[0, 20, 100, 300]).unwrap_or(0);
                self.straggle = dice.pick(&[TTL / 4, TTL, 3 * TTL]).unwrap_or(TTL);
            }
        }
    }

    /// Cuts `node` from everyone.
    pub fn isolate(&mut self, node: usize, nodes: usize) {
        for other in (0..nodes).filter(|other| *other != node) {
            self.cut.insert((node, other));
            self.cut.insert((other, node));
        }
    }

    fn split(&mut self, nodes: usize, dice: &mut Dice) {
        let sides: Vec<bool> = (0..nodes).map(|_| dice.chance(500)).collect();
        for (from, to) in (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to))) {
            if sides[from] != sides[to] {
                self.cut.insert((from, to));
            }
        }
    }
}
