//! Who sent a message, and what is believed before anybody has said anything.

use crate::{clock::BootInstant, model::NodeId};

/// Heartbeats up to this are believed of a node that has not been heard itself.
pub const FLOOR: u64 = 1 << 40;

/// Who sent a message, and when it came.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// The member.
    pub node: NodeId,
    /// Which start of it: its generation.
    pub session: u64,
    /// Now.
    pub now: BootInstant,
}
