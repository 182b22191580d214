//! What of a member's message chitchat is to take in. Pure.
//!
//! Whoever sent a message is proven; what it says of others is not. NodeStates are signed, but chitchat's own bookkeeping is not: which starts of a node there
//! are, heartbeats, versions, which deletions are forgotten. Numbers there only ever grow, so that one high number would outlast all true ones. Therefore:
//!
//! - Only members are spoken of, at their addresses, and no start of one from before the one that it speaks in itself.
//! - Of itself a node may say anything below [`MAX_NUMBER`](super::wire::MAX_NUMBER). What others say of it may be ahead of that by as much as it can have gone on since.
//! - Whose own numbers are overtaken by what others say goes on from theirs: a version in `task` when it says its word again, a heartbeat likewise.
//! - This node's own word is never reset, nor is anyone's by deletions that its node cannot have made.
//! - What chitchat holds is bounded: starts by what the digest of all of them takes, words by their weight.

mod member;
mod voice;

use super::{
    peer_key::PeerKey,
    refusal::Refusal,
    wire::{Mention, Message, Part},
};
use crate::{
    clock::BootInstant,
    model::NodeId,
    rules::{MAX_MEMBERS, security::PeerKeys},
};
use chitchat::{Chitchat, ChitchatId, ChitchatMessage};
use member::{Claim, Member, Weight};
use voice::FLOOR;

pub use member::KEY_BYTES;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};
pub use voice::Voice;

/// What the digest of all starts may take of chitchat's longest message where each member has an equal share of it. It is sent whole, and deltas need
/// the rest.
const DIGEST_BYTES: usize = 40_000;
/// What it may take at most, whoever is in it. chitchat 0.11.2 has no bound for it: `lib.rs`, `process_message` computes what is left for a delta as
/// `MAX_UDP_DATAGRAM_PAYLOAD_SIZE - 1 - digest`, which underflows, and `delta.rs`, `with_mtu` panics where less than 100 bytes are left.
const MOST_DIGEST_BYTES: usize = 65_000;
const _: () = assert!(MOST_DIGEST_BYTES + 2 + 100 < 65_507);
/// What one start takes of it, besides its name: with an IPv6 address.
const MENTION_BYTES: usize = 53;
/// Starts that each member has room for: the present one, and the one before that chitchat remembers for a while.
const STARTS: usize = 2;
// This node's own start is one of them.
const _: () = assert!(MAX_MEMBERS * STARTS * (MENTION_BYTES + 63) <= MOST_DIGEST_BYTES);
/// What all words may weigh together, and one node's: 20 000 keys with the longest reasons.
const WORDS_BYTES: usize = 128 << 20;
const WORD_BYTES: usize = 16 << 20;
/// How far others' words of this node may be ahead of its own; more than anyone lets anyone else be ahead, as long as they hear each other.
const OWN_STEP: u64 = 1 << 20;
/// See the file's first line.
#[derive(Debug)]
pub struct Validation {
    me: ChitchatId,
    cluster_id: String,
    /// How long chitchat may hold a start of which nothing more is heard.
    kept: Duration,
    /// This node's version and heartbeat, as it counts them.
    own: (u64, u64),
    own_weight: Weight,
    overtaken: Option<u64>,
    members: BTreeMap<String, Member>,
    /// What starts of former members take of the digest, and when each was heard of last: chitchat holds them still.
    departed: Vec<(usize, BootInstant)>,
}

/// A message as chitchat may have it.
#[derive(Debug)]
pub struct Heard {
    /// What is left of it.
    pub message: ChitchatMessage,
    /// Why the rest is not.
    pub doubts: BTreeSet<Refusal>,
}

impl Validation {
    /// For the chitchat that calls itself `me`, and holds a start for `kept` after the last that it heard of it.
    pub fn new(me: ChitchatId, cluster_id: String, kept: Duration) -> Self {
        let (own, own_weight, overtaken, members, departed) = Default::default();
        Self { me, cluster_id, kept, own, own_weight, overtaken, members, departed }
    }

    /// Who may be spoken of from now on.
    pub fn update(&mut self, speakers: &PeerKeys) {
        let mut before = std::mem::take(&mut self.members);
        for name in speakers.names.keys().map(|name| name.as_str()) {
            if let Some(speaker) = PeerKey::called(name, speakers) {
                let member = before.remove(name).map_or_else(|| Member::new(speaker), |member| member.now(speaker));
                self.members.insert(name.to_owned(), member);
            }
        }
        let starts =
            before.iter().flat_map(|(name, member)| member.starts.values().map(|last| (MENTION_BYTES + name.len(), *last)));
        self.departed.extend(starts);
    }

    /// Which member gossips at an address.
    pub fn member_at(&self, addr: SocketAddr) -> Option<NodeId> {
        self.members.values().find(|member| member.is_at(addr)).map(Member::id)
    }

    /// Where a member gossips.
    pub fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
        self.members.values().find(|member| member.is(id)).map(Member::addr)
    }

    /// What this node counts, after it has said something, and now and then.
    pub fn own_numbers(&mut self, version: u64, heartbeat: u64) {
        self.own = (version, heartbeat);
    }

    /// Whether others have a heartbeat of this node that is ahead of its own.
    pub fn is_overtaken(&self) -> bool {
        self.overtaken.is_some()
    }

    /// That heartbeat. Once.
    pub fn overtaken(&mut self) -> Option<u64> {
        self.overtaken.take()
    }

    /// What chitchat holds of each node by now, in bytes.
    pub fn weighed(&mut self, held: &BTreeMap<String, usize>) {
        let of = |name: &str| Weight { held: held.get(name).copied().unwrap_or(0), told: 0 };
        self.own_weight = of(&self.me.node_id);
        self.members.iter_mut().for_each(|(name, member)| member.weight = of(name));
    }

    /// What chitchat may hold of one node, in bytes; it is to be emptied beyond that.
    pub fn share(&self) -> usize {
        WORD_BYTES.min(WORDS_BYTES / self.members.len().max(1))
    }

    /// That start's changes were not its node's: for as long as that node is heard itself, no one else is believed about them.
    pub fn distrust(&mut self, id: &ChitchatId) {
        if let Some(member) = self.members.get_mut(&*id.node_id) {
            member.speaks_alone.insert(id.generation_id);
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// If no honest node sends it.
    pub fn hear(&mut self, by: Voice, body: &[u8]) -> Result<Heard, Refusal> {
        let mut message = Message::read(body)?;
        if message.cluster_id.as_ref().is_some_and(|id| *id != self.cluster_id) {
            return Err(Refusal::Cluster);
        }
        let mut doubts = BTreeSet::new();
        message.digest.retain_mut(|mention| {
            let (kept, doubt) = self.mention(by, mention);
            doubts.extend(doubt);
            kept
        });
        message.delta.retain(|part| match self.part(by, part) {
            Ok(kept) => kept,
            Err(why) => {
                doubts.insert(why);
                false
            }
        });
        Ok(Heard { message: message.write()?, doubts })
    }

    /// Whether chitchat is to hear of a start, and what is not believed. Where it knows it and is not to believe this, its heartbeat is made none.
    fn mention(&mut self, by: Voice, mention: &mut Mention) -> (bool, Option<Refusal>) {
        let (id, starts, kept) = (&mention.id, self.starts_allowed(&mention.id), self.kept);
        let fits = self.knows(id) || self.has_room_for(id, by.now);
        if id.node_id == self.me.node_id {
            // chitchat takes no heartbeat of its own from others; it compares versions.
            let limit = FLOOR.max(self.own.1.saturating_add(OWN_STEP));
            if *id == self.me && mention.heartbeat > self.own.1 && mention.heartbeat <= limit {
                self.overtaken = self.overtaken.max(Some(mention.heartbeat));
            }
            return (*id == self.me, None);
        }
        let Some(member) = self.members.get_mut(&*id.node_id).filter(|member| member.is_at(id.gossip_advertise_addr)) else {
            return (false, None);
        };
        let itself = member.is(by.node);
        if itself && id.generation_id == by.session {
            member.claims(Claim {
                generation: by.session,
                heartbeat: mention.heartbeat,
                version: mention.max_version,
                at: by.now,
            });
        }
        member.forget(by.now, kept);
        let known = member.starts.contains_key(&id.generation_id);
        let doubt = match member.may_mean(by, id) {
            false => None,
            true if !itself && mention.heartbeat > member.heartbeat_limit(id, by.now) => Some(Refusal::Ahead),
            // Half of them are for the node itself to fill, so that inventions do not keep out its next start.
            true if !known && (!fits || member.starts.len() >= if itself { starts } else { starts / 2 }) => Some(Refusal::Crowd),
            true => {
                member.starts.insert(id.generation_id, by.now);
                return (true, None);
            }
        };
        // It goes on knowing what the sender has, or it would send it all again.
        mention.heartbeat = 0;
        (known, doubt)
    }

    /// Whether chitchat is to hear of these changes.
    fn part(&mut self, by: Voice, part: &Part) -> Result<bool, Refusal> {
        let (id, share) = (&part.id, self.share());
        if id.node_id == self.me.node_id {
            return match *id == self.me {
                false => Ok(false),
                true if part.max_version > self.own.0.saturating_add(OWN_STEP) => Err(Refusal::Ahead),
                true if part.last_gc_version > self.own.0 => Err(Refusal::Collected),
                true => self.own_weight.add(part, share),
            };
        }
        let Some(member) = self.members.get_mut(&*id.node_id).filter(|member| member.is_at(id.gossip_advertise_addr)) else {
            return Ok(false);
        };
        if !member.may_mean(by, id) || !member.starts.contains_key(&id.generation_id) {
            return Ok(false);
        }
        if member.is(by.node) {
            return member.weight.add(part, 2 * share);
        }
        let fresh = member.fresh_claim(id, by.now);
        if fresh.is_some() && member.speaks_alone.contains(&id.generation_id) {
            return Ok(false);
        }
        if part.max_version > member.version_limit(id, by.now) {
            return Err(Refusal::Ahead);
        }
        // Deletions are forgotten after a minute, so a node that has just spoken knows of all that are.
        if part.last_gc_version > fresh.map_or(part.max_version, |claim| claim.version) {
            return Err(Refusal::Collected);
        }
        member.weight.add(part, share)
    }

    fn starts_allowed(&self, id: &ChitchatId) -> usize {
        (DIGEST_BYTES / self.members.len().max(1) / (MENTION_BYTES + id.node_id.len())).max(STARTS)
    }

    fn knows(&self, id: &ChitchatId) -> bool {
        self.members.get(&*id.node_id).is_some_and(|member| member.starts.contains_key(&id.generation_id))
    }

    /// Whether the digest has room for one more start.
    fn has_room_for(&mut self, id: &ChitchatId, now: BootInstant) -> bool {
        let kept = self.kept;
        self.departed.retain(|(_, last)| now.saturating_since(*last) < kept);
        let departed: usize = self.departed.iter().map(|(bytes, _)| bytes).sum();
        let held = self.members.iter().map(|(name, member)| member.held(now, kept) * (MENTION_BYTES + name.len()));
        let own = MENTION_BYTES + self.me.node_id.len();
        own + departed + held.sum::<usize>() + MENTION_BYTES + id.node_id.len() <= MOST_DIGEST_BYTES
    }
}

/// Empties chitchat's copy of a node's word, so that it is told all of it again. What it has forgotten grows by one, without which it would refuse.
pub fn hear_anew(chitchat: &mut Chitchat, id: &ChitchatId) {
    let forgotten = chitchat.node_state(id).map(|state| state.last_gc_version());
    if let Some(forgotten) = forgotten {
        chitchat.reset_node_state_if_update(id, std::iter::empty(), 0, forgotten.saturating_add(1));
    }
}

#[cfg(test)]
mod tests;
