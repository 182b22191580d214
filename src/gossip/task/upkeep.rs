//! What is looked at now and then: whether words are their nodes' own and whole, how much is held of them, how far this node has counted.

use super::Gossip;
use crate::gossip::validation::{KEY_BYTES, hear_anew};
use chitchat::{Chitchat, ChitchatId, Deserializable, Heartbeat};
use std::collections::{BTreeMap, BTreeSet};

impl Gossip {
    /// Puts right and tells what is not as it should be.
    pub(super) async fn report(&mut self) {
        if !self.handle.with_chitchat(|chitchat| self.said.is_intact(chitchat)).await {
            tracing::warn!("a member has gossiped in this node's name, saying again what is true");
            self.say(self.said.entries().clone()).await;
        }
        let shared = self.handle.chitchat();
        let mut chitchat = shared.lock().await;
        let live: BTreeSet<ChitchatId> = chitchat.live_nodes().cloned().collect();
        for id in self.words.overdue(|id| live.contains(id)) {
            tracing::warn!(node = %id.node_id, "what is gossiped in a node's name has not been its signed word for a while, its last word stands");
            self.transport.validation().distrust(&id);
            hear_anew(&mut chitchat, &id);
        }
        self.weigh(&mut chitchat);
    }

    /// What chitchat holds of each node; it is made to forget what cannot be a word any more.
    fn weigh(&self, chitchat: &mut Chitchat) {
        let mut validation = self.transport.validation();
        let (mut held, mut overgrown, share) = (BTreeMap::<String, usize>::new(), Vec::new(), validation.share());
        for (id, state) in chitchat.node_states() {
            let weights = state.key_values_including_deleted().map(|(key, entry)| key.len() + entry.value.len() + KEY_BYTES);
            let weight: usize = weights.sum();
            if weight > share && *id.node_id != *self.settings.node.as_str() {
                overgrown.push(id.clone());
            }
            *held.entry(id.node_id.to_string()).or_default() += weight;
        }
        validation.weighed(&held);
        drop(validation);
        for id in overgrown {
            tracing::warn!(node = %id.node_id, "more is gossiped in a node's name than a word can be, hearing it anew");
            hear_anew(chitchat, &id);
        }
    }

    /// Tells the transport how far this node has come, and goes on from where others think that it is.
    pub(super) async fn keep_count(&mut self) {
        let shared = self.handle.chitchat();
        let mut chitchat = shared.lock().await;
        let mut validation = self.transport.validation();
        let own = chitchat.self_node_state();
        if let Some(heartbeat) =
            validation.overtaken().and_then(|count| Heartbeat::deserialize(&mut &count.to_le_bytes()[..]).ok())
        {
            own.try_set_heartbeat(heartbeat);
        }
        validation.own_numbers(self.said.version(), own.heartbeat().into());
    }
}
