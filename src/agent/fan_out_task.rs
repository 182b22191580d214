//! Carries what each task says to those that need it.
//!
//! Every output is a pure function of the inputs (see `derive`), made anew when one that it rests on changes, and sent only when it differs.

mod fit;

use super::{assigned::Assigned, fitness::OwnFitness, projections};
use crate::{
    clock::{BootClock, Clock},
    config::AgentConfig,
    gossip::{ClusterView, Facts, KeyInventory, NodeState},
    guard::{GuardGone, GuardHandle, protocol::GroupOrder},
    health::{self, HealthInputs, track::TrackFindings},
    kernel::io::address::{AddressError, interface_index},
    members::gossip_seeds,
    model::{LessFitGroups, NodeName, NodeNetwork, Obstacles, Ownership, Role, Roles, VipName},
    raft::RaftView,
    reconcile::{ReconcileInputs, ReconcileReport, VipsReady},
    rules::{ClusterState, Target, security::PeerKeys},
    verdict::Observation,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch::{self, error::RecvError},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How long a director waits for word of some server before it goes by what other directors say: words come within a few rounds of gossip.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the tasks say.
pub struct Sources {
    /// The replicated state.
    pub state: watch::Receiver<Arc<ClusterState>>,
    /// Raft of itself.
    pub raft: watch::Receiver<RaftView>,
    /// What gossip brings.
    pub view: watch::Receiver<Arc<ClusterView>>,
    /// What this node's probes see.
    pub own: watch::Receiver<Arc<BTreeMap<Target, Observation>>>,
    /// What this node's guard holds.
    pub ownership: watch::Receiver<Ownership>,
    /// What its kernel would not let it take.
    pub refused: watch::Receiver<Obstacles>,
    /// Its interfaces and addresses; `None` before they were looked at.
    pub network: watch::Receiver<Option<NodeNetwork>>,
    /// What reconciling came to.
    pub report: watch::Receiver<ReconcileReport>,
    /// Which of its tracks fail.
    pub tracks: watch::Receiver<Arc<TrackFindings>>,
    /// Which keys and certificates this node has.
    pub holds: watch::Receiver<KeyInventory>,
    /// An administrator has taken this node out of service.
    pub withdrawn: watch::Receiver<bool>,
}

/// What the tasks are told.
pub struct Sinks {
    /// To Raft: who is heard.
    pub live: watch::Sender<BTreeSet<NodeName>>,
    /// To gossip: whom to knock at.
    pub seeds: watch::Sender<BTreeSet<SocketAddr>>,
    /// To gossip: who may speak, and with which keys.
    pub speakers: watch::Sender<Arc<PeerKeys>>,
    /// To gossip: what to say.
    pub word: watch::Sender<Arc<NodeState>>,
    /// To health: what to observe.
    pub health: watch::Sender<HealthInputs>,
    /// To reconcile: what there is to go by.
    pub reconcile: watch::Sender<ReconcileInputs>,
    /// To the guard.
    pub guard: GuardHandle,
}

/// The fan-out of one member.
pub struct FanOut {
    /// This node's configuration.
    pub config: Arc<AgentConfig>,
    /// What it says of itself.
    pub facts: Facts,
    /// In.
    pub sources: Sources,
    /// Out.
    pub sinks: Sinks,
    /// What the guard was last told.
    pub told: Told,
    /// Since when this director's kernel has the rules, and nothing is known of any server.
    pub uninformed_since: Option<Instant>,
    /// What this node observes.
    pub assigned: Assigned,
    /// How fit it is to hold each VIP group.
    pub fitness: OwnFitness,
    /// What was made of the inputs last; `None` before the first time.
    pub kept: Option<Kept>,
}

/// What was made of inputs that have not changed since.
#[derive(Default)]
pub struct Kept {
    groups: Vec<GroupOrder>,
    in_place: Arc<BTreeMap<NodeName, VipsReady>>,
    ready: Option<bool>,
    less_fit: Option<LessFitGroups>,
    /// Interfaces have come or gone since.
    is_stale: bool,
}

/// Which inputs have changed.
struct News {
    /// The replicated state.
    state: bool,
    /// What gossip brings.
    view: bool,
    /// What this node says of itself comes from others than these.
    word: bool,
}

impl Sources {
    fn news(&self, kept: &Option<Kept>) -> News {
        fn is_new<T>(source: &watch::Receiver<T>) -> bool {
            source.has_changed().unwrap_or(true)
        }
        let Self { state, raft: _, view, own, ownership, refused, network, report, tracks: _, holds, withdrawn } = self;
        let (is_first, of_guard) = (kept.is_none(), is_new(ownership) || is_new(refused));
        let word = is_new(own) || of_guard || is_new(network) || is_new(report) || is_new(holds) || is_new(withdrawn);
        News { state: is_first || is_new(state), view: is_first || is_new(view), word: is_first || word }
    }
}

/// How often a director looks whether the interfaces of its VIP groups have come or gone.
const LOOK: Duration = Duration::from_millis(500);

fn is_director(state: &ClusterState, config: &AgentConfig) -> bool {
    state.nodes.get(&config.node).is_some_and(|node| node.roles.has(Role::Director))
}

/// Where VIP groups go on this director, and which of these interfaces it does not have. Nothing on other nodes.
fn interfaces(state: &ClusterState, config: &AgentConfig) -> (BTreeMap<VipName, String>, BTreeSet<String>) {
    if !is_director(state, config) {
        return Default::default();
    }
    let interfaces = projections::interfaces(state, config);
    let is_absent = |name: &&String| matches!(interface_index(name), Err(AddressError::NoInterface { .. }));
    let absent = interfaces.values().filter(is_absent).cloned().collect();
    (interfaces, absent)
}

/// What keeps this director from holding groups, for people.
pub fn interface_problems(state: &ClusterState, config: &AgentConfig) -> Vec<String> {
    let (interfaces, absent) = interfaces(state, config);
    let missing = interfaces.iter().filter(|(_, interface)| absent.contains(*interface)).map(|(group, interface)| {
        format!(
            "node {} has no interface {interface} and leaves VIP group {group} to other directors until it appears: see `ip link`, and [interfaces] in agent.toml if it is called otherwise there",
            config.node
        )
    });
    let unused = projections::unused_interface(state, config).filter(|_| !interfaces.is_empty());
    missing.chain(unused).collect()
}

/// What the guard was last told, so that it is told changes only.
#[derive(Default)]
pub struct Told {
    speakers: Option<Arc<PeerKeys>>,
    groups: Option<Vec<GroupOrder>>,
    ready: Option<bool>,
    less_fit: Option<LessFitGroups>,
    absent: BTreeSet<String>,
}

impl FanOut {
    /// Carries until `shutdown`, or until a task that says something is gone.
    ///
    /// # Errors
    /// The guard is gone.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), GuardGone> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.pass_on()?;
            let (config, seen) = (&self.config, &self.told.absent);
            let patience_ends = self.uninformed_since.map(|since| since + PATIENCE).filter(|end| *end > Instant::now());
            let fitness_due = self.fitness.deadline().map(|at| Instant::now() + (at - BootClock.now()));
            let due = patience_ends.into_iter().chain(fitness_due).min();
            let Sources { state, raft, view, own, ownership, refused, network, report, tracks, holds, withdrawn } =
                &mut self.sources;
            let now = state.borrow().clone();
            // The kernel is asked for some names; everything else is passed on only when something has changed.
            let interfaces_change = async {
                if !is_director(&now, config) {
                    return pending().await;
                }
                loop {
                    look.tick().await;
                    if interfaces(&now, config).1 != *seen {
                        return;
                    }
                }
            };
            // A watch that was not looked at stays changed, since `again` leaves that to `pass_on`, and a tick comes again, so all arms are cancel-safe.
            let changed = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = interfaces_change => {
                    self.kept.iter_mut().for_each(|kept| kept.is_stale = true);
                    Ok(())
                }
                changed = again(state) => changed,
                changed = raft.changed() => changed,
                changed = again(view) => changed,
                changed = again(own) => changed,
                changed = again(ownership) => changed,
                changed = again(refused) => changed,
                changed = again(network) => changed,
                changed = again(report) => changed,
                changed = tracks.changed() => changed,
                changed = again(holds) => changed,
                changed = again(withdrawn) => changed,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Ok(()),
            };
            if changed.is_err() {
                return Ok(());
            }
        }
    }

    /// Does what the inputs that have changed since the last time concern.
    fn pass_on(&mut self) -> Result<(), GuardGone> {
        let me = &self.config.node.clone();
        let news = self.sources.news(&self.kept);
        let state = self.sources.state.borrow_and_update().clone();
        let loaded = self.sources.raft.borrow_and_update().loaded;
        let view = self.sources.view.borrow_and_update().clone();
        let own = self.sources.own.borrow_and_update().clone();
        let ownership = self.sources.ownership.borrow_and_update().clone();
        let report = self.sources.report.borrow_and_update().clone();
        if news.state {
            let speakers = Arc::new(projections::speakers(&state));
            self.tell_guard_who_speaks(&speakers)?;
            send(&self.sinks.speakers, speakers);
            send(&self.sinks.seeds, gossip_seeds(&state, me, &self.config.seeds));
        }
        if news.state || news.view {
            let live = view.live();
            let assignments = self.assigned.to(me, &state, &live).clone();
            let peer_alarms = health::peer_alarms(me, &view.observer_reports(), &assignments);
            send(&self.sinks.health, HealthInputs { assignments, peer_alarms });
            send(&self.sinks.live, live);
        }
        let former = self.kept.take();
        let in_place = match &former {
            Some(kept) if !news.view => kept.in_place.clone(),
            Some(_) | None => Arc::new(projections::in_place(&view)),
        };
        let (less_fit, kept_whole) = self.fit((&state, &view, &own, &in_place), &report, BootClock.now());
        let ready = self.readiness(&state, &view, &report);
        let news_of_word = news.state
            || news.word
            || former.as_ref().is_none_or(|kept| kept.is_stale || kept.ready != ready || kept.less_fit != less_fit);
        let Kept { groups, is_stale, .. } = former.unwrap_or_default();
        let groups = if news.state || is_stale { self.groups(&state) } else { groups };
        let roles = state.nodes.get(me).map_or_else(|| self.config.roles.clone(), |node| node.roles.clone());
        if news_of_word {
            let word = self.word(&roles, &groups, (ready, &less_fit), (&own, &ownership, &report));
            let withdrawn = *self.sources.withdrawn.borrow_and_update();
            let word = if withdrawn { projections::withdrawn(word, &state, &self.config) } else { word };
            send(&self.sinks.word, Arc::new(word));
        }
        let address = self.config.address.ip();
        let inputs = ReconcileInputs { loaded, roles, address, state, in_place: in_place.clone(), own, ownership, kept_whole };
        send(&self.sinks.reconcile, inputs);
        self.tell_guard(loaded, &groups, ready)?;
        self.tell_fitness(loaded, &less_fit)?;
        self.kept = Some(Kept { groups, in_place, ready, less_fit, is_stale: false });
        Ok(())
    }

    /// What this node says of itself.
    fn word(
        &mut self,
        roles: &Roles,
        groups: &[GroupOrder],
        (ready, less_fit): (Option<bool>, &Option<LessFitGroups>),
        (own, ownership, report): (&BTreeMap<Target, Observation>, &Ownership, &ReconcileReport),
    ) -> NodeState {
        let refused = self.sources.refused.borrow_and_update().clone();
        let network = self.sources.network.borrow_and_update().as_ref().map(NodeNetwork::told);
        let holds = self.sources.holds.borrow_and_update().clone();
        let own_groups = if roles.has(Role::Director) { groups } else { &[] };
        NodeState {
            facts: Facts { roles: roles.clone(), holds, ..self.facts.clone() },
            observations: own.clone(),
            in_place: report.in_place.clone(),
            holding: ownership.clone(),
            obstacles: projections::obstacles(own_groups, &self.told.absent, refused, projections::unready(ready, report)),
            less_fit: less_fit.clone().unwrap_or_default(),
            network,
            revision: report.applied_revision,
            informed: report.informed,
        }
    }

    /// What the guard is told of readiness, if anything. A director that begins to leave VIPs to a better informed one says so.
    fn readiness(&mut self, state: &ClusterState, view: &ClusterView, report: &ReconcileReport) -> Option<bool> {
        // A worker that has not been through the kernel yet says nothing: its predecessor's word stands.
        let in_kernel = (report.applied_revision > 0 || report.ready).then_some(report.ready);
        if report.informed || !report.ready {
            self.uninformed_since = None;
        } else {
            self.uninformed_since.get_or_insert_with(Instant::now);
        }
        let waited = self.uninformed_since.map(|since| since.elapsed() >= PATIENCE);
        let others_know = projections::informed_directors(state, view, &self.config.node);
        let ready = in_kernel.and_then(|in_kernel| projections::readiness(in_kernel, waited, others_know));
        if ready == Some(false) && self.told.ready == Some(true) && report.ready {
            tracing::warn!(
                "this director knows of no server whether it takes traffic, another one does: it is not ready to hold vips"
            );
        }
        ready
    }

    /// What there is to hold. A director that lacks an interface says so when that changes.
    fn groups(&mut self, state: &ClusterState) -> Vec<GroupOrder> {
        let (interfaces, absent) = interfaces(state, &self.config);
        for interface in absent.difference(&self.told.absent) {
            tracing::warn!(node = %self.config.node, interface, "no such interface here: its vip groups are left to other directors until it appears");
        }
        for interface in self.told.absent.difference(&absent) {
            tracing::info!(node = %self.config.node, interface, "interface is not missed any more");
        }
        let groups = projections::guard_orders(state, &self.config.node, &interfaces, &absent);
        self.told.absent = absent;
        groups
    }

    /// Before there is a key nobody can be heard anyway.
    fn tell_guard_who_speaks(&mut self, speakers: &Arc<PeerKeys>) -> Result<(), GuardGone> {
        if speakers.keyring.keys.is_empty() || self.told.speakers.as_ref() == Some(speakers) {
            return Ok(());
        }
        self.sinks.guard.speakers(speakers.keyring.clone(), projections::guards(speakers))?;
        self.told.speakers = Some(speakers.clone());
        Ok(())
    }

    /// Says nothing before the state is whole: an empty rule set would give VIPs away.
    fn tell_guard(&mut self, loaded: bool, groups: &Vec<GroupOrder>, ready: Option<bool>) -> Result<(), GuardGone> {
        if loaded && self.told.groups.as_ref() != Some(groups) {
            self.sinks.guard.groups(groups.clone())?;
            self.told.groups = Some(groups.clone());
        }
        if let Some(ready) = ready.filter(|ready| loaded && self.told.ready != Some(*ready)) {
            self.sinks.guard.ready(ready)?;
            self.told.ready = Some(ready);
        }
        Ok(())
    }
}

/// Waits for a change, and leaves it to be seen: [`Sources::news`] asks for it.
async fn again<T>(source: &mut watch::Receiver<T>) -> Result<(), RecvError> {
    let changed = source.changed().await;
    source.mark_changed();
    changed
}

fn send<T: PartialEq>(to: &watch::Sender<T>, value: T) {
    to.send_if_modified(|current| {
        let differs = *current != value;
        if differs {
            *current = value;
        }
        differs
    });
}
