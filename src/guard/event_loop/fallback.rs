//! What the guard's loop does for fallbacks: it hands on what is seen by ARP, and logs when no majority of the voters answers.

use super::EventLoop;
use crate::guard::{
    group_state::FallbackStanding,
    leases::{LeaseEvent, Leases},
};

impl EventLoop {
    /// There is something to take of what other machines say by ARP.
    pub(super) async fn hear_arp(&mut self) {
        let Some(interest) = self.leases.as_ref().map(Leases::arp_interest) else { return };
        let seen = self.executor.arp.take(&interest).into_iter();
        for (group, what) in seen {
            self.lease_event(LeaseEvent::Seen(group, what)).await;
        }
    }

    /// At each change. What comes to an interface and goes is logged where it is done.
    pub(super) fn log_fallbacks(&mut self) {
        let now = self.leases.as_ref().map(Leases::fallbacks).unwrap_or_default();
        let before = std::mem::take(&mut self.fallbacks);
        for (group, _) in now.iter().filter(|(group, _)| !before.contains_key(*group)) {
            tracing::warn!(vip = %group, "no majority of the voters answers: directors that hear each other agree who holds the vip");
        }
        for (group, was) in before.iter().filter(|(group, _)| !now.contains_key(*group)) {
            match was {
                FallbackStanding::Holds => tracing::info!(vip = %group, "fallback is over on this node, which held the vip"),
                FallbackStanding::Elects => tracing::info!(vip = %group, "fallback is over on this node"),
            }
        }
        self.fallbacks = now;
    }
}
