//! When this node last heard a leader that it follows.

use crate::clock::{BootClock, BootInstant, Clock};
use std::{sync::Mutex, time::Duration};

/// When this node last heard a leader that it follows.
#[derive(Debug, Default)]
pub struct Heard(Mutex<Option<BootInstant>>);

impl Heard {
    pub(in crate::raft) fn now(&self) {
        *self.0.lock().expect("no holder of this lock panics") = Some(BootClock.now());
    }

    /// Time since then.
    pub fn age(&self) -> Option<Duration> {
        let last = *self.0.lock().expect("no holder of this lock panics");
        last.map(|last| BootClock.now().saturating_since(last))
    }
}
