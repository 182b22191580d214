//! Waiting for sockets until an exact moment: an epoll and a timer set to an absolute time.

use anyhow::{Context, Result};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

const TIMER: u64 = u64::MAX;

/// An epoll that also wakes at a given moment of [`super::super::ticks::now`]. epoll's own timeout is in whole
/// milliseconds and relative; a probe must start its requests at the moment they are due.
pub struct Waker {
    poll: OwnedFd,
    timer: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Waker {
    /// A waker that watches nothing yet.
    pub fn new() -> Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("create an epoll")?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .context("create a timer")?;
        epoll::add(&poll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Self { poll, timer, events: Vec::with_capacity(256) })
    }

    /// Watches a socket under a key.
    pub fn add(&self, socket: impl AsFd, key: u64, flags: EventFlags) -> Result<()> {
        epoll::add(&self.poll, socket, EventData::new_u64(key), flags).context("watch a socket")
    }

    /// Watches for something else on a socket.
    pub fn change(&self, socket: impl AsFd, key: u64, flags: EventFlags) -> Result<()> {
        epoll::modify(&self.poll, socket, EventData::new_u64(key), flags).context("watch a socket")
    }

    /// Sleeps until a socket stirs or `due` has come; the keys of the sockets that stirred.
    pub fn sleep_until(&mut self, due: Duration) -> Result<Vec<u64>> {
        // A timer set to zero would be switched off.
        let due = due.max(Duration::from_nanos(1));
        let at = Timespec { tv_sec: i64::try_from(due.as_secs())?, tv_nsec: i64::from(due.subsec_nanos()) };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec).context("set a timer")?;
        self.events.clear();
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut self.events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for sockets"),
        }
        Ok(self.events.iter().map(|event| event.data.u64()).filter(|&key| key != TIMER).collect())
    }
}
