//! A seeded simulation of the fallback: the product's `Fallback` of several directors, on two networks (that of the agents, and that of the VIP) whose links come and
//! go, with clocks that differ. Voters and leases are made up: who reaches a majority may get the one lease.

use super::{
    dice::Dice,
    fallback_rules::{Rules, Violation},
};
use lvs_agent::{
    clock::BootInstant,
    model::{Fitness, NodeId},
    vip::{ArpSeen, Circumstances, Fallback, FallbackEffect, FallbackEvent, LeaseSide, LeaseTiming, Standing},
};
use std::{collections::BTreeMap, time::Duration};

/// Real time, in microseconds.
type Micros = u64;

const TTL: Duration = Duration::from_millis(300);
/// A step of the simulation.
const STEP: Micros = 1_000;
/// What a lease lasts beyond the last renewal, and how often it is asked for.
const LEASE: Micros = 280_000;
const ASKS: Micros = 75_000;
/// Two machines on one network that both have the VIP, after that network has changed: a renewal's probe, its answer, and the removal.
pub const BOUND: Micros = 85_000;
/// After so long without a change everything has settled.
const SETTLED: Micros = 4_000_000;
/// A director announces what it has taken so long after that (`guard::arp::Burst`).
const ANNOUNCED: [Micros; 6] = [0, 30_000, 100_000, 300_000, 1_000_000, 3_000_000];

const FOREVER: BootInstant = BootInstant::from_boot(Duration::MAX);

struct Director {
    fallback: Fallback,
    fitness: Fitness,
    /// Its clock counts so many millionths more, and began elsewhere.
    drift: i64,
    offset: u64,
    reaches: bool,
    reached_at: Micros,
    /// No majority answers it since then, by real time.
    unanswered: Option<Micros>,
    asks_at: Micros,
    lease_until: Option<Micros>,
    /// It has the VIP on its interface: since then, and by fallback until then, by its own clock.
    has: Option<(Micros, BootInstant)>,
    /// What its kernel is to do: at that time, put on until then, or take off.
    kernel: Vec<(Micros, Option<BootInstant>)>,
    heard_of: u64,
}

impl Director {
    /// A kernel does one thing after the other.
    fn queue(&mut self, at: Micros, what: Option<BootInstant>) {
        let last = self.kernel.last().map_or(0, |(last, _)| *last);
        self.kernel.push((at.max(last), what));
    }
}

enum Arrival {
    Advert { from: usize, standing: Standing, fitness: Fitness },
    Seen(ArpSeen),
}

/// One run.
pub struct World {
    now: Micros,
    dice: Dice,
    rules: Rules,
    directors: Vec<Director>,
    /// Who hears whom on the agents' network, and who is on which part of the VIP's.
    agents: Vec<usize>,
    segments: Vec<usize>,
    changed: Micros,
    segments_changed: Micros,
    agents_changed: Micros,
    under_way: BTreeMap<Micros, Vec<(usize, Arrival)>>,
    both_since: Option<Micros>,
    /// Times that a director took the VIP by fallback.
    pub taken: u64,
}

impl World {
    /// Directors that all reach the majority.
    pub fn new(seed: u64, rules: Rules) -> Self {
        let mut dice = Dice::new(seed);
        let count = dice.between(2, 4) as usize;
        let candidates: Vec<NodeId> = (0..count).map(|n| NodeId(n as u64)).collect();
        let directors = (0..count).map(|me| {
            let mut fallback = Fallback::new(candidates[me], LeaseTiming::of(TTL));
            let first = candidates.iter().copied().filter(|node| rules.rank || *node == candidates[me]);
            let others = candidates.iter().copied().filter(|node| !rules.rank && *node != candidates[me]);
            fallback.candidates_are(first.chain(others).collect());
            Director {
                fallback,
                fitness: Fitness::WELL,
                drift: dice.between(0, 20_000) as i64 - 10_000,
                offset: dice.below(1_000_000_000),
                reaches: true,
                reached_at: 0,
                unanswered: None,
                asks_at: dice.below(ASKS),
                lease_until: None,
                has: None,
                kernel: Vec::new(),
                heard_of: 0,
            }
        });
        let directors = directors.collect();
        let together = vec![0; count];
        Self {
            now: 0,
            dice,
            rules,
            directors,
            agents: together.clone(),
            segments: together,
            changed: 0,
            segments_changed: 0,
            agents_changed: 0,
            under_way: BTreeMap::new(),
            both_since: None,
            taken: 0,
        }
    }

    /// Changes that come at chance, mostly shortly after each other, at times after everything has settled; `changes` of them.
    pub fn run(&mut self, changes: u64) -> Result<(), Violation> {
        for _ in 0..changes {
            let pause = if self.dice.chance(400) { SETTLED + 500_000 } else { self.dice.between(1_000, 2_500_000) };
            let until = self.now + pause;
            while self.now < until {
                self.step()?;
            }
            self.change();
        }
        Ok(())
    }

    fn change(&mut self) {
        self.changed = self.now;
        let count = self.directors.len() as u64;
        match self.dice.below(6) {
            0 => {
                self.segments = (0..count).map(|_| self.dice.below(2) as usize).collect();
                self.segments_changed = self.now;
            }
            1 => {
                self.segments = vec![0; count as usize];
                self.segments_changed = self.now;
            }
            2 => {
                self.agents = (0..count).map(|_| self.dice.below(2) as usize).collect();
                self.agents_changed = self.now;
            }
            3 => {
                self.agents = vec![0; count as usize];
                self.agents_changed = self.now;
            }
            4 => {
                let (all, reaches) = (self.dice.chance(600), self.dice.chance(400));
                let one = self.dice.below(count) as usize;
                (0..self.directors.len()).filter(|n| all || *n == one).for_each(|n| self.reach(n, reaches));
            }
            _ => {
                let one = self.dice.below(count) as usize;
                self.directors[one].fitness =
                    self.dice.pick(&[Fitness::WELL, Fitness(500), Fitness::LAST_RESORT]).unwrap_or(Fitness::WELL);
            }
        }
    }

    fn reach(&mut self, node: usize, reaches: bool) {
        let at_rest = self.dice.below(4 * ASKS);
        let director = &mut self.directors[node];
        if director.reaches && !reaches {
            let waits = if director.lease_until.is_some() { at_rest / 4 } else { at_rest };
            director.unanswered = Some(self.now + waits);
        } else if !director.reaches && reaches {
            director.asks_at = self.now + at_rest / 4;
            director.reached_at = self.now;
        }
        director.reaches = reaches;
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.now += STEP;
        self.ask()?;
        while let Some(entry) = self.under_way.first_entry().filter(|entry| *entry.key() <= self.now) {
            for (to, arrival) in entry.remove() {
                self.arrives(to, arrival);
            }
        }
        for node in 0..self.directors.len() {
            self.kernel(node);
            let due = self.directors[node].fallback.deadline().is_some_and(|at| at <= self.clock(node));
            if due || self.directors[node].heard_of != self.now / ASKS {
                self.directors[node].heard_of = self.now / ASKS;
                self.tell(node, FallbackEvent::Look);
            }
        }
        self.check()
    }

    fn clock(&self, node: usize) -> BootInstant {
        self.clock_at(node, self.now)
    }

    fn clock_at(&self, node: usize, at: Micros) -> BootInstant {
        let Director { drift, offset, .. } = self.directors[node];
        let drifted = (at as i64 * (1_000_000 + drift) / 1_000_000) as u64;
        BootInstant::from_boot(Duration::from_micros(offset + drifted))
    }

    /// Leases are won, renewed and lost.
    fn ask(&mut self) -> Result<(), Violation> {
        for node in 0..self.directors.len() {
            let own = self.clock(node);
            let (now, leased) = (self.now, self.directors.iter().any(|director| director.lease_until.is_some()));
            let director = &mut self.directors[node];
            match director.lease_until {
                Some(_) if director.reaches => director.lease_until = Some(now + LEASE),
                Some(until) if now >= until => {
                    director.lease_until = None;
                    director.queue(now, None);
                    self.tell(node, FallbackEvent::Look);
                }
                Some(_) => {}
                None if director.reaches && now >= director.asks_at => {
                    director.asks_at = now + ASKS;
                    let was_unanswered = director.unanswered.take().is_some();
                    let dry = self.rules.deference && own < director.fallback.asks_dry_until();
                    if was_unanswered {
                        self.tell(node, FallbackEvent::Look);
                    }
                    if !leased && !dry {
                        self.win(node)?;
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    fn win(&mut self, node: usize) -> Result<(), Violation> {
        let mine = &self.directors[node];
        let other_could = |(other, director): (usize, &Director)| {
            let hears = self.agents[other] == self.agents[node];
            let has_long =
                director.has.is_some_and(|(since, _)| since + BOUND < mine.reached_at) && director.fallback.until().is_some();
            let could_as_early = director.reaches && director.reached_at <= mine.reached_at;
            other != node && hears && self.agents_changed + BOUND < mine.reached_at && has_long && could_as_early
        };
        let has = mine.fallback.until().is_some();
        if !has && self.directors.iter().enumerate().any(other_could) {
            return Err(Violation::Moved);
        }
        let now = self.now;
        let director = &mut self.directors[node];
        director.lease_until = Some(now + LEASE);
        director.unanswered = None;
        if !has {
            director.queue(now + STEP, Some(FOREVER));
        }
        if let Some((_, until)) = &mut director.has {
            *until = FOREVER;
        }
        self.tell(node, FallbackEvent::Look);
        Ok(())
    }

    fn arrives(&mut self, to: usize, arrival: Arrival) {
        let director = &self.directors[to];
        let holds = director.fallback.until().is_some();
        let event = match arrival {
            Arrival::Advert { standing: Standing::Leases, .. } if !self.rules.lease => return,
            Arrival::Advert { standing: Standing::FallsBack, .. } if !self.rules.better && holds => return,
            Arrival::Advert { from, standing, fitness } => FallbackEvent::Advert { from: NodeId(from as u64), standing, fitness },
            // The guard listens to ARP only then.
            Arrival::Seen(_) if !director.fallback.is_active() => return,
            Arrival::Seen(ArpSeen::Claim) if holds && !self.rules.conflict || !holds && !self.rules.probe => return,
            Arrival::Seen(seen) => FallbackEvent::Seen(seen),
        };
        self.tell(to, event);
    }

    fn tell(&mut self, node: usize, event: FallbackEvent) {
        let now = self.clock(node);
        let director = &self.directors[node];
        let removing = director.lease_until.is_none() && director.has.is_some_and(|(_, until)| until == FOREVER);
        let lease = match director.lease_until {
            Some(_) => LeaseSide::Holds,
            None if removing => LeaseSide::Busy,
            None => LeaseSide::Free,
        };
        let unanswered = director.unanswered.filter(|since| *since <= self.now);
        let circumstances = Circumstances {
            may: Some(director.fitness),
            lease,
            unanswered_since: unanswered.map(|since| self.clock_at(node, since)),
            was_answered: true,
        };
        for effect in self.directors[node].fallback.step(event, circumstances, now) {
            self.perform(node, effect);
        }
    }

    fn perform(&mut self, node: usize, effect: FallbackEffect) {
        let soon = self.now + self.dice.between(100, 2_000);
        match effect {
            FallbackEffect::Send { to, standing } => {
                let (to, fitness) = (to.0 as usize, self.directors[node].fitness);
                if self.agents[to] == self.agents[node] {
                    self.under_way.entry(soon).or_default().push((to, Arrival::Advert { from: node, standing, fitness }));
                }
            }
            FallbackEffect::Probe { .. } => {
                for other in self.neighbours(node) {
                    let arrives = self.now + self.dice.between(50, 500);
                    self.under_way.entry(arrives).or_default().push((other, Arrival::Seen(ArpSeen::Probe)));
                    // The kernel answers.
                    if self.directors[other].has.is_some() {
                        self.under_way.entry(arrives + 300).or_default().push((node, Arrival::Seen(ArpSeen::Claim)));
                    }
                }
            }
            FallbackEffect::Take { until, fresh } => {
                self.taken += u64::from(fresh);
                match &mut self.directors[node].has {
                    Some((_, lasts)) if !fresh => *lasts = until,
                    Some(_) | None => self.directors[node].queue(soon, Some(until)),
                }
            }
            FallbackEffect::Remove { .. } => self.directors[node].queue(soon, None),
        }
    }

    fn kernel(&mut self, node: usize) {
        let (now, own) = (self.now, self.clock(node));
        let due: Vec<_> = self.directors[node].kernel.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, what) in due {
            match what {
                Some(until) => self.directors[node].has = Some((now, until)),
                None => {
                    self.directors[node].has = None;
                    self.tell(node, FallbackEvent::Removed);
                }
            }
        }
        let Some((since, until)) = self.directors[node].has else { return };
        if own >= until {
            self.directors[node].has = None;
        } else if ANNOUNCED.iter().any(|after| since + after == now) {
            for other in self.neighbours(node) {
                self.under_way.entry(now + 200).or_default().push((other, Arrival::Seen(ArpSeen::Claim)));
            }
        }
    }

    fn neighbours(&self, node: usize) -> Vec<usize> {
        (0..self.directors.len()).filter(|other| *other != node && self.segments[*other] == self.segments[node]).collect()
    }

    fn check(&mut self) -> Result<(), Violation> {
        let having: Vec<usize> = (0..self.directors.len()).filter(|node| self.directors[*node].has.is_some()).collect();
        let by_lease = |node: usize| self.directors[node].lease_until.is_some();
        let pairs = || having.iter().flat_map(|a| having.iter().filter(move |b| a < *b).map(move |b| (*a, *b)));
        let both = pairs().filter(|(a, b)| self.segments[*a] == self.segments[*b]).collect::<Vec<_>>();
        if both.is_empty() {
            self.both_since = None;
        } else {
            let since = *self.both_since.get_or_insert(self.now);
            // One that wins a lease does not look who has the VIP.
            let no_lease = both.iter().any(|(a, b)| !by_lease(*a) && !by_lease(*b));
            if no_lease && self.now > self.segments_changed + BOUND {
                return Err(Violation::TwoTook);
            }
            if self.now > since.max(self.segments_changed) + BOUND {
                return Err(Violation::TwoForLong);
            }
        }
        if self.now < self.changed + SETTLED {
            return Ok(());
        }
        let sees = |a: usize, b: usize| self.segments[a] == self.segments[b] || self.agents[a] == self.agents[b];
        let served = |node: usize| having.iter().any(|holder| *holder == node || sees(node, *holder));
        if (0..self.directors.len()).any(|node| !self.directors[node].reaches && !served(node)) {
            return Err(Violation::Unserved);
        }
        let not_yielded = |(a, b): (usize, usize)| self.agents[a] == self.agents[b] && !(by_lease(a) && by_lease(b));
        if pairs().any(not_yielded) { Err(Violation::NotYielded) } else { Ok(()) }
    }
}
