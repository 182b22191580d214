//! A member's tasks, once they run: until the worker is told to stop, the node leaves, or something ends that must not.

use super::{
    member_error::MemberError,
    orders::{self, Inside, Order},
    projections,
    refusals::{refused, wrong},
    withdraw_task::put_back,
};
use crate::{
    api::{AdminError, CHANGE_DEADLINE, JOIN_DEADLINE, LeaveRequest, WithdrawAnswer},
    base::errors::with_sources,
    config::AgentConfig,
    gossip::ClusterView,
    guard::GuardHandle,
    link::{io::files, token::JoinToken},
    members::{ClusterMember, NodeIdentity, removal_check::RemovalCheck},
    reconcile::ReconcileReport,
    tasks::Tasks,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Notify, mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How long tasks other than Raft may take to end.
const STOP: Duration = Duration::from_secs(1);

/// How long a node that leaves goes on answering after the cluster has let it go, and one that is withdrawn after it has said so.
const DRAIN: Duration = Duration::from_secs(1);

/// How a member's time ended.
pub enum Ended {
    /// Told to stop; it is a member still.
    Stopped,
    /// It is no member any more.
    Left {
        /// Where the answer goes, once the node says of itself that it is in no cluster.
        reply: oneshot::Sender<Result<(), AdminError>>,
        /// Whether everything was put back.
        answer: Result<(), AdminError>,
    },
}

/// What keeps this node's kernel as the rules want it.
pub struct ReconcileTask {
    /// `None` on a node that is withdrawn.
    pub(super) running: Option<JoinHandle<()>>,
    pub(super) stop: CancellationToken,
    /// What is said of the kernel, also when nothing keeps it any more.
    pub(super) report: watch::Sender<ReconcileReport>,
}

impl ReconcileTask {
    /// Ends it for good, and puts the kernel back. How many changes that took.
    async fn end(&mut self, config: &AgentConfig) -> Result<usize, AdminError> {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            // How it ended makes no difference to what is left to do.
            let _ = running.await;
        }
        let done = put_back(config).await;
        let error = done.as_ref().err().map(ToString::to_string);
        self.report.send_replace(ReconcileReport { error, ..ReconcileReport::default() });
        done
    }
}

/// The tasks of a member.
pub struct Running {
    pub(super) config: Arc<AgentConfig>,
    pub(super) identity: NodeIdentity,
    pub(super) cluster: ClusterMember,
    pub(super) view: watch::Receiver<Arc<ClusterView>>,
    pub(super) kernel: ReconcileTask,
    pub(super) withdrawn: watch::Sender<bool>,
    pub(super) tasks: Tasks,
    pub(super) guard: GuardHandle,
    pub(super) key_files: Arc<Mutex<()>>,
    pub(super) renew_now: Arc<Notify>,
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
        if *self.withdrawn.borrow() {
            // By a worker before this one. It is said where it failed.
            let _ = self.kernel.end(&self.config).await;
        }
        let ended = loop {
            // All arms are cancel-safe: a fault stays, and so does an order that is not taken. Where Raft ended, others may have ended because of it.
            let order = tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(Ended::Stopped),
                fault = self.cluster.raft().failed() => break Err(fault.into()),
                fault = self.tasks.failed() => break Err(fault.into()),
                order = orders.recv() => order,
            };
            let Some(order) = order else { break Ok(Ended::Stopped) };
            match orders::inside(order, &self.identity) {
                Inside::Answered => {}
                Inside::Refresh { seeds, token, reply } => {
                    // The API may have given up meanwhile; what was done is done.
                    let refreshed = self.refresh(seeds, &token).await;
                    let _ = reply.send(refreshed.map(|()| orders::membership(&self.identity)));
                }
                Inside::End => break Ok(Ended::Stopped),
                Inside::Withdraw { reply } => {
                    // The API may have given up meanwhile; what was done is done.
                    let _ = reply.send(self.withdraw().await);
                }
                Inside::Leave { how, reply } => match self.leave(how).await {
                    Ok(()) => {
                        let answer = self.left().await;
                        break Ok(Ended::Left { reply, answer });
                    }
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                },
            }
        };
        self.stop_tasks().await;
        ended
    }

    /// Takes on the CA that a token names, with a certificate from it; what the state here says of CAs waits until it has caught up.
    async fn refresh(&self, seeds: Vec<SocketAddr>, token: &JoinToken) -> Result<(), AdminError> {
        if self.config.tls.is_some() {
            return Err(AdminError::Invalid("certificates of your own ca ([tls] in agent.toml) need no token".to_owned()));
        }
        let seeds = orders::seeds_to_ask(&self.config, seeds, "")?;
        let asked = tokio::time::timeout(JOIN_DEADLINE, self.cluster.rejoin(&seeds, token)).await;
        let chain = asked.map_err(|_| orders::too_late())?.map_err(|error| wrong(&error))?;
        let dir = &self.config.data_dir;
        let _turn = self.key_files.lock().await;
        // The CA first: a certificate of one that is not trusted would be replaced at once.
        let pinned: Vec<Vec<u8>> = chain.iter().skip(1).cloned().collect();
        let written = files::save_ahead(dir, &pinned).and_then(|()| files::save_certificate(dir, &chain));
        written.map_err(|error| AdminError::Internal(with_sources(&error)))?;
        tracing::info!(node = %self.config.node, "a join token has proved the cluster's new ca to this node");
        self.renew_now.notify_one();
        Ok(())
    }

    /// Takes this node out of service, and puts the kernel back. It stays a member that votes and is heard.
    async fn withdraw(&mut self) -> Result<WithdrawAnswer, AdminError> {
        let node = self.config.node.clone();
        tracing::info!(%node, "withdrawn by an administrator");
        let is_first = !self.withdrawn.send_replace(true);
        let state = self.cluster.raft().state().borrow().clone();
        let warnings = projections::undirected(&state, &self.view.borrow(), &node).into_iter().collect();
        self.guard.withdraw().await.map_err(|gone| AdminError::Internal(gone.to_string()))?;
        if is_first {
            // As for a node that leaves. What directors forward is not to be heard from them.
            tokio::time::sleep(DRAIN).await;
        }
        let changes = self.kernel.end(&self.config).await?;
        Ok(WithdrawAnswer { node, withdrawn: true, changes, warnings })
    }

    /// Goes out of the cluster while the others can still be told; puts the kernel back. By `force`, without telling anybody.
    async fn leave(&self, how: LeaveRequest) -> Result<(), AdminError> {
        let LeaveRequest { force, confirmed } = how;
        tracing::info!(node = %self.config.node, force, "leaving the cluster");
        let alone = self.cluster.raft().state().borrow().nodes.keys().eq([&self.config.node]);
        // Whoever was removed has nobody to ask any more; what is left to do is here.
        let removed = self.cluster.raft().view().borrow().refused.is_some();
        if !removed && !force {
            self.may_go(alone, confirmed)?;
        }
        if !alone && !force {
            let gone = if removed {
                self.cluster.raft().votes_no_more(Instant::now() + CHANGE_DEADLINE).await
            } else {
                self.cluster.raft().leave(CHANGE_DEADLINE).await
            };
            gone.map_err(|error| or_by_force(refused(error)))?;
        }
        self.guard.leave().await.map_err(|gone| AdminError::Internal(gone.to_string()))?;
        // The directors hear of it with the next heartbeat; requests that this node has begun to answer may end.
        tokio::time::sleep(DRAIN).await;
        Ok(())
    }

    fn may_go(&self, alone: bool, confirmed: bool) -> Result<(), AdminError> {
        let (state, view) = (self.cluster.raft().state().borrow().clone(), self.view.borrow().clone());
        let voters = self.cluster.raft().view().borrow().voters.clone();
        let check = RemovalCheck { state: &state, view: &view, voters: &voters };
        check.is_directed_without(&self.config.node).map_err(AdminError::Refused)?;
        if !alone {
            check.votes_suffice_without(self.cluster.raft().id()).map_err(|why| or_by_force(AdminError::NoQuorum(why)))?;
        }
        match check.lost_with(&self.config.node) {
            Some(lost) if !confirmed => Err(AdminError::Unconfirmed(lost)),
            Some(_) | None => Ok(()),
        }
    }

    /// The second half of leaving: nothing of the cluster stays on this machine.
    async fn left(&mut self) -> Result<(), AdminError> {
        let withdrawn = self.kernel.end(&self.config).await.map(drop);
        self.stop_tasks().await;
        let forgotten = NodeIdentity::forget(&self.config.data_dir).map_err(|error| AdminError::Internal(with_sources(&error)));
        let answer = withdrawn.and(forgotten);
        if let Err(error) = &answer {
            tracing::error!(%error, "left the cluster, but not everything could be put back");
        }
        answer
    }

    /// Gossip says goodbye, the kernel is left as it is, Raft hands over and closes its log.
    async fn stop_tasks(&self) {
        self.shutdown.cancel();
        if tokio::time::timeout(STOP, self.tasks.all_ended()).await.is_err() {
            tracing::warn!(tasks = self.tasks.running(), "tasks did not stop in time");
        }
        self.cluster.raft().shutdown().await;
    }
}

/// What nobody can be asked for can still be done here.
fn or_by_force(error: AdminError) -> AdminError {
    match error {
        AdminError::NoQuorum(why) => AdminError::NoQuorum(format!(
            "{why}; if this cluster is no more, or will never hear this node again: `lvs-agent leave --force` cleans up here without asking anybody"
        )),
        other => other,
    }
}
