//! One question to a server, of any kind, and its answer.

use super::{
    http,
    patience::{Fault, Patience},
    script::ScriptRunner,
    tcp,
};
use crate::{
    health::{hysteresis::Grade, observer::Answer},
    model::{Check, CheckKind},
    rules::Target,
};
use std::net::SocketAddr;
use tokio::time::Instant;

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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Asks what needs no script.
    pub(in crate::health) async fn probe(address: SocketAddr, check: &Check) -> Answer {
        let target = Target { service: "web".parse().unwrap(), server: "r1".parse().unwrap() };
        super::probe(&ScriptRunner::off(), &target, address, check).await
    }
}
