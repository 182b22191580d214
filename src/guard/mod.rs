//! The guard process: holds VIPs, votes on leases, announces, and looks after the worker.
//!
//! What it decides is in `supervisor` (the worker's life), `leases` and `slot` (this node's part in the leases), `arp` (announcements); `report` what the service
//! manager hears; `event_loop` drives them and `hands` does what they want.

pub mod arp;
mod event_loop;
mod hands;
pub mod io;
pub mod leases;
pub mod protocol;
pub mod report;
pub mod slot;
pub mod supervisor;
mod woken;

use crate::{
    kernel::io::{
        address::{AddressError, Addresses},
        load_module,
        privilege::{AGENT, PrivilegeError, give_up},
    },
    link::{io::files::FileError, node_key::BadKey},
};
use event_loop::EventLoop;
use hands::Hands;
pub use io::{
    channel::{ChannelError, GUARD_FD, GuardChannel, GuardGone, GuardHandle},
    runner::RunnerCommand,
    worker::WorkerCommand,
};
use io::{
    lock::{DataDirLock, LockError},
    privilege,
    runner::{self, RunnerStartError},
    socket::LeaseSocket,
    vip_file::{self, VipFile},
};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a guard needs to know. Who it is in which cluster its worker tells it.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// Where it hears lease messages (UDP), see [`crate::model::node::guard_addr`].
    pub listen: SocketAddr,
    /// The node's data directory.
    pub data_dir: PathBuf,
    /// How the worker is started.
    pub worker: WorkerCommand,
    /// How the script runner is started; `None`: this node runs no scripts.
    pub runner: Option<RunnerCommand>,
}

/// Why a guard could not start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The data directory is not this agent's.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Scripts are configured and cannot be run.
    #[error(transparent)]
    Runner(#[from] RunnerStartError),
    /// It would run with more rights than it needs.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// The runtime, its timer or its signals.
    #[error("cannot set up the guard's event loop")]
    Runtime(#[source] std::io::Error),
    /// The UDP address.
    #[error("cannot listen on {listen} (udp): is no other lvs-agent running?")]
    Listen {
        /// Which.
        listen: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Addresses of an earlier run could not be looked for or taken off. A guard that may leave a VIP behind does not start.
    #[error("cannot take off the vips that an earlier run may have left")]
    Sweep(#[source] AddressError),
    /// The list of those addresses.
    #[error("cannot read {path}: remove it if it is damaged, after taking its addresses off by hand")]
    VipFile {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Why nothing can be said in this node's name.
#[derive(Debug, thiserror::Error)]
enum CannotSpeak {
    #[error("the worker gave no key to sign with")]
    Key(#[from] BadKey),
    #[error("there is no number for this start")]
    Session(#[from] FileError),
}

/// Runs the guard until SIGTERM or SIGINT; SIGHUP is for its worker. Call it from the main thread, before there is any other: the worker's life hangs on that thread.
pub fn run(mut options: GuardOptions) -> Result<(), GuardError> {
    let _lock = DataDirLock::take(&options.data_dir)?;
    // While there are rights to give it, and before this process is one that its children are not to be.
    if let Some(command) = &options.runner {
        options.worker.runner = Some(Arc::new(runner::start(command)?));
    }
    let needed = privilege::keep_on_time();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(GuardError::Runtime)?;
    runtime.block_on(async {
        // Here for all roles: a node may be made a director while it runs.
        load_module().await;
        // This runtime has no other threads, and the worker gets no more rights than this one leaves.
        give_up(&AGENT, needed)?;
        guard(options).await
    })
}

/// The loop looks for this node's address where it is not there yet: the worker serves the API meanwhile.
async fn guard(options: GuardOptions) -> Result<(), GuardError> {
    let mut signals = signals().map_err(GuardError::Runtime)?;
    let socket = LeaseSocket::new(options.listen);
    let addresses = Addresses::open().map_err(GuardError::Sweep)?;
    let noted = vip_file::read(&options.data_dir)
        .map_err(|source| GuardError::VipFile { path: VipFile::path(&options.data_dir), source })?;
    let vip_file = VipFile::open(&options.data_dir, noted.clone()).map_err(GuardError::Runtime)?;
    let mut hands = Hands::new(addresses, socket, noted);
    hands.listen().await?;
    let event_loop = EventLoop::new(options, hands, vip_file).map_err(GuardError::Runtime)?;
    event_loop.run(&mut signals).await
}

fn signals() -> std::io::Result<[Signal; 3]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?])
}
