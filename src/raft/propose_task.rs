//! Gets a change committed: here when this node leads, else at the leader, and again when the leader is lost meanwhile.

use super::{
    fault::RaftFault,
    message::{MAX_CHANGE_BYTES, Propose, Proposed},
    task::RaftNode,
    types::AppliedEntry,
};
use crate::{
    clock::{BootClock, Clock},
    link::codec::{self, CodecError},
    model::NodeId,
    peers::CallError,
    rules::{Command, CommandRefusal, SecurityChange, SecurityRefusal},
};
use openraft::{
    ReadPolicy,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, LinearizableReadError, RaftError},
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a leader tries to commit one proposal before it answers that it does not know.
const COMMIT_DEADLINE: Duration = Duration::from_secs(3);

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// The replicated state refuses the change: its entry was committed and changed nothing.
    #[error(transparent)]
    Refused(#[from] CommandRefusal),
    /// It is too long for the log.
    #[error("the change is too long for the log")]
    TooLong(#[source] CodecError),
    /// No leader took the change. Nothing was changed.
    #[error("no leader with a majority took the change within {within:?}: {why}")]
    NoLeader {
        /// How long it was tried.
        within: Duration,
        /// The last obstacle.
        why: String,
    },
    /// A leader took it and was lost. It may have been made, or may yet be: look before doing it again.
    #[error("it is not known whether the change was made: {why}")]
    Unknown {
        /// The last obstacle.
        why: String,
    },
    /// This node may not make this change. Nothing was changed.
    #[error("{0}")]
    Forbidden(String),
    /// The change is committed, but this node has not applied it yet.
    #[error(
        "the change is committed, but has not reached this node yet, which shows the cluster as it was: `lvs-agent status` says whether this node hears a leader"
    )]
    NotSeen,
    /// This node's own Raft has stopped.
    #[error(transparent)]
    Stopped(RaftFault),
}

/// How long a leader may take to confirm that it leads, and to apply the committed entries.
const LEAD_DEADLINE: Duration = Duration::from_secs(3);
/// Why this node cannot decide as the leader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotLeading {
    /// Another node leads, as far as is known.
    Other(Option<NodeId>),
    /// This one leads, and no majority answers: why.
    NoQuorum(String),
}

/// A change that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Nodes that have applied the log so far show it.
    pub index: u64,
    /// The rules' revision with it.
    pub revision: u64,
    /// It changed the rules.
    pub changed: bool,
}

/// The result of one attempt.
enum Attempt {
    Done(AppliedEntry),
    /// It was certainly not written.
    NotTaken(String),
    /// It may have been.
    Doubtful(String),
    /// It never will be.
    Forbidden(String),
}

/// Whether a refusal says that a change had been made before, as the first of two attempts makes it.
fn is_made(change: &SecurityChange, refusal: &SecurityRefusal) -> bool {
    use {SecurityChange as Change, SecurityRefusal as Says};
    matches!(
        (change, refusal),
        (Change::TokenRevoked(_), Says::NotThere(_))
            | (Change::IdentityRevoked(_), Says::NoSuchIdentity(_))
            | (Change::NodeAllowed(_), Says::NotBarred(_))
            | (Change::KeyDropped(_), Says::NoSuchKey(_))
            | (Change::AuthorityDropped(_), Says::NoSuchAuthority(_))
    )
}

fn committed(applied: AppliedEntry) -> Result<Committed, ProposeError> {
    let AppliedEntry { index, revision, changed, result } = applied;
    result?;
    Ok(Committed { index, revision, changed })
}

impl RaftNode {
    /// As [`RaftNode::propose`], and returns when this node shows the change too: it is in [`RaftNode::state`]. Whoever asks this node next sees it.
    ///
    /// # Errors
    /// As [`RaftNode::propose`]; [`ProposeError::NotSeen`] when it has not come here after `within`.
    pub async fn propose_and_see(&self, change: Command, within: Duration) -> Result<Committed, ProposeError> {
        let until = Instant::now() + within;
        let committed = self.propose(change, within).await?;
        self.see(committed.index, until).await?;
        Ok(committed)
    }

    /// Waits until this node's state shows the log up to `index`.
    pub(crate) async fn see(&self, index: u64, until: Instant) -> Result<(), ProposeError> {
        let mut view = self.view();
        // The state is published before the view that goes with it.
        match timeout_at(until, view.wait_for(|view| view.applied >= index)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ProposeError::NotSeen),
        }
    }

    /// Gets `change` committed, by whoever leads, and gives what applying it gave. Tries again until `within` has passed. This node may not have
    /// applied it yet.
    ///
    /// A retry after a lost leader may find the first attempt committed. Every change is harmless when it is applied twice, and the answer to the
    /// second attempt is corrected here.
    ///
    /// # Errors
    /// The change was refused, or no leader decided.
    pub async fn propose(&self, change: Command, within: Duration) -> Result<Committed, ProposeError> {
        codec::encode(&change, MAX_CHANGE_BYTES).map_err(ProposeError::TooLong)?;
        let until = Instant::now() + within;
        let before = self.state().borrow().revision;
        let mut doubt = None;
        let mut why = "not tried".to_owned();
        while Instant::now() < until {
            match timeout_at(until, self.attempt(&change)).await {
                Ok(Attempt::Done(applied)) if doubt.is_some() => {
                    return committed(self.settle(&change, applied, before, until).await);
                }
                Ok(Attempt::Done(applied)) => return committed(applied),
                Ok(Attempt::NotTaken(reason)) => why = reason,
                Ok(Attempt::Doubtful(reason)) => doubt = Some(reason),
                Ok(Attempt::Forbidden(reason)) => return Err(ProposeError::Forbidden(reason)),
                Err(_) => doubt = Some("no answer in time".to_owned()),
            }
            if let Some(fault) = self.fault() {
                return Err(ProposeError::Stopped(fault));
            }
            sleep(self.timing().pause.min(until.saturating_duration_since(Instant::now()))).await;
        }
        Err(doubt.map_or(ProposeError::NoLeader { within, why }, |why| ProposeError::Unknown { why }))
    }

    async fn attempt(&self, change: &Command) -> Attempt {
        let replaced = |leader| Attempt::Doubtful(format!("another node leads in the place of {leader}"));
        match self.unless_replaced(self.id(), self.propose_here(change.clone())).await {
            None => replaced(self.id()),
            Some(Proposed::Done(applied)) => Attempt::Done(applied),
            Some(Proposed::Unknown(why)) => Attempt::Doubtful(why),
            Some(Proposed::Forbidden(why)) => Attempt::Forbidden(why),
            Some(Proposed::NotLeader { leader: None }) => Attempt::NotTaken("no leader is known".to_owned()),
            Some(Proposed::NotLeader { leader: Some(leader) }) => {
                self.unless_replaced(leader, self.attempt_at(leader, change)).await.unwrap_or_else(|| replaced(leader))
            }
        }
    }

    /// What comes of an attempt with that leader; `None` as soon as this node hears of a later one, whose majority the attempt will not get.
    async fn unless_replaced<T>(&self, leader: NodeId, attempt: impl Future<Output = T>) -> Option<T> {
        let mut view = self.view();
        let term = view.borrow().term;
        // Cancel-safe: a change that is abandoned may be made or not, and is doubtful.
        tokio::select! {
            biased;
            result = attempt => Some(result),
            Ok(_) = view.wait_for(|view| view.term > term && view.leader.is_some_and(|other| other != leader)) => None,
        }
    }

    async fn attempt_at(&self, leader: NodeId, change: &Command) -> Attempt {
        let Some(addr) = self.address_of(leader) else {
            return Attempt::NotTaken(format!("leader {leader} has no known address"));
        };
        let request = Propose(change.clone());
        match self.peers().call(Some(leader), addr, &request, COMMIT_DEADLINE + self.timing().election_max).await {
            Ok(Proposed::Done(applied)) => Attempt::Done(applied),
            Ok(Proposed::NotLeader { .. }) => Attempt::NotTaken(format!("{leader} does not lead any more")),
            Ok(Proposed::Unknown(why)) | Err(CallError::Failed { why, .. }) => Attempt::Doubtful(why),
            Ok(Proposed::Forbidden(why)) => Attempt::Forbidden(why),
            Err(error) if error.is_unheard() => Attempt::NotTaken(error.to_string()),
            Err(error) => Attempt::Doubtful(error.to_string()),
        }
    }

    /// Commits `change` if this node leads.
    pub(crate) async fn propose_here(&self, change: Command) -> Proposed {
        let change = change.by_clock(BootClock.unix_now().as_secs());
        match timeout(COMMIT_DEADLINE, self.raft().client_write(change)).await {
            Ok(Ok(response)) => Proposed::Done(response.data),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Proposed::NotLeader { leader: forward.leader_id.map(NodeId).filter(|leader| *leader != self.id()) }
            }
            Ok(Err(error)) => Proposed::Unknown(error.to_string()),
            Err(_) => {
                Proposed::Unknown(format!("{} leads, but no majority stored the change within {COMMIT_DEADLINE:?}", self.id()))
            }
        }
    }

    /// Corrects the answer to a second attempt when the first one may have been committed.
    async fn settle(&self, change: &Command, applied: AppliedEntry, before: u64, until: Instant) -> AppliedEntry {
        let made = match (change, &applied.result) {
            (Command::Apply { .. }, Ok(_)) => true,
            (Command::Apply { rules, .. }, Err(CommandRefusal::Stale { current, .. })) => {
                let mut state = self.state();
                let seen = timeout_at(until, state.wait_for(|state| state.revision >= *current)).await;
                matches!(seen, Ok(Ok(state)) if state.rules == *rules)
            }
            (Command::NodeLeft(_) | Command::NodeRemoved(_), Err(CommandRefusal::NoSuchNode(_))) => true,
            (Command::Security(change), Err(CommandRefusal::Security(refusal))) => is_made(change, refusal),
            _ => false,
        };
        if made { AppliedEntry { changed: applied.revision != before, result: Ok(None), ..applied } } else { applied }
    }

    /// The Raft address of the member with this number, by the newest membership.
    pub(crate) fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&id.0).map(|node| node.addr)
    }

    /// This node leads, and its state is no older than what was committed when this was asked.
    ///
    /// # Errors
    /// Who leads, or that no majority answers.
    pub(crate) async fn leads_and_knows(&self) -> Result<(), NotLeading> {
        let no_quorum = |why: String| Err(NotLeading::NoQuorum(why));
        match timeout(LEAD_DEADLINE, self.raft().ensure_linearizable(ReadPolicy::ReadIndex)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                let leader = forward.leader_id.map(NodeId).filter(|leader| *leader != self.id());
                Err(NotLeading::Other(leader))
            }
            Ok(Err(error)) => no_quorum(error.to_string()),
            Err(_) => no_quorum(format!("{} leads, but no majority answers", self.id())),
        }
    }
}
