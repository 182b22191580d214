//! The script runner process: runs this node's check scripts as their user when the worker asks for it.
//!
//! It is a process of its own, because it alone needs the right to become another user and to kill that user's processes. It has one socket to the
//! worker, no network and no keys.

mod account;
mod child;
mod directory;
#[cfg(test)]
mod tests;

use crate::{
    base::errors::with_sources,
    base::io::memory,
    base::io::privilege::{PrivilegeError, SCRIPT_RUNNER, give_up, missing, take_back_limits},
    config::ScriptsConfig,
    health::{
        io::packets::{PacketError, Packets, is_packet_socket},
        script::{MAX_REPORT_BYTES, MAX_RUN_BYTES, MAX_UNDER_WAY, RunnerReady, ScriptEnd, ScriptReport, ScriptRun},
    },
};
use account::{Account, AccountError};
use child::Script;
use directory::ScriptDirectory;
use futures_util::FutureExt;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::timeout,
};

/// A report that is not read within this time is dropped: its worker is gone, or hangs.
const REPORT_LIMIT: Duration = Duration::from_secs(5);

/// Why scripts cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Not started by a guard.
    #[error("standard input is no socket: the script runner is started by `lvs-agent run`, not by hand")]
    NoGuard,
    /// agent.toml has no `[scripts]`.
    #[error("agent.toml has no [scripts]")]
    NotConfigured,
    /// The user cannot be used.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A capability is missing.
    #[error(
        "{without}, for {capability} is missing: add it to the unit's CapabilityBoundingSet, or take [scripts] out of agent.toml"
    )]
    Missing {
        /// The capability.
        capability: caps::Capability,
        /// What does not work.
        without: &'static str,
    },
    /// Rights that it does not need could not be given up.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// The runtime, the socket or the signals failed.
    #[error("cannot set up the script runner")]
    Runtime(#[source] io::Error),
}

/// Runs scripts until the guard is gone. Call it from the main thread, before there is another thread: scripts are killed when that thread ends.
///
/// # Errors
/// Why it cannot. The guard has been told.
pub fn run(config: Option<&ScriptsConfig>) -> Result<(), RunnerError> {
    let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3).map_err(|errno| RunnerError::Runtime(errno.into()))?;
    if !is_packet_socket(&socket) {
        return Err(RunnerError::NoGuard);
    }
    memory::forget_start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunnerError::Runtime)?;
    let prepared = prepare(config);
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(RunnerError::Runtime)?;
        let packets = Packets::new(socket).map_err(RunnerError::Runtime)?;
        let greeting: RunnerReady = prepared.as_ref().map(drop).map_err(|error| with_sources(error));
        // It is the first packet, so there is room for it.
        packets.send(&greeting, MAX_REPORT_BYTES).await.map_err(|error| RunnerError::Runtime(io::Error::other(error)))?;
        let (user, directory) = prepared?;
        tracing::info!(user = user.name, directory = %directory, "script runner started");
        let runner = Runner::new(packets, user, directory);
        tokio::select! {
            () = runner.serve() => {}
            // The guard is gone.
            _ = terminate.recv() => {}
        }
        Ok(())
    })
    // Dropping the runtime kills the scripts under way.
}

/// Looks the user up, then gives up all rights that the runner does not need.
fn prepare(config: Option<&ScriptsConfig>) -> Result<(Account, ScriptDirectory), RunnerError> {
    let config = config.ok_or(RunnerError::NotConfigured)?;
    let user = Account::look_up(&config.user)?;
    if let Some((capability, without)) = missing(&SCRIPT_RUNNER)? {
        return Err(RunnerError::Missing { capability, without });
    }
    take_back_limits();
    give_up(&SCRIPT_RUNNER, &[])?;
    Ok((user, ScriptDirectory::new(&config.directory)))
}

struct Runner {
    packets: Arc<Packets>,
    user: Arc<Account>,
    directory: Arc<ScriptDirectory>,
    /// Each ends within its timeout, unless the kernel does not let it die.
    under_way: JoinSet<()>,
    /// Too many scripts are under way, and that has been logged.
    full: bool,
}

impl Runner {
    fn new(packets: Packets, user: Account, directory: ScriptDirectory) -> Self {
        Self { packets: packets.into(), user: user.into(), directory: directory.into(), under_way: JoinSet::new(), full: false }
    }

    /// Serves requests until the other end is closed.
    async fn serve(mut self) {
        loop {
            // Both arms are cancel-safe.
            tokio::select! {
                order = self.packets.receive::<ScriptRun>(MAX_RUN_BYTES) => match order {
                    Ok(Some(order)) => self.take(order),
                    Err(error @ PacketError::Codec(_)) => tracing::warn!(error = %with_sources(&error), "request of the worker is not understood"),
                    Ok(None) => return,
                    Err(error @ PacketError::Socket(_)) => return tracing::error!(error = %with_sources(&error), "cannot read from the worker"),
                },
                Some(_) = self.under_way.join_next() => {}
            }
        }
    }

    fn take(&mut self, order: ScriptRun) {
        let (packets, id) = (self.packets.clone(), order.id);
        while self.under_way.try_join_next().is_some() {}
        let is_full = self.under_way.len() >= MAX_UNDER_WAY;
        if is_full && !self.full {
            tracing::warn!(
                most = MAX_UNDER_WAY,
                "too many scripts are under way, others are left out: they hang, or their interval is too short"
            );
        }
        self.full = is_full;
        if is_full {
            let ended = ScriptEnd::NotNow(format!("{MAX_UNDER_WAY} scripts are under way on this node"));
            // It is sent now or not at all: a worker that asks for so much and does not read is not waited for.
            let _ = packets.send(&ScriptReport { id, ended, line: String::new() }, MAX_REPORT_BYTES).now_or_never();
            return;
        }
        let (user, directory) = (self.user.clone(), self.directory.clone());
        self.under_way.spawn(async move { run_one(&packets, &user, &directory, order).await });
    }
}

async fn run_one(packets: &Packets, user: &Account, directory: &ScriptDirectory, order: ScriptRun) {
    let id = order.id;
    match start(user, directory, &order) {
        Err(ended) => tell(packets, ScriptReport { id, ended, line: String::new() }).await,
        Ok(mut script) => {
            let (ended, line) = script.end(order.timeout).await;
            tracing::debug!(script = %order.script, subject = ?order.subject, ?ended, line, "script ended");
            tell(packets, ScriptReport { id, ended, line }).await;
            script.gone().await;
        }
    }
}

fn start(user: &Account, directory: &ScriptDirectory, order: &ScriptRun) -> Result<Script, ScriptEnd> {
    if !order.is_proper() {
        return Err(ScriptEnd::Unable("the request is none that a cluster file can lead to".to_owned()));
    }
    let file = directory.find(&order.script, user).map_err(ScriptEnd::Unable)?;
    Script::start(&file, order, user)
}

async fn tell(packets: &Packets, report: ScriptReport) {
    match timeout(REPORT_LIMIT, packets.send(&report, MAX_REPORT_BYTES)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = %with_sources(&error), "cannot report"),
        Err(_elapsed) => tracing::debug!("nobody reads a report"),
    }
}

/// Serves requests without giving up rights first, for tests.
#[cfg(test)]
async fn serve(socket: std::os::fd::OwnedFd, user: Account, directory: ScriptDirectory) {
    Runner::new(Packets::new(socket).expect("a socket"), user, directory).serve().await;
}
