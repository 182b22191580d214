//! What guards say to each other about leases.

use crate::model::{NodeId, VipName};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// Number of an ask. Grows with every ask of a node and starts from boot-unique time, so that a restart never uses one again.
pub type Round = u64;

/// Raft log id of a membership entry, ordered as the log is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct MembershipId {
    /// Term of the leader that proposed the entry.
    pub term: u64,
    /// That leader.
    pub leader: NodeId,
    /// Index in the log.
    pub index: u64,
}

/// Who votes, as one log entry says it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LeaseMembership {
    /// The entry.
    pub id: MembershipId,
    /// The constituent voter sets: one, or two while the membership is joint.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// Where the voters' guards listen.
    pub addresses: BTreeMap<NodeId, SocketAddr>,
}

impl LeaseMembership {
    /// Every voter of every constituent set.
    pub fn all_voters(&self) -> BTreeSet<NodeId> {
        self.voters.iter().flatten().copied().collect()
    }
}

/// Why a voter refuses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RefusalReason {
    /// Another holds the promise.
    Held {
        /// Who.
        by: NodeId,
        /// For how long still.
        remaining: Duration,
    },
    /// The voter started a short while ago and may have forgotten a promise, or has not been told the membership since.
    Quiet {
        /// For how long still.
        remaining: Duration,
    },
    /// The asker counts with an older membership than the voter knows.
    NewerMembership(LeaseMembership),
    /// The asker is no candidate for this group, as far as the voter knows.
    NotCandidate,
    /// The round is not greater than the last seen of this asker.
    OldRound {
        /// That last one.
        last: Round,
    },
    /// The asked ttl is longer than this cluster's.
    TtlTooLong {
        /// The longest that is granted.
        max: Duration,
    },
}

/// One datagram's content, guard to guard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LeaseMessage {
    /// "May I hold `group` for `ttl`?"
    Ask {
        /// Which VIP group.
        group: VipName,
        /// Number of this ask.
        round: Round,
        /// The membership the asker counts with.
        membership: MembershipId,
        /// For how long.
        ttl: Duration,
        /// How often the group has changed hands, as far as the asker knows; a label for people, never used to decide.
        epoch: u64,
    },
    /// "Yes, from now, for the ttl you asked."
    Grant {
        /// Which VIP group.
        group: VipName,
        /// The ask's round.
        round: Round,
        /// The greatest epoch the voter has seen of the group.
        epoch: u64,
    },
    /// "No."
    Refuse {
        /// Which VIP group.
        group: VipName,
        /// The ask's round.
        round: Round,
        /// Why, and for how long.
        why: RefusalReason,
        /// The greatest epoch the voter has seen of the group.
        epoch: u64,
    },
    /// "I have removed the VIP; my promise of this round and all before is void."
    Release {
        /// Which VIP group.
        group: VipName,
        /// The last round it may cover.
        round: Round,
    },
    /// Direct word to the next candidate: "I have let go, ask at once."
    HandOver {
        /// Which VIP group.
        group: VipName,
    },
}

impl LeaseMessage {
    /// The group it is about.
    pub fn group(&self) -> &VipName {
        match self {
            LeaseMessage::Ask { group, .. }
            | LeaseMessage::Grant { group, .. }
            | LeaseMessage::Refuse { group, .. }
            | LeaseMessage::Release { group, .. }
            | LeaseMessage::HandOver { group } => group,
        }
    }
}
