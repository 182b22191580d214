//! While this node's member cannot start: the reason is shown, orders are answered with it, and the start is tried again.

use super::{
    member::{Member, Stage},
    member_error::MemberError,
    orders::{self, NotStartedYet, Order},
    withdraw_task,
};
use crate::{
    base::errors::with_sources,
    config::AgentConfig,
    guard::{GuardChannel, GuardGone},
    members::IdentityError,
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Until the first new attempt; each later pause is twice as long,
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// but no longer than this, as for a worker that dies at every start.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a person, or the network's configuration, has to bring about before the member can start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// Nothing can be listened on before.
    #[error(
        "waiting for address {0} to appear on this machine: it goes on by itself then; if `address` in agent.toml is wrong, correct it and restart the agent"
    )]
    Address(IpAddr),
    /// The node does not know who it is.
    #[error(transparent)]
    NodeIdentity(#[from] IdentityError),
    /// Everything else.
    #[error(transparent)]
    Member(#[from] MemberError),
}

impl NotStarted {
    /// Nobody can mend that while this process lives.
    fn is_final(&self) -> bool {
        matches!(self, Self::Member(MemberError::Guard(_)))
    }

    /// An address that is waited for is looked for at an even pace: at boot it is a matter of moments.
    fn grows(&self) -> bool {
        !matches!(self, Self::Address(_))
    }
}

/// What to do after a pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Try to start again.
    Again,
    /// The worker is to end: it was told to, or its guard is to start it with what agent.toml says now.
    End,
}

/// Reads agent.toml again; `None` while it cannot be used.
pub type Reread = Box<dyn Fn() -> Option<AgentConfig> + Send + Sync>;

/// A node that is tried again and again, and what has been said of it.
pub struct Waiting<'a> {
    /// What the worker was started with.
    pub config: &'a AgentConfig,
    /// How agent.toml is read.
    pub reread: &'a Reread,
    /// Where the API looks.
    pub stage: &'a watch::Sender<Stage>,
    /// Fires when the worker is to stop.
    pub stop: &'a CancellationToken,
    pause: Duration,
    said: Option<String>,
}

impl<'a> Waiting<'a> {
    /// Before the first attempt.
    pub fn new(
        config: &'a AgentConfig,
        reread: &'a Reread,
        stage: &'a watch::Sender<Stage>,
        stop: &'a CancellationToken,
    ) -> Self {
        Self { config, reread, stage, stop, pause: FIRST_PAUSE, said: None }
    }

    /// The member runs: whatever kept it is over.
    pub fn started(&mut self, member: Arc<Member>, guard: &GuardChannel) -> Result<(), GuardGone> {
        if self.said.take().is_some() {
            tracing::info!(node = %self.config.node, "started, what kept this node is over");
            guard.handle.not_started(None)?;
        }
        self.pause = FIRST_PAUSE;
        self.stage.send_replace(Stage::Running(member));
        Ok(())
    }

    /// Shows why, answers orders with it until the next attempt is due, or a reload asks for it now.
    ///
    /// # Errors
    /// What no attempt of this process can cure.
    pub async fn wait(
        &mut self,
        why: NotStarted,
        guard: &GuardChannel,
        orders: &mut mpsc::Receiver<Order>,
        withdrawn: &watch::Sender<bool>,
    ) -> Result<Next, NotStarted> {
        if why.is_final() {
            return Err(why);
        }
        let text = with_sources(&why);
        self.say(&text, guard)?;
        let due = Instant::now() + self.pause;
        if why.grows() {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        loop {
            // All are cancel-safe: an order that is not taken stays.
            let order = tokio::select! {
                () = self.stop.cancelled() => return Ok(Next::End),
                () = sleep_until(due) => break,
                () = guard.reload.notified() => break,
                order = orders.recv() => order,
            };
            let Some(order) = order else { return Ok(Next::End) };
            match orders::not_started(order, &text) {
                NotStartedYet::Answered => {}
                NotStartedYet::Withdraw { reply } => {
                    // Who asked may have given up; what was done is done.
                    let _ = reply.send(withdraw_task::not_started(self.config, &guard.handle, withdrawn).await);
                }
                NotStartedYet::End => return Ok(Next::End),
            }
        }
        Ok(self.look_at_file())
    }

    /// Logs a reason when it comes or changes, not at each attempt.
    fn say(&mut self, text: &str, guard: &GuardChannel) -> Result<(), NotStarted> {
        if self.said.as_deref() == Some(text) {
            return Ok(());
        }
        tracing::error!(node = %self.config.node, why = text, "this node has not started, trying again until it can");
        self.said = Some(text.to_owned());
        self.stage.send_replace(Stage::NotStarted(text.to_owned()));
        guard.handle.not_started(Some(text.to_owned())).map_err(MemberError::from)?;
        Ok(())
    }

    /// A worker with another configuration is a new one. The guard's own address is what the guard was started with.
    fn look_at_file(&self) -> Next {
        match (self.reread)() {
            Some(now) if now != *self.config && now.address == self.config.address => {
                tracing::info!(node = %now.node, "agent.toml has changed, starting again with it");
                Next::End
            }
            Some(_) | None => Next::Again,
        }
    }
}

#[cfg(test)]
mod tests;
