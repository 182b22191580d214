//! The timeout that all steps of a probe share, and why a probe did not pass.

use crate::health::hysteresis::Grade;
use std::{
    future::Future,
    io::{Error, ErrorKind},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// The timeout that all steps of a probe share.
#[derive(Clone, Copy, Debug)]
pub struct ProbeDeadline {
    pub(super) whole: Duration,
    pub(super) until: Instant,
}

impl ProbeDeadline {
    /// Waits for one step of a probe. `step` names it in the reason of a timeout.
    pub(super) async fn with<T>(self, step: &str, work: impl Future<Output = Result<T, ProbeFault>>) -> Result<T, ProbeFault> {
        let timeout = |_| Err(ProbeFault::failed(format!("timeout after {} ms in {step}", self.whole.as_millis())));
        timeout_at(self.until, work).await.unwrap_or_else(timeout)
    }
}

/// Why a probe did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeFault {
    pub(super) grade: Grade,
    pub(super) what: String,
}

impl ProbeFault {
    pub(super) fn failed(what: impl Into<String>) -> Self {
        Self { grade: Grade::Failed, what: what.into() }
    }

    /// The fault that an error of the system means. For want of descriptors, ports or memory on this node, the probe counts as not made.
    pub(super) fn of_system(error: &Error) -> Self {
        let lacks = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EADDRNOTAVAIL, libc::EAGAIN];
        if error.raw_os_error().is_some_and(|code| lacks.contains(&code)) {
            return Self { grade: Grade::NotAsked, what: format!("not asked: {error}") };
        }
        Self::failed(match error.kind() {
            ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            ErrorKind::ConnectionReset => "connection reset".to_owned(),
            ErrorKind::HostUnreachable => "host unreachable".to_owned(),
            ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
            ErrorKind::TimedOut => "no answer to the connection attempt".to_owned(),
            _ => error.to_string(),
        })
    }
}
