//! What is known of one member besides its words: its latest start, what it said itself of that, which starts chitchat may hold.

use super::voice::{FLOOR, Voice};
use crate::{
    clock::BootInstant,
    gossip::{peer_key::PeerKey, refusal::Refusal, wire::Part},
    model::NodeId,
};
use chitchat::ChitchatId;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// How far others' words of a node may be ahead of its own, at once and with each second: a node counts a heartbeat for each message it gets.
pub(super) const STEP: u64 = 1 << 16;
const STEP_PER_S: u64 = 1 << 14;
/// For how long what a node has said itself is the measure of what others say of it: half as long as deletions are remembered.
const FRESH: Duration = Duration::from_secs(30);
/// What chitchat takes for a key, besides its text.
pub const KEY_BYTES: usize = 128;

/// See the file's first line.
#[derive(Debug)]
pub(super) struct Member {
    speaker: PeerKey,
    claim: Option<Claim>,
    /// Those that chitchat may hold, and when it last was told of each.
    pub starts: BTreeMap<u64, BootInstant>,
    /// Those of whom others have said what is not true.
    pub speaks_alone: BTreeSet<u64>,
    pub weight: Weight,
}

/// What a node said of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub generation: u64,
    pub heartbeat: u64,
    pub version: u64,
    pub at: BootInstant,
}

/// Bytes of a node's words, of all its starts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    /// That chitchat held when it was looked at last.
    pub held: usize,
    /// That it was told since.
    pub told: usize,
}

impl Weight {
    pub fn add(&mut self, part: &Part, limit: usize) -> Result<bool, Refusal> {
        let more = part.changes.len() + part.count * KEY_BYTES;
        if self.held + self.told + more > limit {
            return Err(Refusal::Flood);
        }
        self.told += more;
        Ok(true)
    }
}

impl Member {
    pub fn new(speaker: PeerKey) -> Self {
        let (claim, starts, speaks_alone, weight) = Default::default();
        Self { speaker, claim, starts, speaks_alone, weight }
    }

    /// After a change of the members. chitchat holds what it holds, whosever it was.
    pub fn now(mut self, speaker: PeerKey) -> Self {
        if !self.speaker.is_same_node(&speaker) {
            self.claim = None;
        }
        self.speaker = speaker;
        self
    }

    pub fn is(&self, node: NodeId) -> bool {
        self.speaker.id == node
    }

    pub fn id(&self) -> NodeId {
        self.speaker.id
    }

    pub fn addr(&self) -> SocketAddr {
        self.speaker.addr
    }

    /// To the letter: to chitchat, the same address written in another way is another start.
    pub fn is_at(&self, addr: SocketAddr) -> bool {
        (self.speaker.addr.ip(), self.speaker.addr.port()) == (addr.ip(), addr.port())
    }

    /// Starts of which nothing was heard for so long.
    pub fn forget(&mut self, now: BootInstant, kept: Duration) {
        self.starts.retain(|_, last| now - *last < kept);
        self.speaks_alone.retain(|generation| self.starts.contains_key(generation));
    }

    /// How many starts chitchat may hold.
    pub fn held(&self, now: BootInstant, kept: Duration) -> usize {
        self.starts.values().filter(|last| now.saturating_since(**last) < kept).count()
    }

    pub fn claims(&mut self, claim: Claim) {
        self.claim = Some(claim);
    }

    /// A node speaks of its present start; others of that or, if they have heard sooner, of a later one.
    pub fn may_mean(&self, by: Voice, id: &ChitchatId) -> bool {
        if self.is(by.node) {
            return id.generation_id == by.session;
        }
        self.claim.is_none_or(|claim| claim.generation <= id.generation_id)
    }

    fn claim_of(&self, id: &ChitchatId) -> Option<Claim> {
        self.claim.filter(|claim| claim.generation == id.generation_id)
    }

    pub fn fresh_claim(&self, id: &ChitchatId, now: BootInstant) -> Option<Claim> {
        self.claim_of(id).filter(|claim| now - claim.at < FRESH)
    }

    pub fn heartbeat_limit(&self, id: &ChitchatId, now: BootInstant) -> u64 {
        self.claim_of(id).map_or(FLOOR, |claim| since(claim.heartbeat, claim.at, now))
    }

    pub fn version_limit(&self, id: &ChitchatId, now: BootInstant) -> u64 {
        self.claim_of(id).map_or(FLOOR, |claim| since(claim.version, claim.at, now))
    }
}

fn since(number: u64, at: BootInstant, now: BootInstant) -> u64 {
    number.saturating_add(STEP).saturating_add((now - at).as_secs().saturating_mul(STEP_PER_S))
}
