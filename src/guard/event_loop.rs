//! The guard's loop: deadlines first, then signals, the worker, datagrams; one event a turn.

mod telling;

use super::{
    effect::Effect,
    error::{CannotSpeak, GuardError},
    executor::Executor,
    io::{
        environment::OtherBuild,
        notify::ServiceManager,
        socket::Incoming,
        timer::BootTimer,
        vip_file::VipFile,
        worker::{WorkerDid, WorkerProcess},
    },
    leases::{LeaseEvent, Leases, Moment},
    options::GuardOptions,
    protocol::{ToGuard, ToWorker},
    report::Report,
    supervisor::{Supervisor, WorkerEvent, WorkerOrder},
    woken::{Stopping, Woken},
};
use crate::{
    base::errors::with_sources,
    clock::{BootClock, BootInstant, Clock},
    link::{
        datagram::{Kind, Seal},
        io::files::next_session,
        node_key::NodeKey,
    },
    model::{NodeId, Obstacles, Ownership, PublicKey, TimingProfile},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::signal::unix::Signal;

/// Handing over is a removal and a few datagrams. A kernel that will not remove keeps the guard no longer than this; the address's lifetime does the rest.
const RETIRE_LIMIT: Duration = Duration::from_secs(1);

/// Who this node is, as its worker said.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Identity {
    id: NodeId,
    cluster_id: String,
    timing: TimingProfile,
}

/// The running guard.
pub(super) struct EventLoop {
    options: GuardOptions,
    started: BootInstant,
    executor: Executor,
    vip_file: VipFile,
    timer: BootTimer,
    identity: Option<Identity>,
    /// What its datagrams are signed with.
    signs_as: Option<PublicKey>,
    leases: Option<Leases>,
    supervisor: Supervisor,
    worker: Option<WorkerProcess>,
    /// This worker said hello.
    greeted: bool,
    /// What it was last told of the ownership.
    told: Option<(Ownership, Obstacles)>,
    /// More has happened than datagrams that came and went, so that there may be something to tell.
    stirred: bool,
    /// The worker waits for [`ToWorker::Released`].
    leaving: bool,
    /// An administrator has taken the node out of service: until this guard ends, or the node leaves its cluster.
    withdrawn: bool,
    /// Why its member cannot start, as it says.
    not_started: Option<String>,
    /// The program on disk is of a build that does not understand this guard.
    other_build: bool,
    stopping: Option<Stopping>,
    manager: ServiceManager,
    report: Report,
}

impl EventLoop {
    pub(super) fn new(options: GuardOptions, executor: Executor, vip_file: VipFile) -> std::io::Result<Self> {
        let started = BootClock.now();
        let manager = ServiceManager::from_environment();
        Ok(Self {
            options,
            started,
            executor,
            vip_file,
            timer: BootTimer::new()?,
            identity: None,
            signs_as: None,
            leases: None,
            supervisor: Supervisor::new(started),
            worker: None,
            greeted: false,
            told: None,
            stirred: true,
            leaving: false,
            withdrawn: false,
            not_started: None,
            other_build: false,
            stopping: None,
            report: Report::new(manager.patience(), started),
            manager,
        })
    }

    /// Runs until a signal has ended it, or a second one has ended it at once.
    pub(super) async fn run(mut self, signals: &mut [Signal; 3]) -> Result<(), GuardError> {
        loop {
            self.run_due().await?;
            if std::mem::take(&mut self.stirred) {
                self.tell_all();
            }
            if self.stopping.is_some() && self.supervisor.is_gone() {
                break;
            }
            let woken = self.wait(signals).await?;
            self.stirred |= !matches!(woken, Woken::Datagram(_));
            match woken {
                Woken::Deadline => (),
                Woken::Terminate if self.stopping.is_some() => {
                    tracing::warn!("second signal, ending at once");
                    break;
                }
                Woken::Terminate => self.begin_stopping().await,
                Woken::Reload => self.tell(ToWorker::Reload),
                Woken::Worker(did) => self.worker_did(did).await,
                Woken::Datagram(None) => (),
                Woken::Datagram(Some(Incoming { from, source, message })) => {
                    self.lease_event(LeaseEvent::Heard { from, source, message }).await;
                }
            }
        }
        self.end().await;
        Ok(())
    }

    /// All arms are cancel-safe. In order of urgency, so that a flood of datagrams delays neither a deadline nor the worker.
    async fn wait(&mut self, [terminate, interrupt, hang_up]: &mut [Signal; 3]) -> Result<Woken, GuardError> {
        let deadline = self.deadline();
        let worker = async {
            match &mut self.worker {
                Some(worker) => worker.next().await,
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            biased;
            waited = self.timer.until(deadline) => waited.map(|()| Woken::Deadline).map_err(GuardError::Runtime)?,
            _ = terminate.recv() => Woken::Terminate,
            _ = interrupt.recv() => Woken::Terminate,
            _ = hang_up.recv() => Woken::Reload,
            did = worker => Woken::Worker(did),
            incoming = self.executor.socket.receive() => Woken::Datagram(incoming),
        })
    }

    fn deadline(&self) -> Option<BootInstant> {
        let leases = self.leases.as_ref().and_then(Leases::deadline);
        let retired_by = self.stopping.filter(|stopping| !stopping.worker_told).map(|stopping| stopping.retired_by);
        let executor = self.executor.deadline();
        [leases, self.supervisor.deadline(), retired_by, self.report.deadline(), executor].into_iter().flatten().min()
    }

    /// Leases before anything else: a guard that wakes late removes first.
    async fn run_due(&mut self) -> Result<(), GuardError> {
        let now = BootClock.now();
        self.executor.listen_when_due(now).await?;
        if self.leases.as_ref().and_then(Leases::deadline).is_some_and(|deadline| deadline <= now) {
            self.lease_event(LeaseEvent::Tick).await;
        }
        if self.supervisor.deadline().is_some_and(|deadline| deadline <= now) {
            self.worker_event(WorkerEvent::Tick).await;
        }
        let all_retired = self.leases.as_ref().is_none_or(Leases::all_retired);
        if let Some(stopping) = &mut self.stopping
            && !stopping.worker_told
            && (all_retired || now >= stopping.retired_by)
        {
            stopping.worker_told = true;
            self.worker_event(WorkerEvent::Stop).await;
        }
        if self.leaving && all_retired {
            self.leaving = false;
            self.tell(ToWorker::Released);
        }
        Ok(())
    }

    async fn begin_stopping(&mut self) {
        tracing::info!("guard stops");
        self.manager.stopping();
        self.stopping = Some(Stopping { retired_by: BootClock.now() + RETIRE_LIMIT, worker_told: false });
        self.lease_event(LeaseEvent::RetireAll).await;
    }

    /// Nothing may be left on an interface, however the loop ended.
    async fn end(&mut self) {
        let left = self.leases.take().map(|leases| leases.places()).unwrap_or_default();
        self.executor.take_off_in_the_end(&left).await;
        if let Some(mut worker) = self.worker.take() {
            worker.kill();
        }
    }

    // Leases

    async fn lease_event(&mut self, event: LeaseEvent) {
        let Some(leases) = &mut self.leases else { return };
        let mut acts: VecDeque<_> = leases.step(event, moment()).into();
        while let Some(act) = acts.pop_front() {
            self.stirred |= !matches!(act, Effect::Send { .. });
            let Some(result) = self.executor.perform(act).await else { continue };
            acts.extend(leases.step(result, moment()));
        }
    }

    // Worker

    async fn worker_event(&mut self, event: WorkerEvent) {
        let mut orders: VecDeque<WorkerOrder> = self.supervisor.step(event, BootClock.now()).into();
        while let Some(order) = orders.pop_front() {
            match order {
                WorkerOrder::Start => {
                    let result = self.start_worker();
                    orders.extend(self.supervisor.step(result, BootClock.now()));
                }
                WorkerOrder::AskToStop => self.tell(ToWorker::Stop),
                WorkerOrder::Kill(why) => {
                    tracing::warn!(why, "killing the worker");
                    if let Some(worker) = &mut self.worker {
                        worker.kill();
                    }
                }
                // Outside of a cluster no worker ever has rules.
                WorkerOrder::BecomeLastResort | WorkerOrder::BecomeWell if self.leases.is_none() => {}
                WorkerOrder::BecomeLastResort => {
                    tracing::warn!("no worker for too long: vips go to directors that have theirs");
                    self.lease_event(LeaseEvent::Tended(false)).await;
                }
                WorkerOrder::BecomeWell => self.lease_event(LeaseEvent::Tended(true)).await,
            }
        }
    }

    fn start_worker(&mut self) -> WorkerEvent {
        self.greeted = false;
        self.leaving = false;
        self.not_started = None;
        match WorkerProcess::start(&self.options.worker, self.withdrawn) {
            Ok(worker) => {
                tracing::info!(pid = worker.pid(), "worker started");
                self.worker = Some(worker);
                WorkerEvent::Started
            }
            Err(error) => {
                tracing::error!(%error, program = %self.options.worker.program.display(), "cannot start the worker, trying again");
                WorkerEvent::StartFailed
            }
        }
    }

    async fn worker_did(&mut self, did: WorkerDid) {
        match did {
            WorkerDid::Said(frame) => {
                self.other_build = false;
                self.worker_event(WorkerEvent::Heard).await;
                self.worker_said(frame).await;
            }
            WorkerDid::Broke(error) => {
                tracing::error!(error = %with_sources(&error), "worker says what is not understood");
                self.worker_event(WorkerEvent::Broke).await;
            }
            WorkerDid::Exited(status) => {
                self.other_build = status.as_ref().is_ok_and(|status| status.code() == Some(OtherBuild::EXIT.into()));
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                if self.stopping.is_some() {
                    tracing::info!(status, "worker ended");
                } else {
                    tracing::warn!(status, "worker ended, starting it again");
                }
                self.worker = None;
                self.worker_event(WorkerEvent::Exited).await;
            }
        }
    }

    async fn worker_said(&mut self, frame: ToGuard) {
        match frame {
            ToGuard::Beat => (),
            ToGuard::Hello { id, cluster_id, timing, node_key } => {
                self.hello(Identity { id, cluster_id, timing }, &node_key.0).await;
            }
            ToGuard::PeerKeys { keyring, members } => {
                self.executor.socket.speakers(&keyring, &members);
                let listening = members.into_iter().map(|(node, (address, _))| (node, address)).collect();
                self.lease_event(LeaseEvent::Members(listening)).await;
            }
            ToGuard::Membership(membership) => {
                // The answer only after the voter side has taken it in. Without an identity there is no voter side, which grants nothing.
                let id = membership.id;
                self.lease_event(LeaseEvent::Membership(membership)).await;
                self.tell(ToWorker::MembershipKnown(id));
            }
            ToGuard::Groups(orders) => {
                self.worker_event(WorkerEvent::Useful).await;
                self.lease_event(LeaseEvent::Groups(orders)).await;
            }
            ToGuard::NotStarted(why) => self.not_started = why,
            ToGuard::Ready(ready) => self.lease_event(LeaseEvent::Ready(ready)).await,
            ToGuard::Leave => {
                tracing::info!("node leaves the cluster");
                (self.leaving, self.withdrawn) = (true, false);
                self.lease_event(LeaseEvent::RetireAll).await;
            }
            ToGuard::Withdraw => {
                tracing::info!("node is withdrawn by an administrator");
                (self.leaving, self.withdrawn) = (true, true);
                self.lease_event(LeaseEvent::RetireAll).await;
            }
        }
    }

    async fn hello(&mut self, identity: Identity, node_key: &[u8]) {
        // A worker that has found its address has done so before its guard: nothing is held before what an earlier run left is taken off.
        if !self.executor.listen().await.unwrap_or(false) {
            return self.worker_event(WorkerEvent::Broke).await;
        }
        if let Err(error) = self.speak_as(&identity, node_key) {
            tracing::error!(error = %with_sources(&error), "cannot speak for this node");
            return self.worker_event(WorkerEvent::Broke).await;
        }
        self.greeted = true;
        self.told = None;
        if self.identity.as_ref() == Some(&identity) {
            if self.stopping.is_none() && !self.withdrawn {
                self.lease_event(LeaseEvent::Return).await;
            }
            return;
        }
        // Another node than before, or another cluster: nothing that was held or promised is this one's.
        let left = self.leases.take().map(|leases| leases.places()).unwrap_or_default();
        self.executor.take_off_in_the_end(&left).await;
        // Promises made by an earlier guard of this node were made before this one started; this one's own were made up to now.
        let forgotten = if self.identity.is_none() { self.started } else { BootClock.now() };
        tracing::info!(node = %identity.id, cluster = identity.cluster_id, timing = %identity.timing, "guard speaks for this node");
        self.leases = Some(Leases::new(identity.id, identity.timing, forgotten, rand::random()));
        self.identity = Some(identity);
        if self.withdrawn {
            self.lease_event(LeaseEvent::RetireAll).await;
        }
    }

    /// A worker that says again who this node is changes nothing: a new session would cost the holder's next renewal a round trip.
    fn speak_as(&mut self, identity: &Identity, node_key: &[u8]) -> Result<(), CannotSpeak> {
        let key = NodeKey::from_pkcs8(node_key)?;
        let public = key.public();
        if self.identity.as_ref() == Some(identity) && self.signs_as == Some(public) {
            return Ok(());
        }
        let unix_ms = u64::try_from(BootClock.unix_now().as_millis()).unwrap_or(u64::MAX);
        let session = next_session(&self.options.data_dir, "guard", unix_ms)?;
        self.executor.socket.speak_with(Seal::new(Kind::Lease, &identity.cluster_id, identity.id, session, Arc::new(key)));
        self.signs_as = Some(public);
        Ok(())
    }
}

fn moment() -> Moment {
    Moment { now: BootClock.now(), unix: BootClock.unix_now() }
}
