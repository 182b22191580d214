//! How often one source address may fail before it is not heard for a while. Pure; bounded memory whatever knocks.

use crate::{base::host::host, clock::BootInstant};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// Failures at once that cost nothing: a person who mistypes, a script that tries again.
const BURST: u32 = 10;
/// After these, one more is forgiven each time this has passed.
const FORGIVEN_EVERY: Duration = Duration::from_secs(3);
/// Sources that are remembered; beyond, those that failed least are forgotten.
const SOURCES: usize = 1024;

/// A bucket that fills by one with every failure and leaks one every [`FORGIVEN_EVERY`]: the moment when it will be empty says it all.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    empty_at: BootInstant,
}

impl Bucket {
    fn wait(self, now: BootInstant) -> Option<Duration> {
        let room = FORGIVEN_EVERY * (BURST - 1);
        let full_until = self.empty_at.saturating_since(now).saturating_sub(room);
        (!full_until.is_zero()).then_some(full_until)
    }
}

/// Failures by source.
#[derive(Debug, Default)]
pub struct RateLimit {
    sources: BTreeMap<IpAddr, Bucket>,
}

impl RateLimit {
    /// How long this source must wait; `None`: it is heard.
    pub fn wait(&self, source: IpAddr, now: BootInstant) -> Option<Duration> {
        self.sources.get(&host(source)).and_then(|bucket| bucket.wait(now))
    }

    /// This source failed. Gives whether it was still to be heard: such failures are logged, others are too many to be.
    pub fn failed(&mut self, source: IpAddr, now: BootInstant) -> bool {
        self.make_room(now);
        let bucket = self.sources.entry(host(source)).or_insert(Bucket { empty_at: now });
        let heard = bucket.wait(now).is_none();
        if heard {
            bucket.empty_at = bucket.empty_at.max(now) + FORGIVEN_EVERY;
        }
        heard
    }

    fn make_room(&mut self, now: BootInstant) {
        if self.sources.len() < SOURCES {
            return;
        }
        self.sources.retain(|_, bucket| bucket.empty_at > now);
        while self.sources.len() >= SOURCES {
            let least = self.sources.iter().min_by_key(|(_, bucket)| bucket.empty_at).map(|(source, _)| *source);
            least.and_then(|least| self.sources.remove(&least));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn a_burst_of_failures_shuts_the_door_for_that_source_only_and_time_opens_it() {
        let mut limit = RateLimit::default();
        let (bad, good) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for n in 0..BURST {
            assert_eq!(limit.wait(bad, at(100)), None, "failure {n}");
            assert!(limit.failed(bad, at(100)));
        }
        assert_eq!(limit.wait(bad, at(100)), Some(FORGIVEN_EVERY));
        assert!(!limit.failed(bad, at(100)), "nothing more is logged");
        assert_eq!(limit.wait(good, at(100)), None);
        assert_eq!(limit.wait(bad, at(103)), None);
        assert!(limit.failed(bad, at(103)));
        assert_eq!(limit.wait(bad, at(103)), Some(FORGIVEN_EVERY), "one was forgiven, one came");
        assert_eq!(limit.wait(bad, at(103 + 3 * u64::from(BURST))), None);
    }

    #[test]
    fn addresses_of_one_ipv6_host_are_one_source() {
        let mut limit = RateLimit::default();
        for n in 0..BURST {
            limit.failed(format!("2001:db8::{n}").parse().unwrap(), at(1));
        }
        assert!(limit.wait("2001:db8::ffff".parse().unwrap(), at(1)).is_some());
        assert!(limit.wait("2001:db8:0:1::1".parse().unwrap(), at(1)).is_none());
    }

    #[test]
    fn the_whole_internet_takes_no_more_room_than_a_village() {
        let mut limit = RateLimit::default();
        let stubborn = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..BURST {
            limit.failed(stubborn, at(1));
        }
        for n in 0..10_000_u32 {
            limit.failed(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), at(2));
        }
        assert!(limit.sources.len() <= SOURCES);
        assert!(limit.wait(stubborn, at(2)).is_some(), "who failed most is not forgotten first");
    }
}
