//! The voter side of the lease: promises to at most one holder per group, and never forgets one that counts.

use super::message::{Membership, Message};
use crate::{
    clock::BootInstant,
    model::{NodeId, VipName},
};
use std::{collections::BTreeMap, time::Duration};

/// What a voter is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VoterEvent {
    /// The worker says what the log's effective membership is. It may go back when the log is truncated.
    Membership(Membership),
    /// The rules say who may hold which group.
    Candidates(BTreeMap<VipName, Vec<NodeId>>),
    /// A guard said something.
    Heard {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
}

/// What a voter wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VoterEffect {
    /// Send a datagram.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
}

/// One node's voter side, for all groups.
#[derive(Clone, Debug)]
pub struct Voter {
    me: NodeId,
    ttl_max: Duration,
    started: BootInstant,
}
