//! The clocks: `CLOCK_BOOTTIME`, which also runs while a machine is suspended, and Unix time.
//!
//! std's `Instant` is `CLOCK_MONOTONIC`, which stops while suspended: a lease counted with it would outlive its promise.

use std::{
    fmt,
    ops::{Add, Sub},
    sync::{Arc, Mutex},
    time::Duration,
};

/// A time on this machine's boot-time clock. It means nothing on another machine or after a reboot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// The time `since_boot` after boot.
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// The time since boot.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is not earlier.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` moved back by `by`, not before boot.
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

impl Add<Duration> for BootInstant {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Sub for BootInstant {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        self.saturating_since(rhs)
    }
}

impl fmt::Debug for BootInstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot+{:?}", self.0)
    }
}

/// The present on both clocks of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BothClocks {
    /// Boot-time clock: deadlines are counted on it.
    pub boot: BootInstant,
    /// Unix time, which nodes share roughly: for labels, for turns, and for numbers that no earlier start has used.
    pub unix: Duration,
}

/// The clocks that tasks and io read. Pure files read no clock; they are given `now`.
pub trait Clock: Send + Sync + 'static {
    /// The present boot-time.
    fn now(&self) -> BootInstant;

    /// Unix time as this machine has it. It may jump, so it is used for labels and for spreading work, never for a promise.
    fn unix_now(&self) -> Duration {
        read(rustix::time::ClockId::Realtime)
    }
}

/// The kernel's `CLOCK_BOOTTIME` (`clock_gettime(2)`).
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> BootInstant {
        BootInstant(read(rustix::time::ClockId::Boottime))
    }
}

fn read(clock: rustix::time::ClockId) -> Duration {
    let t = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// A clock that moves only when a test moves it.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Mutex<BootInstant>>);

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().expect("no holder of this lock panics");
        *now = *now + by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> BootInstant {
        *self.0.lock().expect("no holder of this lock panics")
    }
}
