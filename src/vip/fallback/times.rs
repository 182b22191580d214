//! The times of a fallback, all from the lease's.

use crate::vip::holder_state::LeaseTiming;
use std::time::Duration;

/// Probes before the VIP is taken (`PROBE_NUM` of RFC 5227 §1.1).
pub(super) const PROBES: u32 = 3;

/// See docs/lease.md, "When the majority is lost".
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// How long a fallback holder has the VIP without renewing.
    pub ttl: Duration,
    /// The reserve for the removal.
    pub removal: Duration,
    /// Between two adverts, and two renewals.
    pub advert: Duration,
    /// A fallback holder that is silent for so long is gone: three adverts.
    pub master_down: Duration,
    /// So much later for each director that goes first.
    pub skew: Duration,
    /// No majority has answered for so long: fallback begins. No lease of another node that this one's voters knew of runs any more.
    pub silence: Duration,
    /// The same where none has answered since the start: the network may not be ready yet.
    pub silence_at_first: Duration,
    /// Between two probes, and after the last. RFC 5227 waits one to two seconds, for hosts that sleep and for links that have just come up; here it is
    /// directors that answer, within a millisecond or two, and a link is trusted only when it has been up for a second.
    pub probe: Duration,
    /// What one director needs to find out whether it can take the VIP.
    pub stand_back: Duration,
    /// So long a director that heard no fallback holder waits before it asks for the lease.
    pub deference: Duration,
    /// It waits no longer than this for one that it hears.
    pub longest_deference: Duration,
    /// A fallback holder that a majority answers gets the lease within that time, or lets go.
    pub until_a_lease: Duration,
    /// After the kernel has refused the VIP.
    pub back_off: Duration,
}

impl Times {
    pub fn of(LeaseTiming { ttl, removal, .. }: LeaseTiming) -> Self {
        let advert = ttl / 4;
        let probe = (ttl / 6).clamp(Duration::from_millis(20), Duration::from_millis(200));
        Self {
            ttl,
            removal,
            advert,
            master_down: advert * 3,
            skew: advert / 2,
            silence: ttl * 2,
            silence_at_first: ttl * 10,
            probe,
            stand_back: probe * (PROBES + 1),
            deference: advert * 3 / 2,
            longest_deference: ttl * 10,
            until_a_lease: ttl * 4,
            back_off: ttl * 10,
        }
    }
}
