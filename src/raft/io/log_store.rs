//! openraft's log: read from memory, written by the writer's thread.

use super::{
    disk::{Contents, Disk, Stamp, StoredSnapshot, seal_entry, seal_snapshot},
    store_error::StoreError,
    writer::{Done, QUEUE, Writer, WriterCommand},
};
use crate::{
    link::io::files::RAFT_LOG as FILE,
    raft::{
        effective::Memberships,
        message::APPEND_BYTES,
        sink::MembershipSink,
        types::{Entry, LogId, StoredMembership, TypeConfig, Vote},
    },
};
use openraft::{
    OptionalSend,
    entry::RaftEntry,
    storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage},
};
use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    ops::RangeBounds,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot, watch};

/// The guard answers over a socketpair within a fraction of a millisecond; one that does not answer for so long is no guard.
const SINK_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Memory {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    /// Every entry with the length of its record. Snapshots keep them few.
    entries: BTreeMap<u64, (Entry, usize)>,
}

/// The log. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    memory: Arc<Mutex<Memory>>,
    commands: mpsc::Sender<WriterCommand>,
    failure: watch::Receiver<Option<Arc<StoreError>>>,
    path: Arc<PathBuf>,
}

impl LogStore {
    /// Opens the log in `data_dir` and tells `sink` the effective membership in it. Gives the log and the snapshot in it.
    ///
    /// # Errors
    /// Whatever is wrong with the file; the guard that could not be told.
    pub async fn open(
        data_dir: &Path,
        stamp: &Stamp,
        sink: Arc<dyn MembershipSink>,
    ) -> Result<(Self, Option<StoredSnapshot>), StoreError> {
        let path = data_dir.join(FILE);
        let (disk, contents) = Disk::open(&path, stamp)?;
        Self::start(disk, contents, path, sink, SINK_DEADLINE).await
    }

    /// Starts the writer over an open file.
    pub(super) async fn start(
        disk: Disk,
        contents: Contents,
        path: PathBuf,
        sink: Arc<dyn MembershipSink>,
        sink_deadline: Duration,
    ) -> Result<(Self, Option<StoredSnapshot>), StoreError> {
        let (commands, receiver) = mpsc::channel(QUEUE);
        let (failure_sender, failure) = watch::channel(None);
        let writer = Writer {
            disk,
            path: path.clone(),
            memberships: memberships(&contents),
            sink,
            sink_deadline,
            snapshot_end: contents.snapshot.as_ref().and_then(|snapshot| snapshot.meta.last_log_id),
            commands: receiver,
            failure: failure_sender,
            committed: contents.committed,
            committed_due: None,
        };
        let (told, was_told) = oneshot::channel();
        writer.spawn(told).map_err(|source| StoreError::Io { path: path.clone(), doing: "write", source })?;
        let stopped = || StoreError::Stopped { path: path.clone() };
        was_told.await.map_err(|_| stopped())?.map_err(|error| Arc::try_unwrap(error).unwrap_or_else(|_| stopped()))?;
        let Contents { vote, committed, purged, snapshot, entries } = contents;
        let memory = Arc::new(Mutex::new(Memory { vote, committed, purged, entries }));
        Ok((Self { memory, commands, failure, path: Arc::new(path) }, snapshot))
    }

    /// The first failure, once there is one. Nothing is stored after it.
    pub fn failure(&self) -> watch::Receiver<Option<Arc<StoreError>>> {
        self.failure.clone()
    }

    /// Length of all entries that are held.
    pub fn bytes(&self) -> usize {
        self.memory().entries.values().map(|(_, bytes)| bytes).sum()
    }

    /// Stores a snapshot in the place of the former one, unless that one is newer.
    ///
    /// # Errors
    /// One that is too long, or the log's failure.
    pub async fn save_snapshot(&self, snapshot: &StoredSnapshot) -> io::Result<()> {
        let sealed = seal_snapshot(snapshot).map_err(|error| self.too_long("a snapshot", &error))?;
        let (end, membership) = (snapshot.meta.last_log_id, snapshot.meta.last_membership.clone());
        self.ask(|done| WriterCommand::Snapshot { end, membership, sealed, done }).await
    }

    /// Makes everything durable and closes the file. Whatever comes later fails.
    ///
    /// # Errors
    /// The log's failure.
    pub async fn close(&self) -> io::Result<()> {
        self.ask(WriterCommand::Close).await
    }

    async fn ask(&self, command: impl FnOnce(Done) -> WriterCommand) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| self.stopped())?;
        answer.await.map_err(|_| self.stopped())?.map_err(io::Error::other)
    }

    fn stopped(&self) -> io::Error {
        io::Error::other(StoreError::Stopped { path: self.path.as_ref().clone() })
    }

    fn too_long(&self, what: &str, error: &crate::link::codec::CodecError) -> io::Error {
        io::Error::other(StoreError::TooLong { path: self.path.as_ref().clone(), what: format!("{what}: {error}") })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("no holder of this lock panics")
    }
}

fn memberships(contents: &Contents) -> Memberships {
    let mut memberships = Memberships::default();
    if let Some(snapshot) = &contents.snapshot {
        memberships.snapshot(snapshot.meta.last_log_id, snapshot.meta.last_membership.clone());
    }
    for (entry, _) in contents.entries.values() {
        if let Some(stored) = stored_membership(entry) {
            memberships.append(entry.log_id().index, stored);
        }
    }
    memberships
}

fn stored_membership(entry: &Entry) -> Option<StoredMembership> {
    entry.get_membership().map(|membership| StoredMembership::new(Some(entry.log_id()), membership))
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<Entry>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.memory().entries.range(range).map(|(_, (entry, _))| entry.clone()).collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let memory = self.memory();
        let mut total = 0;
        let fits = |bytes: usize| {
            let first = total == 0;
            total += bytes;
            first || total <= APPEND_BYTES
        };
        Ok(memory
            .entries
            .range(start..end)
            .map(|(_, held)| held)
            .scan(fits, |fits, (entry, bytes)| fits(*bytes).then(|| entry.clone()))
            .collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.memory().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let memory = self.memory();
        let last = memory.entries.values().next_back().map(|(entry, _)| entry.log_id());
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: last.or(memory.purged) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.ask(|done| WriterCommand::Vote(*vote, done)).await?;
        self.memory().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.memory().committed = committed;
        self.commands.send(WriterCommand::Committed(committed)).await.map_err(|_| self.stopped())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.memory().committed)
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut sealed = Vec::new();
        let mut memberships = Vec::new();
        let mut held = Vec::new();
        for entry in entries {
            let index = entry.log_id().index;
            let record = seal_entry(&entry).map_err(|error| self.too_long("an entry", &error))?;
            memberships.extend(stored_membership(&entry).map(|stored| (index, stored)));
            held.push((index, (entry, record.len())));
            sealed.push((index, record));
        }
        self.memory().entries.extend(held);
        self.commands.send(WriterCommand::Append { sealed, memberships, done }).await.map_err(|_| self.stopped())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let first = last.map_or(0, |id| id.index + 1);
        self.memory().entries.split_off(&first);
        self.ask(|done| WriterCommand::TruncateFrom(first, done)).await
    }

    async fn purge(&mut self, last: LogId) -> Result<(), io::Error> {
        {
            let mut memory = self.memory();
            memory.entries = memory.entries.split_off(&(last.index + 1));
            memory.purged = Some(last);
        }
        self.ask(|done| WriterCommand::Purge(last, done)).await
    }
}

#[cfg(test)]
mod tests;
