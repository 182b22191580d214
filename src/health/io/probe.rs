//! One probe of a server, by whatever kind of check.

use super::{
    deadline::{ProbeDeadline, ProbeFault},
    http,
    script::ScriptRunner,
    tcp,
};
use crate::{
    health::{hysteresis::Grade, observer::ProbeResult},
    model::{Check, CheckKind},
    rules::Target,
};
use std::net::SocketAddr;
use tokio::time::Instant;

/// Probes `target` at `address` as `check` says. Ends within the check's timeout; a script that runs into it ends a little later.
pub async fn probe(scripts: &ScriptRunner, target: &Target, address: SocketAddr, check: &Check) -> ProbeResult {
    let started = Instant::now();
    let deadline = ProbeDeadline { whole: check.timeout, until: started + check.timeout };
    let result = match &check.kind {
        CheckKind::Tcp => tcp::probe(address, deadline).await,
        CheckKind::Http { path, host, status } => http::probe(address, path, host.as_deref(), status, deadline).await,
        CheckKind::Script { script, args } => scripts.probe(target, address, script, args, check.timeout).await,
    };
    match result {
        Ok(what) => ProbeResult { grade: Grade::Passed, what, took: started.elapsed() },
        Err(ProbeFault { grade, what }) => ProbeResult { grade, what, took: started.elapsed() },
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes a probe that needs no script.
    pub(in crate::health) async fn probe(address: SocketAddr, check: &Check) -> ProbeResult {
        let target = Target { service: "web".parse().unwrap(), server: "r1".parse().unwrap() };
        super::probe(&ScriptRunner::off(), &target, address, check).await
    }
}
