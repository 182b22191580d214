//! Counts the votes of a real server's observers, and decides the cluster's verdict on it. Pure.

mod changes;
mod fingerprint;
mod observers;
mod target_observers;

pub use changes::{ObserverReport, ObserverReports, ballots, verdict_changes};
pub use fingerprint::{check_address, check_fingerprint, stable_hash};
pub use observers::observers;
pub use target_observers::{KnownObservers, TargetObservers, observers_of_targets};

use crate::{model::NodeName, rules::Verdict};
use serde::{Deserialize, Serialize};

/// What one observer has found of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// `rise` probes in a row passed, and none has failed since.
    Up,
    /// Up so far, but the last probe failed. The other observers probe at once.
    Suspect,
    /// `fall` probes in a row failed, and `rise` probes in a row have not passed since.
    Down,
    /// This node cannot probe until an operator changes something on it; the reason says what. No vote.
    Unable,
}

/// An observer's finding on a target. It is published when it changes, and holds for as long as its node is alive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// The finding.
    pub seen: Finding,
    /// The result of the last probe: `200 in 1 ms`, `connection refused`.
    pub reason: String,
    /// When `seen` last changed, in Unix milliseconds of the observer; a label for people.
    pub since_unix_ms: u64,
    /// The [`check_fingerprint`] of what was probed: an observation of a target's former address or check is no vote on the present one.
    pub fingerprint: u32,
}

/// The vote of one observer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ballot {
    /// The observer.
    pub observer: NodeName,
    /// Its node is alive, so its observation holds. An observer that is not heard has no vote.
    pub fresh: bool,
    /// Its observation; `None` if it has not finished a first row of probes with the present check.
    pub observation: Option<Observation>,
}

/// The result of a vote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoteOutcome {
    /// A majority of the observers agrees.
    Decided(Verdict),
    /// No majority agrees: the last verdict stays.
    Undecided,
}

/// Counts the ballots of all observers of a target, those that are not heard included.
///
/// A majority is one of all observers, not of those that are heard: a leader that hears few others decides nothing. `Suspect` is a vote for up,
/// because `fall` failures in a row have not been reached yet.
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
    /// The verdict that it is for; `None` from an observer that is not heard, cannot probe, or has found nothing yet.
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

/// Most characters of a reason in [`why`], whose line goes into the Raft log.
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
