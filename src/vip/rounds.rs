//! The rounds that a holder has asked and that still count, and the membership that it asks with.

use super::{
    message::{LeaseMembership, Round},
    tally::Tally,
};
use crate::{clock::BootInstant, model::NodeId};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

/// Rounds whose answers are still counted. A holder asks every ttl/4 and a round is useless after a ttl, so five can matter; three more for
/// asks that follow at once because a refusal taught something.
const MAX_OPEN_ROUNDS: usize = 8;
/// How far a node whose clock went back leaps over the last round that a voter knows: further than the rounds of any asks still under way.
const CATCH_UP_LEAP: Round = 1 << 20;

/// The rounds of one holder. A round that is not among the open ones is dead: a grant of it counts for nothing.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    last: Round,
    asked_at: BootInstant,
    open: VecDeque<Tally>,
}

impl Rounds {
    /// The first to be asked comes after `first`.
    pub fn new(first: Round) -> Self {
        Self { last: first, asked_at: BootInstant::default(), open: VecDeque::new() }
    }

    /// Opens the next round; `now` is its `t0`, so nothing of it may have been sent yet.
    pub fn ask(&mut self, ttl: Duration, membership: &LeaseMembership, now: BootInstant) -> &Tally {
        self.last = self.last.saturating_add(1);
        self.asked_at = now;
        if self.open.len() >= MAX_OPEN_ROUNDS {
            self.open.pop_front();
        }
        self.open.push_back(Tally::new(self.last, now, ttl, membership));
        self.open.back().expect("it was just put there")
    }

    /// When the last round was asked.
    pub fn asked_at(&self) -> BootInstant {
        self.asked_at
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

    /// Forgets what was asked before a round that was won: it could only end earlier. The round itself stays, because its voters are to be
    /// told when it is let go.
    pub fn forget_before(&mut self, round: Round) {
        self.open.retain(|tally| tally.round >= round);
    }

    /// A voter knows a round that this guard has not asked yet, so the clock that numbers rounds went back. Says whether that was so.
    pub fn catch_up(&mut self, last: Round) -> bool {
        let behind = last > self.last;
        if behind {
            self.last = last.saturating_add(CATCH_UP_LEAP);
        }
        behind
    }

    /// Who has been asked an open round: all of them.
    pub fn voters(&self) -> BTreeSet<NodeId> {
        self.open.iter().flat_map(Tally::voters).collect()
    }

    /// Who has been asked an open round and may have promised something.
    pub fn possible_promisers(&self) -> BTreeSet<NodeId> {
        self.open.iter().flat_map(|tally| tally.voters().filter(|node| tally.may_hold_a_promise(*node))).collect()
    }

    /// No grant of any round so far counts from now on.
    pub fn bury(&mut self) {
        self.open.clear();
    }
}

/// Which membership to ask with: what the worker has told, or what a refusal has taught, whichever is newer.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownMembership {
    told: Option<LeaseMembership>,
    adopted: Option<Adopted>,
}

/// A membership learned from a refusal. It may never get committed, so it lapses; if it was real, the next refusal teaches it again.
#[derive(Clone, Debug)]
struct Adopted {
    membership: LeaseMembership,
    lapses: BootInstant,
}

impl KnownMembership {
    /// Nothing, as long as the worker has told nothing.
    pub fn at(&self, now: BootInstant) -> Option<&LeaseMembership> {
        let told = self.told.as_ref()?;
        let adopted = self.adopted.as_ref().filter(|adopted| adopted.lapses > now && adopted.membership.id > told.id);
        Some(adopted.map_or(told, |adopted| &adopted.membership))
    }

    /// A worker that goes back has truncated its log, and what was adopted may be among what is gone.
    pub fn tell(&mut self, membership: LeaseMembership) {
        if self.told.as_ref().is_some_and(|told| membership.id < told.id) {
            self.adopted = None;
        }
        self.told = Some(membership);
    }

    /// Says whether it was news.
    pub fn adopt(&mut self, membership: LeaseMembership, now: BootInstant, lapses: BootInstant) -> bool {
        let news = self.at(now).is_none_or(|known| membership.id > known.id);
        if news {
            self.adopted = Some(Adopted { membership, lapses });
        }
        news
    }
}
