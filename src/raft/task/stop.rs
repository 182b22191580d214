//! Stops a node's Raft: it hands leadership over, answers until that is done, and closes its log.

use super::{RaftNode, leadership};
use crate::model::NodeId;
use openraft::{ServerState, async_runtime::WatchReceiver};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a leader that stops waits for another one to take over.
const HAND_OVER: Duration = Duration::from_millis(500);
/// How long openraft and the log may take to stop, each.
const STOP: Duration = Duration::from_secs(1);

impl RaftNode {
    pub(super) async fn stop_when_told(self) {
        // Callers that wait for the end must be released, whatever happens here.
        let _stopped = self.inner.stopped.clone().drop_guard();
        self.inner.shutdown.cancelled().await;
        self.hand_over_in_time().await;
        if timeout(STOP, self.inner.raft.shutdown()).await.is_err() {
            tracing::warn!("raft did not stop in time");
        }
        self.inner.halt.cancel();
        let closed = timeout(STOP, self.inner.log.close()).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!(?closed, "raft log was not closed cleanly");
        }
        if timeout(STOP, self.inner.tasks.all_ended()).await.is_err() {
            tracing::warn!(tasks = self.inner.tasks.running(), "raft tasks did not stop in time");
        }
    }

    /// Gives leadership to another voter, if this node leads.
    pub(crate) async fn hand_over_in_time(&self) {
        if timeout(HAND_OVER, self.hand_over()).await.is_err() {
            tracing::warn!("leadership was not taken over in time");
        }
    }

    /// Gives leadership to the voter whose log is nearest, and waits until it is gone.
    async fn hand_over(&self) {
        let metrics = self.inner.raft.metrics();
        let (leads, successor) = {
            let metrics = metrics.borrow_watched();
            (metrics.state == ServerState::Leader, leadership::successor(&metrics, &self.state().borrow()))
        };
        let Some(successor) = successor.filter(|_| leads) else { return };
        tracing::info!(node = %NodeId(successor), "leadership is handed over");
        if !self.transfer_to(successor).await {
            return;
        }
        // The successor's first entry should find this node still answering, or a cluster of two or three waits for nothing.
        sleep(self.inner.timing.pause).await;
    }

    /// Has `successor` lead, and waits until this node does not. `false`: openraft has ended.
    pub(in crate::raft) async fn transfer_to(&self, successor: u64) -> bool {
        let mut metrics = self.raft().metrics();
        if self.raft().trigger().transfer_leader(successor).await.is_err() {
            return false;
        }
        while metrics.borrow_watched().state == ServerState::Leader {
            if metrics.changed().await.is_err() {
                return false;
            }
        }
        true
    }

    /// Ends like a killed process, without telling other nodes or handing leadership over.
    #[cfg(test)]
    pub(crate) async fn crash(&self) {
        self.inner.halt.cancel();
        let _ = self.inner.raft.shutdown().await;
        let _ = self.inner.log.close().await;
    }

    /// Waits until `count` vote and no change of that is under way.
    #[cfg(test)]
    pub(crate) async fn voters_settled(&self, count: usize, within: Duration) {
        let settled = |metrics: &openraft::RaftMetrics<super::TypeConfig>| {
            let sets = metrics.membership_config.membership().get_joint_config();
            sets.len() == 1 && sets[0].len() == count
        };
        self.raft().wait(Some(within)).metrics(settled, "so many vote").await.unwrap();
    }
}
