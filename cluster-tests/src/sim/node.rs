//! One simulated node: a clock that drifts, a guard with its two state machines, and the kernel's one VIP.

use super::{Nanos, Options, TTL, group};
use lvs_agent::{
    clock::BootInstant,
    model::{Fitness, NodeId},
    vip::{Holder, LeaseMembership, LeaseMessage, LeaseTiming, Voter},
};
use std::{collections::VecDeque, time::Duration};

/// A clock that shows `offset + rate · time`, piece by piece.
#[derive(Clone, Debug)]
pub struct DriftingClock {
    real: Nanos,
    local: Nanos,
    /// Local nanoseconds in a million real ones.
    rate: u64,
}

const MILLION: u128 = 1_000_000;

impl DriftingClock {
    /// Shows `local` at the real time `real`.
    pub fn new(real: Nanos, local: Nanos, rate: u64) -> Self {
        Self { real, local, rate }
    }

    /// What it shows at `real`.
    pub fn local(&self, real: Nanos) -> Nanos {
        let passed = u128::from(real - self.real) * u128::from(self.rate) / MILLION;
        self.local + u64::try_from(passed).expect("a simulation is short")
    }

    /// The first real time at which it shows `local`.
    pub fn real(&self, local: Nanos) -> Nanos {
        let passed = (u128::from(local.saturating_sub(self.local)) * MILLION).div_ceil(u128::from(self.rate));
        self.real + u64::try_from(passed).expect("a simulation is short")
    }

    /// From `real` on it runs at `rate`.
    pub fn change_rate(&mut self, real: Nanos, rate: u64) {
        *self = Self::new(real, self.local(real), rate);
    }

    /// What a guard reads.
    pub fn now(&self, real: Nanos) -> BootInstant {
        BootInstant::from_boot(Duration::from_nanos(self.local(real)))
    }

    /// When a guard's deadline comes.
    pub fn real_of(&self, instant: BootInstant) -> Nanos {
        self.real(u64::try_from(instant.since_boot().as_nanos()).expect("a simulation is short"))
    }
}

/// What a guard is told, in the order in which it comes to it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A datagram.
    Datagram(NodeId, LeaseMessage),
    /// The kernel is ready to do what was asked.
    Kernel(KernelOp),
    /// The worker says what the effective membership is.
    Membership(LeaseMembership),
    /// The worker says who may hold the group.
    Candidates(Vec<NodeId>),
    /// The worker says whether rules are in the kernel.
    Ready(bool),
    /// The worker says how fit the node is.
    Fitness(Fitness),
    /// The holder is to let go for good.
    Retire,
    /// A deadline has come, or the process goes on after a pause.
    Tick,
}

/// What the guard does to its kernel. It takes a while.
#[derive(Clone, Copy, Debug)]
pub enum KernelOp {
    /// Puts the VIP there until then by the node's clock.
    Install(BootInstant),
    /// Takes it away.
    Remove,
    /// Tries to put it there, and the kernel says no.
    Fail,
}

/// The guard process. It forgets everything when it ends.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Which start of the guard this is.
    pub incarnation: u64,
    /// Votes.
    pub voter: Voter,
    /// Holds.
    pub holder: Holder,
    /// Stopped: what is to be told waits in `inbox`.
    pub paused: bool,
    /// Waits there.
    pub inbox: VecDeque<Input>,
    /// Its worker has started and told it everything.
    pub has_worker: bool,
    /// When the last late word of the worker comes (only without the order of knowing).
    pub told_at: Nanos,
    /// The kernel does one thing after the other.
    pub kernel_free_at: Nanos,
    /// The tick that counts; others are of deadlines that have moved.
    pub tick_at: Option<Nanos>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Its `CLOCK_BOOTTIME`.
    pub clock: DriftingClock,
    /// Its guard and worker, which live and die together here.
    pub guard: Option<Guard>,
    /// When the kernel drops the VIP, in real time; `None`: it is not there.
    pub vip_until: Option<Nanos>,
    /// How often the guard has started.
    pub starts: u64,
    /// What its copy of the rules says.
    pub candidates: Vec<NodeId>,
}

impl Node {
    /// Off.
    pub fn new(id: usize, clock: DriftingClock, candidates: Vec<NodeId>) -> Self {
        Self { id: NodeId(id as u64), clock, guard: None, vip_until: None, starts: 0, candidates }
    }

    /// Starts the guard. `lost` is by how much the clock that numbers rounds has gone back.
    pub fn start_guard(&mut self, now: Nanos, lost: Nanos, options: &Options) {
        let ttl = Duration::from_nanos(TTL);
        let first_round = (1_000 * TTL + now).saturating_sub(lost) / 1_000;
        self.starts += 1;
        self.guard = Some(Guard {
            incarnation: self.starts,
            voter: Voter::with_toggles(self.id, ttl, self.clock.now(now), options.product),
            holder: Holder::with_toggles(self.id, group(), LeaseTiming::of(ttl), first_round, self.starts, options.product),
            paused: false,
            inbox: VecDeque::new(),
            has_worker: false,
            told_at: now,
            kernel_free_at: now,
            tick_at: None,
        });
    }

    /// Whether its guard runs and is not stopped.
    pub fn awake(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| !guard.paused)
    }

    /// Whether its worker runs and has told its guard everything.
    pub fn has_worker(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.has_worker)
    }

    /// Whether the VIP answers here at `now`.
    pub fn has_vip(&self, now: Nanos) -> bool {
        self.vip_until.is_some_and(|until| until > now)
    }
}
