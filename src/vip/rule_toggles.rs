//! Switches for the protocol's rules, so that the simulation can show that it notices when one is missing. The product has all of them on.

use std::time::Duration;

/// One switch for each rule of docs/lease.md that a state machine of this room keeps.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuleToggles {
    /// Voter 6: a renewal with a shorter ttl does not shrink a promise.
    pub max_of_until: bool,
    /// Voter 3: a round is granted at most once, and in order.
    pub old_rounds: bool,
    /// Voter 5: who counts with an older membership is refused.
    pub refuse_older_membership: bool,
    /// Voter 1: no grants for a while after a start.
    pub quiet_after_restart: bool,
    /// Holder 1: a lease counts from before it was asked for.
    pub count_from_t0: bool,
    /// Holder 1: answers count of those that were asked, whatever they say.
    pub only_the_asked: bool,
    /// Holder 1: while the membership is joint, both majorities count.
    pub both_majorities: bool,
    /// Holder 4: a released round and all before are dead.
    pub dead_rounds: bool,
    /// Holder 3: the VIP is removed before the promise is released.
    pub removal_before_release: bool,
    /// Holder 3: a guard that starts removes before it sends.
    pub removal_at_start: bool,
    /// Holder 5: a failed renewal releases nothing.
    pub no_release_while_holding: bool,
    /// Both: ε, the margin for clocks that drift.
    pub drift_margin: bool,
}

impl RuleToggles {
    /// As docs/lease.md has it.
    pub const ON: Self = Self {
        max_of_until: true,
        old_rounds: true,
        refuse_older_membership: true,
        quiet_after_restart: true,
        count_from_t0: true,
        only_the_asked: true,
        both_majorities: true,
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
