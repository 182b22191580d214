//! Whether the clocks of other guards run at the rate of this node's, as the leases assume (docs/lease.md, "What is assumed"). Pure.
//!
//! Every datagram says what its sender's clock showed when it was made, which reading of the receiver's clock the sender had heard last, and what its own clock
//! showed then. So the receiver knows, however long datagrams were under way, that the other clock showed the one reading after it had itself made the reading
//! that was heard, and the other one before the datagram came. Two datagrams bound the rate of the other clock from both sides.

use crate::{clock::BootInstant, model::NodeId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

mod judge;

use judge::Bounds;
pub use judge::{OwnClock, Rate, percent};

/// A rate is judged only if it is known this well: 0.2%.
const UNCERTAIN_PPM: i64 = 2_000;
/// From one reading to the next one that it is compared with,
const SHORTEST: Duration = Duration::from_secs(5);
/// and at most.
const LONGEST: Duration = Duration::from_secs(60);
/// Of a peer that was silent for so long nothing is known any more. Who asks for a lease asks more often.
const SILENT: Duration = Duration::from_secs(15);
/// The most exact reading of each second is kept, for two windows of [`LONGEST`].
const MOST_SAMPLES: usize = 122;
/// More than this many do not exchange leases. Whoever comes later is not compared with.
const MOST_PEERS: usize = 64;

/// What a datagram says of clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClockStamp {
    /// The sender's boot-time clock, in nanoseconds.
    pub read_ns: u64,
    /// The latest reading of the receiver's clock, of its present session, that the sender has heard; 0: none.
    pub heard_ns: u64,
    /// The sender's clock when it heard that.
    pub heard_at_ns: u64,
}

impl ClockStamp {
    /// Of a datagram that is made now. `heard`: a reading of the receiver's clock, and when it came.
    pub fn new(now: BootInstant, heard: Option<(u64, BootInstant)>) -> Self {
        let nanos = |at: BootInstant| u64::try_from(at.since_boot().as_nanos()).unwrap_or(u64::MAX);
        let (heard_ns, heard_at_ns) = heard.map_or((0, 0), |(heard_ns, at)| (heard_ns, nanos(at)));
        Self { read_ns: nanos(now), heard_ns, heard_at_ns }
    }
}

/// Two readings of another clock, and what is known by one's own of when they were made.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// This one was made
    earlier: Duration,
    /// after that.
    not_before: BootInstant,
    /// This one was made
    read: Duration,
    /// before that.
    not_after: BootInstant,
}

impl Sample {
    /// For how long the two datagrams were under way, nearly.
    fn width(&self) -> Duration {
        (self.not_after - self.not_before).saturating_sub(self.read.saturating_sub(self.earlier))
    }
}

/// Another guard's clock.
#[derive(Clone, Debug)]
struct Peer {
    session: u64,
    /// In the order in which they were made.
    samples: VecDeque<Sample>,
    rate: Rate,
}

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct ClockRates {
    me: NodeId,
    voters: BTreeSet<NodeId>,
    peers: BTreeMap<NodeId, Peer>,
    own: OwnClock,
}

impl ClockRates {
    /// Nothing is known yet.
    pub fn new(me: NodeId) -> Self {
        Self { me, voters: BTreeSet::new(), peers: BTreeMap::new(), own: OwnClock::Good }
    }

    /// Whose clocks count: those that vote.
    pub fn set_voters(&mut self, voters: BTreeSet<NodeId>) {
        self.voters = voters;
    }

    /// A datagram has come, of this session of its sender's guard. Returns whether something is known now that was not before.
    pub fn heard(&mut self, from: NodeId, session: u64, stamp: ClockStamp, now: BootInstant) -> bool {
        let not_before = BootInstant::from_boot(Duration::from_nanos(stamp.heard_ns));
        let is_known = self.peers.contains_key(&from) || self.peers.len() < MOST_PEERS;
        let (earlier, read) = (Duration::from_nanos(stamp.heard_at_ns), Duration::from_nanos(stamp.read_ns));
        if stamp.heard_ns == 0 || not_before > now || earlier > read || from == self.me || !is_known {
            return false;
        }
        let sample = Sample { earlier, not_before, read, not_after: now };
        let peer = self.peers.entry(from).or_insert_with(|| Peer::new(session));
        peer.take(session, sample) && self.judge(now)
    }

    /// What other clocks say of this node's.
    pub fn own(&self) -> OwnClock {
        self.own
    }

    /// How fast the clocks of others run that this node has compared its own with.
    pub fn rates(&self) -> impl Iterator<Item = (NodeId, Rate)> + '_ {
        self.peers.iter().map(|(node, peer)| (*node, peer.rate))
    }

    /// Returns whether that has changed anything.
    fn judge(&mut self, now: BootInstant) -> bool {
        let mut changed = false;
        for peer in self.peers.values_mut() {
            let rate = peer.judge(now);
            changed |= !rate.is_alike(peer.rate);
            peer.rate = rate;
        }
        let voters = self.voters.iter().filter(|voter| **voter != self.me);
        let rate = |voter: &NodeId| self.peers.get(voter).map_or(Rate::Unknown, |peer| peer.rate);
        let rates: Vec<Rate> = voters.map(rate).collect();
        let own = OwnClock::among(&rates);
        changed |= !own.is_alike(self.own);
        self.own = own;
        changed
    }
}

impl Peer {
    fn new(session: u64) -> Self {
        Self { session, samples: VecDeque::new(), rate: Rate::Unknown }
    }

    /// Keeps the most exact sample of each second. Returns whether a second is over.
    fn take(&mut self, session: u64, sample: Sample) -> bool {
        if session != self.session {
            // Another start of its guard, perhaps of its machine, whose clock then began anew.
            *self = Self::new(session);
        }
        let Some(last) = self.samples.back_mut() else {
            self.samples.push_back(sample);
            return false;
        };
        if sample.read < last.read {
            // It was overtaken.
            return false;
        }
        if sample.not_after > last.not_after + SILENT {
            *self = Self::new(session);
            self.samples.push_back(sample);
            return false;
        }
        if sample.not_after.since_boot().as_secs() == last.not_after.since_boot().as_secs() {
            if sample.width() <= last.width() {
                *last = sample;
            }
            return false;
        }
        if self.samples.len() >= MOST_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        true
    }

    /// Two windows that follow each other must agree: a clock that has only jumped, because its machine was suspended or paused, differs in one of them.
    fn judge(&self, now: BootInstant) -> Rate {
        let is_silent = self.samples.back().is_none_or(|newest| now - newest.not_after >= SILENT);
        // The second of the newest one is not over, so that a more exact one may follow.
        let Some(last) = self.samples.iter().rev().nth(1).filter(|_| !is_silent) else { return Rate::Unknown };
        let Some((middle, later)) = self.before(last) else { return self.rate };
        let Some((_, earlier)) = self.before(middle) else { return self.rate };
        Rate::of([earlier, later]).unwrap_or(self.rate)
    }

    /// The last sample before `end` that bounds the rate well.
    fn before(&self, end: &Sample) -> Option<(&Sample, Bounds)> {
        let in_time = self.samples.iter().rev().skip_while(|begin| begin.not_after + SHORTEST > end.not_before);
        in_time
            .take_while(|begin| begin.not_after + LONGEST >= end.not_before)
            .find_map(|begin| Some((begin, bounds(begin, end)?)))
    }
}

/// `None`: they are not known well enough.
fn bounds(begin: &Sample, end: &Sample) -> Option<Bounds> {
    let faster_ppm = |from: Duration, to: Duration, passed: Duration| {
        let rate = (to.checked_sub(from)?.as_nanos() * 1_000_000).checked_div(passed.as_nanos())?;
        Some(i64::try_from(rate).unwrap_or(i64::MAX).saturating_sub(1_000_000))
    };
    let least_ppm = faster_ppm(begin.earlier, end.read, end.not_after - begin.not_before)?;
    let most_ppm = faster_ppm(begin.read, end.earlier, end.not_before - begin.not_after)?;
    // A clock that lies may have its most below its least.
    (0..=UNCERTAIN_PPM).contains(&most_ppm.saturating_sub(least_ppm)).then_some(Bounds { least_ppm, most_ppm })
}

#[cfg(test)]
mod tests;
