//! The one thread that writes the Raft log: takes what has queued up, tells the guard who votes, commits once, then answers.

use super::{
    disk::{Disk, DiskChange},
    store_error::StoreError,
};
use crate::raft::{
    effective::Memberships,
    sink::MembershipSink,
    types::{LogId, StoredMembership, TypeConfig, Vote, lease_membership},
};
use openraft::storage::IOFlushed;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

/// Commands that wait for the thread. openraft itself waits for votes, truncations and purges, so that only appends queue up; a full queue
/// makes it wait for the disk, which is right.
pub const QUEUE: usize = 256;
/// Commands in one commit.
const BATCH: usize = 128;
/// Bytes in one commit, about.
const BATCH_BYTES: usize = 8 << 20;
/// What is known as committed is written with the next entry, or after this time. A restart acts on state that is at most so old.
const COMMITTED_DELAY: Duration = Duration::from_millis(100);

/// Says that something is durable, or why it is not.
pub type Done = oneshot::Sender<Result<(), Arc<StoreError>>>;

/// What the log is told to do.
pub enum WriterCommand {
    /// Append entries.
    Append {
        /// Index and record of each.
        sealed: Vec<(u64, Vec<u8>)>,
        /// Those of them that are memberships.
        memberships: Vec<(u64, StoredMembership)>,
        /// openraft's callback.
        done: IOFlushed<TypeConfig>,
    },
    /// Remember a vote.
    Vote(Vote, Done),
    /// Remember, some time soon, what is known as committed.
    Committed(Option<LogId>),
    /// Remove entries from this index on.
    TruncateFrom(u64, Done),
    /// Remove entries up to this one.
    Purge(LogId, Done),
    /// Put this snapshot in the place of the former one, unless that one is newer.
    Snapshot {
        /// Up to where.
        end: Option<LogId>,
        /// The membership there.
        membership: StoredMembership,
        /// Its record.
        sealed: Vec<u8>,
        /// The answer.
        done: Done,
    },
    /// Write what is to be written, close the file, end.
    Close(Done),
}

impl WriterCommand {
    fn bytes(&self) -> usize {
        match self {
            WriterCommand::Append { sealed, .. } => sealed.iter().map(|(_, record)| record.len()).sum(),
            WriterCommand::Snapshot { sealed, .. } => sealed.len(),
            WriterCommand::Vote(..)
            | WriterCommand::Committed(_)
            | WriterCommand::TruncateFrom(..)
            | WriterCommand::Purge(..)
            | WriterCommand::Close(_) => 0,
        }
    }

    /// A command that may change who votes ends its batch, so that the guard is told of each membership before it is reported as stored.
    fn ends_batch(&self) -> bool {
        match self {
            WriterCommand::Append { memberships, .. } => !memberships.is_empty(),
            WriterCommand::TruncateFrom(..) | WriterCommand::Snapshot { .. } | WriterCommand::Close(_) => true,
            WriterCommand::Vote(..) | WriterCommand::Committed(_) | WriterCommand::Purge(..) => false,
        }
    }
}

enum Reply {
    Flushed(IOFlushed<TypeConfig>),
    Done(Done),
}

impl Reply {
    fn send(self, result: &Result<(), Arc<StoreError>>) {
        match self {
            Reply::Flushed(done) => done.io_completed(result.clone().map_err(std::io::Error::other)),
            // Who asked may have been cancelled; the log is as it should be either way.
            Reply::Done(done) => drop(done.send(result.clone())),
        }
    }
}

/// The thread's state.
pub struct Writer {
    /// The file.
    pub disk: Disk,
    /// Where it is, for errors that are not its own.
    pub path: PathBuf,
    /// Which memberships it holds.
    pub memberships: Memberships,
    /// Who is told of them.
    pub sink: Arc<dyn MembershipSink>,
    /// How long that may take.
    pub sink_deadline: Duration,
    /// End of the stored snapshot.
    pub snapshot_end: Option<LogId>,
    /// What to do.
    pub commands: mpsc::Receiver<WriterCommand>,
    /// First failure; nothing is written after it.
    pub failure: watch::Sender<Option<Arc<StoreError>>>,
    /// Last known as committed.
    pub committed: Option<LogId>,
    /// When that is to be on disk, where it is not.
    pub committed_due: Option<Instant>,
}

impl Writer {
    /// Starts the thread. `told` resolves when the sink knows the effective membership on disk; the thread ends at
    /// [`WriterCommand::Close`], or when nobody can command it any more.
    ///
    /// # Errors
    /// No thread, no timers.
    pub fn spawn(self, told: Done) -> std::io::Result<std::thread::JoinHandle<()>> {
        // A runtime of its own: commits block it, and nobody else.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || runtime.block_on(self.run(told)))
    }

    async fn run(mut self, told: Done) {
        let first = self.tell().await;
        let works = first.is_ok();
        // Nobody is there to answer when the start was cancelled: then nothing is commanded either.
        let _ = told.send(first.map_err(Arc::new));
        if !works {
            return;
        }
        while let Some(batch) = self.next_batch().await {
            let (changes, replies, close) = self.prepare(batch);
            let result = self.store(changes, close.is_some()).await;
            replies.into_iter().for_each(|reply| reply.send(&result));
            if let Some(done) = close {
                // Who asked may open the file again as soon as it is answered.
                drop(self);
                let _ = done.send(result);
                return;
            }
        }
    }

    /// What has queued up; nothing, when only the committed id is due; `None` when nobody can queue anything any more.
    async fn next_batch(&mut self) -> Option<Vec<WriterCommand>> {
        let first = match self.committed_due {
            None => self.commands.recv().await?,
            Some(due) => match timeout_at(due, self.commands.recv()).await {
                Ok(first) => first?,
                Err(_) => return Some(Vec::new()),
            },
        };
        let mut bytes = first.bytes();
        let mut ended = first.ends_batch();
        let mut batch = vec![first];
        while !ended && batch.len() < BATCH && bytes < BATCH_BYTES {
            let Ok(command) = self.commands.try_recv() else { break };
            bytes += command.bytes();
            ended = command.ends_batch();
            batch.push(command);
        }
        Some(batch)
    }

    fn prepare(&mut self, batch: Vec<WriterCommand>) -> (Vec<DiskChange>, Vec<Reply>, Option<Done>) {
        let mut changes = Vec::new();
        let mut replies = Vec::new();
        let mut close = None;
        for command in batch {
            match command {
                WriterCommand::Append { sealed, memberships, done } => {
                    memberships.into_iter().for_each(|(index, membership)| self.memberships.append(index, membership));
                    changes.extend(sealed.into_iter().map(|(index, sealed)| DiskChange::Append { index, sealed }));
                    replies.push(Reply::Flushed(done));
                }
                WriterCommand::Vote(vote, done) => {
                    changes.push(DiskChange::Vote(vote));
                    replies.push(Reply::Done(done));
                }
                WriterCommand::Committed(id) => {
                    self.committed = id;
                    self.committed_due.get_or_insert_with(|| Instant::now() + COMMITTED_DELAY);
                }
                WriterCommand::Close(done) => close = Some(done),
                WriterCommand::TruncateFrom(first, done) => {
                    self.memberships.truncate_from(first);
                    changes.push(DiskChange::TruncateFrom(first));
                    replies.push(Reply::Done(done));
                }
                WriterCommand::Purge(last, done) => {
                    self.memberships.purge_to(last.index);
                    changes.push(DiskChange::Purge(last));
                    replies.push(Reply::Done(done));
                }
                WriterCommand::Snapshot { end, membership, sealed, done } => {
                    if end > self.snapshot_end {
                        self.memberships.snapshot(end, membership);
                        self.snapshot_end = end;
                        changes.push(DiskChange::Snapshot(sealed));
                    }
                    replies.push(Reply::Done(done));
                }
            }
        }
        (changes, replies, close)
    }

    /// The guard first, then the disk: what is reported as stored is known to the guard (docs/lease.md, "Known before stored").
    async fn store(&mut self, mut changes: Vec<DiskChange>, closing: bool) -> Result<(), Arc<StoreError>> {
        if self.failure.borrow().is_some() {
            self.committed_due = None;
            return Err(Arc::new(StoreError::Stopped { path: self.path.clone() }));
        }
        let is_due = self.committed_due.is_some_and(|due| closing || !changes.is_empty() || Instant::now() >= due);
        if is_due {
            self.committed_due = None;
            changes.push(DiskChange::Committed(self.committed));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let result = match self.tell().await {
            Ok(()) => self.disk.write(&changes),
            Err(error) => Err(error),
        };
        result.map_err(|error| self.fail(error))
    }

    fn fail(&self, error: StoreError) -> Arc<StoreError> {
        let error = Arc::new(error);
        self.failure.send_replace(Some(error.clone()));
        error
    }

    async fn tell(&mut self) -> Result<(), StoreError> {
        let Some(membership) = self.memberships.untold() else { return Ok(()) };
        let deadline = self.sink_deadline;
        let answer = timeout(deadline, self.sink.effective(lease_membership(&membership))).await;
        let untold = |why| StoreError::Untold { path: self.path.clone(), why };
        match answer {
            Ok(Ok(())) => {
                self.memberships.told(membership);
                Ok(())
            }
            Ok(Err(error)) => Err(untold(error.to_string())),
            Err(_) => Err(untold(format!("the guard does not answer for {deadline:?}"))),
        }
    }
}
