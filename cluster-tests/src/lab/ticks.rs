//! The lab's clock: milliseconds of `CLOCK_MONOTONIC`, exact in virtual time, and sleeping until a moment of it.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

/// Nanoseconds since the kernel started.
pub fn now() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    Duration::new(tv_sec.unsigned_abs(), u32::try_from(tv_nsec).unwrap_or(0))
}

/// Whole milliseconds, rounded to the nearest.
pub fn ms(span: Duration) -> u128 {
    (span.as_micros() + 500) / 1000
}

/// Calls `done` every `pause` until it says so or `limit` has passed; the last word is `done`'s.
pub fn poll(limit: Duration, pause: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = now() + limit;
    loop {
        if done() {
            return true;
        }
        if now() >= end {
            return false;
        }
        std::thread::sleep(pause);
    }
}
