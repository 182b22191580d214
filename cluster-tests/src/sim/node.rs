//! One simulated node: a clock that drifts, a guard that runs the product's `Leases`, its worker, and the kernel's addresses.

use super::{Nanos, Options, TTL, kernel::Kernel, liar::LIAR};
use lvs_agent::{
    clock::BootInstant,
    guard::{
        effect::Effect,
        leases::{LeaseEvent, Leases, Moment},
    },
    model::{NodeId, TimingProfile},
};
use std::{collections::VecDeque, net::SocketAddr, time::Duration};

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

/// What the guard's loop waits for: the kernel, which does one thing after the other.
#[derive(Clone, Debug)]
pub struct Doing {
    /// What it was asked to do.
    pub effect: Effect,
    /// When it was asked, by the node's clock.
    pub begun: BootInstant,
    /// It takes longer than holders keep free for it.
    pub slowly: bool,
    /// It is done; the guard has not seen it yet, because it is stopped.
    pub done: bool,
}

/// The guard process. It forgets everything when it ends.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Which start of the guard this is.
    pub incarnation: u64,
    /// Votes and holds.
    pub leases: Leases,
    /// By how much the clock that numbers rounds has gone back.
    pub lost: Nanos,
    /// Stopped: what is to be told waits in `inbox`.
    pub paused: bool,
    /// It was told to stop, and ends soon.
    pub stopping: bool,
    /// Waits until the loop turns again.
    pub inbox: VecDeque<LeaseEvent>,
    /// What the leases want done, in order.
    pub effects: VecDeque<Effect>,
    /// What is being done.
    pub doing: Option<Doing>,
    /// Since when nothing has kept it from its work.
    pub steady_since: BootInstant,
    /// When the last late word of the worker comes (only without the order of knowing).
    pub told_at: Nanos,
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
    /// Its guard.
    pub guard: Option<Guard>,
    /// Its worker runs and has told the guard everything.
    pub worker: bool,
    /// How often a worker has been started, or has ended: what was to come of an earlier one does not.
    pub worker_starts: u64,
    /// Which addresses are on its interface.
    pub kernel: Kernel,
    /// How often the guard has started.
    pub starts: u64,
    /// Which revision of the rules its worker has stored.
    pub revision: usize,
}

impl Node {
    /// Off.
    pub fn new(id: usize, clock: DriftingClock) -> Self {
        Self {
            id: NodeId(id as u64),
            clock,
            guard: None,
            worker: false,
            worker_starts: 0,
            kernel: Kernel::default(),
            starts: 0,
            revision: 0,
        }
    }

    /// Starts the guard. `lost` is by how much the clock that numbers rounds has gone back.
    pub fn start_guard(&mut self, now: Nanos, lost: Nanos, options: &Options) {
        self.starts += 1;
        let (started, life) = (self.clock.now(now), self.starts << 16);
        self.guard = Some(Guard {
            incarnation: self.starts,
            leases: Leases::with_toggles(self.id, TimingProfile::Lan, started, life, options.product),
            lost,
            paused: false,
            stopping: false,
            inbox: VecDeque::new(),
            effects: VecDeque::new(),
            doing: None,
            steady_since: started,
            told_at: now,
            tick_at: None,
        });
    }

    /// Whether its guard runs, is not stopped, and waits for nothing but the next event.
    pub fn is_idle(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| !guard.paused && guard.doing.is_none())
    }

    /// Whether its worker runs and has told its guard everything.
    pub fn has_worker(&self) -> bool {
        self.guard.is_some() && self.worker
    }

    /// What the guard's two clocks show.
    pub fn moment(&self, now: Nanos) -> Moment {
        let lost = self.guard.as_ref().map_or(0, |guard| guard.lost);
        let unix = Duration::from_nanos((1_000 * TTL + now).saturating_sub(lost));
        Moment { now: self.clock.now(now), unix }
    }
}

/// Where the guard of a node listens.
pub fn listens_at(node: NodeId) -> SocketAddr {
    let last = u8::try_from(node.0 + 1).unwrap_or(u8::MAX);
    SocketAddr::from(([10, 0, 0, last], 7401))
}

/// Who listens there.
pub fn who_listens_at(address: SocketAddr) -> NodeId {
    [LIAR].into_iter().chain((0..254).map(NodeId)).find(|node| listens_at(*node) == address).unwrap_or(LIAR)
}
