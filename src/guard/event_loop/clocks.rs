//! What the guard's loop does with the clocks of other guards: it compares its own with them, and tells the leases.

use super::EventLoop;
use crate::{
    guard::{io::socket::Incoming, leases::LeaseEvent},
    vip::LeaseMembership,
};

impl EventLoop {
    /// Before what it says is taken in.
    pub(super) async fn compare_clocks(&mut self, incoming: &Incoming) {
        let Some(clocks) = &mut self.clocks else { return };
        let Incoming { from, session, stamp, at, .. } = incoming;
        if clocks.rates.heard(*from, *session, *stamp, *at) {
            self.stirred = true;
            if let Some(own) = clocks.say() {
                self.lease_event(LeaseEvent::Clock(own)).await;
            }
        }
    }

    pub(super) fn compare_clocks_with(&mut self, membership: &LeaseMembership) {
        if let Some(clocks) = &mut self.clocks {
            clocks.rates.set_voters(membership.all_voters());
        }
    }
}
