//! When an observer probes: the observers of a target take turns, so that together they notice sooner than each alone.
//!
//! Observer i of k probes i·T/k into the interval T, counted on Unix time, which nodes share roughly. So one of them notices a crash within T/k.
//! Clocks that differ spoil the turns and nothing else: the time between two probes of an observer is always more than half and at most one and a
//! half intervals, whatever the clock says.

use crate::{
    clock::{BootInstant, BothClocks},
    rules::Target,
    verdict::stable_hash,
};
use std::time::Duration;

/// The longest wait before a failed probe is repeated.
const HURRY: Duration = Duration::from_millis(100);

/// The time from the start of a failed probe, or of the last probe before an alarm, to the start of the next one. If the probe took longer, the next
/// one follows at once.
pub fn hurry(interval: Duration) -> Duration {
    (interval / 10).min(HURRY)
}

/// Where in the interval this observer's turn is. It differs from the turns of the other observers, and from its own turns for other targets.
pub fn phase(target: &Target, interval: Duration, position: usize, of: usize) -> Duration {
    let spread = u128::from(stable_hash(target.to_string().as_bytes()));
    let interval = nanos(interval);
    let turn = interval * position as u128 / of.max(1) as u128;
    duration((spread + turn) % interval)
}

/// The turn that is nearest to one interval after `last`, the start of the last probe.
pub fn next_turn(last: BootInstant, now: BothClocks, interval: Duration, phase: Duration) -> BootInstant {
    let last_unix = now.unix.saturating_sub(now.boot - last);
    let earliest = nanos(last_unix) + nanos(interval / 2) + 1;
    let since_turn = (earliest + nanos(interval) - nanos(phase) % nanos(interval)) % nanos(interval);
    let to_turn = (nanos(interval) - since_turn) % nanos(interval);
    last + duration(nanos(interval / 2) + 1 + to_turn)
}

/// Never zero, so that it may be divided by.
fn nanos(duration: Duration) -> u128 {
    duration.as_nanos().max(1)
}

fn duration(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(server: u16) -> Target {
        Target { service: "web".parse().unwrap(), server: format!("s{server}").parse().unwrap() }
    }

    proptest! {
        #[test]
        fn a_gap_is_never_far_from_the_interval(
            interval_ms in 1_u64..60_000, position in 0_usize..5, of in 1_usize..6, server: u16,
            boot_ns in 0_u64..1 << 60, unix_ns in 0_u64..1 << 61, ago_ns in 0_u64..1 << 40,
        ) {
            let interval = Duration::from_millis(interval_ms);
            let last = BootInstant::from_boot(Duration::from_nanos(boot_ns));
            let now = BothClocks { boot: last + Duration::from_nanos(ago_ns), unix: Duration::from_nanos(unix_ns) };
            let gap = next_turn(last, now, interval, phase(&target(server), interval, position, of)) - last;
            prop_assert!(gap > interval / 2 && gap <= interval / 2 * 3 + Duration::from_nanos(3), "{gap:?}");
        }

        #[test]
        fn observers_with_the_same_time_take_equal_turns(of in 1_usize..8, server: u16, unix_ms in 1_u64 << 40..1 << 41) {
            let interval = Duration::from_secs(1);
            let last = BootInstant::from_boot(Duration::from_secs(500));
            let now = BothClocks { boot: last, unix: Duration::from_millis(unix_ms) };
            let mut turns: Vec<u128> = (0..of)
                .map(|position| next_turn(last, now, interval, phase(&target(server), interval, position, of)) - last)
                .map(|gap| gap.as_nanos())
                .collect();
            turns.sort_unstable();
            turns.push(turns[0] + interval.as_nanos());
            for pair in turns.windows(2) {
                let gap = pair[1] - pair[0];
                prop_assert!(gap.abs_diff(interval.as_nanos() / of as u128) <= 2, "{gap} ns of {of}");
            }
        }

        #[test]
        fn turns_once_taken_are_kept(server: u16, position in 0_usize..3, unix_ms in 1_u64 << 40..1 << 41) {
            let interval = Duration::from_secs(1);
            let phase = phase(&target(server), interval, position, 3);
            let start = BootInstant::from_boot(Duration::from_secs(500));
            let at = |boot: BootInstant| BothClocks { boot, unix: Duration::from_millis(unix_ms) + (boot - start) };
            let first = next_turn(start, at(start), interval, phase);
            // A timer fires a little late; that must not push later turns back.
            let late = first + Duration::from_millis(3);
            prop_assert_eq!(next_turn(late, at(late), interval, phase) - first, interval);
        }
    }
}
