//! `watch-clock`: how long this machine's processors stood still, as a thread sees that nothing but the machine itself keeps waiting. It tells a machine that was
//! stopped by its own host from a process that was late.

use super::ticks;
use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// From one look at the clock to the next.
const EVERY: Duration = Duration::from_millis(1);
/// A wait that lasted longer by that is a gap: a real-time thread of a machine that runs is woken within a fraction of a millisecond.
const GAP: Duration = Duration::from_millis(25);
/// Above every other real-time process: the agent's guards have 1.
const PRIORITY: i32 = 99;

/// What was seen on all processors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stillness {
    longest: Duration,
    gaps: u64,
    samples: u64,
    /// Threads that could not become real-time ones: they may have waited for other processes.
    not_real_time: u64,
}

impl fmt::Display for Stillness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let real_time = if self.not_real_time == 0 { "yes" } else { "no" };
        let longest = ticks::ms(self.longest);
        write!(f, "still_ms_max={longest} still_over_25_ms={} samples={} real_time={real_time}", self.gaps, self.samples)
    }
}

impl Stillness {
    /// One more look at the clock: how much longer the wait for it was than it should have been.
    fn take(&mut self, late: Duration) {
        self.samples += 1;
        self.longest = self.longest.max(late);
        self.gaps += u64::from(late > GAP);
    }

    fn and(self, other: Self) -> Self {
        Self {
            longest: self.longest.max(other.longest),
            gaps: self.gaps + other.gaps,
            samples: self.samples + other.samples,
            not_real_time: self.not_real_time + other.not_real_time,
        }
    }
}

/// Looks until the time is up or `asked` says so, with one thread on each processor.
///
/// # Errors
/// The processors cannot be asked for, or there is no thread.
pub fn watch(span: Duration, asked: impl Fn() -> bool) -> Result<Stillness> {
    let allowed = sched_getaffinity(None).context("ask for this process's processors")?;
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor)).collect();
    let (end, over) = (ticks::now() + span, AtomicBool::new(false));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for processor in processors {
            let over = &over;
            let started = thread::Builder::new().spawn_scoped(scope, move || on(processor, end, over));
            threads.push(started.context("start a thread")?);
        }
        while ticks::now() < end && !asked() {
            thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
        let mut all = Stillness::default();
        for thread in threads {
            all = all.and(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

fn on(processor: usize, end: Duration, over: &AtomicBool) -> Result<Stillness> {
    let mut one = CpuSet::new();
    one.set(processor);
    sched_setaffinity(None, &one).with_context(|| format!("bind a thread to processor {processor}"))?;
    let mut seen = Stillness { not_real_time: u64::from(!become_real_time()), ..Stillness::default() };
    let mut last = ticks::now();
    while last < end && !over.load(Ordering::Relaxed) {
        thread::sleep(EVERY);
        let now = ticks::now();
        seen.take((now - last).saturating_sub(EVERY));
        last = now;
    }
    Ok(seen)
}

fn become_real_time() -> bool {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: the parameters live during the call, which changes this thread alone.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_that_were_late_by_more_than_25_ms_are_counted_and_the_latest_is_kept() {
        let mut seen = Stillness::default();
        for late in [0, 25, 26, 700, 3] {
            seen.take(Duration::from_millis(late));
        }
        assert_eq!(seen.to_string(), "still_ms_max=700 still_over_25_ms=2 samples=5 real_time=yes");
        let both = seen.and(Stillness { not_real_time: 1, ..seen });
        assert_eq!(both.to_string(), "still_ms_max=700 still_over_25_ms=4 samples=10 real_time=no");
    }

    #[test]
    fn every_processor_is_looked_at() {
        let seen = watch(Duration::from_millis(50), || false).unwrap();
        assert!(seen.samples > 0, "{seen}");
    }
}
