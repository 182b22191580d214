//! The Raft log's file: one redb database, every record with a checksum of ours, every commit durable when it returns.
//!
//! Commits are two-phase. With redb's one-phase commit a damaged last commit looks like one that a power cut tore, and is rolled back
//! silently: the node would forget a vote or an entry that it has promised to keep.

use super::store_error::StoreError;
use crate::{
    base::io::durable::{if_there, sync_parent},
    link::codec::CodecError,
    raft::{
        message::{MAX_ENTRY_BYTES, MAX_SNAPSHOT_BYTES},
        record::{self, BadRecord},
        types::{Entry, LogId, SnapshotMeta, Vote},
    },
};
use openraft::entry::RaftEntry;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, backends::FileBackend};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// Raised when what a record holds changes its meaning.
pub const FORMAT: u32 = 4;
/// Log id, vote, stamp: a few numbers and a cluster id.
const MAX_SMALL_BYTES: usize = 1 << 10;
/// The owner reads and writes.
const PRIVATE: u32 = 0o600;
/// The log is held in memory; redb's own cache only has to hold a commit.
const CACHE_BYTES: usize = 4 << 20;

const SMALL: TableDefinition<&str, &[u8]> = TableDefinition::new("small");
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

/// The cluster and the node that the log belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogOwner {
    /// Of what format.
    format: u32,
    /// The cluster.
    pub cluster_id: String,
    /// The node.
    pub node_id: u64,
}

impl LogOwner {
    /// A log of the present format.
    pub fn new(cluster_id: &str, node_id: u64) -> Self {
        Self { format: FORMAT, cluster_id: cluster_id.to_owned(), node_id }
    }

    fn describe(&self) -> String {
        format!("node n{} of cluster {}", self.node_id, self.cluster_id)
    }
}

/// A snapshot as it lies on disk and goes over the network. It holds secrets, so Debug tells its length only.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredSnapshot {
    /// Up to where, and the membership there.
    pub meta: SnapshotMeta,
    /// The state, encoded by the state machine.
    pub data: Vec<u8>,
}

impl fmt::Debug for StoredSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSnapshot").field("meta", &self.meta).field("bytes", &self.data.len()).finish()
    }
}

/// Everything in the file.
#[derive(Debug, Default)]
pub struct Contents {
    /// Last vote.
    pub vote: Option<Vote>,
    /// The committed index, as of some moment before the end.
    pub committed: Option<LogId>,
    /// Last entry that a snapshot has replaced.
    pub purged: Option<LogId>,
    /// The snapshot.
    pub snapshot: Option<StoredSnapshot>,
    /// The entries, with the length of each.
    pub entries: BTreeMap<u64, (Entry, usize)>,
}

/// One change of the file. A sealed record has its checksum already.
pub enum DiskChange {
    /// An entry.
    Append {
        /// Its index.
        index: u64,
        /// Its record.
        sealed: Vec<u8>,
    },
    /// Entries from this index on go.
    TruncateFrom(u64),
    /// Entries up to this one go.
    Purge(LogId),
    /// A vote.
    Vote(Vote),
    /// The committed index.
    Committed(Option<LogId>),
    /// A snapshot's record.
    Snapshot(Vec<u8>),
}

/// The open file.
#[derive(Debug)]
pub struct Disk {
    database: Database,
    path: PathBuf,
}

impl Disk {
    /// Makes an empty log. It appears under its name only when it is whole.
    ///
    /// # Errors
    /// [`StoreError::Exists`], or what the file system says.
    pub fn create(path: &Path, stamp: &LogOwner) -> Result<(), StoreError> {
        let io = |doing| move |source| StoreError::Io { path: path.to_owned(), doing, source };
        if path.try_exists().map_err(io("create"))? {
            return Err(StoreError::Exists { path: path.to_owned() });
        }
        let unfinished = path.with_extension("new");
        if_there(fs::remove_file(&unfinished)).map_err(io("create"))?;
        let failed = |error: redb::Error| failure(path, "create", error);
        let file = create_private(&unfinished).map_err(io("create"))?;
        let backend = FileBackend::new(file).map_err(|e| failed(e.into()))?;
        let mut builder = redb::Builder::new();
        let database = builder.set_cache_size(CACHE_BYTES).create_with_backend(backend).map_err(|e| failed(e.into()))?;
        let disk = Self { database, path: path.to_owned() };
        disk.initialise(stamp).map_err(failed)?;
        drop(disk);
        fs::rename(&unfinished, path).map_err(io("create"))?;
        sync_parent(path).map_err(io("create"))
    }

    /// Removes a log that belongs to no member.
    ///
    /// # Errors
    /// What the file system says.
    pub fn discard(path: &Path) -> Result<(), StoreError> {
        let io = |source| StoreError::Io { path: path.to_owned(), doing: "remove", source };
        if_there(fs::remove_file(path)).and_then(|()| sync_parent(path)).map_err(io)
    }

    fn initialise(&self, stamp: &LogOwner) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_two_phase_commit(true);
        transaction.open_table(LOG)?;
        let sealed = record::seal("stamp", stamp, MAX_SMALL_BYTES).map_err(|e| redb::Error::Corrupted(e.to_string()))?;
        transaction.open_table(SMALL)?.insert("stamp", sealed.as_slice())?;
        transaction.commit()?;
        Ok(())
    }

    /// Opens the log, verifies every page and every record of it, and reads all of it.
    ///
    /// # Errors
    /// The first fault in the file. Nothing is repaired by forgetting: that could break a promise to other nodes.
    pub fn open(path: &Path, expected: &LogOwner) -> Result<(Self, Contents), StoreError> {
        let length = match fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing { path: path.to_owned() }),
            Err(source) => return Err(StoreError::Io { path: path.to_owned(), doing: "open", source }),
        };
        if length == 0 {
            return Err(damaged(path, "it is empty"));
        }
        // The log holds the keys that datagrams are sealed with.
        fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE)).map_err(|source| StoreError::Io {
            path: path.to_owned(),
            doing: "open",
            source,
        })?;
        let disk = Self { database: open_database(path)?, path: path.to_owned() };
        let read = catch_unwind(AssertUnwindSafe(|| disk.read(expected)));
        let contents = read.unwrap_or_else(|_| Err(damaged(path, "reading it fails on an internal check")))?;
        contents.verify().map_err(|what| damaged(path, what))?;
        Ok((disk, contents))
    }

    fn read(&self, expected: &LogOwner) -> Result<Contents, StoreError> {
        let failed = |error: redb::Error| failure(&self.path, "read", error);
        let transaction = self.database.begin_read().map_err(|e| failed(e.into()))?;
        let small = transaction.open_table(SMALL).map_err(|e| failed(e.into()))?;
        let stamp: LogOwner = self.small(&small, "stamp")?.ok_or_else(|| damaged(&self.path, "it does not say whose it is"))?;
        self.check_stamp(&stamp, expected)?;
        let mut contents = Contents {
            vote: self.small(&small, "vote")?,
            committed: self.small(&small, "committed")?,
            purged: self.small(&small, "purged")?,
            snapshot: self.value(&small, "snapshot", MAX_SNAPSHOT_BYTES)?,
            entries: BTreeMap::new(),
        };
        let log = transaction.open_table(LOG).map_err(|e| failed(e.into()))?;
        for row in log.iter().map_err(|e| failed(e.into()))? {
            let (index, sealed) = row.map_err(|e| failed(e.into()))?;
            let (index, sealed) = (index.value(), sealed.value());
            let entry = record::open(&entry_place(index), sealed, MAX_ENTRY_BYTES).map_err(|e| self.bad(e))?;
            contents.entries.insert(index, (entry, sealed.len()));
        }
        Ok(contents)
    }

    fn check_stamp(&self, found: &LogOwner, expected: &LogOwner) -> Result<(), StoreError> {
        if found.format != FORMAT {
            return Err(StoreError::Format { path: self.path.clone(), found: found.format, known: FORMAT });
        }
        if found != expected {
            let (found, expected) = (found.describe(), expected.describe());
            return Err(StoreError::Foreign { path: self.path.clone(), found, expected });
        }
        Ok(())
    }

    fn small<T: DeserializeOwned>(
        &self,
        table: &impl ReadableTable<&'static str, &'static [u8]>,
        key: &str,
    ) -> Result<Option<T>, StoreError> {
        self.value(table, key, MAX_SMALL_BYTES)
    }

    fn value<T: DeserializeOwned>(
        &self,
        table: &impl ReadableTable<&'static str, &'static [u8]>,
        key: &str,
        limit: usize,
    ) -> Result<Option<T>, StoreError> {
        let sealed = table.get(key).map_err(|e| failure(&self.path, "read", e.into()))?;
        sealed.map(|sealed| record::open(key, sealed.value(), limit)).transpose().map_err(|e| self.bad(e))
    }

    fn bad(&self, error: BadRecord) -> StoreError {
        damaged(&self.path, error.to_string())
    }

    /// Writes all of `changes`, in their order, or none. Durable when it returns.
    ///
    /// # Errors
    /// What is on disk is not known then: the caller writes nothing more.
    pub fn write(&self, changes: &[DiskChange]) -> Result<(), StoreError> {
        let written = catch_unwind(AssertUnwindSafe(|| self.try_write(changes)));
        let written = written.unwrap_or_else(|_| Err(redb::Error::Corrupted("writing fails on an internal check".to_owned())));
        written.map_err(|error| failure(&self.path, "write", error))
    }

    fn try_write(&self, changes: &[DiskChange]) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_two_phase_commit(true);
        {
            let mut small = transaction.open_table(SMALL)?;
            let mut log = transaction.open_table(LOG)?;
            for change in changes {
                match change {
                    DiskChange::Append { index, sealed } => drop(log.insert(index, sealed.as_slice())?),
                    DiskChange::TruncateFrom(first) => log.retain_in(*first.., |_, _| false)?,
                    DiskChange::Purge(last) => {
                        log.retain_in(..=last.index, |_, _| false)?;
                        small.insert("purged", seal_small("purged", last)?.as_slice())?;
                    }
                    DiskChange::Vote(vote) => drop(small.insert("vote", seal_small("vote", vote)?.as_slice())?),
                    DiskChange::Committed(Some(id)) => drop(small.insert("committed", seal_small("committed", id)?.as_slice())?),
                    DiskChange::Committed(None) => drop(small.remove("committed")?),
                    DiskChange::Snapshot(sealed) => drop(small.insert("snapshot", sealed.as_slice())?),
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl Contents {
    /// Whether the parts fit together.
    fn verify(&self) -> Result<(), String> {
        let mut next = self.purged.as_ref().map_or(0, |id| id.index + 1);
        let mut last = self.purged;
        for (index, (entry, _)) in &self.entries {
            let id = entry.log_id();
            if *index != next || id.index != *index {
                return Err(format!("entry {next} is missing"));
            }
            if last.is_some_and(|last| id <= last) {
                return Err(format!("entry {index} is older than the one before it"));
            }
            last = Some(id);
            next += 1;
        }
        let snapshot_end = self.snapshot.as_ref().and_then(|snapshot| snapshot.meta.last_log_id);
        if self.purged > snapshot_end {
            return Err(format!("entries before {next} are gone and no snapshot has them"));
        }
        if self.committed > last.max(snapshot_end) {
            return Err("its end is missing".to_owned());
        }
        Ok(())
    }
}

/// An entry's record.
pub fn seal_entry(entry: &Entry) -> Result<Vec<u8>, CodecError> {
    record::seal(&entry_place(entry.log_id().index), entry, MAX_ENTRY_BYTES)
}

/// A snapshot's record.
pub fn seal_snapshot(snapshot: &StoredSnapshot) -> Result<Vec<u8>, CodecError> {
    record::seal("snapshot", snapshot, MAX_SNAPSHOT_BYTES)
}

fn seal_small<T: Serialize>(place: &str, value: &T) -> Result<Vec<u8>, redb::Error> {
    record::seal(place, value, MAX_SMALL_BYTES).map_err(|error| redb::Error::Corrupted(error.to_string()))
}

fn entry_place(index: u64) -> String {
    format!("entry {index}")
}

fn open_database(path: &Path) -> Result<Database, StoreError> {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    match catch_unwind(AssertUnwindSafe(|| builder.open(path))) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(StoreError::InUse { path: path.to_owned() }),
        Ok(Err(error)) => Err(failure(path, "open", error.into())),
        Err(_) => Err(damaged(path, "opening it fails on an internal check")),
    }
}

/// Tells damage from what the operating system refused.
fn failure(path: &Path, doing: &'static str, error: redb::Error) -> StoreError {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        redb::Error::Io(source) if !matches!(source.kind(), InvalidData | UnexpectedEof) => {
            StoreError::Io { path: path.to_owned(), doing, source }
        }
        redb::Error::PreviousIo => StoreError::Stopped { path: path.to_owned() },
        error => damaged(path, error.to_string()),
    }
}

fn damaged(path: &Path, what: impl Into<String>) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), what: what.into() }
}

/// Only the owner may read the file, also in the moment in which it is made.
fn create_private(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE).open(path)
}

#[cfg(test)]
mod tests;
