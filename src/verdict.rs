//! From what observers say of a real server to what the cluster says of it. Pure.

mod changes;
mod fingerprint;
mod observers;

pub use changes::{ObserverReport, ObserverReports, ballots, verdict_changes};
pub use fingerprint::{check_address, check_fingerprint, stable_hash};
pub use observers::observers;

use crate::{model::NodeName, rules::Verdict};
use serde::{Deserialize, Serialize};

/// What one observer sees of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// `rise` probes in a row were answered well, and none failed since.
    Up,
    /// Up so far, but the last probe failed: others, look!
    Suspect,
    /// `fall` probes in a row failed, and `rise` good ones have not come since.
    Down,
    /// The question cannot be put on this node until somebody changes something there; the reason says what. No vote.
    Unable,
}

/// An observer's word on a target. Published when it changes; that its node is alive says that it still holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// What is seen.
    pub seen: Finding,
    /// The last probe's result in words: `200 in 1 ms`, `connection refused`.
    pub reason: String,
    /// When `seen` last changed, in Unix milliseconds of the observer; a label for people.
    pub since_unix_ms: u64,
    /// What was asked, as [`question`] counts it: a word about a target's former address or check is no vote on the present one.
    pub fingerprint: u32,
}

/// One elector's paper.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ballot {
    /// Who.
    pub observer: NodeName,
    /// Its node is alive, so its word holds. A stale observer has no vote.
    pub fresh: bool,
    /// Its word; `None`: it has not finished a first round of probes of what is asked now.
    pub observation: Option<Observation>,
}

/// What the votes add up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoteOutcome {
    /// A majority of the electorate decided.
    Decided(Verdict),
    /// No majority of fresh votes: the last verdict stays.
    Undecided,
}

/// What the ballots of the whole observers, silent observers among them, add up to.
///
/// A majority counts from all electors, not from those that spoke: a leader that hears few others decides nothing. A suspicion is a vote
/// for up: the observer's own hysteresis is not done yet.
pub fn decide(ballots: &[Ballot]) -> VoteOutcome {
    let majority = ballots.len() / 2 + 1;
    let votes = |verdict: Verdict| ballots.iter().filter(|ballot| ballot.vote() == Some(verdict)).count();
    if votes(Verdict::Down) >= majority {
        VoteOutcome::Decided(Verdict::Down)
    } else if votes(Verdict::Up) >= majority {
        VoteOutcome::Decided(Verdict::Up)
    } else {
        VoteOutcome::Undecided
    }
}

impl Ballot {
    /// The verdict it is cast for; `None` from an observer that is stale or has seen nothing yet.
    pub fn vote(&self) -> Option<Verdict> {
        let observation = self.observation.as_ref().filter(|_| self.fresh)?;
        match observation.seen {
            Finding::Up | Finding::Suspect => Some(Verdict::Up),
            Finding::Down => Some(Verdict::Down),
            Finding::Unable => None,
        }
    }
}

/// The votes in one line: `down: d1 connection refused, d2 timeout after 500 ms in connect; up: none; silent: r2`.
pub fn why(ballots: &[Ballot]) -> String {
    let with = |vote: Option<Verdict>| {
        let words: Vec<String> = ballots.iter().filter(|ballot| ballot.vote() == vote).map(words).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    format!("down: {}; up: {}; silent: {}", with(Some(Verdict::Down)), with(Some(Verdict::Up)), with(None))
}

/// Longest part of a reason that is told in [`why`], in characters: the line goes into the Raft log.
const REASON_CHARS: usize = 80;

fn words(ballot: &Ballot) -> String {
    let observer = &ballot.observer;
    match &ballot.observation {
        None if ballot.fresh => format!("{observer} (no probe finished yet)"),
        Some(Observation { seen, reason, .. }) if ballot.fresh => {
            let reason: String = reason.chars().take(REASON_CHARS).collect();
            match seen {
                Finding::Up => format!("{observer} {reason}"),
                Finding::Suspect => format!("{observer} suspects: {reason}"),
                Finding::Down => format!("{observer} {reason}"),
                Finding::Unable => format!("{observer} (cannot ask: {reason})"),
            }
        }
        None | Some(_) => observer.to_string(),
    }
}

#[cfg(test)]
mod tests;
