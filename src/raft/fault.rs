//! Why a node's Raft does not start, and why it stops by itself.

use super::io::store_error::StoreError;
use crate::tasks::TaskFault;
use std::{path::PathBuf, sync::Arc};

/// Why a node's Raft does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// openraft refuses what it found.
    #[error("the Raft log of {} cannot be continued: {why}", data_dir.display())]
    Raft {
        /// Where it is.
        data_dir: PathBuf,
        /// Why.
        why: String,
    },
}

/// Why a node's Raft has stopped by itself. The agent logs it and exits; the guard starts it again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The log stores nothing more.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// openraft gave up.
    #[error("raft stopped: {0}")]
    Raft(String),
    /// One of its tasks ended.
    #[error(transparent)]
    Task(#[from] TaskFault),
}
