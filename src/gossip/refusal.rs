//! Why a member's message, or a part of one, is not given to chitchat; how often, and how often a line in the log is due about it.

use crate::{clock::BootInstant, repeats::Repeat};

/// See the file's first line. Up to [`Refusal::Cluster`] a message is refused as a whole: no honest node sends it. The rest are about what is said of
/// one node, which others may have passed on in good faith: it is left out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Refusal {
    /// Not chitchat's layout.
    #[error("it is no message of gossip, or not whole")]
    Layout,
    /// A part of a message that is none, or not as long as it must be.
    #[error("it is no part of a message as agents cut them")]
    Part,
    /// Compressed so that it would take too much memory, or badly.
    #[error("it does not unpack, or unpacks to too much")]
    Packing,
    /// Numbers at which counting ends.
    #[error("a number in it is higher than nodes count")]
    Number,
    /// A node's changes go back or repeat themselves.
    #[error("the versions in it are out of order")]
    Order,
    /// A node is in it more than once.
    #[error("a node is in it twice")]
    Twice,
    /// A key or a value that no word has.
    #[error("a key or a value in it is none of a word's")]
    Text,
    /// A member speaks for another cluster.
    #[error("it is another cluster's gossip")]
    Cluster,
    /// More starts of a node than there can have been.
    #[error("it speaks of too many starts of a node")]
    Crowd,
    /// A heartbeat or version far beyond what the node itself last said.
    #[error("it is ahead of what a node says of itself")]
    Ahead,
    /// Deletions would be passed over that are still to come.
    #[error("it has a node's changes forgotten that are still to come")]
    Collected,
    /// More than a node's word can be.
    #[error("it says more of a node than there can be to say")]
    Flood,
}

const REASONS: usize = Refusal::Flood as usize + 1;

/// Counts, and says when a line is due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals {
    counts: [u64; REASONS],
    lines: [Repeat; REASONS],
}

impl Refusals {
    /// How often it was so.
    pub fn of(&self, why: Refusal) -> u64 {
        self.counts[why as usize]
    }

    /// Counts one more; if a line is due about it, how many there are now. The next one then is due in a minute.
    pub fn count(&mut self, why: Refusal, now: BootInstant) -> Option<u64> {
        let count = &mut self.counts[why as usize];
        *count = count.saturating_add(1);
        self.lines[why as usize].due(now).map(|_| *count)
    }
}
