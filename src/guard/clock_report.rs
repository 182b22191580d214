//! What is said of clocks, in the log and in `status`.

use super::clock_rates::{ClockRates, OwnClock, Rate, percent};
use crate::model::NodeId;
use std::collections::BTreeMap;

/// What this node knows of clocks, and what it has said of them.
pub struct Clocks {
    /// What it knows.
    pub rates: ClockRates,
    said_of: BTreeMap<NodeId, Rate>,
    said: OwnClock,
}

impl Clocks {
    /// Nothing is known yet.
    pub fn new(me: NodeId) -> Self {
        Self { rates: ClockRates::new(me), said_of: BTreeMap::new(), said: OwnClock::Good }
    }

    /// One line for each thing that a person should look at. Where this node's own clock is wrong, it says nothing of those that differ from it.
    pub fn problems(&self) -> Vec<String> {
        let own = |why| format!("{why}: this node leaves VIPs to other directors (compare its clock source with theirs)");
        match self.said.trouble().map(|why| why.replacen("its clock", "clock of this node", 1)) {
            Some(why) => vec![own(why)],
            None => {
                self.said_of.iter().filter_map(|(node, rate)| Some(format!("clock of node {node} {}", runs(*rate)?))).collect()
            }
        }
    }

    /// Logs what has changed. Returns the state of this node's clock if that has.
    pub fn say(&mut self) -> Option<OwnClock> {
        let own = self.rates.own();
        for (node, rate) in self.rates.rates() {
            let before = self.said_of.insert(node, rate).unwrap_or(Rate::Unknown);
            match runs(rate) {
                _ if rate.is_alike(before) => (),
                Some(rate) => tracing::warn!(%node, rate, "clock of another node runs at another rate than this one's"),
                None if rate == Rate::Within && runs(before).is_some() => {
                    tracing::info!(%node, "clock of another node runs at the rate of this one's again");
                }
                None => (),
            }
        }
        let changed = !own.is_alike(std::mem::replace(&mut self.said, own));
        match own.trouble() {
            Some(why) if changed => tracing::error!(why, "clock of this node is wrong, it leaves vips to other directors"),
            None if changed => tracing::info!("clock of this node runs at the rate of the others' again"),
            _ => (),
        }
        changed.then_some(own)
    }
}

fn runs(rate: Rate) -> Option<String> {
    match rate {
        Rate::Fast { ppm } => Some(format!("runs {} fast", percent(ppm))),
        Rate::Slow { ppm } => Some(format!("runs {} slow", percent(ppm))),
        Rate::Unknown | Rate::Within => None,
    }
}
