//! The guard as the worker sees it: the other end of the socketpair.

use crate::{
    base::io::inherit,
    guard::protocol::{BEAT, GroupOrder, MAX_FRAME_BYTES, Pkcs8, ToGuard, ToWorker},
    link::frame,
    model::{Fitness, NodeId, Obstacles, Ownership, PublicKey, TimingProfile, VipName},
    rules::security::KeyRing,
    tasks::Tasks,
    vip::{LeaseMembership, MembershipId},
};
use rustix::net::{AddressFamily, sockopt::socket_domain};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    os::unix::net::UnixStream as StdUnixStream,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, mpsc, oneshot, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// The environment variable that tells the worker the number of its end of the socketpair.
pub const GUARD_FD: &str = "LVS_AGENT_GUARD_FD";

/// Orders not yet written. The guard reads at once; one that lets so many pile up is stuck.
const ORDERS_QUEUED: usize = 256;
/// The guard answers within a turn of its loop. Long, because a slow machine is no reason to give up Raft's storage.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Leaving and withdrawing wait for handing VIPs over.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// Why there is no channel to a guard.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Not started by a guard.
    #[error("{GUARD_FD} names no socket: the worker is started by `lvs-agent run`, not by hand")]
    NoGuard,
    /// The socket could not be used.
    #[error("cannot use the socket to the guard")]
    Socket(#[source] io::Error),
}

/// The guard is gone, or stuck. The worker must stop; the kernel kills it anyway when the guard's process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the guard is gone or does not answer")]
pub struct GuardGone;

/// The worker's end.
#[derive(Debug)]
pub struct GuardChannel {
    /// For telling the guard.
    pub handle: GuardHandle,
    /// What this node holds, as the guard last said.
    pub ownership: watch::Receiver<Ownership>,
    /// What the kernel would not let it take, as the guard last said.
    pub obstacles: watch::Receiver<Obstacles>,
    /// What it sees on this node's interfaces that a person should look at, as it last said.
    pub problems: watch::Receiver<Vec<String>>,
    /// Why the kernel does not stop VIPs at the end of their leases, if it does not, as the guard last said.
    pub no_fence: watch::Receiver<Option<String>>,
    /// Fires when the guard says stop, or is gone.
    pub stop: CancellationToken,
    /// Wakes when files that somebody else looks after are to be read now.
    pub reload: Arc<Notify>,
}

/// Tells the guard. Clones share one stream; orders arrive in the order in which they were given.
#[derive(Clone, Debug)]
pub struct GuardHandle {
    orders: mpsc::Sender<ToGuard>,
    awaited: Awaited,
}

/// Who waits for which answer, in the order of asking.
type Awaited = Arc<Mutex<VecDeque<(Question, oneshot::Sender<()>)>>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Membership(MembershipId),
    Release,
}

impl GuardChannel {
    /// Takes the end of the socketpair that this process inherited, and serves it by `tasks`, beats included. Call it once, before anything else opens files.
    pub fn from_inherited(tasks: &Tasks) -> Result<Self, ChannelError> {
        let inherited = inherit::take(GUARD_FD).ok().filter(|fd| socket_domain(fd).ok() == Some(AddressFamily::UNIX));
        let stream = StdUnixStream::from(inherited.ok_or(ChannelError::NoGuard)?);
        Self::serve(stream, tasks).map_err(ChannelError::Socket)
    }

    /// The same over any connected stream, for tests.
    pub fn serve(stream: StdUnixStream, tasks: &Tasks) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(stream)?.into_split();
        let (orders, orders_out) = mpsc::channel(ORDERS_QUEUED);
        let (ownership_in, ownership) = watch::channel(Ownership::new());
        let (obstacles_in, obstacles) = watch::channel(Obstacles::new());
        let (problems_in, problems) = watch::channel(Vec::new());
        let (no_fence_in, no_fence) = watch::channel(None);
        let (stop, awaited, reload) = (CancellationToken::new(), Awaited::default(), Arc::new(Notify::new()));
        // Both end when the guard closes its end, with this process at the latest.
        tasks.spawn("orders to the guard", &stop, write_orders(writer, orders_out, stop.clone()));
        let told = Told { ownership: ownership_in, obstacles: obstacles_in, problems: problems_in, no_fence: no_fence_in };
        let reading = read_answers(reader, told, Arc::clone(&awaited), stop.clone(), reload.clone());
        tasks.spawn("answers of the guard", &stop, reading);
        Ok(Self { handle: GuardHandle { orders, awaited }, ownership, obstacles, problems, no_fence, stop, reload })
    }
}

impl GuardHandle {
    /// Says who this node is: first of all, once it is in a cluster, at each start of the worker.
    pub fn hello(
        &self,
        id: NodeId,
        cluster_id: String,
        timing: TimingProfile,
        node_key: Zeroizing<Vec<u8>>,
    ) -> Result<(), GuardGone> {
        self.tell(ToGuard::Hello { id, cluster_id, timing, node_key: Pkcs8(node_key) })
    }

    /// Tells who may speak, and what datagrams are sealed with.
    pub fn speakers(&self, keyring: KeyRing, members: BTreeMap<NodeId, (SocketAddr, PublicKey)>) -> Result<(), GuardGone> {
        self.tell(ToGuard::PeerKeys { keyring, members })
    }

    /// Tells the effective membership and waits until the voter side knows it. Raft's storage calls this *before* it reports the entry,
    /// truncation or snapshot as stored, and reports nothing if it fails (docs/lease.md, "Known before stored").
    pub async fn membership_known(&self, membership: LeaseMembership) -> Result<(), GuardGone> {
        let question = Question::Membership(membership.id);
        self.ask(question, ToGuard::Membership(membership), ANSWER_LIMIT).await
    }

    /// Tells all VIP groups with their candidates.
    pub fn groups(&self, groups: Vec<GroupOrder>) -> Result<(), GuardGone> {
        self.tell(ToGuard::Groups(groups))
    }

    /// Tells whether the rules are in this director's kernel. A worker that has just started says nothing until it knows: the guard goes on
    /// with its predecessor's word, and "no" gives the VIPs away.
    pub fn ready(&self, ready: bool) -> Result<(), GuardGone> {
        self.tell(ToGuard::Ready(ready))
    }

    /// Tells how fit this director is for each group; one that is not named is [`Fitness::WELL`].
    pub fn fitness(&self, fitness: BTreeMap<VipName, Fitness>) -> Result<(), GuardGone> {
        self.tell(ToGuard::Fitness(fitness))
    }

    /// Tells why this node's member cannot start, or that it has.
    pub fn not_started(&self, why: Option<String>) -> Result<(), GuardGone> {
        self.tell(ToGuard::NotStarted(why))
    }

    /// The node leaves the cluster. Returns once the guard holds nothing any more.
    pub async fn leave(&self) -> Result<(), GuardGone> {
        self.ask(Question::Release, ToGuard::Leave, RELEASE_LIMIT).await
    }

    /// An administrator takes the node out of service. Returns once the guard holds nothing any more.
    pub async fn withdraw(&self) -> Result<(), GuardGone> {
        self.ask(Question::Release, ToGuard::Withdraw, RELEASE_LIMIT).await
    }

    fn tell(&self, order: ToGuard) -> Result<(), GuardGone> {
        self.orders.try_send(order).map_err(|_| GuardGone)
    }

    async fn ask(&self, question: Question, order: ToGuard, limit: Duration) -> Result<(), GuardGone> {
        let (answer, answered) = oneshot::channel();
        {
            // Both under the lock, so that answers come in the order of the queue.
            let mut awaited = self.awaited.lock().expect("no holder of this lock panics");
            self.tell(order)?;
            awaited.push_back((question, answer));
        }
        tokio::time::timeout(limit, answered).await.map_err(|_| GuardGone)?.map_err(|_| GuardGone)
    }
}

async fn write_orders(mut writer: OwnedWriteHalf, mut orders: mpsc::Receiver<ToGuard>, stop: CancellationToken) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Both are cancel-safe: an order or a tick that is not taken now is taken next time.
        let frame = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => order,
                None => return,
            },
            _ = beat.tick() => ToGuard::Beat,
        };
        if let Err(error) = frame::write_frame(&mut writer, &frame, MAX_FRAME_BYTES).await {
            tracing::error!(%error, "cannot speak to the guard");
            return stop.cancel();
        }
    }
}

/// Where what the guard says goes.
struct Told {
    ownership: watch::Sender<Ownership>,
    obstacles: watch::Sender<Obstacles>,
    problems: watch::Sender<Vec<String>>,
    no_fence: watch::Sender<Option<String>>,
}

async fn read_answers(mut reader: OwnedReadHalf, told: Told, awaited: Awaited, stop: CancellationToken, reload: Arc<Notify>) {
    loop {
        match frame::read_frame(&mut reader, MAX_FRAME_BYTES).await {
            Ok(Some(ToWorker::MembershipKnown(id))) => answered(&awaited, Question::Membership(id)),
            Ok(Some(ToWorker::Released)) => answered(&awaited, Question::Release),
            Ok(Some(ToWorker::Ownership(held, in_the_way, why))) => {
                told.no_fence.send_replace(why);
                told.ownership.send_replace(held);
                told.obstacles.send_replace(in_the_way);
            }
            Ok(Some(ToWorker::Problems(seen))) => {
                told.problems.send_replace(seen);
            }
            Ok(Some(ToWorker::Stop)) => stop.cancel(),
            Ok(Some(ToWorker::Reload)) => reload.notify_one(),
            Ok(None) => break tracing::error!("the guard is gone"),
            Err(error) => break tracing::error!(%error, "cannot hear the guard"),
        }
    }
    // Whoever waits gets an error at once.
    awaited.lock().expect("no holder of this lock panics").clear();
    stop.cancel();
}

/// Wakes who asked first. Questions before it were given up by their askers.
fn answered(awaited: &Awaited, question: Question) {
    let mut awaited = awaited.lock().expect("no holder of this lock panics");
    if let Some(at) = awaited.iter().position(|(asked, _)| *asked == question)
        && let Some((_, answer)) = awaited.remove(at)
    {
        // The asker may have given up.
        let _ = answer.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Holding, KeyId, Secret};

    fn pair() -> (GuardChannel, UnixStream) {
        let (worker, guard) = StdUnixStream::pair().unwrap();
        guard.set_nonblocking(true).unwrap();
        (GuardChannel::serve(worker, &Tasks::default()).unwrap(), UnixStream::from_std(guard).unwrap())
    }

    async fn heard(guard: &mut UnixStream) -> ToGuard {
        loop {
            match frame::read_frame(guard, MAX_FRAME_BYTES).await.unwrap().unwrap() {
                ToGuard::Beat => (),
                other => return other,
            }
        }
    }

    async fn say(guard: &mut UnixStream, what: ToWorker) {
        frame::write_frame(guard, &what, MAX_FRAME_BYTES).await.unwrap();
    }

    #[tokio::test]
    async fn a_membership_is_known_only_after_the_guards_answer_to_it() {
        let (channel, mut guard) = pair();
        let membership =
            LeaseMembership { id: MembershipId { term: 1, leader: NodeId(1), index: 7 }, ..LeaseMembership::default() };
        let other = MembershipId { index: 6, ..membership.id };
        let asked = tokio::spawn({
            let (handle, membership) = (channel.handle.clone(), membership.clone());
            async move { handle.membership_known(membership).await }
        });
        assert_eq!(heard(&mut guard).await, ToGuard::Membership(membership.clone()));
        say(&mut guard, ToWorker::MembershipKnown(other)).await;
        tokio::task::yield_now().await;
        assert!(!asked.is_finished());
        say(&mut guard, ToWorker::MembershipKnown(membership.id)).await;
        assert_eq!(asked.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_guard_that_goes_away_fails_questions_and_stops_the_worker() {
        let (channel, mut guard) = pair();
        let asked = tokio::spawn({
            let handle = channel.handle.clone();
            async move { handle.leave().await }
        });
        assert_eq!(heard(&mut guard).await, ToGuard::Leave);
        drop(guard);
        assert_eq!(asked.await.unwrap(), Err(GuardGone));
        channel.stop.cancelled().await;
    }

    #[tokio::test]
    async fn ownership_problems_reload_and_stop_arrive() {
        let (mut channel, mut guard) = pair();
        let held: Ownership = [("web".parse().unwrap(), Holding::Held { epoch: 3, since_unix_ms: 5 })].into();
        let obstacles: Obstacles = [("db".parse().unwrap(), "no such device".to_owned())].into();
        say(&mut guard, ToWorker::Ownership(held.clone(), obstacles.clone(), Some("no nftables".to_owned()))).await;
        channel.obstacles.changed().await.unwrap();
        assert_eq!((&*channel.ownership.borrow(), &*channel.obstacles.borrow()), (&held, &obstacles));
        say(&mut guard, ToWorker::Problems(vec!["eth1 has no carrier".to_owned()])).await;
        channel.problems.changed().await.unwrap();
        assert_eq!(*channel.problems.borrow(), ["eth1 has no carrier"]);
        assert_eq!(channel.no_fence.borrow().as_deref(), Some("no nftables"));
        assert!(!channel.stop.is_cancelled());
        say(&mut guard, ToWorker::Reload).await;
        channel.reload.notified().await;
        assert!(!channel.stop.is_cancelled());
        say(&mut guard, ToWorker::Stop).await;
        channel.stop.cancelled().await;
    }

    #[tokio::test]
    async fn identity_and_speakers_arrive_in_the_order_of_telling_and_the_key_is_not_shown() {
        let (channel, mut guard) = pair();
        let key = Zeroizing::new(vec![77; 83]);
        channel.handle.hello(NodeId(1), "blue".to_owned(), TimingProfile::Lan, key.clone()).unwrap();
        let keys = [(KeyId(1), Secret::new([7; 32]))].into();
        let keyring = KeyRing { primary: Some(KeyId(1)), keys, ..KeyRing::default() };
        let members = BTreeMap::from([(NodeId(2), ("192.0.2.2:7401".parse().unwrap(), PublicKey([2; 32])))]);
        channel.handle.speakers(keyring.clone(), members.clone()).unwrap();
        let hello = heard(&mut guard).await;
        assert!(!format!("{hello:?}").contains("77"), "{hello:?}");
        assert!(matches!(hello, ToGuard::Hello { node_key, .. } if node_key.0 == key));
        assert_eq!(heard(&mut guard).await, ToGuard::PeerKeys { keyring, members });
    }

    #[tokio::test]
    async fn beats_come_by_themselves() {
        let (_channel, mut guard) = pair();
        assert_eq!(frame::read_frame(&mut guard, MAX_FRAME_BYTES).await.unwrap(), Some(ToGuard::Beat));
    }
}
