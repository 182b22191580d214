//! The simulated cluster: what happens next, and what it does to whom.

use super::{
    Nanos, Options, TTL, Violated, Violation,
    dice::Dice,
    liar::LIAR,
    log::{Entry, MembershipLog, Sets, membership_of},
    network::Network,
    node::{DriftingClock, Node, listens_at},
    rules::Rules,
};
use lvs_agent::{
    guard::{leases::LeaseEvent, protocol::GroupOrder},
    model::NodeId,
    vip::{LeaseMembership, LeaseMessage},
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    net::IpAddr,
};

/// Datagrams that a guard's socket keeps while it is stopped or waits; more are dropped, as the kernel does.
const SOCKET_DEPTH: usize = 256;
/// Without a worker for so long, a node is the last resort. (The product waits for ten seconds; here a worker's death is to matter sooner.)
const WORKER_GRACE: Nanos = 2 * TTL;

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
        input: LeaseEvent,
    },
    /// A deadline of that guard has come, unless it has moved.
    Alarm(usize, u64),
    /// The kernel has done what that guard waits for.
    KernelDone(usize, u64),
    /// That start of the worker is there and tells the guard everything.
    WorkerUp(usize, u64),
    /// The worker hears of a revision of the rules.
    Rules(usize, usize),
    /// A guard starts again, if none runs.
    Start(usize),
    /// That guard, which has been told to stop, ends.
    Stop(usize, u64),
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
    /// Raft's membership.
    pub log: MembershipLog,
    /// Raft's rules.
    pub rules: Rules,
    /// All nodes; a node's number is its place.
    pub nodes: Vec<Node>,
    /// Events handled so far.
    pub steps: u64,
    /// What is on and what befalls.
    pub options: Options,
    /// The first violation.
    pub violation: Option<Violated>,
    /// Addresses that came to an interface so far: when, where.
    pub takeovers: Vec<(Nanos, usize)>,
    /// The voter that lies, if one does.
    pub liar: Option<usize>,
    /// Nodes whose workers hear nothing of Raft, while their guards hear each other.
    pub deaf: BTreeSet<usize>,
    /// Of a hundred things that happen in Raft, how many are elections.
    pub elections: u64,
    /// A datagram that this function wants is kept back. For scripts.
    pub swallow: Option<fn(usize, usize, &LeaseMessage) -> bool>,
    /// Those; a script delivers them when it likes.
    pub swallowed: Vec<Event>,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
}

impl World {
    /// `nodes` nodes, running and told of everything, at time 0 of a calm network; `voters` and `rules` are the first ones.
    pub fn new(nodes: usize, voters: Sets, rules: Vec<GroupOrder>, options: Options, mut dice: Dice) -> Self {
        let make = |id| {
            let clock = DriftingClock::new(0, dice.below(1_000 * TTL), dice.between(995_000, 1_005_000));
            Node::new(id, clock)
        };
        let nodes: Vec<Node> = (0..nodes).map(make).collect();
        let log = MembershipLog::new(nodes.len(), voters, 2 * TTL, options.log);
        let mut world = Self {
            now: 0,
            dice,
            network: Network::calm(),
            log,
            rules: Rules::new(rules),
            nodes,
            steps: 0,
            options,
            violation: None,
            takeovers: Vec::new(),
            liar: None,
            deaf: BTreeSet::new(),
            elections: 5,
            swallow: None,
            swallowed: Vec::new(),
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

    /// Lets time pass until `end`, or until something is violated.
    pub fn run_until(&mut self, end: Nanos) {
        while self.violation.is_none() && self.queue.peek().is_some_and(|Reverse(due)| due.at <= end) {
            let Some(Reverse(due)) = self.queue.pop() else { break };
            self.now = due.at;
            self.steps += 1;
            self.happen(due.event);
        }
        self.now = self.now.max(end);
    }

    /// Something that must not be has come to be.
    pub(super) fn violated(&mut self, what: Violation, nodes: Vec<usize>, address: IpAddr) {
        if self.violation.is_none() {
            self.violation = Some(Violated { what, at: self.now, nodes, address, steps: self.steps });
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { to, from, message } => {
                self.check_overdue(to);
                self.input(to, LeaseEvent::Heard { from, source: listens_at(from), messages: vec![message] });
            }
            Event::For { node, incarnation, input } => {
                if self.runs(node, incarnation) {
                    self.input(node, input);
                }
            }
            Event::Alarm(node, incarnation) => {
                self.check_overdue(node);
                if self.runs(node, incarnation)
                    && self.nodes[node].guard.as_ref().is_some_and(|guard| guard.tick_at == Some(self.now))
                {
                    self.go_on(node);
                }
            }
            Event::KernelDone(node, incarnation) => self.kernel_done(node, incarnation),
            Event::WorkerUp(node, start) => self.worker_up(node, start),
            Event::Rules(node, revision) => self.hear_rules(node, revision),
            Event::Start(node) => self.start_guard(node),
            Event::Stop(node, incarnation) => self.end_guard(node, incarnation),
            Event::Resume(node) => self.resume(node),
        }
    }

    fn runs(&self, node: usize, incarnation: u64) -> bool {
        self.nodes[node].guard.as_ref().is_some_and(|guard| guard.incarnation == incarnation)
    }

    /// Starts a guard, which sweeps what an earlier one has left, and its worker.
    pub fn start_guard(&mut self, node: usize) {
        if self.nodes[node].guard.is_some() {
            return;
        }
        let lost = if self.dice.chance(100) { self.dice.below(20 * TTL) } else { 0 };
        let (now, options) = (self.now, self.options);
        self.nodes[node].start_guard(now, lost, &options);
        // A kernel before 5.18 marks no address, and the list of them may be lost with the power: then nothing is found.
        if options.product.removal_at_start && self.dice.chance(700) {
            self.nodes[node].kernel.clear();
        }
        let delay = self.dice.below(TTL / 2);
        self.start_worker(node, delay);
    }

    fn start_worker(&mut self, node: usize, delay: Nanos) {
        self.nodes[node].worker_starts += 1;
        let start = self.nodes[node].worker_starts;
        self.after(delay, Event::WorkerUp(node, start));
    }

    /// The worker ends beside its guard, and another one is there after `down`.
    pub fn kill_worker(&mut self, node: usize, down: Nanos) {
        self.nodes[node].worker = false;
        self.log.crashed(node);
        if down > WORKER_GRACE {
            self.for_guard(node, WORKER_GRACE, LeaseEvent::Tended(false));
        }
        self.start_worker(node, down);
    }

    fn worker_up(&mut self, node: usize, start: u64) {
        if self.nodes[node].guard.is_none() || self.nodes[node].worker_starts != start {
            return;
        }
        self.nodes[node].worker = true;
        let membership = self.log.effective(node);
        let members = self.nodes.iter().map(|member| (member.id, listens_at(member.id))).collect();
        for input in
            [LeaseEvent::Members(members), LeaseEvent::Return, LeaseEvent::Membership(membership), LeaseEvent::Tended(true)]
        {
            self.input(node, input);
        }
        self.tell_rules(node);
        self.input(node, LeaseEvent::Ready(true));
        self.hear_of_newest_rules(node);
    }

    /// Tells the guard that runs now, later.
    pub fn for_guard(&mut self, node: usize, delay: Nanos, input: LeaseEvent) {
        if let Some(incarnation) = self.nodes[node].guard.as_ref().map(|guard| guard.incarnation) {
            self.after(delay, Event::For { node, incarnation, input });
        }
    }

    /// The guard and its worker end. With `power`, the kernel does too.
    pub fn crash(&mut self, node: usize, power: bool) {
        self.done_for_the_dead(node);
        self.nodes[node].guard = None;
        self.nodes[node].worker = false;
        self.nodes[node].worker_starts += 1;
        self.log.crashed(node);
        if power {
            self.nodes[node].kernel.clear();
            let rate = self.dice.between(995_000, 1_005_000);
            self.nodes[node].clock = DriftingClock::new(self.now, self.dice.below(TTL), rate);
        }
    }

    /// The guard was told to stop, and has had its time to retire. It takes off what is left.
    fn end_guard(&mut self, node: usize, incarnation: u64) {
        if !self.runs(node, incarnation) {
            return;
        }
        if !self.nodes[node].is_idle() {
            return self.after(TTL / 30, Event::Stop(node, incarnation));
        }
        let left = self.nodes[node].guard.as_ref().map(|guard| guard.leases.places()).unwrap_or_default();
        self.take_off(node, &left);
        self.crash(node, false);
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
        let now = self.nodes[node].clock.now(self.now);
        let Some(guard) = self.nodes[node].guard.as_mut().filter(|guard| guard.paused) else { return };
        guard.paused = false;
        guard.steady_since = now;
        self.go_on(node);
    }

    /// Tells the guard of `node` something now, or as soon as its loop turns.
    pub fn input(&mut self, node: usize, input: LeaseEvent) {
        let Some(guard) = self.nodes[node].guard.as_mut() else { return };
        if guard.inbox.len() < SOCKET_DEPTH || !matches!(input, LeaseEvent::Heard { .. }) {
            guard.inbox.push_back(input);
        }
        self.go_on(node);
    }

    /// A datagram from the guard of `from`.
    pub(super) fn send(&mut self, from: usize, to: NodeId, message: LeaseMessage) {
        if self.options.liar {
            self.overhear(from, to, &message);
        }
        let receiver = to.0 as usize;
        if to == LIAR {
            return;
        }
        if self.swallow.is_some_and(|wanted| wanted(from, receiver, &message)) {
            return self.swallowed.push(Event::Arrive { to: receiver, from: NodeId(from as u64), message });
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
                if !self.nodes[node].is_idle() {
                    return false;
                }
                self.input(node, LeaseEvent::Membership(membership));
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
        self.for_guard(node, delay, LeaseEvent::Membership(membership));
    }
}
