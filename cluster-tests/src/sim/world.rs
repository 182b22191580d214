//! The simulated cluster: what happens next, and what it does to whom.

use super::{
    Nanos, Options, TTL, TwoHolders,
    dice::Dice,
    group,
    log::{Entry, MembershipLog, Sets, membership_of},
    network::Network,
    node::{DriftingClock, Input, KernelOp, Node},
};
use lvs_agent::{
    model::NodeId,
    vip::{HolderEffect, HolderEvent, LeaseMembership, LeaseMessage, VoterEffect, VoterEvent},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

/// Datagrams that a stopped guard's socket keeps; more are dropped, as the kernel does.
const SOCKET_DEPTH: usize = 256;

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A datagram arrives.
    Arrive {
        /// At.
        to: usize,
        /// From.
        from: NodeId,
        /// What.
        message: LeaseMessage,
    },
    /// For this guard only, if it still lives.
    For {
        /// Whose.
        node: usize,
        /// Which.
        incarnation: u64,
        /// What.
        input: Input,
    },
    /// The worker of that start of the guard is there and tells it everything.
    WorkerUp(usize, u64),
    /// A guard starts again, if none runs.
    Start(usize),
    /// A stopped guard goes on.
    Resume(usize),
}

#[derive(Debug)]
struct Due {
    at: Nanos,
    order: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// The cluster.
#[derive(Debug)]
pub struct World {
    /// Real time.
    pub now: Nanos,
    /// Chance.
    pub dice: Dice,
    /// Links.
    pub network: Network,
    /// Raft.
    pub log: MembershipLog,
    /// All nodes; a node's number is its place.
    pub nodes: Vec<Node>,
    /// Events handled so far.
    pub steps: u64,
    /// What is on and what befalls.
    pub options: Options,
    /// The first violation.
    pub violation: Option<TwoHolders>,
    /// Fresh installations so far: when, where.
    pub takeovers: Vec<(Nanos, usize)>,
    /// The voter that lies, if one does.
    pub liar: Option<usize>,
    /// Nodes whose workers hear nothing of Raft, while their guards hear each other.
    pub deaf: BTreeSet<usize>,
    /// Of a hundred things that happen in Raft, how many are elections.
    pub elections: u64,
    /// A datagram that this function wants is not sent. For scripts.
    pub swallow: Option<fn(usize, usize, &LeaseMessage) -> bool>,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
}

impl World {
    /// `nodes` nodes, running and told of everything, at time 0 of a calm network; `voters` is the first membership.
    pub fn new(nodes: usize, voters: Sets, candidates: &[usize], options: Options, mut dice: Dice) -> Self {
        let candidates: Vec<NodeId> = candidates.iter().map(|node| NodeId(*node as u64)).collect();
        let make = |id| {
            let clock = DriftingClock::new(0, dice.below(1_000 * TTL), dice.between(995_000, 1_005_000));
            Node::new(id, clock, candidates.clone())
        };
        let nodes: Vec<Node> = (0..nodes).map(make).collect();
        let log = MembershipLog::new(nodes.len(), voters, 2 * TTL, options.log);
        let mut world = Self {
            now: 0,
            dice,
            network: Network::calm(),
            log,
            nodes,
            steps: 0,
            options,
            violation: None,
            takeovers: Vec::new(),
            liar: None,
            deaf: BTreeSet::new(),
            elections: 5,
            swallow: None,
            queue: BinaryHeap::new(),
            order: 0,
        };
        for node in 0..world.nodes.len() {
            world.start_guard(node);
        }
        world
    }

    /// Puts `event` on the calendar.
    pub fn after(&mut self, delay: Nanos, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Due { at: self.now + delay, order: self.order, event }));
    }

    /// Lets time pass until `end`, or until two hold.
    pub fn run_until(&mut self, end: Nanos) {
        while self.violation.is_none() && self.queue.peek().is_some_and(|Reverse(due)| due.at <= end) {
            let Some(Reverse(due)) = self.queue.pop() else { break };
            self.now = due.at;
            self.steps += 1;
            self.happen(due.event);
        }
        self.now = self.now.max(end);
    }

    /// Who has the VIP now.
    pub fn holders(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].has_vip(self.now)).collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { to, from, message } => self.input(to, Input::Datagram(from, message)),
            Event::For { node, incarnation, input } => {
                let guard = self.nodes[node].guard.as_ref();
                let stale_tick = matches!(input, Input::Tick) && guard.is_some_and(|guard| guard.tick_at != Some(self.now));
                if guard.is_some_and(|guard| guard.incarnation == incarnation) && !stale_tick {
                    self.input(node, input);
                }
            }
            Event::WorkerUp(node, incarnation) => self.worker_up(node, incarnation),
            Event::Start(node) => self.start_guard(node),
            Event::Resume(node) => self.resume(node),
        }
    }

    /// Starts a guard; its worker tells it everything a little later.
    pub fn start_guard(&mut self, node: usize) {
        if self.nodes[node].guard.is_some() {
            return;
        }
        let lost = if self.dice.chance(100) { self.dice.below(20 * TTL) } else { 0 };
        let (now, options) = (self.now, self.options);
        self.nodes[node].start_guard(now, lost, &options);
        self.input(node, Input::Tick);
        let delay = self.dice.below(TTL / 2);
        let incarnation = self.nodes[node].starts;
        self.after(delay, Event::WorkerUp(node, incarnation));
    }

    fn worker_up(&mut self, node: usize, incarnation: u64) {
        let Some(guard) = self.nodes[node].guard.as_mut().filter(|guard| guard.incarnation == incarnation) else { return };
        guard.has_worker = true;
        let candidates = self.nodes[node].candidates.clone();
        let membership = self.log.effective(node);
        for input in [Input::Membership(membership), Input::Candidates(candidates), Input::Ready(true)] {
            self.input(node, input);
        }
    }

    /// Tells the guard that runs now, later.
    pub fn for_guard(&mut self, node: usize, delay: Nanos, input: Input) {
        if let Some(incarnation) = self.nodes[node].guard.as_ref().map(|guard| guard.incarnation) {
            self.after(delay, Event::For { node, incarnation, input });
        }
    }

    /// The guard and its worker end. With `power`, the kernel does too.
    pub fn crash(&mut self, node: usize, power: bool) {
        self.nodes[node].guard = None;
        self.log.crashed(node);
        if power {
            self.nodes[node].vip_until = None;
            let rate = self.dice.between(995_000, 1_005_000);
            self.nodes[node].clock = DriftingClock::new(self.now, self.dice.below(TTL), rate);
        }
    }

    /// The guard process stops for a while.
    pub fn pause(&mut self, node: usize, time: Nanos) {
        if let Some(guard) = self.nodes[node].guard.as_mut() {
            guard.paused = true;
            self.after(time, Event::Resume(node));
        }
    }

    /// The guard process goes on and finds what has come meanwhile.
    pub fn resume(&mut self, node: usize) {
        let Some(guard) = self.nodes[node].guard.as_mut().filter(|guard| guard.paused) else { return };
        guard.paused = false;
        let waiting = std::mem::take(&mut guard.inbox);
        for input in waiting {
            self.input(node, input);
        }
        self.input(node, Input::Tick);
    }

    /// Tells the guard of `node` something now, or as soon as it goes on.
    pub fn input(&mut self, node: usize, input: Input) {
        let Some(guard) = self.nodes[node].guard.as_mut() else { return };
        if !guard.paused {
            self.tell(node, input);
        } else if guard.inbox.len() < SOCKET_DEPTH || !matches!(input, Input::Datagram(..)) {
            guard.inbox.push_back(input);
        }
    }

    fn tell(&mut self, node: usize, input: Input) {
        match input {
            Input::Datagram(from, message) => match message {
                LeaseMessage::Ask { .. } | LeaseMessage::Release { .. } => self.vote(node, VoterEvent::Heard { from, message }),
                LeaseMessage::Grant { .. }
                | LeaseMessage::Refuse { .. }
                | LeaseMessage::HandOver { .. }
                | LeaseMessage::Seek { .. }
                | LeaseMessage::Offer { .. } => {
                    self.hold(node, HolderEvent::Heard { from, message });
                }
            },
            Input::Membership(membership) => {
                self.vote(node, VoterEvent::Membership(membership.clone()));
                self.hold(node, HolderEvent::Membership(membership));
            }
            Input::Candidates(candidates) => {
                self.vote(node, VoterEvent::Candidates(BTreeMap::from([(group(), candidates.clone())])));
                self.hold(node, HolderEvent::Candidates(candidates));
            }
            Input::Ready(ready) => self.hold(node, HolderEvent::Ready(ready)),
            Input::Fitness(fitness) => self.hold(node, HolderEvent::Fitness(fitness)),
            Input::Retire => self.hold(node, HolderEvent::Retire),
            Input::Tick => self.hold(node, HolderEvent::Tick),
            Input::Kernel(op) => self.kernel(node, op),
        }
    }

    /// The guard does something to its kernel, and is answered.
    fn kernel(&mut self, node: usize, op: KernelOp) {
        let clock = &self.nodes[node].clock;
        let event = match op {
            KernelOp::Remove => {
                self.nodes[node].vip_until = None;
                HolderEvent::Removed
            }
            KernelOp::Install(until) if clock.now(self.now) < until => {
                let until = clock.real_of(until);
                if !self.nodes[node].has_vip(self.now) {
                    self.takeovers.push((self.now, node));
                }
                self.nodes[node].vip_until = Some(until);
                HolderEvent::Installed
            }
            KernelOp::Install(_) | KernelOp::Fail => HolderEvent::InstallFailed,
        };
        self.check();
        self.hold(node, event);
    }

    /// A node comes to have the VIP only by what [`Self::kernel`] does, so looking there is looking at every step.
    fn check(&mut self) {
        let nodes = self.holders();
        if nodes.len() > 1 && self.violation.is_none() {
            self.violation = Some(TwoHolders { at: self.now, nodes, steps: self.steps });
        }
    }

    fn vote(&mut self, node: usize, event: VoterEvent) {
        let now = self.nodes[node].clock.now(self.now);
        let Some(guard) = self.nodes[node].guard.as_mut() else { return };
        for VoterEffect::Send { to, message } in guard.voter.step(event, now) {
            let message = if self.liar == Some(node) { self.lie(node, message) } else { message };
            self.send(node, to, message);
        }
    }

    fn hold(&mut self, node: usize, event: HolderEvent) {
        let now = self.nodes[node].clock.now(self.now);
        let Some(guard) = self.nodes[node].guard.as_mut() else { return };
        for effect in guard.holder.step(event, now) {
            match effect {
                HolderEffect::Send { to, message } => self.send(node, to, message),
                HolderEffect::Install { until, .. } => self.ask_kernel(node, KernelOp::Install(until)),
                HolderEffect::Remove { .. } => self.ask_kernel(node, KernelOp::Remove),
            }
        }
        self.set_alarm(node);
    }

    fn ask_kernel(&mut self, node: usize, op: KernelOp) {
        let fails = matches!(op, KernelOp::Install(_)) && self.options.install_failures && self.dice.chance(2);
        let op = if fails { KernelOp::Fail } else { op };
        // Now and then longer than the time that holders keep free for it.
        let takes = if self.dice.chance(20) { self.dice.below(TTL / 10) } else { self.dice.below(TTL / 300) };
        let Some(guard) = self.nodes[node].guard.as_mut() else { return };
        guard.kernel_free_at = guard.kernel_free_at.max(self.now) + takes;
        let delay = guard.kernel_free_at - self.now;
        self.for_guard(node, delay, Input::Kernel(op));
    }

    fn set_alarm(&mut self, node: usize) {
        let Some(guard) = self.nodes[node].guard.as_ref() else { return };
        let at = guard.holder.deadline().map(|deadline| self.nodes[node].clock.real_of(deadline).max(self.now));
        if let (Some(at), false) = (at, at == guard.tick_at && at > Some(self.now)) {
            self.for_guard(node, at - self.now, Input::Tick);
        }
        if let Some(guard) = self.nodes[node].guard.as_mut() {
            guard.tick_at = at;
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: LeaseMessage) {
        if self.options.liar {
            self.overhear(from, to, &message);
        }
        let receiver = to.0 as usize;
        if receiver >= self.nodes.len() || self.swallow.is_some_and(|unwanted| unwanted(from, receiver, &message)) {
            return;
        }
        for delay in self.network.fate(from, receiver, &mut self.dice) {
            self.after(delay, Event::Arrive { to: receiver, from: NodeId(from as u64), message: message.clone() });
        }
    }

    /// The worker of `node` stores a log. By the order of knowing, its guard knows the membership first; says whether it is stored.
    pub fn store(&mut self, node: usize, entries: Vec<Entry>) -> bool {
        let membership: LeaseMembership = membership_of(&entries);
        if !self.nodes[node].has_worker() {
            return false;
        }
        if membership != self.log.effective(node) {
            if self.options.log.order_of_knowing {
                if !self.nodes[node].awake() {
                    return false;
                }
                self.input(node, Input::Membership(membership));
            } else {
                self.tell_late(node, membership);
            }
        }
        self.log.store(node, entries);
        true
    }

    /// What happens without the order of knowing: the guard hears of it some time later.
    fn tell_late(&mut self, node: usize, membership: LeaseMembership) {
        let lag = self.dice.below(10 * TTL);
        let Some(guard) = self.nodes[node].guard.as_mut() else { return };
        guard.told_at = guard.told_at.max(self.now + lag);
        let delay = guard.told_at - self.now;
        self.for_guard(node, delay, Input::Membership(membership));
    }
}
