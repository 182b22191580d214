//! openraft's own suite over the real log and state machine, the order of knowing, and a disk that fails.

use super::*;
use crate::{
    raft::{
        io::{scratch::Scratch, state_machine::StateMachine},
        membership_observer::{MembershipObserverError, NoGuard},
    },
    rules::Command,
    vip::LeaseMembership,
};
use openraft::{
    StorageError,
    storage::{RaftSnapshotBuilder, RaftStateMachine},
    testing::{
        blank_ent,
        log::{StoreBuilder, Suite},
        log_id, membership_ent,
    },
    type_config::TypeConfigExt,
};
use std::{collections::BTreeSet, time::Duration};

fn stamp() -> LogOwner {
    LogOwner::new("0123456789abcdef", 1)
}

async fn open(scratch: &Scratch, membership_observer: Arc<dyn MembershipObserver>) -> (LogStore, Option<StoredSnapshot>) {
    LogStore::open(scratch.path(), &stamp(), membership_observer).await.unwrap()
}

async fn fresh(scratch: &Scratch, membership_observer: Arc<dyn MembershipObserver>) -> LogStore {
    Disk::create(&scratch.path().join(FILE), &stamp()).unwrap();
    open(scratch, membership_observer).await.0
}

fn id(index: u64) -> LogId {
    log_id::<TypeConfig>(1, 1, index)
}

fn voters(ids: &[u64]) -> Vec<BTreeSet<u64>> {
    vec![ids.iter().copied().collect()]
}

async fn append(log: &mut LogStore, entries: impl IntoIterator<Item = Entry> + Send) -> io::Result<()> {
    let (sender, flushed) = TypeConfig::oneshot();
    let entries: Vec<Entry> = entries.into_iter().collect();
    log.append(entries, IOFlushed::signal(sender)).await?;
    flushed.await.unwrap()
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, Scratch> for Builder {
    async fn build(&self) -> Result<(Scratch, LogStore, StateMachine), StorageError<TypeConfig>> {
        let scratch = Scratch::new();
        let log = fresh(&scratch, Arc::new(NoGuard)).await;
        let (machine, _) = StateMachine::new(log.clone(), None);
        Ok((scratch, log, machine))
    }
}

#[tokio::test]
async fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}

/// Notes what it is told, and what of it is on disk at that moment.
struct Witness {
    path: PathBuf,
    told: Mutex<Vec<(u64, Vec<BTreeSet<u64>>)>>,
    silent: bool,
    deaf: Mutex<bool>,
}

impl Witness {
    fn new(scratch: &Scratch) -> Arc<Self> {
        Arc::new(Self { path: scratch.path().join(FILE), told: Mutex::default(), silent: false, deaf: Mutex::new(false) })
    }

    fn heard(&self) -> Vec<(u64, Vec<BTreeSet<u64>>)> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

#[async_trait::async_trait]
impl MembershipObserver for Witness {
    async fn effective(&self, membership: LeaseMembership) -> Result<(), MembershipObserverError> {
        if *self.deaf.lock().unwrap() {
            return Err(MembershipObserverError("it is deaf".to_owned()));
        }
        if self.silent {
            std::future::pending::<()>().await;
        }
        assert!(self.path.exists());
        let sets = membership.voters.iter().map(|set| set.iter().map(|id| id.0).collect()).collect();
        self.told.lock().unwrap().push((membership.id.index, sets));
        Ok(())
    }
}

#[tokio::test]
async fn the_guard_knows_every_effective_membership_before_it_counts_as_stored() {
    let scratch = Scratch::new();
    let witness = Witness::new(&scratch);
    let mut log = fresh(&scratch, witness.clone()).await;
    assert_eq!(witness.heard(), [(0, vec![])], "an empty log says that nobody votes");

    append(&mut log, [membership_ent::<TypeConfig>(1, 1, 0, voters(&[1])), blank_ent::<TypeConfig>(1, 1, 1)]).await.unwrap();
    assert_eq!(witness.heard(), [(0, voters(&[1]))]);
    append(&mut log, [blank_ent::<TypeConfig>(1, 1, 2)]).await.unwrap();
    assert_eq!(witness.heard(), [], "nothing new to say");
    append(&mut log, [membership_ent::<TypeConfig>(1, 1, 3, voters(&[1, 2]))]).await.unwrap();
    append(&mut log, [membership_ent::<TypeConfig>(1, 1, 4, voters(&[1, 2, 3]))]).await.unwrap();
    assert_eq!(witness.heard(), [(3, voters(&[1, 2])), (4, voters(&[1, 2, 3]))]);
    log.truncate_after(Some(id(3))).await.unwrap();
    assert_eq!(witness.heard(), [(3, voters(&[1, 2]))], "goes back with the log");

    log.close().await.unwrap();
    let (log, _) = open(&scratch, witness.clone()).await;
    assert_eq!(witness.heard(), [(3, voters(&[1, 2]))], "and is told at start");

    let membership = openraft::Membership::new_with_defaults(voters(&[1, 2, 3, 4]), []);
    let meta = crate::raft::types::SnapshotMeta {
        last_log_id: Some(id(9)),
        last_membership: StoredMembership::new(Some(id(8)), membership),
    };
    log.save_snapshot(&StoredSnapshot { meta, data: vec![] }).await.unwrap();
    assert_eq!(witness.heard(), [(8, voters(&[1, 2, 3, 4]))]);
    log.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_stored_that_the_guard_was_not_told() {
    let scratch = Scratch::new();
    let witness = Witness::new(&scratch);
    let mut log = fresh(&scratch, witness.clone()).await;
    append(&mut log, [membership_ent::<TypeConfig>(1, 1, 0, voters(&[1]))]).await.unwrap();
    *witness.deaf.lock().unwrap() = true;
    let error = append(&mut log, [membership_ent::<TypeConfig>(1, 1, 1, voters(&[1, 2]))]).await.unwrap_err();
    assert!(error.to_string().contains("it is deaf"), "{error}");
    *witness.deaf.lock().unwrap() = false;
    assert!(append(&mut log, [blank_ent::<TypeConfig>(1, 1, 2)]).await.is_err(), "and nothing after it");
    assert!(matches!(log.failure().borrow().as_deref(), Some(StoreError::Untold { .. })));
    let _ = log.close().await;
    let (mut log, _) = open(&scratch, witness).await;
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(0)));
}

#[tokio::test]
async fn a_guard_that_does_not_answer_stops_the_log() {
    let scratch = Scratch::new();
    let silent = Witness { silent: true, ..Arc::into_inner(Witness::new(&scratch)).unwrap() };
    let path = scratch.path().join(FILE);
    Disk::create(&path, &stamp()).unwrap();
    let (disk, contents) = Disk::open(&path, &stamp()).unwrap();
    let started = LogStore::start(disk, contents, path, Arc::new(silent), Duration::from_millis(50)).await;
    let Err(error) = started else { panic!("the log opened") };
    assert!(error.to_string().contains("does not answer"), "{error}");
}

#[tokio::test]
async fn what_is_known_as_committed_survives_a_clean_stop_and_soon_a_crash() {
    let scratch = Scratch::new();
    let mut log = fresh(&scratch, Arc::new(NoGuard)).await;
    append(&mut log, (0..5).map(|index| blank_ent::<TypeConfig>(1, 1, index))).await.unwrap();
    log.save_committed(Some(id(2))).await.unwrap();
    append(&mut log, [blank_ent::<TypeConfig>(1, 1, 5)]).await.unwrap();
    let crashed = std::fs::read(scratch.path().join(FILE)).unwrap();
    log.save_committed(Some(id(4))).await.unwrap();
    log.close().await.unwrap();
    let (mut log, _) = open(&scratch, Arc::new(NoGuard)).await;
    assert_eq!(log.read_committed().await.unwrap(), Some(id(4)));

    log.save_committed(Some(id(5))).await.unwrap();
    let path = scratch.path().join(FILE);
    let on_disk = |bytes: Vec<u8>| {
        let copy = Scratch::new();
        std::fs::write(copy.path().join(FILE), bytes).unwrap();
        Disk::open(&copy.path().join(FILE), &stamp()).unwrap().1.committed
    };
    assert_eq!(on_disk(crashed), Some(id(2)), "with the next entry");
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if on_disk(std::fs::read(&path).unwrap()) == Some(id(5)) {
            return;
        }
    }
    panic!("without a next entry it is never written");
}

#[tokio::test]
async fn entries_for_a_follower_come_in_portions_that_fit_a_frame() {
    let scratch = Scratch::new();
    let mut log = fresh(&scratch, Arc::new(NoGuard)).await;
    let big = |index| {
        let why = "x".repeat(APPEND_BYTES * 2 / 5);
        let target = crate::rules::Target { service: "s".parse().unwrap(), server: "r".parse().unwrap() };
        let change = Command::Verdicts(vec![crate::rules::VerdictChange { target, to: crate::rules::Verdict::Up, why }]);
        Entry { payload: openraft::EntryPayload::Normal(change), ..blank_ent::<TypeConfig>(1, 1, index) }
    };
    append(&mut log, (0..5).map(big)).await.unwrap();
    assert_eq!(log.limited_get_log_entries(0, 5).await.unwrap().len(), 2);
    assert_eq!(log.limited_get_log_entries(4, 5).await.unwrap().len(), 1);
    assert!(log.bytes() >= 2 * APPEND_BYTES);
    let huge = Command::Verdicts(vec![crate::rules::VerdictChange {
        target: crate::rules::Target { service: "s".parse().unwrap(), server: "r".parse().unwrap() },
        to: crate::rules::Verdict::Up,
        why: "x".repeat(crate::raft::message::MAX_ENTRY_BYTES),
    }]);
    let huge = Entry { payload: openraft::EntryPayload::Normal(huge), ..blank_ent::<TypeConfig>(1, 1, 5) };
    assert!(append(&mut log, [huge]).await.unwrap_err().to_string().contains("does not take"));
}

#[tokio::test]
async fn a_snapshot_and_the_entries_after_it_come_back() {
    let scratch = Scratch::new();
    let mut log = fresh(&scratch, Arc::new(NoGuard)).await;
    append(&mut log, (0..8).map(|index| blank_ent::<TypeConfig>(1, 1, index))).await.unwrap();
    let (mut machine, published) = StateMachine::new(log.clone(), None);
    let join = Command::NodeJoined(crate::rules::Joining {
        name: "d1".parse().unwrap(),
        roles: crate::model::Roles::new([crate::model::Role::Director]).unwrap(),
        addr: "10.0.0.1:7946".parse().unwrap(),
        zone: None,
        key: crate::model::PublicKey([1; 32]),
        keeps_id: false,
        token: None,
    });
    let entry = Entry { payload: openraft::EntryPayload::Normal(join), ..blank_ent::<TypeConfig>(1, 1, 5) };
    machine.apply(futures_util::stream::iter([Ok((entry, None))])).await.unwrap();
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    log.purge(id(5)).await.unwrap();
    let state = published.borrow().state.clone();
    log.close().await.unwrap();

    let (log, snapshot) = open(&scratch, Arc::new(NoGuard)).await;
    assert_eq!(log.memory().entries.keys().copied().collect::<Vec<_>>(), [6, 7]);
    let (mut machine, published) = StateMachine::new(log.clone(), snapshot.clone());
    let snapshot = snapshot.unwrap();
    machine.install_snapshot(&snapshot.meta, snapshot.data).await.unwrap();
    assert_eq!(published.borrow().state, state);
    assert_eq!(published.borrow().applied, 5);
}
