//! The prober: what a client of the cluster sees, request by request.

pub mod early;
pub mod http;
pub mod outage;
pub mod target;
pub mod tcp;
pub mod waker;

use std::path::PathBuf;
use std::time::Duration;

/// When to send, for how long, and how long to wait for each answer.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From one start to the next, whatever became of the last.
    pub every: Duration,
    /// How long to go on starting.
    pub span: Duration,
    /// Patience with one request.
    pub timeout: Duration,
    /// One line for each request.
    pub log: Option<PathBuf>,
}

impl Plan {
    /// How many requests fit.
    pub fn count(&self) -> u32 {
        let every = self.every.as_nanos().max(1);
        u32::try_from(self.span.as_nanos().div_ceil(every)).unwrap_or(u32::MAX)
    }
}
