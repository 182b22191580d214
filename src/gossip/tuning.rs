//! How chitchat is set up.

use super::settings::GossipSettings;
use chitchat::{ChitchatConfig, ChitchatId, FailureDetectorConfig};
use std::time::Duration;

/// How long chitchat remembers a dead incarnation; it tells others of it for half as long. Short, for each start of an agent is one, and
/// the digest of all must fit into a datagram: an agent that crashes every second must not fill it. [`Memory`] keeps last words instead.
const DEAD_INCARNATION_KEPT: Duration = Duration::from_secs(120);
/// How long a deleted key is remembered, so that every peer hears of it.
const TOMBSTONE_KEPT: Duration = Duration::from_secs(60);
/// Suspicion at which a node counts as dead, in mean intervals between its heartbeats: four to five gossip intervals (measured with 2 to 12 nodes, with
/// questions left out as in `pace`). More would leave stale votes standing, less takes a slow node for a dead one.
const PHI: f64 = 6.0;
/// How many intervals between heartbeats the failure detector averages.
const PHI_WINDOW: usize = 100;
/// Longer silences, in intervals, say nothing about the rhythm of heartbeats.
const LONGEST_BEAT: u32 = 20;

/// How this node calls itself in gossip.
pub(super) fn own_id(settings: &GossipSettings) -> ChitchatId {
    ChitchatId::new(settings.node.as_str(), settings.generation, settings.listen)
}

/// For how long chitchat holds a start after the last that it heard of it, at most: until it is dead, and then some.
pub(super) fn kept(settings: &GossipSettings) -> Duration {
    DEAD_INCARNATION_KEPT + settings.interval * (LONGEST_BEAT * PHI.ceil() as u32 + LONGEST_BEAT)
}

pub(super) fn config(settings: &GossipSettings) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: own_id(settings),
        cluster_id: settings.cluster_id.clone(),
        gossip_interval: settings.interval,
        listen_addr: settings.listen,
        // chitchat takes seeds once, at start; ours change with the membership, so `knock` does it.
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig::new(
            PHI,
            PHI_WINDOW,
            settings.interval * LONGEST_BEAT,
            settings.interval,
            DEAD_INCARNATION_KEPT,
        ),
        marked_for_deletion_grace_period: TOMBSTONE_KEPT,
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}
