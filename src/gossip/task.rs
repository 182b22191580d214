//! Runs chitchat: publishes this node's word when it changes, and the view of all nodes when that does.
//!
//! chitchat alone spreads a change within a gossip interval or two. A change of this node's word is therefore also told at once to a few
//! live nodes, directors first: a suspicion or a vote is worth nothing when it is late.

use super::{
    io::transport::SealedUdp,
    keys,
    local_state::LocalState,
    node_state::Origin,
    node_states::{News, NodeStates},
    peer_key::PeerKey,
    settings::GossipSettings,
    tuning::{config, kept, own_id},
    validation::Validation,
    view::{ClusterView, Incarnation, Memory, NodeState},
};
use crate::{
    link::{
        datagram::{Kind, Seal},
        parcel::Mailbox,
    },
    model::{NodeName, Role},
    rules::security::PeerKeys,
};
use chitchat::{Chitchat, ChitchatHandle, ChitchatId, spawn_chitchat};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

mod upkeep;

/// Nodes told at once of a change. The others hear it from these within an interval.
const FIRST_HEARERS: usize = 8;
/// A datagram brings many keys, and each is an event: the view is made once they are in.
const GATHER: Duration = Duration::from_millis(2);
/// How often a member that is not heard is knocked at, and counters are looked at, once there are live peers.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How long the goodbye may take.
const LEAVE: Duration = Duration::from_millis(300);

/// Why gossip ended by itself. The worker is of no use without it and should be started again.
#[derive(Debug, thiserror::Error)]
pub enum GossipError {
    /// The socket could not be had.
    #[error("gossip cannot start on {listen} (UDP): is another agent running, is the address this machine's?")]
    Start {
        /// Where it should listen.
        listen: SocketAddr,
        /// What the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// chitchat ended.
    #[error("gossip stopped")]
    Stopped(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A task it serves is gone: its word or its seeds come no more.
    #[error("the rest of the worker is gone")]
    Alone,
}

/// Gossips until `shutdown`, then says goodbye.
///
/// Only `speakers` are heard, from the moment of each change. Without a key among them nothing is said.
/// `seeds` may change at any time: every seed that is not heard is knocked at in turn, so one that knows any member finds all of them.
/// What is too long for datagrams goes and comes by `mailbox`.
/// `view` is sent only when it differs from the last; it has this node in it, live.
///
/// # Errors
/// [`GossipError`]; the caller should end the process.
pub async fn run(
    settings: GossipSettings,
    mut seeds: watch::Receiver<BTreeSet<SocketAddr>>,
    mut speakers: watch::Receiver<Arc<PeerKeys>>,
    mut word: watch::Receiver<Arc<NodeState>>,
    view: watch::Sender<Arc<ClusterView>>,
    mailbox: Mailbox,
    shutdown: CancellationToken,
) -> Result<(), GossipError> {
    let first = speakers.borrow_and_update().clone();
    let mut gossip = Gossip::start(settings, first, view, mailbox).await?;
    let news = Arc::new(Notify::new());
    let told = news.clone();
    let _subscription = gossip.handle.with_chitchat(|chitchat| subscribe(chitchat, told.clone())).await;
    // Sent by chitchat at a round's end when a node came, went or changed; also after deletions, of which there are no events.
    let mut rounds = gossip.handle.with_chitchat(|chitchat| chitchat.live_nodes_watcher()).await;
    let stopped = gossip.handle.termination_watcher();
    tokio::pin!(stopped);
    let transport = gossip.transport.clone();
    let mut first_contact = ticker(gossip.settings.interval);
    let mut housekeeping = ticker(HOUSEKEEPING);

    let current = word.borrow_and_update().clone();
    gossip.publish(&current).await;
    gossip.refresh().await;
    loop {
        // Every arm waits on something that keeps what it has not delivered, so all are cancel-safe.
        tokio::select! {
            () = shutdown.cancelled() => return gossip.leave().await,
            end = &mut stopped => return Err(stopped_because(end)),
            changed = word.changed() => {
                changed.map_err(|_| GossipError::Alone)?;
                let current = word.borrow_and_update().clone();
                gossip.publish(&current).await;
                gossip.refresh().await;
            }
            () = news.notified() => {
                tokio::time::sleep(GATHER).await;
                gossip.refresh().await;
            }
            Ok(()) = rounds.changed() => gossip.refresh().await,
            changed = speakers.changed() => {
                changed.map_err(|_| GossipError::Alone)?;
                let current = speakers.borrow_and_update().clone();
                gossip.listen_to(current);
                gossip.refresh().await;
            }
            changed = seeds.changed() => {
                changed.map_err(|_| GossipError::Alone)?;
                gossip.knock(&seeds.borrow_and_update());
            }
            () = transport.overtaken() => gossip.keep_count().await,
            _ = first_contact.tick(), if gossip.peers.is_empty() => gossip.knock(&seeds.borrow_and_update()),
            _ = housekeeping.tick() => {
                gossip.keep_count().await;
                gossip.knock(&seeds.borrow_and_update());
                gossip.refresh().await;
                gossip.report().await;
            }
        }
    }
}

fn ticker(period: Duration) -> tokio::time::Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

fn subscribe(chitchat: &Chitchat, news: Arc<Notify>) -> chitchat::ListenerHandle {
    chitchat.subscribe_event("", move |_| news.notify_one())
}

fn stopped_because(end: anyhow::Result<()>) -> GossipError {
    let reason = end.err().unwrap_or_else(|| anyhow::anyhow!("chitchat ended without being told to"));
    GossipError::Stopped(reason.into())
}

/// chitchat with what surrounds it.
struct Gossip {
    settings: GossipSettings,
    speakers: Arc<PeerKeys>,
    handle: ChitchatHandle,
    transport: SealedUdp,
    seal: Seal,
    view: watch::Sender<Arc<ClusterView>>,
    memory: Memory,
    words: NodeStates,
    /// What this node says.
    said: LocalState,
    /// Which starts of others are in the view that was sent last, and whether they live. `None`: it has to be made anew.
    shown: Option<BTreeMap<ChitchatId, bool>>,
    /// Live members but this one, and whether they are directors.
    peers: BTreeMap<SocketAddr, bool>,
    /// Changes told so far, so that all peers have their turn to be told first.
    told: usize,
    /// Knocks so far, so that all seeds have their turn.
    knocks: usize,
}

impl Gossip {
    async fn start(
        settings: GossipSettings,
        speakers: Arc<PeerKeys>,
        view: watch::Sender<Arc<ClusterView>>,
        mailbox: Mailbox,
    ) -> Result<Self, GossipError> {
        let GossipSettings { cluster_id, id, generation, key, .. } = &settings;
        let seal = Seal::new(Kind::Gossip, cluster_id, *id, *generation, key.clone());
        seal.update(&speakers.keyring, &speakers.members);
        let mut validation = Validation::new(own_id(&settings), settings.cluster_id.clone(), kept(&settings));
        validation.update(&speakers);
        let transport = SealedUdp::new(seal.clone(), validation, settings.interval).with_mailbox(*generation, mailbox);
        let handle = spawn_chitchat(config(&settings), Vec::new(), &transport)
            .await
            .map_err(|error| GossipError::Start { listen: settings.listen, source: error.into() })?;
        let (memory, words, said, shown, peers, told, knocks) = Default::default();
        Ok(Self { settings, speakers, handle, transport, seal, view, memory, words, said, shown, peers, told, knocks })
    }

    /// Whoever is not among these is not heard any more, and what it said is forgotten.
    fn listen_to(&mut self, speakers: Arc<PeerKeys>) {
        self.seal.update(&speakers.keyring, &speakers.members);
        self.transport.validation().update(&speakers);
        let before = std::mem::replace(&mut self.speakers, speakers);
        let (now, me) = (&self.speakers, &self.settings.node);
        let stays = |node: &NodeName| match (PeerKey::called(node.as_str(), &before), PeerKey::called(node.as_str(), now)) {
            (Some(before), Some(now)) => before.is_same_node(&now),
            (None, _) | (_, None) => false,
        };
        self.memory.keep(|node| node == me || stays(node));
        self.shown = None;
    }

    /// Makes this node's keys those of `word`, and tells a few others at once if that changed anything.
    async fn publish(&mut self, word: &NodeState) {
        let (entries, too_long) = keys::entries(word);
        for key in too_long {
            tracing::warn!(key, limit_bytes = keys::MAX_VALUE_BYTES, "value is too long to be gossiped");
        }
        if entries != *self.said.entries() {
            self.say(entries).await;
            self.tell_some();
        }
    }

    async fn say(&mut self, entries: BTreeMap<String, String>) {
        let GossipSettings { cluster_id, id, generation, key, .. } = &self.settings;
        let shared = self.handle.chitchat();
        self.said.say(&mut *shared.lock().await, key, Origin { cluster_id, node: *id, generation: *generation }, entries);
        self.shown = None;
        self.keep_count().await;
    }

    fn tell_some(&mut self) {
        self.told = self.told.wrapping_add(1);
        for peer in first_hearers(&self.peers, self.told) {
            // Fails only when chitchat has ended, which its watcher reports.
            let _ = self.handle.gossip(peer);
        }
    }

    /// Speaks to the next seed that is a member and not among the live ones.
    fn knock(&mut self, seeds: &BTreeSet<SocketAddr>) {
        let members = self.speakers.members.values().map(|(addr, _)| *addr);
        let silent =
            members.filter(|addr| seeds.contains(addr) && *addr != self.settings.listen && !self.peers.contains_key(addr));
        let silent: Vec<SocketAddr> = silent.collect();
        if silent.is_empty() {
            return;
        }
        self.knocks = self.knocks.wrapping_add(1);
        let _ = self.handle.gossip(silent[self.knocks % silent.len()]);
    }

    /// Makes the view anew if something of it has changed, and sends it if it differs.
    async fn refresh(&mut self) {
        let shared = self.handle.chitchat();
        let (known, changed) = self.read_changed(&*shared.lock().await);
        if !changed && self.shown.as_ref() == Some(&known) {
            return;
        }
        self.peers = known.iter().filter(|(_, live)| **live).filter_map(|(id, _)| self.peer(id)).collect();
        let (node, generation) = (self.settings.node.clone(), self.settings.generation);
        let own = Incarnation { node, generation, view: self.said.view() };
        let words = &self.words;
        let others = known.iter().filter_map(|(id, live)| {
            let mut view = words.good(id)?.clone();
            view.live &= *live;
            Some(Incarnation { node: id.node_id.parse().ok()?, generation: id.generation_id, view })
        });
        let view = self.memory.view(std::iter::once(own).chain(others));
        self.shown = Some(known);
        self.view.send_if_modified(|last| {
            let differs = **last != view;
            if differs {
                log_changes(last, &view);
                *last = Arc::new(view);
            }
            differs
        });
    }

    /// Reads the words that changed, forgets those that are gone, and returns all incarnations of others with whether they are alive; and whether there is
    /// anything new of them besides.
    fn read_changed(&mut self, chitchat: &Chitchat) -> (BTreeMap<ChitchatId, bool>, bool) {
        let live: BTreeSet<&ChitchatId> = chitchat.live_nodes().collect();
        let states = chitchat.node_states();
        self.words.retain(|id| states.contains_key(id));
        let (mut known, mut changed) = (BTreeMap::new(), false);
        for (id, state) in states.iter().filter(|(id, _)| *id.node_id != *self.settings.node.as_str()) {
            let news = self.words.look(&self.settings.cluster_id, &self.speakers, id, state);
            changed |= news != News::Nothing;
            if let News::First(Some(key)) = news {
                tracing::warn!(node = %id.node_id, key, "gossip key is not understood, it may be of a later version");
            }
            known.insert(id.clone(), live.contains(id));
        }
        (known, changed)
    }

    /// Where a node gossips by the cluster's word, not by what is said of it in gossip, and whether it is a director.
    fn peer(&self, id: &ChitchatId) -> Option<(SocketAddr, bool)> {
        let speaker = PeerKey::called(&id.node_id, &self.speakers)?;
        let facts = self.words.good(id).and_then(|view| view.facts.as_ref());
        Some((speaker.addr, facts.is_some_and(|facts| facts.roles.has(Role::Director))))
    }

    /// Tells others that this node stops, so that they need not wait for its silence.
    async fn leave(mut self) -> Result<(), GossipError> {
        let interval = self.settings.interval;
        let goodbye = async move {
            let mut entries = self.said.entries().clone();
            entries.insert(keys::BYE.to_owned(), String::new());
            self.say(entries).await;
            self.tell_some();
            // The others answer before they take the news: an interval is enough, and their next round brings it again.
            tokio::time::sleep(interval.min(LEAVE / 2)).await;
            self.handle.shutdown().await
        };
        match timeout(LEAVE, goodbye).await {
            Ok(end) => end.map_err(|error| GossipError::Stopped(error.into())),
            // The process ends anyway, and silence says the same.
            Err(_) => Ok(()),
        }
    }
}

/// Directors first, for they isolate and lead; among equals, others at each turn.
fn first_hearers(peers: &BTreeMap<SocketAddr, bool>, turn: usize) -> Vec<SocketAddr> {
    let rotated = |director: bool| {
        let group: Vec<SocketAddr> = peers.iter().filter(|(_, is)| **is == director).map(|(addr, _)| *addr).collect();
        let start = if group.is_empty() { 0 } else { turn % group.len() };
        group.clone().into_iter().cycle().skip(start).take(group.len())
    };
    rotated(true).chain(rotated(false)).take(FIRST_HEARERS).collect()
}

fn log_changes(before: &ClusterView, after: &ClusterView) {
    for (node, view) in &after.nodes {
        let was = before.nodes.get(node).is_some_and(|view| view.live);
        match (was, view.live) {
            (false, true) => tracing::info!(%node, "node is heard"),
            (true, false) => tracing::info!(%node, "node is silent"),
            (true, true) | (false, false) => {}
        }
    }
}

#[cfg(test)]
mod tests;
