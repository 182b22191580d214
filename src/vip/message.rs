//! The messages of the lease, from guard to guard.

use crate::model::{Fitness, NodeId, VipName};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// Number of an ask. It grows with every ask of a node, and begins with the Unix time, so that a guard does not use a round of an earlier guard again.
pub type Round = u64;

/// Which life of a holder: a number by chance that it begins with. The clock that numbers rounds may have gone back between two lives of a node's
/// holder, so a late message of an earlier life may have a greater round than the present one has.
pub type Life = u64;

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

/// The voters, as one membership entry of the Raft log says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LeaseMembership {
    /// The log id of the entry.
    pub id: MembershipId,
    /// The voter sets: one, or two while the membership is joint.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// Where the voters' guards listen.
    pub addresses: BTreeMap<NodeId, SocketAddr>,
}

impl LeaseMembership {
    /// Every voter of every voter set.
    pub fn all_voters(&self) -> BTreeSet<NodeId> {
        self.voters.iter().flatten().copied().collect()
    }

    /// Whether `node` is one of them.
    pub fn has_voter(&self, node: NodeId) -> bool {
        self.voters.iter().any(|set| set.contains(&node))
    }
}

/// Why a voter refuses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RefusalReason {
    /// Another node has the promise of the group, or one of its addresses for another group.
    Held {
        /// That node.
        by: NodeId,
        /// For how long from now.
        remaining: Duration,
    },
    /// The voter started a short while ago and may have forgotten a promise, or has not been told the membership since.
    Quiet {
        /// For how long from now.
        remaining: Duration,
    },
    /// The asker counts with an older membership than the voter knows.
    NewerMembership(LeaseMembership),
    /// The asker is no candidate for this group, as far as the voter knows.
    NotCandidate,
    /// The round is not greater than the last one that the voter has seen of this asker.
    OldRound {
        /// That last round.
        last: Round,
    },
    /// The asker wants a longer ttl than the voter grants.
    TtlTooLong {
        /// The longest ttl that is granted.
        max: Duration,
    },
}

/// The content of one datagram of the lease.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LeaseMessage {
    /// "May I hold `group` for `ttl`?"
    Ask {
        /// Which VIP group.
        group: VipName,
        /// Number of this ask.
        round: Round,
        /// The asker's life.
        life: Life,
        /// The membership with which the asker counts.
        membership: MembershipId,
        /// The lease duration.
        ttl: Duration,
        /// Which addresses: those that the group has by the asker's rules, and those that the asker has on its interface for it still.
        addresses: Arc<BTreeSet<IpAddr>>,
        /// Only a question: the voter is to say what it would answer, and promises nothing.
        dry: bool,
        /// How often the group has changed hands, as far as the asker knows; a label for people, never used to decide.
        epoch: u64,
    },
    /// "Yes, for the ttl that you asked, from now on."
    Grant {
        /// Which VIP group.
        group: VipName,
        /// The ask's round.
        round: Round,
        /// The ask's life.
        life: Life,
        /// Addresses that are not granted, because another node has a promise of them for another group.
        lacking: BTreeSet<IpAddr>,
        /// The greatest epoch that the voter has seen of the group.
        epoch: u64,
    },
    /// "No."
    Refuse {
        /// Which VIP group.
        group: VipName,
        /// The ask's round.
        round: Round,
        /// The ask's life.
        life: Life,
        /// Why, and for how long.
        why: RefusalReason,
        /// The greatest epoch that the voter has seen of the group.
        epoch: u64,
    },
    /// "I have removed the VIP. Your promise of this round, and of every earlier one, is void."
    Release {
        /// Which VIP group.
        group: VipName,
        /// The last round that is void.
        round: Round,
        /// The life in which it was asked.
        life: Life,
    },
    /// From a former holder to the other candidates: "I have let go. Ask."
    HandOver {
        /// Which VIP group.
        group: VipName,
        /// Who is to ask first, because it has offered to.
        first: Option<NodeId>,
    },
    /// From a holder to the other candidates: "I hold this group, and am not well. Who is fitter?"
    Seek {
        /// Which VIP group.
        group: VipName,
        /// How fit the holder is.
        fitness: Fitness,
    },
    /// From a candidate to the holder that seeks: "I am."
    Offer {
        /// Which VIP group.
        group: VipName,
        /// How fit the candidate is.
        fitness: Fitness,
    },
    /// From who holds the group, by a lease or by fallback, to the other candidates; and from who is about to hold it by fallback, or has let go.
    Advert {
        /// Which VIP group.
        group: VipName,
        /// What the sender says of its holding.
        standing: Standing,
        /// How fit it is.
        fitness: Fitness,
    },
}

/// What an [`LeaseMessage::Advert`] says of its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// It has the lease: whoever holds the group by fallback lets go. Sent to all when it is won, and in answer to who holds by fallback or looks.
    Leases,
    /// It holds the group by fallback. Sent every ttl/4.
    FallsBack,
    /// It is about to hold it by fallback, and looks whether anybody has it.
    Looks,
    /// It has held the group by fallback, and has let go (RFC 9568 §5.2.4: priority 0).
    LetsGo,
}

impl LeaseMessage {
    /// The group it is about.
    pub fn group(&self) -> &VipName {
        match self {
            LeaseMessage::Ask { group, .. }
            | LeaseMessage::Grant { group, .. }
            | LeaseMessage::Refuse { group, .. }
            | LeaseMessage::Release { group, .. }
            | LeaseMessage::HandOver { group, .. }
            | LeaseMessage::Seek { group, .. }
            | LeaseMessage::Offer { group, .. }
            | LeaseMessage::Advert { group, .. } => group,
        }
    }
}
