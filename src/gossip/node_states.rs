//! What has been read of each incarnation that chitchat knows: the last word that its node signed.
//!
//! A word spreads key by key, so that what is there may be a part of it, or no one's. Until it is whole and signed, the last good one stands.

use super::{
    keys::{self, SIGNATURE},
    node_state::{self, Origin},
    peer_key::PeerKey,
    view::NodeView,
};
use crate::rules::security::PeerKeys;
use chitchat::{ChitchatId, NodeState};
use std::collections::HashMap;

/// How many times in a row [`NodeStates::overdue`] finds a word in pieces before it is said, and again after twice as many: a large word takes some rounds to
/// spread.
const PATIENCE: u32 = 10;

/// See the file's first line.
#[derive(Debug, Default)]
pub struct NodeStates {
    read: HashMap<ChitchatId, Reading>,
}

#[derive(Debug)]
struct Reading {
    /// Whose word it must be.
    by: PeerKey,
    /// chitchat's versions when it was looked at: most have not changed since.
    at: Option<(u64, u64)>,
    /// The last good word, and its counter.
    good: Option<(u64, NodeView)>,
    /// What is there now is that.
    whole: bool,
    /// How often it was found in pieces.
    overdue: u32,
}

/// What is new of an incarnation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Nothing: it has not changed, or what it says is not a whole signed word.
    Nothing,
    /// Its word has been read for the first time; if there is a key in it that is not understood, which.
    First(Option<String>),
    /// Its word has changed.
    Changed,
}

impl NodeStates {
    /// Looks at an incarnation if it has changed. Whoever is no member is not listened to.
    pub fn look(&mut self, cluster_id: &str, speakers: &PeerKeys, id: &ChitchatId, state: &NodeState) -> News {
        let Some(speaker) = PeerKey::called(&id.node_id, speakers) else {
            self.read.remove(id);
            return News::Nothing;
        };
        if self.read.get(id).is_none_or(|reading| !reading.by.is_same_node(&speaker)) {
            self.read.insert(id.clone(), Reading { by: speaker, at: None, good: None, whole: false, overdue: 0 });
        }
        let at = Some((state.last_gc_version(), state.max_version()));
        let origin = Origin { cluster_id, node: speaker.id, generation: id.generation_id };
        match self.read.get_mut(id) {
            Some(reading) if reading.at != at => {
                reading.at = at;
                reading.look(origin, state)
            }
            Some(_) | None => News::Nothing,
        }
    }

    /// Forgets incarnations that chitchat has forgotten.
    pub fn retain(&mut self, known: impl Fn(&ChitchatId) -> bool) {
        self.read.retain(|id, _| known(id));
    }

    /// The last good word of an incarnation.
    pub fn good(&self, id: &ChitchatId) -> Option<&NodeView> {
        self.read.get(id)?.good.as_ref().map(|(_, view)| view)
    }

    /// Those that are alive and whose word has now been in pieces for too long. Call it at a steady pace.
    pub fn overdue(&mut self, live: impl Fn(&ChitchatId) -> bool) -> Vec<ChitchatId> {
        let mut found = Vec::new();
        for (id, reading) in &mut self.read {
            let broken = !reading.whole && live(id);
            reading.overdue = if broken { reading.overdue.saturating_add(1) } else { 0 };
            if reading.overdue % PATIENCE == 0 && (reading.overdue / PATIENCE).is_power_of_two() {
                found.push(id.clone());
            }
        }
        found
    }
}

impl Reading {
    fn look(&mut self, origin: Origin<'_>, state: &NodeState) -> News {
        self.whole = false;
        // A node signs after it has changed its entries, and changes arrive in order, so a word whose signature is not the latest change is in pieces.
        if state.get_versioned(SIGNATURE).is_none_or(|signature| signature.version != state.max_version()) {
            return News::Nothing;
        }
        let entries: Vec<(&str, &str)> = state.key_values().take(keys::MAX_KEYS + 1).collect();
        let Some(counter) = node_state::check(&self.by.key, origin, entries.iter().copied()) else { return News::Nothing };
        let last = self.good.as_ref().map(|(counter, _)| *counter);
        if last.is_some_and(|last| counter < last) {
            return News::Nothing;
        }
        self.whole = true;
        let heard = keys::read(entries.into_iter());
        self.good = Some((counter, heard.view));
        if last.is_none() { News::First(heard.junk) } else { News::Changed }
    }
}

#[cfg(test)]
mod tests;
