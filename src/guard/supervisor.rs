//! The worker's life, decided: when it is started, killed, given up on, stopped. Pure.

use super::protocol::{WORKER_GRACE, WORKER_HUNG, WORKER_STOP};
use crate::clock::BootInstant;
use std::time::Duration;

/// A worker that ended is started again after so long at first, and twice as long each time,
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// at most after so long,
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// and as at first when it had lived for so long.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// What the supervisor is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkerEvent {
    /// The process runs.
    Started,
    /// It could not be started.
    StartFailed,
    /// It showed that it lives.
    Heard,
    /// It has the cluster's rules: only now it is back, for one that dies at every start shows that it lives, too.
    Useful,
    /// It is of no use any more, but there.
    Broke,
    /// Its process is gone.
    Exited,
    /// The guard shuts down.
    Stop,
    /// A deadline has come.
    Tick,
}

/// What the supervisor wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkerOrder {
    /// Start the process; answer with [`WorkerEvent::Started`] or [`WorkerEvent::StartFailed`].
    Start,
    /// Tell it to stop.
    AskToStop,
    /// Kill it, for this reason.
    Kill(&'static str),
    /// There has been no worker for too long: let others have the VIPs, if they are better off. Said once an absence.
    BecomeLastResort,
    /// After that: the worker is back, with the rules.
    BecomeWell,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// To be started then.
    Pausing { until: BootInstant },
    /// [`WorkerOrder::Start`] is with the driver.
    Starting,
    /// It runs.
    Running { since: BootInstant, heard: BootInstant },
    /// It has been killed and is not yet gone.
    Killed { since: BootInstant },
    /// It has been asked to stop.
    Stopping { kill_at: BootInstant },
    /// It is gone and stays away, or is being killed for that.
    Ending,
    /// As above, and gone.
    Gone,
}

/// How long the worker has been away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Absence {
    /// It is there.
    None,
    /// Since then; the VIPs are still held.
    Since(BootInstant),
    /// For too long; this node is the last resort.
    TooLong,
}

/// One guard's view of its worker, through all its processes.
#[derive(Clone, Debug)]
pub struct Supervisor {
    phase: Phase,
    pause: Duration,
    absence: Absence,
    /// When a worker last showed that it lives; at first, when this guard started.
    alive_at: BootInstant,
    spoken: bool,
}

impl Supervisor {
    /// The first worker is due at once.
    pub fn new(now: BootInstant) -> Self {
        Self {
            phase: Phase::Pausing { until: now },
            pause: FIRST_PAUSE,
            absence: Absence::Since(now),
            alive_at: now,
            spoken: false,
        }
    }

    /// Takes one event; says what is to be done, in order.
    pub fn step(&mut self, event: WorkerEvent, now: BootInstant) -> Vec<WorkerOrder> {
        match event {
            WorkerEvent::Started => self.started(now),
            WorkerEvent::StartFailed => self.ended(now, None),
            WorkerEvent::Heard => self.heard(now),
            WorkerEvent::Useful => return self.useful(),
            WorkerEvent::Broke => return self.kill("it says what is not understood", now),
            WorkerEvent::Exited => self.exited(now),
            WorkerEvent::Stop => return self.stop(now),
            WorkerEvent::Tick => return self.tick(now),
        }
        Vec::new()
    }

    /// When [`WorkerEvent::Tick`] is due.
    pub fn deadline(&self) -> Option<BootInstant> {
        let grace_over = match self.absence {
            Absence::Since(since) => Some(since + WORKER_GRACE),
            Absence::None | Absence::TooLong => None,
        };
        let next = match self.phase {
            Phase::Pausing { until } => Some(until),
            Phase::Running { heard, .. } => Some(heard + WORKER_HUNG),
            Phase::Stopping { kill_at } => Some(kill_at),
            Phase::Ending | Phase::Gone => return None,
            Phase::Starting | Phase::Killed { .. } => None,
        };
        grace_over.into_iter().chain(next).min()
    }

    /// After [`WorkerEvent::Stop`]: there is no worker any more, nor will there be.
    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    /// Whether any worker has ever shown that it lives.
    pub fn has_served(&self) -> bool {
        self.spoken
    }

    /// Whether a worker runs.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Stopping { .. })
    }

    /// Whether the worker lives, or did so lately that this supervisor may yet bring one up. One that ends again and again, but shows that it
    /// lives each time, is tended: this guard's vote is of use to the others, and starting it anew would mend nothing.
    pub fn is_tended(&self, now: BootInstant) -> bool {
        match self.phase {
            Phase::Stopping { .. } | Phase::Ending | Phase::Gone => true,
            Phase::Pausing { .. } | Phase::Starting | Phase::Running { .. } | Phase::Killed { .. } => {
                now - self.alive_at < WORKER_HUNG + WORKER_GRACE
            }
        }
    }

    fn started(&mut self, now: BootInstant) {
        match self.phase {
            Phase::Starting => self.phase = Phase::Running { since: now, heard: now },
            Phase::Pausing { .. }
            | Phase::Running { .. }
            | Phase::Killed { .. }
            | Phase::Stopping { .. }
            | Phase::Ending
            | Phase::Gone => {}
        }
    }

    fn heard(&mut self, now: BootInstant) {
        if let Phase::Running { heard, .. } = &mut self.phase {
            *heard = now;
            (self.alive_at, self.spoken) = (now, true);
        }
    }

    fn useful(&mut self) -> Vec<WorkerOrder> {
        let Phase::Running { .. } = self.phase else { return Vec::new() };
        let absence = std::mem::replace(&mut self.absence, Absence::None);
        if absence == Absence::TooLong { vec![WorkerOrder::BecomeWell] } else { Vec::new() }
    }

    fn exited(&mut self, now: BootInstant) {
        match self.phase {
            Phase::Running { since, .. } | Phase::Killed { since } => self.ended(now, Some(since)),
            Phase::Stopping { .. } | Phase::Ending => self.phase = Phase::Gone,
            Phase::Pausing { .. } | Phase::Starting | Phase::Gone => {}
        }
    }

    /// The worker that ran since then, if it ever ran, is to be followed by another.
    fn ended(&mut self, now: BootInstant, since: Option<BootInstant>) {
        if since.is_some_and(|since| now - since >= HEALTHY_AFTER) {
            self.pause = FIRST_PAUSE;
        }
        self.phase = Phase::Pausing { until: now + self.pause };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if self.absence == Absence::None {
            self.absence = Absence::Since(now);
        }
    }

    fn kill(&mut self, why: &'static str, now: BootInstant) -> Vec<WorkerOrder> {
        match self.phase {
            Phase::Running { since, .. } => {
                self.phase = Phase::Killed { since };
                if self.absence == Absence::None {
                    self.absence = Absence::Since(now);
                }
            }
            Phase::Stopping { .. } => self.phase = Phase::Ending,
            Phase::Pausing { .. } | Phase::Starting | Phase::Killed { .. } | Phase::Ending | Phase::Gone => return Vec::new(),
        }
        vec![WorkerOrder::Kill(why)]
    }

    fn stop(&mut self, now: BootInstant) -> Vec<WorkerOrder> {
        match self.phase {
            Phase::Running { .. } => {
                self.phase = Phase::Stopping { kill_at: now + WORKER_STOP };
                vec![WorkerOrder::AskToStop]
            }
            Phase::Killed { .. } => {
                self.phase = Phase::Ending;
                Vec::new()
            }
            Phase::Pausing { .. } | Phase::Starting => {
                self.phase = Phase::Gone;
                Vec::new()
            }
            Phase::Stopping { .. } | Phase::Ending | Phase::Gone => Vec::new(),
        }
    }

    fn tick(&mut self, now: BootInstant) -> Vec<WorkerOrder> {
        let mut orders = Vec::new();
        if let Absence::Since(since) = self.absence
            && now >= since + WORKER_GRACE
        {
            self.absence = Absence::TooLong;
            orders.push(WorkerOrder::BecomeLastResort);
        }
        match self.phase {
            Phase::Pausing { until } if now >= until => {
                self.phase = Phase::Starting;
                orders.push(WorkerOrder::Start);
            }
            Phase::Running { heard, .. } if now >= heard + WORKER_HUNG => orders.extend(self.kill("it hangs", now)),
            Phase::Stopping { kill_at } if now >= kill_at => orders.extend(self.kill("it did not stop in time", now)),
            Phase::Pausing { .. }
            | Phase::Starting
            | Phase::Running { .. }
            | Phase::Killed { .. }
            | Phase::Stopping { .. }
            | Phase::Ending
            | Phase::Gone => {}
        }
        orders
    }
}

#[cfg(test)]
mod tests;
