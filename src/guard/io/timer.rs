//! Waiting for a point of the boot-time clock. tokio's own timers count `CLOCK_MONOTONIC`, which a suspended machine stops, in whole
//! milliseconds; this one fires at once when a machine wakes past the point.

use crate::clock::BootInstant;
use rustix::{
    fs::Timespec,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime},
};
use std::{cell::Cell, io, os::fd::OwnedFd};
use tokio::io::{Interest, unix::AsyncFd};

/// One timer.
#[derive(Debug)]
pub struct BootTimer {
    fd: AsyncFd<OwnedFd>,
    /// What it is set to and has not been seen to reach: most waits are for the same point as the last one, which something else ended.
    set: Cell<Option<BootInstant>>,
}

impl BootTimer {
    /// A timer on the current runtime.
    pub fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, for as long as it lives.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self { fd, set: Cell::new(None) })
    }

    /// Waits until `at`, for ever if there is none. Cancel-safe: each call sees to it that the timer is set to its own point.
    pub async fn until(&self, at: Option<BootInstant>) -> io::Result<()> {
        let Some(at) = at else { return std::future::pending().await };
        if self.set.get() != Some(at) {
            self.set.set(None);
            timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &once(at))?;
            self.set.set(Some(at));
        }
        loop {
            let mut ready = self.fd.readable().await?;
            let mut expirations = [0_u8; 8];
            match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?)) {
                Ok(read) => {
                    // It is not ready again before it is set again; else the next wait would begin with a read in vain.
                    ready.clear_ready();
                    self.set.set(None);
                    return read.map(|_| ());
                }
                // Readiness of an earlier setting.
                Err(_would_block) => (),
            }
        }
    }
}

/// Fires at `at`, and only then. All zeros would disarm the timer, hence at least a nanosecond after boot.
fn once(at: BootInstant) -> Itimerspec {
    let since_boot = at.since_boot();
    let value = Timespec {
        tv_sec: i64::try_from(since_boot.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(since_boot.subsec_nanos().max(1)),
    };
    Itimerspec { it_interval: Timespec::default(), it_value: value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{BootClock, Clock};
    use std::time::Duration;

    #[tokio::test]
    async fn waits_until_the_point_and_not_at_all_for_a_past_one() {
        let timer = BootTimer::new().unwrap();
        let at = BootClock.now() + Duration::from_millis(20);
        timer.until(Some(at)).await.unwrap();
        assert!(BootClock.now() >= at);
        timer.until(Some(BootInstant::default())).await.unwrap();
    }

    #[tokio::test]
    async fn a_point_is_waited_for_again_after_a_cancelled_wait_and_after_it_was_reached() {
        let timer = BootTimer::new().unwrap();
        let at = BootClock.now() + Duration::from_millis(20);
        let cancelled = tokio::time::timeout(Duration::from_millis(5), timer.until(Some(at))).await;
        assert!(cancelled.is_err());
        timer.until(Some(at)).await.unwrap();
        assert!(BootClock.now() >= at);
        timer.until(Some(at)).await.unwrap();
    }

    #[tokio::test]
    async fn a_cancelled_wait_does_not_end_the_next_one_early() {
        let timer = BootTimer::new().unwrap();
        let soon = BootClock.now() + Duration::from_millis(5);
        let _ = tokio::time::timeout(Duration::from_millis(20), timer.until(Some(soon + Duration::from_secs(60)))).await;
        let at = BootClock.now() + Duration::from_millis(20);
        timer.until(Some(at)).await.unwrap();
        assert!(BootClock.now() >= at);
    }
}
