//! Why datagrams are thrown away or not sent, how often, and how often a line in the log is due about it.

use super::size::{MAX_BODY_BYTES, VERSION};
use crate::{
    clock::BootInstant,
    model::{KeyId, NodeId},
    repeats::Repeat,
};
use std::{net::SocketAddr, time::Duration};

/// Why a datagram is thrown away. In the order in which it is looked at: what costs more comes later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejected {
    /// Shorter than its envelope, longer than a datagram may be, or not as long as it says.
    #[error("datagram has the wrong length")]
    Length,
    /// Not an agent's datagram.
    #[error("datagram is not from an lvs-agent")]
    Magic,
    /// An agent's, but of a version this one does not speak.
    #[error("datagram is of version {0}, this agent speaks version {VERSION}: upgrade the older of the two")]
    Version(u8),
    /// It belongs to another socket.
    #[error("datagram is of another kind ({0}): a node's gossip and guard addresses are mixed up")]
    Kind(u8),
    /// From a node of another cluster.
    #[error("datagram is from another cluster")]
    Cluster,
    /// From nobody that is a member, as far as this node knows.
    #[error("datagram is from {0}, which is no other member of this cluster")]
    Sender(NodeId),
    /// From another address than the member's.
    #[error("datagram says it is from {0} but comes from another address")]
    Address(NodeId),
    /// Sealed with a key that this node does not have.
    #[error("datagram is sealed with {0}, which this node does not have")]
    Key(KeyId),
    /// From an earlier start of the sender.
    #[error("datagram is from an earlier start of {0}: it was recorded, or that node's clock and data directory went back")]
    OldSession(NodeId),
    /// Seen before, or too far behind those that were.
    #[error("datagram of {0} was seen before")]
    Replayed(NodeId),
    /// Not sealed with the key that it names, or changed on the way.
    #[error("datagram that says it is from {0} is forged or damaged")]
    Forged(NodeId),
    /// Sealed by a member, but not by the one that it says.
    #[error("datagram that says it is from {0} is not signed by it: another member forged it")]
    Signature(NodeId),
    /// The session key that it says is one with which there is no secret.
    #[error("datagram of {0} offers a session key with which everybody's secret is the same: its agent is not an honest one")]
    SessionKey(NodeId),
    /// For another start of this node, or of another of the sender, and not to be answered.
    #[error("datagram of {0} is for another start of this node, or of a start of that node that has not shown itself")]
    NotForThisStart(NodeId),
}

const REASONS: usize = 14;

impl Rejected {
    const fn index(self) -> usize {
        match self {
            Rejected::Length => 0,
            Rejected::Magic => 1,
            Rejected::Version(_) => 2,
            Rejected::Kind(_) => 3,
            Rejected::Cluster => 4,
            Rejected::Sender(_) => 5,
            Rejected::Address(_) => 6,
            Rejected::Key(_) => 7,
            Rejected::OldSession(_) => 8,
            Rejected::Replayed(_) => 9,
            Rejected::Forged(_) => 10,
            Rejected::Signature(_) => 11,
            Rejected::SessionKey(_) => 12,
            Rejected::NotForThisStart(_) => 13,
        }
    }
}

/// Why a body is not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsent {
    /// It is too long for one datagram.
    #[error("message of {0} bytes does not fit into one datagram (at most {MAX_BODY_BYTES})")]
    TooLong(usize),
    /// There is no key to seal with: the cluster's state is not known yet.
    #[error("there is no gossip key to seal with yet")]
    NoKey,
    /// No member is registered there.
    #[error("no other member is at {0}")]
    NotAMember(SocketAddr),
}

/// How many datagrams were thrown away, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rejections([u64; REASONS]);

impl Rejections {
    /// For one reason, whatever number or node it names.
    pub fn of(&self, why: Rejected) -> u64 {
        self.0[why.index()]
    }

    /// For all reasons.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// News of a member takes moments: at a join, and at each start until the worker has told the guard. A sender that is no member is worth a line only
/// after so long.
const NEWS_TRAVEL: Duration = Duration::from_secs(5);
/// Strangers that are so far apart are not the same ones.
const STRANGERS_GONE: Duration = Duration::from_secs(10);

/// Counts, and says when a line is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refusals {
    pub counts: Rejections,
    lines: [Repeat; REASONS],
    /// When senders that are no members were first and last heard, without a long pause between.
    strangers: Option<(BootInstant, BootInstant)>,
}

impl Refusals {
    pub fn count(&mut self, why: Rejected) {
        let count = &mut self.counts.0[why.index()];
        *count = count.saturating_add(1);
    }

    /// The count so far if a line is due; the next one then is due in a minute.
    pub fn line_due(&mut self, why: Rejected, now: BootInstant) -> Option<u64> {
        if let Rejected::Sender(_) = why {
            let first = self.strangers.filter(|(_, last)| now < *last + STRANGERS_GONE).map_or(now, |(first, _)| first);
            self.strangers = Some((first, now));
            if now < first + NEWS_TRAVEL {
                return None;
            }
        }
        self.lines[why.index()].due(now).map(|_| self.counts.of(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_is_no_member_is_worth_a_line_only_when_it_goes_on() {
        let mut refusals = Refusals::default();
        let begin = BootInstant::from_boot(Duration::from_secs(1000));
        let due = |seconds| refusals.line_due(Rejected::Sender(NodeId(9)), begin + Duration::from_secs(seconds)).is_some();
        // A newcomer, of whom this node hears a moment later; then one that goes on.
        assert_eq!([0, 1, 4, 20, 24, 25, 26].map(due), [false, false, false, false, false, true, false]);
    }
}
