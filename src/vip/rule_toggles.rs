//! A toggle for each rule of the lease. The simulation turns rules off to show that it finds the violation; the product has all of them on.

use std::time::Duration;

/// One toggle for each rule of docs/lease.md that the voter or the holder keeps.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleToggles {
    /// Voter 6: a renewal with a shorter ttl does not shrink a promise.
    pub max_of_until: bool,
    /// Voter 3: a round is granted at most once, and in order.
    pub old_rounds: bool,
    /// Voter 5: an ask with an older membership is refused.
    pub refuse_older_membership: bool,
    /// Voter 1: a voter grants nothing for a while after its start.
    pub quiet_after_restart: bool,
    /// Holder 1: a lease counts from before it was asked for.
    pub count_from_t0: bool,
    /// Holder 1: only answers of voters that were asked count.
    pub only_the_asked: bool,
    /// Holder 7: a refusal teaches only what two voters say, and memberships only as they say them alike.
    pub two_voices: bool,
    /// Holder 8: until the worker tells an adopted membership, the told one counts as well.
    pub told_and_adopted: bool,
    /// Holder 1: while the membership is joint, both majorities count.
    pub both_majorities: bool,
    /// Voter 7, holder 1: what another life of a holder asked and released is not this one's.
    pub own_life: bool,
    /// Voter 6: an address is promised to one node, whatever its groups are called.
    pub by_address: bool,
    /// Holder 2: the reserve is what removals take.
    pub learned_reserve: bool,
    /// Holder 4: a released round, and every earlier one, is dead.
    pub dead_rounds: bool,
    /// Holder 3: the VIP is removed before the promise is released.
    pub removal_before_release: bool,
    /// Holder 3: a guard that starts removes the VIP before it sends anything.
    pub removal_at_start: bool,
    /// Holder 5: a failed renewal releases nothing.
    pub no_release_while_holding: bool,
    /// Voter and holder: ε, the margin for clocks that drift.
    pub drift_margin: bool,
}

impl RuleToggles {
    /// All rules, as docs/lease.md has them.
    pub const ON: Self = Self {
        max_of_until: true,
        old_rounds: true,
        refuse_older_membership: true,
        quiet_after_restart: true,
        count_from_t0: true,
        only_the_asked: true,
        two_voices: true,
        told_and_adopted: true,
        both_majorities: true,
        own_life: true,
        by_address: true,
        learned_reserve: true,
        dead_rounds: true,
        removal_before_release: true,
        removal_at_start: true,
        no_release_while_holding: true,
        drift_margin: true,
    };

    pub(super) fn promised(&self, ttl: Duration) -> Duration {
        if self.drift_margin { super::promised(ttl) } else { ttl }
    }

    pub(super) fn held(&self, ttl: Duration) -> Duration {
        if self.drift_margin { super::held(ttl) } else { ttl }
    }
}
