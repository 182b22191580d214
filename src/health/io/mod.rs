//! The part of `health` that touches the network and starts scripts: one question, one answer, within its timeout.

pub mod http;
pub mod packets;
pub mod script;
pub mod script_runner;
pub mod tcp;

use super::{hysteresis::Grade, observer::Answer};
use crate::{
    model::{Check, CheckKind},
    rules::Target,
};
use script::ScriptRunner;
use std::{
    future::Future,
    io::{Error, ErrorKind},
    net::SocketAddr,
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Asks `address`, where `target` is asked, what `check` says. Ends within the check's timeout; a script that runs into it is given up a little later.
pub async fn probe(scripts: &ScriptRunner, target: &Target, address: SocketAddr, check: &Check) -> Answer {
    let started = Instant::now();
    let patience = Patience { whole: check.timeout, until: started + check.timeout };
    let result = match &check.kind {
        CheckKind::Tcp => tcp::probe(address, patience).await,
        CheckKind::Http { path, host, status } => http::probe(address, path, host.as_deref(), status, patience).await,
        CheckKind::Script { script, args } => scripts.probe(target, address, script, args, check.timeout).await,
    };
    match result {
        Ok(what) => Answer { grade: Grade::Passed, what, took: started.elapsed() },
        Err(Fault { grade, what }) => Answer { grade, what, took: started.elapsed() },
    }
}

/// The timeout that all steps of a probe share.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    whole: Duration,
    until: Instant,
}

impl Patience {
    /// Waits for one step of a probe, with its name for the reason.
    async fn with<T>(self, step: &str, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let timeout = |_| Err(Fault::failed(format!("timeout after {} ms in {step}", self.whole.as_millis())));
        timeout_at(self.until, work).await.unwrap_or_else(timeout)
    }
}

/// Why a probe did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    grade: Grade,
    what: String,
}

impl Fault {
    fn failed(what: impl Into<String>) -> Self {
        Self { grade: Grade::Failed, what: what.into() }
    }

    /// The server is not to blame for what this node lacks: descriptors, ports, memory.
    fn of_system(error: &Error) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks what needs no script.
    pub(super) async fn probe(address: SocketAddr, check: &Check) -> Answer {
        let target = Target { service: "web".parse().unwrap(), server: "r1".parse().unwrap() };
        super::probe(&ScriptRunner::off(), &target, address, check).await
    }
}
