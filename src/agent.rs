//! The worker's composition root: the one place that knows every task.
//!
//! A worker serves the admin API from start to stop. While its node is a member of a cluster it also runs one `member::Member`.

mod admin;
mod departure;
mod derive;
mod gate;
mod hub_task;
mod judge_task;
mod keeper;
mod keeper_task;
mod member;
mod orders;
mod renew_task;
mod rotate_task;
mod running;
mod security;
mod status;

use crate::{
    api,
    config::AgentConfig,
    guard::io::channel::{ChannelError, GuardChannel},
    health::io::script::{RunnerChannelError, ScriptRunner},
    raft::{Identity, IdentityError},
};
use admin::Agent;
use member::Member;
use orders::Order;
use running::Ended;
use std::sync::Arc;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc, watch},
};
use tokio_util::sync::CancellationToken;

/// Orders that come from the API: it runs changes one at a time, so one waits at the most.
const ORDERS: usize = 1;

/// Why a worker ends by itself. The guard starts it again.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
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
    /// The node does not know who it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The member does not start or did not go on.
    #[error(transparent)]
    Member(#[from] member::MemberError),
}

/// Runs the worker until its guard, or a signal, tells it to stop.
///
/// # Errors
/// Whatever it cannot go on with.
pub async fn run(config: AgentConfig) -> Result<(), AgentError> {
    // Before the guard hears from this worker, and says that the node can be spoken with.
    let listener = api::AdminListener::bind(&config.socket)?;
    let guard = GuardChannel::from_inherited()?;
    let scripts = ScriptRunner::from_inherited()?;
    let stop = guard.stop.clone();
    stop_on_signals(stop.clone())?;
    reload_on_signals(guard.reload.clone(), stop.clone())?;
    let config = Arc::new(config);
    let (member_out, member_in) = watch::channel(None);
    let (orders_out, orders_in) = mpsc::channel(ORDERS);
    let agent = Arc::new(Agent::new(config.clone(), member_in.clone(), orders_out));
    let serving = tokio::spawn(api::serve(listener, agent.clone(), stop.clone()));
    let remote = Remote { admin: agent, gate: Arc::new(gate::Membership::new(member_in)) };
    tracing::info!(node = %config.node, roles = %config.roles, version = env!("CARGO_PKG_VERSION"), "worker started");
    let ended = live(&config, guard, &scripts, &remote, member_out, orders_in, &stop).await;
    stop.cancel();
    // The server has deadlines of its own for what is under way.
    let _ = serving.await;
    ended
}

/// What a remote administrator meets: the same orders as on the socket, and who lets them in.
pub(crate) struct Remote {
    admin: Arc<dyn api::Admin>,
    gate: Arc<dyn api::Gate>,
}

/// Outside of a cluster, then inside one, then outside again after `leave`.
async fn live(
    config: &Arc<AgentConfig>,
    mut guard: GuardChannel,
    scripts: &ScriptRunner,
    remote: &Remote,
    member_out: watch::Sender<Option<Arc<Member>>>,
    mut orders: mpsc::Receiver<Order>,
    stop: &CancellationToken,
) -> Result<(), AgentError> {
    loop {
        let (identity, entered) = match Identity::load(&config.data_dir)? {
            Some(identity) => (identity, None),
            None => match orders::outside(config, &mut orders, stop).await {
                Some((identity, entered)) => (identity, Some(entered)),
                None => return Ok(()),
            },
        };
        tracing::info!(node = %config.node, id = %identity.node_id, cluster = identity.cluster_id, "member of a cluster");
        let (member, running) = Member::start(config.clone(), identity, &mut guard, scripts, remote).await?;
        let raft = member.raft().clone();
        member_out.send_replace(Some(member));
        if let Some(entered) = entered {
            tokio::spawn(entered.say_when_seen(raft));
        }
        let ended = running.until_ended(&mut orders, stop).await;
        member_out.send_replace(None);
        match ended? {
            Ended::Stopped => return Ok(()),
            Ended::Left { reply, answer } => {
                tracing::info!(node = %config.node, "left the cluster");
                // The API may have given up meanwhile; what was done is done.
                let _ = reply.send(answer);
            }
        }
    }
}

fn stop_on_signals(stop: CancellationToken) -> Result<(), AgentError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signals)?;
    tokio::spawn(async move {
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
fn reload_on_signals(reload: Arc<Notify>, stop: CancellationToken) -> Result<(), AgentError> {
    let mut hang_up = signal(SignalKind::hangup()).map_err(AgentError::Signals)?;
    tokio::spawn(async move {
        // Cancel-safe: a signal that is not taken is of no use to a worker that stops.
        while let Some(Some(())) = stop.run_until_cancelled(hang_up.recv()).await {
            reload.notify_one();
        }
    });
    Ok(())
}
