//! openraft's state machine: applies committed changes to the cluster's state, publishes it, makes and takes snapshots of it.

use super::{disk::StoredSnapshot, log_store::LogStore};
use crate::{
    link::codec::{self, CodecError},
    model::NodeId,
    peers::Published,
    raft::{
        message::MAX_SNAPSHOT_BYTES,
        types::{AppliedEntry, Entry, LogId, SnapshotMeta, StoredMembership, TypeConfig},
    },
    rules::ClusterState,
};
use futures_util::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend,
    alias::SnapshotOf,
    entry::RaftEntry,
    storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot},
};
use serde::{Deserialize, Serialize};
use std::{
    io,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

/// Raised when [`ClusterState`] changes its meaning.
pub const VERSION: u16 = 4;
/// Entries applied between two publications. Each publication copies the state as long as a reader holds the last one.
const CHUNK: usize = 64;

/// The bytes of a snapshot's data.
#[derive(Serialize, Deserialize)]
struct Image {
    version: u16,
    state: ClusterState,
}

/// Whether `data` is a snapshot that this version can take. Asked before openraft is given it: openraft stops for good on one that is not.
pub fn is_readable(data: &[u8]) -> bool {
    decode(data).is_ok()
}

fn encode(state: &ClusterState) -> Result<Vec<u8>, CodecError> {
    codec::encode(&Image { version: VERSION, state: state.clone() }, MAX_SNAPSHOT_BYTES)
}

fn decode(data: &[u8]) -> io::Result<ClusterState> {
    let image: Image = codec::decode(data, MAX_SNAPSHOT_BYTES).map_err(io::Error::other)?;
    if image.version != VERSION {
        return Err(io::Error::other(format!("the snapshot has version {}, this lvs-agent reads {VERSION}", image.version)));
    }
    Ok(image.state)
}

/// The state and its snapshots.
pub struct StateMachine {
    applied: Option<LogId>,
    membership: StoredMembership,
    state: Arc<ClusterState>,
    publish: watch::Sender<Published>,
    snapshots: Snapshots,
}

/// The snapshots: the newest one in memory, and the ones on disk.
#[derive(Clone)]
struct Snapshots {
    log: LogStore,
    newest: Arc<Mutex<Option<StoredSnapshot>>>,
}

impl Snapshots {
    async fn save(&self, snapshot: StoredSnapshot) -> io::Result<()> {
        self.log.save_snapshot(&snapshot).await?;
        let mut newest = self.newest.lock().expect("no holder of this lock panics");
        let older = newest.as_ref().is_none_or(|newest| newest.meta.last_log_id <= snapshot.meta.last_log_id);
        if older {
            *newest = Some(snapshot);
        }
        Ok(())
    }
}

impl StateMachine {
    /// Begins with an empty state; openraft gives it the stored snapshot and the committed entries after it.
    pub fn new(log: LogStore, stored: Option<StoredSnapshot>) -> (Self, watch::Receiver<Published>) {
        let (publish, published) = watch::channel(Published::default());
        let snapshots = Snapshots { log, newest: Arc::new(Mutex::new(stored)) };
        (Self { applied: None, membership: StoredMembership::default(), state: Arc::default(), publish, snapshots }, published)
    }

    fn apply_entry(&mut self, entry: Entry) -> AppliedEntry {
        let id = entry.log_id();
        self.applied = Some(id);
        let before = self.state.revision;
        let result = match entry.payload {
            EntryPayload::Blank => Ok(None),
            EntryPayload::Normal(change) => {
                let result = Arc::make_mut(&mut self.state).apply(&change);
                tracing::debug!(index = id.index, %change, refused = ?result.as_ref().err(), "change applied");
                result
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(id), membership);
                Ok(None)
            }
        };
        let revision = self.state.revision;
        AppliedEntry { index: id.index, revision, changed: revision != before, result }
    }

    fn publish(&self) {
        let applied = self.applied.as_ref().map_or(0, |id| id.index);
        let voters = self.membership.membership().voter_ids().map(NodeId).collect();
        self.publish.send_replace(Published { state: self.state.clone(), applied, voters });
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = StateSnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.try_ready_chunks(CHUNK);
        while let Some(chunk) = chunks.try_next().await.map_err(|error| error.1)? {
            let results: Vec<_> = chunk.into_iter().map(|(entry, responder)| (self.apply_entry(entry), responder)).collect();
            // The state is published before the caller is answered.
            self.publish();
            for (result, responder) in results {
                if let Some(responder) = responder {
                    responder.send(result);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> StateSnapshotBuilder {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        StateSnapshotBuilder { meta, state: self.state.clone(), snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: Vec<u8>) -> Result<(), io::Error> {
        let state = decode(&data)?;
        self.snapshots.save(StoredSnapshot { meta: meta.clone(), data }).await?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.state = Arc::new(state);
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<TypeConfig, Vec<u8>>>, io::Error> {
        let newest = self.snapshots.newest.lock().expect("no holder of this lock panics").clone();
        Ok(newest.map(|snapshot| Snapshot { meta: snapshot.meta, snapshot: snapshot.data }))
    }
}

/// Builds a snapshot of a state.
pub struct StateSnapshotBuilder {
    meta: SnapshotMeta,
    state: Arc<ClusterState>,
    snapshots: Snapshots,
}

impl RaftSnapshotBuilder<TypeConfig> for StateSnapshotBuilder {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, Vec<u8>>, io::Error> {
        let data = encode(&self.state).map_err(io::Error::other)?;
        self.snapshots.save(StoredSnapshot { meta: self.meta.clone(), data: data.clone() }).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: data })
    }
}
