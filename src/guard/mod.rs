//! The guard process: holds VIPs, votes on leases, announces, and looks after the worker.
//!
//! What it decides is in `supervisor` (the worker's life), `leases` and `group_state` (this node's part in the leases), `arp` (announcements); `report` what the service
//! manager hears; `sightings` what this node sees on its interfaces (`links`, `strays`); `clock_rates` whether its clock can be
//! trusted; `event_loop` drives them and `executor` does what they want.

pub mod arp;
pub mod clock_rates;
mod clock_report;
pub mod effect;
mod error;
mod event_loop;
mod executor;
pub mod group_state;
mod identity;
pub mod io;
pub mod leases;
pub mod links;
mod options;
pub mod placement;
pub mod protocol;
pub mod report;
pub mod sightings;
pub mod strays;
pub mod supervisor;
mod woken;

use crate::{
    base::io::privilege::{AGENT, give_up},
    kernel::io::{address::Addresses, load_module},
};
pub use error::GuardError;
use event_loop::EventLoop;
use executor::Executor;
pub use io::{
    channel::{ChannelError, GUARD_FD, GuardChannel, GuardGone, GuardHandle},
    environment::{OtherBuild, guard_version, is_withdrawn},
    lock::{DataDirLock, LockError, lock_holder},
    runner::RunnerCommand,
    sweep::{SweepError, sweep_left},
    worker::WorkerCommand,
};
use io::{
    privilege, runner,
    socket::LeaseSocket,
    vip_file::{self, VipFile},
};
pub use options::GuardOptions;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

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
    let mut executor = Executor::new(addresses, socket, noted);
    executor.listen().await?;
    let event_loop = EventLoop::new(options, executor, vip_file).map_err(GuardError::Runtime)?;
    event_loop.run(&mut signals).await
}

fn signals() -> std::io::Result<[Signal; 3]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?])
}
