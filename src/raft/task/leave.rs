//! Takes this node out of the cluster for good: the others commit that, and then take its vote.

use super::RaftNode;
use crate::{
    raft::propose_task::ProposeError,
    rules::{Command, CommandRefusal},
};
use openraft::{ServerState, async_runtime::WatchReceiver};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

impl RaftNode {
    /// Takes this node out of the cluster for good, and waits until the others can decide without it. Its data is of no use afterwards. A node
    /// that the others have removed already is out.
    ///
    /// # Errors
    /// As [`RaftNode::propose`]; [`ProposeError::Unknown`] when the node still votes after `within`: it should stay up until it does not.
    pub async fn leave(&self, within: Duration) -> Result<(), ProposeError> {
        let until = Instant::now() + within;
        // No member accepts a leader that is no member any more: another leader has to take this node's vote away.
        self.hand_over_in_time().await;
        self.set_leaving(true);
        let (mut removed, mut state) = (self.peers().removed(), self.state());
        let name = self.name();
        let gone = tokio::select! {
            // Cancel-safe, all: a proposal that was made is found made.
            gone = self.propose(Command::NodeLeft(name.clone()), within) => gone.map(drop),
            // A node that is no member any more gets no answer about its proposal.
            Ok(_) = state.wait_for(|state| !state.nodes.is_empty() && !state.nodes.contains_key(name)) => Ok(()),
            Ok(_) = removed.wait_for(Option::is_some) => return Ok(()),
        };
        match gone {
            Ok(()) | Err(ProposeError::Refused(CommandRefusal::NoSuchNode(_))) => {}
            Err(error) => {
                self.set_leaving(false);
                return Err(error);
            }
        }
        self.votes_no_more(until).await
    }

    /// For a node that is no member any more: waits until a majority of the others has committed its removal, or until a member reports the removal.
    /// # Errors
    /// [`ProposeError::Unknown`]: at `until` it still votes, as far as it knows.
    pub async fn votes_no_more(&self, until: Instant) -> Result<(), ProposeError> {
        let (mut view, mut removed, me) = (self.view(), self.peers().removed(), self.id());
        let settled = async {
            // Cancel-safe, both.
            tokio::select! {
                _ = view.wait_for(|view| !view.voters.contains(&me)) => false,
                Ok(_) = removed.wait_for(Option::is_some) => true,
            }
        };
        match timeout_at(until, settled).await {
            Ok(true) => Ok(()),
            Ok(false) => self.removal_is_committed(until).await,
            Err(_) => Err(ProposeError::Unknown { why: "it is no member any more, but still votes".to_owned() }),
        }
    }

    /// A leader sees its own removal when it has written it; it must stay until a majority of the others has.
    async fn removal_is_committed(&self, until: Instant) -> Result<(), ProposeError> {
        let mut metrics = self.raft().metrics();
        let me = self.id().0;
        // Only a leader can know this before others do; a follower that no longer votes was told so by a leader.
        while {
            let metrics = metrics.borrow_watched();
            metrics.state == ServerState::Leader
                && metrics.committed_membership_config.membership().voter_ids().any(|id| id == me)
        } {
            if !matches!(timeout_at(until, metrics.changed()).await, Ok(Ok(()))) {
                return Err(ProposeError::Unknown { why: "its removal is not committed yet".to_owned() });
            }
        }
        Ok(())
    }
}
