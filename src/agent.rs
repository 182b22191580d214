//! The worker from start to stop: signals, the admin API, and a member while the node is in a cluster.
//!
//! A worker serves the admin API from start to stop. While its node is a member of a cluster it also runs one `member::Member`.

mod admin;
mod answering;
mod assigned;
mod authorisation;
mod fan_out_task;
mod fitness;
mod member;
mod member_error;
mod network_task;
mod orders;
mod parcel_task;
mod projections;
mod refusals;
mod remote;
mod running;
mod security;
mod verdict_task;
mod waiting;
mod wires;
mod withdraw_task;

use crate::{
    api,
    base::{build::VERSION, errors::with_sources},
    config::AgentConfig,
    guard::{ChannelError, GuardChannel, OtherBuild, guard_version, is_withdrawn},
    health::io::script::{RunnerChannelError, ScriptRunner},
    kernel::io::address::is_here,
    members::NodeIdentity,
    tasks::{TaskFault, Tasks},
};
use admin::{Agent, Seen};
use member::{Member, Stage};
use member_error::MemberError;
use orders::{Entered, Order};
use remote::Remote;
use running::{Ended, Running};
use std::sync::Arc;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc, watch},
};
use tokio_util::sync::CancellationToken;
pub use waiting::Reread;
use waiting::{Next, NotStarted, Waiting};

/// Orders that come from the API: it runs changes one at a time, so one waits at the most.
const ORDERS: usize = 1;

/// Why a worker ends by itself. The guard starts it again.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A guard that would not be understood.
    #[error(transparent)]
    OtherBuild(#[from] OtherBuild),
    /// No guard to speak with.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// No script runner to speak with, though there should be one.
    #[error(transparent)]
    Runner(#[from] RunnerChannelError),
    /// The API's socket.
    #[error(transparent)]
    Api(#[from] api::BindError),
    /// Signals cannot be had.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// A task that serves the worker as a whole ended.
    #[error(transparent)]
    Task(#[from] TaskFault),
    /// The member cannot start, and no attempt of this process would change that.
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    /// The member did not go on.
    #[error(transparent)]
    Member(#[from] MemberError),
}

/// Runs the worker until its guard, or a signal, tells it to stop. `reread` reads agent.toml again.
///
/// # Errors
/// Whatever it cannot go on with.
pub async fn run(config: AgentConfig, reread: Reread) -> Result<(), AgentError> {
    let guard_version = guard_version()?;
    // Before the guard hears from this worker, and says that the node can be spoken with.
    let listener = api::AdminListener::bind(&config.socket)?;
    let tasks = Tasks::default();
    let guard = GuardChannel::from_inherited(&tasks)?;
    let stop = guard.stop.clone();
    let scripts = ScriptRunner::from_inherited(&tasks, &stop)?;
    stop_on_signals(&tasks, stop.clone())?;
    reload_on_signals(&tasks, guard.reload.clone(), stop.clone())?;
    let config = Arc::new(config);
    let (stage, stage_seen) = watch::channel(Stage::Outside);
    let (withdrawn, withdrawn_seen) = watch::channel(is_withdrawn());
    let (orders_out, orders_in) = mpsc::channel(ORDERS);
    let no_fence = guard.no_fence.clone();
    let seen = Seen { guard_version, stage: stage_seen.clone(), withdrawn: withdrawn_seen, no_fence };
    let agent = Arc::new(Agent::new(config.clone(), seen, orders_out));
    let serving = tasks.spawn("admin api", &stop, api::serve(listener, agent.clone(), stop.clone()));
    let remote = Remote { admin: agent, gate: Arc::new(authorisation::Membership::new(stage_seen)) };
    tracing::info!(node = %config.node, roles = %config.roles, version = VERSION, "worker started");
    let life = Life { config, guard, scripts, remote, withdrawn, orders: orders_in, stop: stop.clone() };
    let living = life.live(stage, reread);
    tokio::pin!(living);
    // Cancel-safe: what lives goes on below, and a fault stays.
    let ended = tokio::select! {
        ended = &mut living => ended,
        fault = tasks.failed() => {
            stop.cancel();
            living.await.and(Err(fault.into()))
        }
    };
    stop.cancel();
    // The server has deadlines of its own for what is under way.
    let _ = serving.await;
    ended
}

/// What a worker lives with.
struct Life {
    config: Arc<AgentConfig>,
    guard: GuardChannel,
    scripts: ScriptRunner,
    remote: Remote,
    /// An administrator has taken this node out of service: until its guard is restarted, or it leaves its cluster.
    withdrawn: watch::Sender<bool>,
    orders: mpsc::Receiver<Order>,
    stop: CancellationToken,
}

impl Life {
    /// Outside of a cluster, then inside one, then outside again after `leave`. What keeps a member from starting is waited for: the API
    /// says what it is meanwhile.
    async fn live(mut self, stage: watch::Sender<Stage>, reread: Reread) -> Result<(), AgentError> {
        let (config, stop) = (self.config.clone(), self.stop.clone());
        let mut waiting = Waiting::new(&config, &reread, &stage, &stop);
        loop {
            let mut entered = None;
            let (member, running) = match self.start(&stage, &mut entered).await {
                Ok(Some(started)) => started,
                Ok(None) => return Ok(()),
                Err(why) => {
                    if let Some(entered) = entered {
                        entered.cannot_start(&with_sources(&why));
                    }
                    match waiting.wait(why, &self.guard, &mut self.orders, &self.withdrawn).await? {
                        Next::Again => continue,
                        Next::End => return Ok(()),
                    }
                }
            };
            let raft = member.raft().clone();
            waiting.started(member, &self.guard).map_err(MemberError::from)?;
            if let Some(entered) = entered {
                entered.say_when_seen(raft);
            }
            let ended = running.until_ended(&mut self.orders, &self.stop).await;
            stage.send_replace(Stage::Outside);
            match ended? {
                Ended::Stopped => return Ok(()),
                Ended::Left { reply, answer } => {
                    tracing::info!(node = %self.config.node, "left the cluster");
                    self.withdrawn.send_replace(false);
                    // The API may have given up meanwhile; what was done is done.
                    let _ = reply.send(answer);
                }
            }
        }
    }

    /// One attempt; `None` when told to stop while in no cluster. Who had this node enter one is left in `entered`.
    async fn start(
        &mut self,
        stage: &watch::Sender<Stage>,
        entered: &mut Option<Entered>,
    ) -> Result<Option<(Arc<Member>, Running)>, NotStarted> {
        let config = &self.config;
        let identity = match NodeIdentity::load(&config.data_dir)? {
            Some(identity) => identity,
            None => {
                stage.send_replace(Stage::Outside);
                match orders::outside(config, &mut self.orders, &self.stop).await {
                    Some((identity, by)) => {
                        *entered = Some(by);
                        identity
                    }
                    None => return Ok(None),
                }
            }
        };
        if !is_here(config.address.ip()) {
            return Err(NotStarted::Address(config.address.ip()));
        }
        tracing::debug!(node = %config.node, id = %identity.node_id, cluster = identity.cluster_id, "member of a cluster");
        Ok(Some(Member::start(config.clone(), identity, &mut self.guard, &self.scripts, &self.remote, &self.withdrawn).await?))
    }
}

fn stop_on_signals(tasks: &Tasks, stop: CancellationToken) -> Result<(), AgentError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signals)?;
    tasks.spawn("stop signals", &stop.clone(), async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.cancelled() => {}
        }
        stop.cancel();
    });
    Ok(())
}

/// The guard passes on what it is sent; a worker that is sent it itself does the same.
fn reload_on_signals(tasks: &Tasks, reload: Arc<Notify>, stop: CancellationToken) -> Result<(), AgentError> {
    let mut hang_up = signal(SignalKind::hangup()).map_err(AgentError::Signals)?;
    tasks.spawn("reload signals", &stop.clone(), async move {
        // Cancel-safe: a signal that is not taken is of no use to a worker that stops.
        while let Some(Some(())) = stop.run_until_cancelled(hang_up.recv()).await {
            reload.notify_one();
        }
    });
    Ok(())
}
