//! The formats in which two builds of the program must agree to work together.

use crate::{guard::protocol::GUARD_CHANNEL, link::datagram, peers::hello::PROTOCOL_VERSION, raft};
use serde::{Deserialize, Serialize};

/// The version of each format.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Formats {
    /// Connections between nodes.
    pub peers: u16,
    /// Datagrams between nodes: gossip and leases.
    pub datagrams: u8,
    /// The Raft log on disk, and its entries on the way to other nodes.
    pub raft_log: u32,
    /// Snapshots of the cluster's state.
    pub snapshot: u16,
    /// What guard, worker and script runner of one node say to each other.
    pub guard_channel: u32,
}

impl Formats {
    /// This program's.
    pub fn this() -> Self {
        Self {
            peers: PROTOCOL_VERSION,
            datagrams: datagram::VERSION,
            raft_log: raft::LOG_FORMAT,
            snapshot: raft::SNAPSHOT_VERSION,
            guard_channel: GUARD_CHANNEL,
        }
    }

    /// What nodes of both builds would not understand of each other, or of their own disks, in words. Empty: they work together.
    pub fn apart(&self, other: &Self) -> Vec<String> {
        let Self { peers, datagrams, raft_log, snapshot, guard_channel: _ } = self;
        let pairs = [
            ("connections between nodes", u32::from(*peers), u32::from(other.peers)),
            ("datagrams", u32::from(*datagrams), u32::from(other.datagrams)),
            ("the raft log", *raft_log, other.raft_log),
            ("snapshots", u32::from(*snapshot), u32::from(other.snapshot)),
        ];
        let differ = pairs.into_iter().filter(|(_, ours, theirs)| ours != theirs);
        differ.map(|(what, ours, theirs)| format!("{what} ({ours} here, {theirs} there)")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_builds_do_not_share_is_named_and_the_guard_channel_is_each_nodes_own() {
        let this = Formats::this();
        assert_eq!(this.apart(&this), [""; 0]);
        assert_eq!(this.apart(&Formats { guard_channel: this.guard_channel + 1, ..this.clone() }), [""; 0]);
        let former = Formats { peers: 5, raft_log: 2, ..this.clone() };
        let said = Formats { peers: 6, raft_log: 3, ..this }.apart(&former);
        assert_eq!(said, ["connections between nodes (6 here, 5 there)", "the raft log (3 here, 2 there)"]);
    }
}
