//! The errors of the Raft log's file, with the place and what to do.

use crate::link::io::files;
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Why the Raft log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The node has an identity, but no log.
    #[error("the Raft log {} is missing, though this node is a member of a cluster; {}", path.display(), RejoinHint(path))]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The content is damaged.
    #[error("the Raft log {} is damaged: {what}; {}", path.display(), RejoinHint(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What, and where in it.
        what: String,
    },
    /// The log of another node, or of another cluster.
    #[error("the Raft log {} belongs to {found}, but this node is {expected}; {}", path.display(), RejoinHint(path))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// Written by a version that this one does not know.
    #[error("the Raft log {} has format {found}, this version of lvs-agent reads {known}: install the version that wrote it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Another process has it open.
    #[error("the Raft log {} is in use by another process: is an agent running already?", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// There is a log where a new one should be made.
    #[error("there is a Raft log at {} already: move the data directory away first, or start the agent that it belongs to", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The operating system says no.
    #[error("cannot {doing} the Raft log {}{}", path.display(), hint(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// open, create, write.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An entry or a snapshot is longer than the log takes.
    #[error("the Raft log {} does not take {what}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What.
        what: String,
    },
    /// The guard could not be told who votes.
    #[error("the Raft log {} stores nothing more: {why}", path.display())]
    Untold {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An earlier write failed, so the content of the file is not known.
    #[error("the Raft log {} stores nothing more after an earlier failure", path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
    },
}

/// The advice for a node whose log or identity file is lost: how it comes back into the cluster. KeyInventory the path of that file.
pub(crate) struct RejoinHint<'a>(pub(crate) &'a Path);

impl fmt::Display for RejoinHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [log, identity] = [files::RAFT_LOG, files::IDENTITY].map(|file| self.0.with_file_name(file));
        write!(
            f,
            "stop the agent, move {} and {} away, start the agent, and run `lvs-agent join SEED`: with its key and certificate still there it needs no token",
            log.display(),
            identity.display()
        )
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (the disk is full: make room, the agent goes on by itself)"
        }
        io::ErrorKind::PermissionDenied => " (does the agent run as root?)",
        io::ErrorKind::ReadOnlyFilesystem => " (the file system is read-only)",
        _ => "",
    }
}
