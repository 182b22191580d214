//! Why the agent did not do what was asked.

use crate::rules::CommandRefusal;

/// Why the agent did not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AdminError {
    /// This agent is in no cluster yet.
    #[error("not in a cluster: run `lvs-agent init`, or `lvs-agent join SEED --token TOKEN`")]
    NotInCluster,
    /// This agent is in a cluster already.
    #[error(
        "this node is in cluster {0} already: run `lvs-agent leave` first if it shall join another; if no member trusts it any more because the ca was replaced while it was away, give `join` a token (`lvs-agent token create` on a director)"
    )]
    InCluster(String),
    /// This agent is in a cluster, but its member cannot start.
    #[error("this node has not started: {0}")]
    NotStarted(
        /// Why, and what to do.
        String,
    ),
    /// The request makes no sense for this node, whatever the state of the cluster.
    #[error("{0}")]
    Invalid(String),
    /// The request is strict, and there are warnings.
    #[error("refused because of --strict: nothing is changed")]
    Warned(
        /// What, one line each.
        Vec<String>,
    ),
    /// The cluster's state does not allow it.
    #[error("{0}")]
    Refused(String),
    /// The request has consequences that were not confirmed.
    #[error("{0}")]
    Unconfirmed(String),
    /// No seed could be asked.
    #[error("no seed answered")]
    NoSeed(
        /// What became of each, and what to do.
        Vec<String>,
    ),
    /// No leader with a quorum behind it could be found.
    #[error("no quorum: {0}")]
    NoQuorum(String),
    /// It is not known whether the change was made.
    #[error("{0}")]
    Timeout(String),
    /// An internal fault of the agent.
    #[error("{0}")]
    Internal(String),
}

impl From<CommandRefusal> for AdminError {
    fn from(refusal: CommandRefusal) -> Self {
        AdminError::Refused(refusal.to_string())
    }
}
