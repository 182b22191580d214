//! What this node says of itself, signed, and kept apart from chitchat's copy: to that one other members can write.

use super::{
    keys::{self, SIGNATURE},
    node_state::{self, Origin},
    view::NodeView,
};
use crate::link::node_key::NodeKey;
use chitchat::Chitchat;
use std::collections::BTreeMap;

/// See the file's first line.
#[derive(Debug, Default)]
pub struct LocalState {
    entries: BTreeMap<String, String>,
    /// How often something was said.
    counter: u64,
    /// chitchat's version after that.
    version: u64,
}

impl LocalState {
    /// All entries but the signature.
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.entries
    }

    /// As others read it.
    pub fn view(&self) -> NodeView {
        keys::read(pairs(&self.entries)).view
    }

    /// Signs entries and makes them this node's, all in one step, so that others get the whole word or know that the rest is to come.
    pub fn say(&mut self, chitchat: &mut Chitchat, key: &NodeKey, origin: Origin<'_>, entries: BTreeMap<String, String>) {
        self.counter += 1;
        self.entries = entries;
        let signature = node_state::sign(key, origin, self.counter, pairs(&self.entries));
        let own = chitchat.self_node_state();
        let wanted = |key: &str| key == SIGNATURE || self.entries.contains_key(key);
        let vanished: Vec<String> = own.key_values().map(|(key, _)| key).filter(|key| !wanted(key)).map(str::to_owned).collect();
        for key in vanished {
            own.delete(&key);
        }
        for (key, value) in &self.entries {
            own.set(key, value);
        }
        // Last, see `words`.
        own.set(SIGNATURE, signature);
        self.version = own.max_version();
    }

    /// chitchat's version after what was said last.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether nobody has written to chitchat's copy since.
    pub fn is_intact(&self, chitchat: &mut Chitchat) -> bool {
        chitchat.self_node_state().max_version() == self.version
    }
}

fn pairs(entries: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> + Clone {
    entries.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}
