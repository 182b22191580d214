//! What guard and worker say to each other over their socketpair: one length-prefixed bincode frame a message.

use crate::{
    kernel::fence::Packets,
    model::{Fitness, NodeId, Obstacles, Ownership, PublicKey, TimingProfile, VipGroup, VipName},
    rules::security::KeyRing,
    vip::LeaseMembership,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::SocketAddr};
use zeroize::Zeroizing;

/// The version of all that guard, worker and script runner of one node say to each other: raised with every change of it. After an upgrade of the
/// package the guard that runs starts the program that is on disk by then.
pub const GUARD_CHANNEL: u32 = 3;
/// The exit status of a worker whose guard is of another build (`EX_PROTOCOL`, sysexits.h): all that such two can be sure to understand.
pub const OTHER_BUILD: u8 = 76;

/// A VIP group as the guard needs it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupOrder {
    /// Addresses and interface.
    pub group: VipGroup,
    /// Who may hold it, best first. A voter grants to nobody else; this node asks only if it is in it.
    pub candidates: Vec<NodeId>,
    /// What becomes of packets for it where this node's lease is over and its guard has not removed it.
    pub packets: Packets,
}

/// A private key in PKCS#8: wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pkcs8(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Pkcs8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// From worker to guard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ToGuard {
    /// Who this node is and what the cluster's rhythm is. First message of a worker that is in a cluster.
    Hello {
        /// This node.
        id: NodeId,
        /// The cluster's identity, part of every datagram's header.
        cluster_id: String,
        /// The cluster's profile.
        timing: TimingProfile,
        /// What this node's datagrams are signed with (PKCS#8).
        node_key: Pkcs8,
    },
    /// Who may speak, and what datagrams are sealed with. Sent after `Hello` and at each change.
    PeerKeys {
        /// Gossip keys.
        keyring: KeyRing,
        /// Every member's guard address and key.
        members: BTreeMap<NodeId, (SocketAddr, PublicKey)>,
    },
    /// The effective membership of the Raft log: sent before the entry (or truncation, or snapshot) that makes it so is reported as stored.
    /// Answered with [`ToWorker::MembershipKnown`].
    Membership(LeaseMembership),
    /// All VIP groups of the rule set. A group that is no longer among them is released.
    Groups(Vec<GroupOrder>),
    /// Whether rules are in this director's kernel, so that it may take VIPs. Sent at each change.
    Ready(bool),
    /// How fit this director is for each group, sent at each change; a group that is not named is [`Fitness::WELL`].
    Fitness(BTreeMap<VipName, Fitness>),
    /// Sign of life, every [`BEAT`]; a worker silent for [`WORKER_HUNG`] is killed and started again.
    Beat,
    /// The node leaves the cluster: release everything, take everything away, then answer [`ToWorker::Released`].
    Leave,
    /// Why this node's member cannot start, for the service manager; `None`: it has. Sent at each change.
    NotStarted(Option<String>),
    /// An administrator takes the node out of service: release everything, ask for nothing again until this guard ends, and answer
    /// [`ToWorker::Released`]. The node stays a member, so the guard goes on voting.
    Withdraw,
}

/// From guard to worker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// The voter side knows the membership with this log index.
    MembershipKnown(crate::vip::MembershipId),
    /// What the guard sees on this node's interfaces that a person should look at, one line each; sent at each change and after `Hello`.
    Problems(Vec<String>),
    /// What this node holds, what the kernel would not let it take, and why it has no fence, if it has none; sent at each change and after `Hello`.
    Ownership(Ownership, Obstacles, Option<String>),
    /// Answer to [`ToGuard::Leave`] and [`ToGuard::Withdraw`].
    Released,
    /// The guard shuts down (SIGTERM): finish, within [`WORKER_STOP`].
    Stop,
    /// The guard was told to reload (SIGHUP): read the files of `[tls]` now.
    Reload,
}

/// How often a worker shows that it lives.
pub const BEAT: std::time::Duration = std::time::Duration::from_secs(1);
/// A worker silent for so long hangs.
pub const WORKER_HUNG: std::time::Duration = std::time::Duration::from_secs(8);
/// How long the guard goes on holding VIPs without a worker.
pub const WORKER_GRACE: std::time::Duration = std::time::Duration::from_secs(10);
/// How long a worker may take to stop.
pub const WORKER_STOP: std::time::Duration = std::time::Duration::from_secs(3);
/// Longest frame, in bytes.
pub const MAX_FRAME_BYTES: usize = 1 << 20;
