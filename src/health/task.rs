//! Runs this node's observers: starts their probes in time, gives them the results, publishes their observations.

use super::{
    HealthInputs,
    io::{self, script::ScriptRunner},
    observer::{Observer, ObserverEffect, ObserverEvent, ProbeResult},
};
use crate::{
    clock::{BootInstant, BothClocks, Clock},
    model::Check,
    rules::Target,
    verdict::{Finding, Observation},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::SocketAddr,
    sync::Arc,
};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// Probes under way at a time. Each is a socket: enough for 250 servers that all run into a timeout of a second at an interval of a
/// second, and a quarter of the descriptors that a process has by default. A probe beyond that waits, and its timeout does not run yet.
const MAX_PROBES: usize = 256;

/// Makes one probe of one address.
pub trait Prober: Clone + Send + Sync + 'static {
    /// Ends within the check's timeout; where another process probes, a little later at most.
    fn probe(&self, target: &Target, address: SocketAddr, check: &Check) -> impl Future<Output = ProbeResult> + Send;
}

/// Probes over the network, or has a script do so.
#[derive(Clone, Debug)]
pub struct NetworkProber {
    /// The connection to the script runner.
    pub scripts: ScriptRunner,
}

impl Prober for NetworkProber {
    async fn probe(&self, target: &Target, address: SocketAddr, check: &Check) -> ProbeResult {
        io::probe(&self.scripts, target, address, check).await
    }
}

/// Observes the targets that `inputs` assigns until `shutdown`, or until the inputs' sender is gone.
///
/// `out` is sent when a finding, or the text of a probe result, changes; never for a different latency alone.
pub async fn run(
    scripts: ScriptRunner,
    inputs: watch::Receiver<HealthInputs>,
    out: watch::Sender<Arc<BTreeMap<Target, Observation>>>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    run_with(NetworkProber { scripts }, inputs, out, clock, shutdown).await;
}

/// [`run`] with another prober.
pub async fn run_with<P: Prober>(
    prober: P,
    mut inputs: watch::Receiver<HealthInputs>,
    out: watch::Sender<Arc<BTreeMap<Target, Observation>>>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    let mut health = Health::new(prober, out, clock);
    let first = inputs.borrow_and_update().clone();
    health.take_inputs(first);
    loop {
        let next = health.due.first().map(|(at, _)| *at);
        // All arms are cancel-safe: what is not taken now is still there in the next pass.
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = inputs.changed() => {
                if changed.is_err() {
                    return;
                }
                let current = inputs.borrow_and_update().clone();
                health.take_inputs(current);
            }
            Some(ended) = health.probes.join_next() => health.take_answer(ended),
            () = sleep_until(&*health.clock, next) => health.wake_due(),
        }
        health.publish();
    }
}

async fn sleep_until(clock: &dyn Clock, at: Option<BootInstant>) {
    match at {
        Some(at) => tokio::time::sleep(at - clock.now()).await,
        None => std::future::pending().await,
    }
}

struct Watched {
    /// The observer's number: results of probes that a former observer of the target started are not for this one.
    number: u64,
    observer: Observer,
}

struct EndedProbe {
    target: Target,
    number: u64,
    answer: ProbeResult,
}

struct Health<P> {
    prober: P,
    out: watch::Sender<Arc<BTreeMap<Target, Observation>>>,
    clock: Arc<dyn Clock>,
    inputs: HealthInputs,
    watched: BTreeMap<Target, Watched>,
    /// The observers' deadlines, the next one first.
    due: BTreeSet<(BootInstant, Target)>,
    /// At most one for each observer, and those of former observers. Each ends within its timeout.
    probes: JoinSet<EndedProbe>,
    permits: Arc<Semaphore>,
    observations: BTreeMap<Target, Observation>,
    changed: bool,
    numbers: u64,
}

impl<P: Prober> Health<P> {
    fn new(prober: P, out: watch::Sender<Arc<BTreeMap<Target, Observation>>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            prober,
            out,
            clock,
            inputs: HealthInputs::default(),
            watched: BTreeMap::new(),
            due: BTreeSet::new(),
            probes: JoinSet::new(),
            permits: Arc::new(Semaphore::new(MAX_PROBES)),
            observations: BTreeMap::new(),
            changed: false,
            numbers: 0,
        }
    }

    fn now(&self) -> BothClocks {
        BothClocks { boot: self.clock.now(), unix: self.clock.unix_now() }
    }

    /// Stops the observers of targets that are gone, starts new ones where the fingerprint has changed, and lets the others keep what they have found.
    fn take_inputs(&mut self, inputs: HealthInputs) {
        let former = std::mem::replace(&mut self.inputs, inputs.clone());
        if !Arc::ptr_eq(&former.assignments, &inputs.assignments) {
            self.take_assignments(&former, &inputs);
        }
        let none = BTreeSet::new();
        for (target, alarms) in &inputs.peer_alarms {
            if !alarms.is_subset(former.peer_alarms.get(target).unwrap_or(&none)) {
                self.step(target, ObserverEvent::Alarm);
            }
        }
    }

    fn take_assignments(&mut self, former: &HealthInputs, inputs: &HealthInputs) {
        let gone: Vec<Target> = self
            .watched
            .iter()
            .filter(|(target, watched)| {
                let asked = watched.observer.assignment().fingerprint();
                inputs.assignments.get(target).is_none_or(|assignment| assignment.fingerprint() != asked)
            })
            .map(|(target, _)| target.clone())
            .collect();
        gone.iter().for_each(|target| self.stop(target));
        for (target, assignment) in inputs.assignments.iter() {
            if former.assignments.get(target) != Some(assignment) || !self.watched.contains_key(target) {
                self.assign(target.clone(), assignment.clone());
            }
        }
    }

    fn stop(&mut self, target: &Target) {
        if let Some(deadline) = self.watched.remove(target).and_then(|watched| watched.observer.deadline()) {
            self.due.remove(&(deadline, target.clone()));
        }
        self.changed |= self.observations.remove(target).is_some();
    }

    fn assign(&mut self, target: Target, assignment: super::Assignment) {
        let now = self.now();
        if self.watched.contains_key(&target) {
            self.with(&target, |observer| observer.reassign(assignment, now));
            return;
        }
        self.numbers += 1;
        let observer = Observer::new(target.clone(), assignment, now);
        self.due.extend(observer.deadline().map(|deadline| (deadline, target.clone())));
        self.watched.insert(target, Watched { number: self.numbers, observer });
    }

    /// Calls `act` with an observer and keeps `due` up to date. `None` if the target is not observed here.
    fn with<T>(&mut self, target: &Target, act: impl FnOnce(&mut Observer) -> T) -> Option<T> {
        let watched = self.watched.get_mut(target)?;
        let before = watched.observer.deadline();
        let result = act(&mut watched.observer);
        let after = watched.observer.deadline();
        if before != after {
            before.map(|deadline| self.due.remove(&(deadline, target.clone())));
            self.due.extend(after.map(|deadline| (deadline, target.clone())));
        }
        Some(result)
    }

    fn step(&mut self, target: &Target, event: ObserverEvent) {
        let now = self.now();
        let effects = self.with(target, |observer| observer.step(event, now)).unwrap_or_default();
        for effect in effects {
            match effect {
                ObserverEffect::Probe => self.start_probe(target),
                ObserverEffect::Publish(observation) => self.tell(target, observation),
            }
        }
    }

    fn wake_due(&mut self) {
        let now = self.clock.now();
        let due: Vec<Target> = self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, target)| target.clone()).collect();
        for target in due {
            self.step(&target, ObserverEvent::Due);
        }
    }

    fn start_probe(&mut self, target: &Target) {
        let Some(watched) = self.watched.get(target) else { return };
        let (prober, permits) = (self.prober.clone(), self.permits.clone());
        let (target, number, assignment) = (target.clone(), watched.number, watched.observer.assignment().clone());
        self.probes.spawn(async move {
            let _permit = permits.acquire().await.expect("the semaphore is never closed");
            let answer = prober.probe(&target, assignment.address, &assignment.check).await;
            EndedProbe { target, number, answer }
        });
    }

    fn take_answer(&mut self, ended: Result<EndedProbe, JoinError>) {
        let ended = match ended {
            Ok(ended) => ended,
            // Probes are aborted only when the set is dropped, so this is a panic. Without passing it on, the observer would wait for ever.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        if self.watched.get(&ended.target).is_some_and(|watched| watched.number == ended.number) {
            self.step(&ended.target, ObserverEvent::Answered(ended.answer));
        }
    }

    fn tell(&mut self, target: &Target, observation: Observation) {
        let former = self.observations.insert(target.clone(), observation.clone());
        let from = former.map(|observation| observation.seen);
        let Observation { seen: to, reason: why, .. } = observation;
        match to {
            _ if from == Some(to) => {}
            Finding::Unable => {
                tracing::warn!(service = %target.service, real_server = %target.server, why, "cannot probe a real server");
            }
            Finding::Up | Finding::Suspect | Finding::Down => {
                tracing::info!(service = %target.service, real_server = %target.server, ?from, ?to, why, "finding on a real server changed");
            }
        }
        self.changed = true;
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.out.send_replace(Arc::new(self.observations.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
