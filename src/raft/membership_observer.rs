//! The interface by which the guard is told the effective membership before it is reported as stored (docs/lease.md, "Known before stored").

use crate::vip::LeaseMembership;

/// Why the membership could not be told. The node stops storing: the process ends and is started again.
#[derive(Debug, thiserror::Error)]
#[error("the guard was not told who votes: {0}")]
pub struct MembershipObserverError(pub String);

/// The receiver of effective memberships: the guard.
#[async_trait::async_trait]
pub trait MembershipObserver: Send + Sync + 'static {
    /// Makes the effective membership of this node's log known, and returns when it is. It may go back to an older one when the log is truncated.
    ///
    /// Called on a thread of the log's own, in the order of the log's changes, one at a time.
    ///
    /// # Errors
    /// The log then refuses everything that follows.
    async fn effective(&self, membership: LeaseMembership) -> Result<(), MembershipObserverError>;
}

/// The membership observer of a node that is being founded: no guard runs yet, and a guard that starts asks for the membership on disk.
pub(super) struct NoGuard;

#[async_trait::async_trait]
impl MembershipObserver for NoGuard {
    async fn effective(&self, _: LeaseMembership) -> Result<(), MembershipObserverError> {
        Ok(())
    }
}
