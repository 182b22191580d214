//! The seam between deciding what the kernel should hold and a kernel.

use super::{state::KernelState, step::Step};
use crate::base::io::durable::FileFault;
use std::{future::Future, io, path::PathBuf, time::Duration};

/// Why the kernel could not be seen, or could not be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum DataPlaneError {
    /// `ip_vs` is neither loaded nor loadable.
    #[error(
        "this kernel has no IPVS, and `modprobe ip_vs` did not help ({modprobe}): install the kernel's modules (Debian: linux-image-$(uname -r)), \
         or take the role `director` out of this node's agent.toml"
    )]
    NoIpvs {
        /// What became of modprobe.
        modprobe: String,
    },
    /// Not enough privilege.
    #[error("IPVS needs CAP_NET_ADMIN in this network namespace: run the agent as root")]
    NotPermitted,
    /// A netlink socket failed.
    #[error("netlink: cannot {doing}")]
    Netlink {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The kernel did not answer.
    #[error("netlink: no answer within {0:?} while waiting to {1}")]
    Deadline(Duration, &'static str),
    /// The kernel's answer makes no sense.
    #[error("netlink: malformed answer: {0}")]
    Malformed(&'static str),
    /// The tables changed under every attempt to read them.
    #[error("the IPVS tables changed during each of {0} attempts to read them")]
    Unsteady(u32),
    /// A file of the agent or below /proc.
    #[error("cannot {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Addresses on `lo`.
    #[error("cannot read the addresses on lo")]
    Addresses(#[source] super::io::address::AddressError),
}

impl From<FileFault> for DataPlaneError {
    fn from(fault: FileFault) -> Self {
        let FileFault { doing, path, source } = fault;
        DataPlaneError::File { doing, path, source }
    }
}

/// Why one step was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The kernel said no.
    #[error("{explained} (errno {errno})")]
    Refused {
        /// Its error number, positive.
        errno: i32,
        /// In words; with the kernel's own, where it gave any.
        explained: String,
    },
    /// The kernel's answer was lost or did not come in time: it may be done or not. The next look tells.
    #[error("no answer from the kernel: {0}")]
    Unanswered(String),
    /// A step that it rests on failed before.
    #[error("not tried, because this failed: {0}")]
    Voided(String),
    /// Something other than the kernel's IPVS: a file, an address.
    #[error("{0}")]
    Failed(String),
}

/// A step that was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {step}: {error}")]
pub struct StepFailure {
    /// Which.
    pub step: Step,
    /// Why.
    pub error: StepError,
}

/// What [`DataPlane::observe`] shall do where IPVS is not loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpvsUse {
    /// A director: load it, and fail where that is not possible.
    Required,
    /// Any other node: no module, no services.
    IfLoaded,
}

/// A kernel that can be seen and changed.
pub trait DataPlane: Send + 'static {
    /// Reads everything. Cancel-safe: reading changes nothing.
    fn observe(&mut self, ipvs: IpvsUse) -> impl Future<Output = Result<KernelState, DataPlaneError>> + Send;

    /// A quick look: whether everything is as the last [`DataPlane::observe`] saw it, as far as that can be told at a fraction of its cost.
    /// `false` also where it cannot be told. Cancel-safe.
    fn is_as_observed(&mut self) -> impl Future<Output = bool> + Send;

    /// Does every step in the given order, goes on past failures, and gives back the steps that were not done: empty when all is well.
    /// A step that rests on a failed one (see [`Step::is_voided_by`]) is not tried. Not cancel-safe: let it finish, its waits have deadlines.
    fn execute(&mut self, steps: &[Step]) -> impl Future<Output = Vec<StepFailure>> + Send;
}

/// The failure, if there is one, that voids `step`.
pub(crate) fn voided(step: &Step, failures: &[StepFailure]) -> Option<StepFailure> {
    failures
        .iter()
        .find(|failure| step.is_voided_by(&failure.step))
        .map(|failure| StepFailure { step: step.clone(), error: StepError::Voided(failure.step.to_string()) })
}
