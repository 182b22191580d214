//! The trait [`DataPlane`]: reads the kernel, and carries out steps in it.

use super::{state::KernelState, step::Step};
use crate::base::io::durable::FileFault;
use std::{future::Future, io, path::PathBuf, time::Duration};

/// Why the kernel could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DataPlaneError {
    /// `ip_vs` is neither loaded nor loadable.
    #[error(
        "this kernel has no IPVS, and `modprobe ip_vs` did not help ({modprobe}): install the kernel's modules (Debian: linux-image-$(uname -r)), \
         or take the role `director` out of this node's agent.toml"
    )]
    NoIpvs {
        /// The result of modprobe.
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
    /// The kernel's answer could not be decoded.
    #[error("netlink: malformed answer: {0}")]
    Malformed(&'static str),
    /// The tables changed under every attempt to read them.
    #[error("the IPVS tables changed during each of {0} attempts to read them")]
    Unsteady(u32),
    /// A file of the agent, or a file below /proc, failed.
    #[error("cannot {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The addresses on `lo` could not be read.
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
    /// The kernel refused.
    #[error("{explained} (errno {errno})")]
    Refused {
        /// Its error number, positive.
        errno: i32,
        /// What the number means for this step, with the kernel's own text if it gave one.
        explained: String,
    },
    /// The kernel's answer was lost or did not come in time. The step may be done or not; reading the kernel again shows it.
    #[error("no answer from the kernel: {0}")]
    Unanswered(String),
    /// A step that it depends on failed before.
    #[error("not tried, because this failed: {0}")]
    Voided(String),
    /// A step that is not one of IPVS failed: a file, an address.
    #[error("{0}")]
    Failed(String),
}

/// A step that was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {step}: {error}")]
pub struct StepFailure {
    /// The step.
    pub step: Step,
    /// Why it was not done.
    pub error: StepError,
}

/// What [`DataPlane::observe`] does where IPVS is not loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpvsUse {
    /// On a director: it loads IPVS, and fails if that is not possible.
    Required,
    /// On any other node: it does not load IPVS, and finds no services.
    IfLoaded,
}

/// A kernel that can be read and changed.
pub trait DataPlane: Send + 'static {
    /// Reads everything. Cancel-safe: reading changes nothing.
    fn observe(&mut self, ipvs: IpvsUse) -> impl Future<Output = Result<KernelState, DataPlaneError>> + Send;

    /// A quick look: whether the kernel is as the last [`DataPlane::observe`] found it, as far as that shows at a fraction of its cost. `false` also if
    /// it does not show. Cancel-safe.
    fn is_as_observed(&mut self) -> impl Future<Output = bool> + Send;

    /// Carries out the steps in the given order, goes on after failures, and returns the steps that were not done. A step that depends on a failed one
    /// (see [`Step::is_voided_by`]) is not tried. Not cancel-safe: let it finish, its waits have deadlines.
    fn execute(&mut self, steps: &[Step]) -> impl Future<Output = Vec<StepFailure>> + Send;
}

/// The failure, if there is one, that voids `step`.
pub(crate) fn voided(step: &Step, failures: &[StepFailure]) -> Option<StepFailure> {
    failures
        .iter()
        .find(|failure| step.is_voided_by(&failure.step))
        .map(|failure| StepFailure { step: step.clone(), error: StepError::Voided(failure.step.to_string()) })
}
