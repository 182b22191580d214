//! A member's tasks, once they run: until the worker is told to stop, the node leaves, or something ends that must not.

use super::{
    admin::{self, with_sources},
    member::MemberError,
    orders::{self, Order},
};
use crate::{
    api::{AdminError, CHANGE_DEADLINE},
    config::AgentConfig,
    gossip::{ClusterView, GossipError},
    guard::GuardHandle,
    kernel::io::Linux,
    model::NodeId,
    raft::{Identity, RaftNode},
    reconcile::{self, OwnedVips},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long tasks other than Raft may take to end.
const STOP: Duration = Duration::from_secs(1);

/// How long a node that leaves goes on answering after the cluster has let it go.
const DRAIN: Duration = Duration::from_secs(1);

/// How a member's time ended.
pub enum Ended {
    /// Told to stop; it is a member still.
    Stopped,
    /// It is no member any more.
    Left,
}

/// The tasks of a member.
pub struct Running {
    pub(super) config: Arc<AgentConfig>,
    pub(super) identity: Identity,
    pub(super) raft: RaftNode,
    pub(super) view: watch::Receiver<Arc<ClusterView>>,
    pub(super) gossip: JoinHandle<Result<(), GossipError>>,
    pub(super) reconcile: JoinHandle<()>,
    pub(super) reconciling: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) guard: GuardHandle,
    pub(super) shutdown: CancellationToken,
}

impl Running {
    /// Runs until told to stop, until an order to leave has been carried out, or until a task ends that must not.
    ///
    /// # Errors
    /// Why it does not go on; the worker should end and be started again.
    pub async fn until_ended(
        mut self,
        orders: &mut mpsc::Receiver<Order>,
        stop: &CancellationToken,
    ) -> Result<Ended, MemberError> {
        let ended = loop {
            // All arms are cancel-safe: a fault stays, and so does an order that is not taken.
            let order = tokio::select! {
                () = stop.cancelled() => break Ok(Ended::Stopped),
                fault = self.raft.failed() => break Err(fault.into()),
                ended = &mut self.gossip => break Err(gossip_ended(ended)),
                order = orders.recv() => order,
            };
            let Some(order) = order else { break Ok(Ended::Stopped) };
            let Some(reply) = orders::inside(order, &self.identity) else { continue };
            match self.leave().await {
                Ok(()) => break self.left(reply).await,
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            }
        };
        self.stop_tasks().await;
        ended
    }

    /// Goes out of the cluster while the others can still be told; puts the kernel back.
    async fn leave(&self) -> Result<(), AdminError> {
        tracing::info!(node = %self.config.node, "leaving the cluster");
        let alone = self.raft.state().borrow().nodes.keys().eq([&self.config.node]);
        // Whoever was removed has nobody to ask any more; what is left to do is here.
        let removed = self.raft.view().borrow().refused.is_some();
        if !alone && !removed {
            self.may_go()?;
            self.raft.leave(CHANGE_DEADLINE).await.map_err(admin::refused)?;
        }
        self.guard.leave().await.map_err(|gone| AdminError::Internal(gone.to_string()))?;
        // The directors hear of it with the next heartbeat; requests that this node has begun to answer may end.
        tokio::time::sleep(DRAIN).await;
        Ok(())
    }

    /// Leaving takes effect before this node's vote is gone, so that the others must be able to take it away.
    fn may_go(&self) -> Result<(), AdminError> {
        let me = self.raft.id();
        let (state, live) = (self.raft.state().borrow().clone(), self.view.borrow().live());
        let heard = |id: &NodeId| state.node_by_id(*id).is_some_and(|node| live.contains(&node.name));
        let mut voters = self.raft.view().borrow().voters.clone();
        if !voters.remove(&me) {
            return Ok(());
        }
        // The only voter hands its vote to any other member.
        let (wanted, there) = match voters.len() {
            0 => (1, state.nodes.values().filter(|node| node.id != me && heard(&node.id)).count()),
            others => (others / 2 + 1, voters.iter().filter(|id| heard(id)).count()),
        };
        if there >= wanted {
            return Ok(());
        }
        Err(AdminError::NoQuorum(format!(
            "without this node only {there} of the {wanted} voters that are needed are heard: bring others back first"
        )))
    }

    /// The second half of leaving: nothing of the cluster stays on this machine.
    async fn left(&mut self, reply: oneshot::Sender<Result<(), AdminError>>) -> Result<Ended, MemberError> {
        self.reconciling.cancel();
        let _ = (&mut self.reconcile).await;
        let withdrawn = withdraw(&self.config.data_dir).await;
        self.stop_tasks().await;
        let forgotten = Identity::forget(&self.config.data_dir).map_err(|error| with_sources(&error));
        let answer = withdrawn.and(forgotten).map_err(AdminError::Internal);
        if let Err(error) = &answer {
            tracing::error!(%error, "left the cluster, but not everything could be put back");
        }
        let _ = reply.send(answer);
        Ok(Ended::Left)
    }

    /// Gossip says goodbye, the kernel is left as it is, Raft hands over and closes its log.
    async fn stop_tasks(&mut self) {
        self.shutdown.cancel();
        if !self.gossip.is_finished() && tokio::time::timeout(STOP, &mut self.gossip).await.is_err() {
            tracing::warn!("gossip did not stop in time");
        }
        if !self.reconcile.is_finished() && tokio::time::timeout(STOP, &mut self.reconcile).await.is_err() {
            tracing::warn!("reconciling did not stop in time");
        }
        if tokio::time::timeout(STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!("tasks did not stop in time");
        }
        self.raft.shutdown().await;
    }
}

async fn withdraw(data_dir: &std::path::Path) -> Result<(), String> {
    let mut data_plane = Linux::open(data_dir).map_err(|error| with_sources(&error))?;
    let mut owned = OwnedVips::open(data_dir).map_err(|error| with_sources(&error))?;
    reconcile::withdraw(&mut data_plane, &mut owned).await.map_err(|error| with_sources(&error))
}

fn gossip_ended(ended: Result<Result<(), GossipError>, tokio::task::JoinError>) -> MemberError {
    match ended {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) => GossipError::Alone.into(),
        Err(panicked) => GossipError::Stopped(Box::new(panicked)).into(),
    }
}
