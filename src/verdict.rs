//! From what observers say of a real server to what the cluster says of it. Pure.

use crate::{model::NodeName, rules::Verdict};
use serde::{Deserialize, Serialize};

/// What one observer sees of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// `rise` probes in a row were answered well, and none failed since.
    Up,
    /// Up so far, but the last probe failed: others, look!
    Suspect,
    /// `fall` probes in a row failed, and `rise` good ones have not come since.
    Down,
}

/// An observer's word on a target. Published when it changes; that its node is alive says that it still holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// What is seen.
    pub seen: Seen,
    /// The last probe's result in words: `200 in 1 ms`, `connection refused`.
    pub reason: String,
    /// When `seen` last changed, in Unix milliseconds of the observer; a label for people.
    pub since_unix_ms: u64,
}

/// One elector's paper.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ballot {
    /// Who.
    pub observer: NodeName,
    /// Its node is alive, so its word holds. A stale observer has no vote.
    pub fresh: bool,
    /// Its word; `None`: it has not finished a first round of probes.
    pub observation: Option<Observation>,
}

/// What the votes add up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A majority of the electorate decided.
    Decided(Verdict),
    /// No majority of fresh votes: the last verdict stays.
    Undecided,
}
