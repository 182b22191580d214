//! The rounds of a holder whose answers still count, and the membership that it asks with.

use super::{
    lessons::LAST_ROUND,
    message::{LeaseMembership, Round},
    tally::{Asked, Tally},
};
use crate::{clock::BootInstant, model::NodeId};
use std::collections::{BTreeSet, VecDeque};

/// Most open rounds. A holder asks every ttl/4, and a round is of no use after one ttl, so five can matter. Three more are for asks that follow at
/// once because a refusal named a newer membership or round.
const MAX_OPEN_ROUNDS: usize = 8;
/// How far a node whose clock went back leaps beyond the last round that a voter knows: further than the rounds of all asks still under way.
const CATCH_UP_LEAP: Round = 1 << 20;

/// The open rounds of one holder. A round that is not open is dead: a grant of it counts for nothing.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    last: Round,
    asked_at: BootInstant,
    open: VecDeque<Tally>,
}

impl Rounds {
    /// No rounds yet. The first one will be `first + 1`.
    pub fn new(first: Round) -> Self {
        Self { last: first.min(LAST_ROUND), asked_at: BootInstant::default(), open: VecDeque::new() }
    }

    /// Opens the next round; `now` is its `t0`, so nothing of it may have been sent yet. A `dry` one is only a question.
    pub fn ask(&mut self, asked: Asked, membership: &LeaseMembership, now: BootInstant) -> &Tally {
        self.last = self.next();
        self.asked_at = now;
        if self.open.len() >= MAX_OPEN_ROUNDS {
            self.open.pop_front();
        }
        self.open.push_back(Tally::new(self.last, now, asked, membership));
        self.open.back().expect("it was just put there")
    }

    /// When the last round was asked.
    pub fn asked_at(&self) -> BootInstant {
        self.asked_at
    }

    /// The number of the next round, unless it leaps.
    pub fn next(&self) -> Round {
        (self.last + 1).min(LAST_ROUND)
    }

    /// The number of the last round, dead or not.
    pub fn last(&self) -> Round {
        self.last
    }

    /// An open round.
    pub fn find(&mut self, round: Round) -> Option<&mut Tally> {
        self.open.iter_mut().find(|tally| tally.round == round)
    }

    /// An open round, to look at.
    pub fn get(&self, round: Round) -> Option<&Tally> {
        self.open.iter().find(|tally| tally.round == round)
    }

    /// The open round that was asked last.
    pub fn newest(&self) -> Option<&Tally> {
        self.open.back()
    }

    /// Forgets the rounds before one that was won: their leases end earlier. The round itself stays, because its voters are sent the `Release`.
    pub fn forget_before(&mut self, round: Round) {
        self.open.retain(|tally| tally.round >= round);
    }

    /// Leaps beyond `last`, if this guard has not asked that round yet: then the clock that numbers rounds has gone back. Returns whether it leapt.
    pub fn catch_up(&mut self, last: Round) -> bool {
        let behind = last > self.last && last < LAST_ROUND;
        if behind {
            self.last = (last + CATCH_UP_LEAP).min(LAST_ROUND);
        }
        behind
    }

    /// All voters that were asked in an open round.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.open.iter().flat_map(Tally::voters).collect()
    }

    /// The voters that were asked in an open round and may have made a promise.
    pub fn possible_promisers(&self) -> BTreeSet<NodeId> {
        self.open.iter().flat_map(|tally| tally.voters().filter(|node| tally.may_hold_a_promise(*node))).collect()
    }

    /// Declares every round so far dead.
    pub fn declare_dead(&mut self) {
        self.open.clear();
    }
}

/// The membership to ask with: the one that the worker has told or the one that a refusal named, whichever is newer.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownMembership {
    told: Option<LeaseMembership>,
    adopted: Option<Adopted>,
}

/// A membership that refusals named. It may never be committed, so it lapses. If it is real, the next refusals name it again.
#[derive(Clone, Debug)]
struct Adopted {
    membership: LeaseMembership,
    /// With its id, and with the voter sets of both: those that the worker has told first.
    with_told: LeaseMembership,
    lapses: BootInstant,
}

impl KnownMembership {
    /// The membership to ask with; `None` before the worker has told one.
    pub fn at(&self, now: BootInstant) -> Option<&LeaseMembership> {
        let told = self.told.as_ref()?;
        let adopted = self.adopted.as_ref().filter(|adopted| adopted.lapses > now && adopted.membership.id > told.id);
        Some(adopted.map_or(told, |adopted| &adopted.with_told))
    }

    /// The worker tells a membership. If it is older than the last one, the log was truncated, and the adopted membership may be gone, too.
    pub fn tell(&mut self, membership: LeaseMembership) {
        if self.told.as_ref().is_some_and(|told| membership.id < told.id) {
            self.adopted = None;
        }
        if let Some(adopted) = &mut self.adopted {
            adopted.with_told = with_told(&membership, &adopted.membership);
        }
        self.told = Some(membership);
    }

    /// Adopts a membership that refusals named. Returns whether it is newer than the one known so far.
    ///
    /// Only the worker confirms it. Until then a majority of the told voter sets is wanted as well, so that voters that lie cannot put others in the
    /// place of those that have promised. With `told_counts` off (simulation only) it stands alone.
    pub fn adopt(&mut self, membership: LeaseMembership, now: BootInstant, lapses: BootInstant, told_counts: bool) -> bool {
        let news = self.at(now).is_none_or(|known| membership.id > known.id);
        if news {
            let told = self.told.as_ref().filter(|_| told_counts);
            let with_told = told.map_or_else(|| membership.clone(), |told| with_told(told, &membership));
            self.adopted = Some(Adopted { membership, with_told, lapses });
        }
        news
    }
}

fn with_told(told: &LeaseMembership, adopted: &LeaseMembership) -> LeaseMembership {
    let mut both = adopted.clone();
    both.voters = told.voters.iter().filter(|set| !adopted.voters.contains(set)).chain(&adopted.voters).cloned().collect();
    both.addresses.extend(&told.addresses);
    both
}
