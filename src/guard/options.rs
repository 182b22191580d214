//! What a guard needs to know.

use super::io::{runner::RunnerCommand, worker::WorkerCommand};
use std::{net::SocketAddr, path::PathBuf};

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
