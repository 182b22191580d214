//! One change of the kernel, as a plan lists it and a log shows it.

use super::state::{Dest, DestKey, ServiceKey, ServiceOptions};
use std::{fmt, net::IpAddr};

/// One change. There is none that flushes: whatever is not named stays as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Of IPVS's tables.
    Ipvs(IpvsStep),
    /// Of the VIPs on `lo`, on a real server.
    Lo(LoStep),
    /// Of settings that the agent holds as long as it needs them.
    Sysctl(SysctlStep),
}

/// One change of IPVS's tables.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum IpvsStep {
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
    /// Removes a destination, given as it is now. Its weight becomes 0 first: where the kernel keeps connections of removed destinations for
    /// a while, it then still schedules their clients anew, instead of dropping what they send.
    RemoveDest(ServiceKey, DestKey, Dest),
}

/// One change of a VIP on `lo`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LoStep {
    /// Takes a VIP off `lo`.
    Remove(IpAddr),
    /// Puts a VIP on `lo`. Not done when a [`SysctlStep::SilenceArp`] before it failed: the address would leak.
    Add(IpAddr),
}

/// One change of settings, with the former ones kept on disk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SysctlStep {
    /// Puts the former ARP settings back. Not done when a [`LoStep::Remove`] before it failed.
    RestoreArp,
    /// Makes IPVS schedule clients of removed destinations anew, after the former settings are safe on disk.
    TuneIpvs,
    /// Puts the former IPVS settings back.
    RestoreIpvs,
    /// Keeps this node from answering ARP for addresses on `lo`, after the former settings are safe on disk.
    SilenceArp,
}

impl Step {
    /// Whether this step changes IPVS's tables.
    pub fn is_ipvs(&self) -> bool {
        match self {
            Step::Ipvs(_) => true,
            Step::Lo(_) | Step::Sysctl(_) => false,
        }
    }

    /// Whether this step must not be tried after `failed` has failed.
    pub fn is_voided_by(&self, failed: &Step) -> bool {
        match self {
            Step::Sysctl(SysctlStep::RestoreArp) => matches!(failed, Step::Lo(LoStep::Remove(_))),
            Step::Lo(LoStep::Add(_)) => *failed == Step::Sysctl(SysctlStep::SilenceArp),
            Step::Ipvs(_)
            | Step::Lo(LoStep::Remove(_))
            | Step::Sysctl(SysctlStep::TuneIpvs | SysctlStep::RestoreIpvs | SysctlStep::SilenceArp) => false,
        }
    }
}

impl IpvsStep {
    /// The service that it changes.
    pub fn service(&self) -> &ServiceKey {
        match self {
            IpvsStep::RemoveService(service)
            | IpvsStep::AddService(service, _)
            | IpvsStep::EditService(service, _)
            | IpvsStep::AddDest(service, ..)
            | IpvsStep::EditDest(service, ..)
            | IpvsStep::RemoveDest(service, ..) => service,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Ipvs(step) => step.fmt(f),
            Step::Lo(step) => step.fmt(f),
            Step::Sysctl(step) => step.fmt(f),
        }
    }
}

impl fmt::Display for IpvsStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IpvsStep::RemoveService(service) => write!(f, "remove service {service}"),
            IpvsStep::AddService(service, options) => write!(f, "add service {service}: {options}"),
            IpvsStep::EditService(service, options) => write!(f, "edit service {service}: {options}"),
            IpvsStep::AddDest(service, dest, to) => write!(f, "add {dest} to {service}: {to}"),
            IpvsStep::EditDest(service, dest, to) => write!(f, "edit {dest} of {service}: {to}"),
            IpvsStep::RemoveDest(service, dest, _) => write!(f, "remove {dest} from {service}"),
        }
    }
}

impl fmt::Display for LoStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoStep::Remove(address) => write!(f, "remove {address} from lo"),
            LoStep::Add(address) => write!(f, "put {address} on lo"),
        }
    }
}

impl fmt::Display for SysctlStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SysctlStep::RestoreArp => "put the former arp settings back",
            SysctlStep::TuneIpvs => "make ipvs schedule clients of removed destinations anew",
            SysctlStep::RestoreIpvs => "put the former ipvs settings back",
            SysctlStep::SilenceArp => "silence arp for addresses on lo",
        })
    }
}
