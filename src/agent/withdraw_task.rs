//! Takes a node out of service, or puts its kernel back where it has no member to take out.

use crate::{
    api::{AdminError, WithdrawAnswer},
    base::errors::with_sources,
    config::AgentConfig,
    guard::GuardHandle,
    reconcile,
};
use tokio::sync::watch;

/// What is left of the agent's work in the kernel is put back. How many changes that took.
pub async fn put_back(config: &AgentConfig) -> Result<usize, AdminError> {
    let done = reconcile::put_back(&config.data_dir).await.map_err(|error| AdminError::Internal(with_sources(&error)));
    if let Err(error) = &done {
        tracing::error!(%error, "not everything could be put back in the kernel");
    }
    done
}

/// In no cluster there is no service to take the node out of.
pub async fn outside(config: &AgentConfig) -> Result<WithdrawAnswer, AdminError> {
    let changes = put_back(config).await?;
    Ok(WithdrawAnswer { node: config.node.clone(), withdrawn: false, changes, warnings: Vec::new() })
}

/// A member that cannot start tells nobody anything. Should it start later, it is out of service.
pub async fn not_started(
    config: &AgentConfig,
    guard: &GuardHandle,
    withdrawn: &watch::Sender<bool>,
) -> Result<WithdrawAnswer, AdminError> {
    withdrawn.send_replace(true);
    tracing::info!(node = %config.node, "withdrawn, though its member has not started");
    guard.withdraw().await.map_err(|gone| AdminError::Internal(gone.to_string()))?;
    let changes = put_back(config).await?;
    Ok(WithdrawAnswer { node: config.node.clone(), withdrawn: true, changes, warnings: Vec::new() })
}
