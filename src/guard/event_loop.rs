//! The guard's loop: deadlines first, then signals, the worker, datagrams; one event a turn.

mod clocks;
mod fallback;
mod hello;
mod telling;
mod watching;

use super::{
    clock_report::Clocks,
    error::GuardError,
    executor::Executor,
    group_state::FallbackStanding,
    identity::Identity,
    io::{
        environment::OtherBuild,
        notify::ServiceManager,
        socket::Incoming,
        timer::BootTimer,
        vip_file::VipFile,
        watch::Watch,
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
    model::{Obstacles, Ownership, PublicKey, VipName},
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use tokio::signal::unix::Signal;

/// Handing over is a removal and a few datagrams. A kernel that will not remove keeps the guard no longer than this; the address's lifetime does the rest.
const RETIRE_LIMIT: Duration = Duration::from_secs(1);

/// The running guard.
pub(super) struct EventLoop {
    options: GuardOptions,
    started: BootInstant,
    executor: Executor,
    /// What is on this node's interfaces.
    watch: Watch,
    /// The last turn was the kernel's, so that datagrams come first in the next one.
    has_looked: bool,
    vip_file: VipFile,
    timer: BootTimer,
    identity: Option<Identity>,
    /// What its datagrams are signed with.
    signs_as: Option<PublicKey>,
    leases: Option<Leases>,
    clocks: Option<Clocks>,
    /// Groups without a majority of the voters, as last logged.
    fallbacks: BTreeMap<VipName, FallbackStanding>,
    supervisor: Supervisor,
    worker: Option<WorkerProcess>,
    /// This worker said hello.
    greeted: bool,
    /// What it was last told of the ownership.
    told: Option<(Ownership, Obstacles, Option<String>)>,
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
            watch: Watch::open(options.listen.ip(), started)?,
            has_looked: false,
            options,
            started,
            executor,
            vip_file,
            timer: BootTimer::new()?,
            identity: None,
            signs_as: None,
            leases: None,
            clocks: None,
            fallbacks: BTreeMap::new(),
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
            self.has_looked = matches!(woken, Woken::Network);
            self.stirred |= !matches!(woken, Woken::Datagram(_) | Woken::Deadline | Woken::Network | Woken::Arp);
            match woken {
                Woken::Deadline => (),
                Woken::Terminate if self.stopping.is_some() => {
                    tracing::warn!("second signal, ending at once");
                    break;
                }
                Woken::Terminate => self.begin_stopping().await,
                Woken::Reload => self.tell(ToWorker::Reload),
                Woken::Worker(did) => self.worker_did(did).await,
                Woken::Network => self.look().await,
                Woken::Arp => self.hear_arp().await,
                Woken::Datagram(None) => (),
                Woken::Datagram(Some(incoming)) => {
                    self.compare_clocks(&incoming).await;
                    let Incoming { from, source, messages, .. } = incoming;
                    self.lease_event(LeaseEvent::Heard { from, source, messages }).await;
                }
            }
        }
        self.end().await;
        Ok(())
    }

    /// All arms are cancel-safe. In order of urgency, so that a flood of datagrams delays neither a deadline nor the worker, and one of changes in the
    /// kernel delays no datagram by more than a turn.
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
            said = self.watch.changes.readable(), if !self.has_looked => said.map(|()| Woken::Network).map_err(GuardError::Runtime)?,
            incoming = self.executor.socket.receive() => Woken::Datagram(incoming),
            said = self.watch.changes.readable(), if self.has_looked => said.map(|()| Woken::Network).map_err(GuardError::Runtime)?,
            () = self.executor.arp.readable() => Woken::Arp,
        })
    }

    fn deadline(&self) -> Option<BootInstant> {
        let leases = self.leases.as_ref().and_then(Leases::deadline);
        [leases, self.watch.deadline(), self.rare_deadline()].into_iter().flatten().min()
    }

    /// Of what changes what others are told: leases and the watch say so themselves.
    fn rare_deadline(&self) -> Option<BootInstant> {
        let retired_by = self.stopping.filter(|stopping| !stopping.worker_told).map(|stopping| stopping.retired_by);
        let rare = [self.executor.deadline(), self.supervisor.deadline(), retired_by, self.report.deadline()];
        rare.into_iter().flatten().min()
    }

    /// Leases before anything else: a guard that wakes late removes first.
    async fn run_due(&mut self) -> Result<(), GuardError> {
        let now = BootClock.now();
        self.stirred |= self.rare_deadline().is_some_and(|deadline| deadline <= now);
        self.executor.listen_when_due(now).await?;
        if self.leases.as_ref().and_then(Leases::deadline).is_some_and(|deadline| deadline <= now) {
            self.lease_event(LeaseEvent::Tick).await;
        }
        self.look_when_due(now).await;
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
            self.stirred |= !act.is_routine();
            let Some(result) = self.executor.perform(act).await else { continue };
            acts.extend(leases.step(result, moment()));
        }
        self.executor.settle();
        self.executor.arp.listen(&leases.arp_interest());
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
                self.compare_clocks_with(&membership);
                self.lease_event(LeaseEvent::Membership(membership)).await;
                self.tell(ToWorker::MembershipKnown(id));
            }
            ToGuard::Groups(orders) => {
                self.worker_event(WorkerEvent::Useful).await;
                self.watch_for(&orders).await;
                self.lease_event(LeaseEvent::Groups(orders)).await;
            }
            ToGuard::NotStarted(why) => self.not_started = why,
            ToGuard::Ready(ready) => self.lease_event(LeaseEvent::Ready(ready)).await,
            ToGuard::Fitness(fitness) => self.lease_event(LeaseEvent::Fitness(fitness)).await,
            ToGuard::Leave => {
                tracing::info!("node leaves the cluster");
                (self.leaving, self.withdrawn) = (true, false);
                self.watch_for(&[]).await;
                self.lease_event(LeaseEvent::RetireAll).await;
            }
            ToGuard::Withdraw => {
                tracing::info!("node is withdrawn by an administrator");
                (self.leaving, self.withdrawn) = (true, true);
                self.lease_event(LeaseEvent::RetireAll).await;
            }
        }
    }
}

fn moment() -> Moment {
    Moment { now: BootClock.now(), unix: BootClock.unix_now() }
}
