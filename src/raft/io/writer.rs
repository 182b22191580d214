//! The only thread that writes the Raft log: it takes the queued commands, tells the guard the voters, commits once, then answers.

use super::{
    disk::{Disk, DiskChange},
    store_error::StoreError,
};
use crate::raft::{
    effective_membership::StoredMemberships,
    membership_observer::MembershipObserver,
    types::{LogId, StoredMembership, TypeConfig, Vote, lease_membership},
};
use openraft::storage::IOFlushed;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

/// Commands that wait for the thread. openraft itself waits for votes, truncations and purges, so only appends queue up; with a full queue openraft
/// waits for the disk.
pub const QUEUE: usize = 256;
/// Commands in one commit.
const BATCH: usize = 128;
/// Bytes in one commit, about.
const BATCH_BYTES: usize = 8 << 20;
/// The committed index is written with the next entry, or after this time. A restart acts on a state that is at most so old.
const COMMITTED_DELAY: Duration = Duration::from_millis(100);

/// Tells the caller that its command is durable, or why not.
pub type DurabilitySender = oneshot::Sender<Result<(), Arc<StoreError>>>;

/// A command to the log.
pub enum LogCommand {
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
    Vote(Vote, DurabilitySender),
    /// Store the committed index soon.
    Committed(Option<LogId>),
    /// Remove entries from this index on.
    TruncateFrom(u64, DurabilitySender),
    /// Remove entries up to this one.
    Purge(LogId, DurabilitySender),
    /// Put this snapshot in the place of the former one, unless that one is newer.
    Snapshot {
        /// Up to where.
        end: Option<LogId>,
        /// The membership there.
        membership: StoredMembership,
        /// Its record.
        sealed: Vec<u8>,
        /// The answer.
        done: DurabilitySender,
    },
    /// Write everything that is queued, close the file, end.
    Close(DurabilitySender),
}

impl LogCommand {
    fn bytes(&self) -> usize {
        match self {
            LogCommand::Append { sealed, .. } => sealed.iter().map(|(_, record)| record.len()).sum(),
            LogCommand::Snapshot { sealed, .. } => sealed.len(),
            LogCommand::Vote(..)
            | LogCommand::Committed(_)
            | LogCommand::TruncateFrom(..)
            | LogCommand::Purge(..)
            | LogCommand::Close(_) => 0,
        }
    }

    /// A command that may change who votes ends its batch, so that the guard is told of each membership before it is reported as stored.
    fn ends_batch(&self) -> bool {
        match self {
            LogCommand::Append { memberships, .. } => !memberships.is_empty(),
            LogCommand::TruncateFrom(..) | LogCommand::Snapshot { .. } | LogCommand::Close(_) => true,
            LogCommand::Vote(..) | LogCommand::Committed(_) | LogCommand::Purge(..) => false,
        }
    }
}

enum WriteReply {
    Flushed(IOFlushed<TypeConfig>),
    Stored(DurabilitySender),
}

impl WriteReply {
    fn send(self, result: &Result<(), Arc<StoreError>>) {
        match self {
            WriteReply::Flushed(done) => done.io_completed(result.clone().map_err(std::io::Error::other)),
            // The caller may have been cancelled; the log is right either way.
            WriteReply::Stored(done) => drop(done.send(result.clone())),
        }
    }
}

/// The thread's state.
pub struct LogWriter {
    /// The file.
    pub disk: Disk,
    /// Where it is, for errors that are not its own.
    pub path: PathBuf,
    /// The memberships in it.
    pub memberships: StoredMemberships,
    /// The membership observer, which is told of them.
    pub membership_observer: Arc<dyn MembershipObserver>,
    /// Deadline of the membership observer.
    pub sink_deadline: Duration,
    /// End of the stored snapshot.
    pub snapshot_end: Option<LogId>,
    /// The queue of commands.
    pub commands: mpsc::Receiver<LogCommand>,
    /// First failure; nothing is written after it.
    pub failure: watch::Sender<Option<Arc<StoreError>>>,
    /// Last known as committed.
    pub committed: Option<LogId>,
    /// When that is to be on disk, where it is not.
    pub committed_due: Option<Instant>,
}

impl LogWriter {
    /// Starts the thread. `told` resolves when the membership observer knows the effective membership on disk; the thread ends at
    /// [`LogCommand::Close`], or when all senders of commands are gone.
    ///
    /// # Errors
    /// No thread, no timers.
    pub fn spawn(self, told: DurabilitySender) -> std::io::Result<std::thread::JoinHandle<()>> {
        // The thread has a runtime of its own: commits block only that.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || runtime.block_on(self.run(told)))
    }

    async fn run(mut self, told: DurabilitySender) {
        let first = self.tell().await;
        let works = first.is_ok();
        // When the start was cancelled, no receiver is left, and no commands come either.
        let _ = told.send(first.map_err(Arc::new));
        if !works {
            return;
        }
        while let Some(batch) = self.next_batch().await {
            let (changes, replies, close) = self.prepare(batch);
            let result = self.store(changes, close.is_some()).await;
            replies.into_iter().for_each(|reply| reply.send(&result));
            if let Some(done) = close {
                // The caller may open the file again as soon as it is answered.
                drop(self);
                let _ = done.send(result);
                return;
            }
        }
    }

    /// The queued commands; empty when only the committed index is due; `None` when all senders are gone.
    async fn next_batch(&mut self) -> Option<Vec<LogCommand>> {
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

    fn prepare(&mut self, batch: Vec<LogCommand>) -> (Vec<DiskChange>, Vec<WriteReply>, Option<DurabilitySender>) {
        let mut changes = Vec::new();
        let mut replies = Vec::new();
        let mut close = None;
        for command in batch {
            match command {
                LogCommand::Append { sealed, memberships, done } => {
                    memberships.into_iter().for_each(|(index, membership)| self.memberships.append(index, membership));
                    changes.extend(sealed.into_iter().map(|(index, sealed)| DiskChange::Append { index, sealed }));
                    replies.push(WriteReply::Flushed(done));
                }
                LogCommand::Vote(vote, done) => {
                    changes.push(DiskChange::Vote(vote));
                    replies.push(WriteReply::Stored(done));
                }
                LogCommand::Committed(id) => {
                    self.committed = id;
                    self.committed_due.get_or_insert_with(|| Instant::now() + COMMITTED_DELAY);
                }
                LogCommand::Close(done) => close = Some(done),
                LogCommand::TruncateFrom(first, done) => {
                    self.memberships.truncate_from(first);
                    changes.push(DiskChange::TruncateFrom(first));
                    replies.push(WriteReply::Stored(done));
                }
                LogCommand::Purge(last, done) => {
                    self.memberships.purge_to(last.index);
                    changes.push(DiskChange::Purge(last));
                    replies.push(WriteReply::Stored(done));
                }
                LogCommand::Snapshot { end, membership, sealed, done } => {
                    if end > self.snapshot_end {
                        self.memberships.snapshot(end, membership);
                        self.snapshot_end = end;
                        changes.push(DiskChange::Snapshot(sealed));
                    }
                    replies.push(WriteReply::Stored(done));
                }
            }
        }
        (changes, replies, close)
    }

    /// The guard is told first, then the disk is written: the guard knows every membership that is reported as stored (docs/lease.md, "Known before
    /// stored").
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
        let answer = timeout(deadline, self.membership_observer.effective(lease_membership(&membership))).await;
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
