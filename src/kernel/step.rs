//! One change of the kernel, as it appears in a plan and in the log.

use super::state::{Dest, DestKey, ServiceKey, ServiceOptions};
use std::{fmt, net::IpAddr};

/// One change of the kernel. None of them flushes: what a step does not name stays as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Takes a VIP off `lo`.
    RemoveLoVip(IpAddr),
    /// Puts the former ARP settings back. Not done when a [`Step::RemoveLoVip`] before it failed.
    RestoreArp,
    /// Makes IPVS schedule clients of removed destinations anew. The former settings are saved to disk first.
    TuneIpvs,
    /// Puts the former IPVS settings back.
    RestoreIpvs,
    /// Removes a service with its destinations.
    RemoveService(ServiceKey),
    /// Adds a service without destinations.
    AddService(ServiceKey, ServiceOptions),
    /// Changes a service; its destinations and connections stay.
    EditService(ServiceKey, ServiceOptions),
    /// Adds a destination to a service.
    AddDest(ServiceKey, DestKey, Dest),
    /// Changes a destination; its connections stay.
    EditDest(ServiceKey, DestKey, Dest),
    /// Removes a destination, given with its present properties. Its weight is set to 0 first: where the kernel keeps connections of removed
    /// destinations for a while, it then schedules their clients anew instead of dropping what they send.
    RemoveDest(ServiceKey, DestKey, Dest),
    /// Keeps this node from answering ARP for addresses on `lo`. The former settings are saved to disk first.
    SilenceArp,
    /// Puts a VIP on `lo`. Not done when a [`Step::SilenceArp`] before it failed: this node would answer ARP for it.
    AddLoVip(IpAddr),
}

impl Step {
    /// Whether this step changes IPVS's tables.
    pub fn is_ipvs(&self) -> bool {
        match self {
            Step::RemoveService(_)
            | Step::AddService(..)
            | Step::EditService(..)
            | Step::AddDest(..)
            | Step::EditDest(..)
            | Step::RemoveDest(..) => true,
            Step::RemoveLoVip(_)
            | Step::RestoreArp
            | Step::TuneIpvs
            | Step::RestoreIpvs
            | Step::SilenceArp
            | Step::AddLoVip(_) => false,
        }
    }

    /// Whether this step must not be tried after `failed` has failed.
    pub fn is_voided_by(&self, failed: &Step) -> bool {
        match self {
            Step::RestoreArp => matches!(failed, Step::RemoveLoVip(_)),
            Step::AddLoVip(_) => matches!(failed, Step::SilenceArp),
            Step::RemoveLoVip(_)
            | Step::TuneIpvs
            | Step::RestoreIpvs
            | Step::RemoveService(_)
            | Step::AddService(..)
            | Step::EditService(..)
            | Step::AddDest(..)
            | Step::EditDest(..)
            | Step::RemoveDest(..)
            | Step::SilenceArp => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::RemoveLoVip(address) => write!(f, "remove {address} from lo"),
            Step::RestoreArp => f.pad("put the former arp settings back"),
            Step::TuneIpvs => f.pad("make ipvs schedule clients of removed destinations anew"),
            Step::RestoreIpvs => f.pad("put the former ipvs settings back"),
            Step::RemoveService(service) => write!(f, "remove service {service}"),
            Step::AddService(service, options) => write!(f, "add service {service}: {options}"),
            Step::EditService(service, options) => write!(f, "edit service {service}: {options}"),
            Step::AddDest(service, dest, to) => write!(f, "add {dest} to {service}: {to}"),
            Step::EditDest(service, dest, to) => write!(f, "edit {dest} of {service}: {to}"),
            Step::RemoveDest(service, dest, _) => write!(f, "remove {dest} from {service}"),
            Step::SilenceArp => f.pad("silence arp for addresses on lo"),
            Step::AddLoVip(address) => write!(f, "put {address} on lo"),
        }
    }
}
