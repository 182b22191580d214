//! What the kernel has, in its own terms: any IPVS service, also one that this agent would never make.

use crate::model::{ForwardMethod, Protocol, Scheduler, Weight};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
};

/// What identifies a virtual service in the kernel. Services by firewall mark have no address and are not among these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceKey {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The virtual address.
    pub address: IpAddr,
    /// The virtual port; 0 for all ports of a persistent service.
    pub port: u16,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, SocketAddr::new(self.address, self.port))
    }
}

/// What identifies a destination within its service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DestKey {
    /// The real server's address.
    pub address: IpAddr,
    /// The real server's port.
    pub port: u16,
}

impl fmt::Display for DestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", SocketAddr::new(self.address, self.port))
    }
}

/// The properties of a service that can be edited without touching its destinations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ServiceOptions {
    /// The scheduler's kernel name, which may be one that this agent does not know.
    pub scheduler: String,
    /// `IP_VS_SVC_F_*` without the kernel's own `HASHED`.
    pub flags: u32,
    /// Persistence timeout in seconds.
    pub timeout_s: u32,
    /// Persistence granularity: an IPv4 netmask as it lies in memory, or an IPv6 prefix length.
    pub netmask: u32,
    /// Name of the persistence engine (`ipvsadm --pe`).
    pub persistence_engine: Option<String>,
}

impl ServiceOptions {
    /// A plain service at `address`, as `ipvsadm -A … -s scheduler` makes it.
    pub fn plain(scheduler: Scheduler, address: IpAddr) -> Self {
        let netmask = if address.is_ipv4() { u32::MAX } else { 128 };
        Self { scheduler: scheduler.as_str().to_owned(), flags: 0, timeout_s: 0, netmask, persistence_engine: None }
    }
}

impl fmt::Display for ServiceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scheduler {}", self.scheduler)?;
        if self.flags != 0 || self.timeout_s != 0 {
            write!(f, ", flags {:#x}, persistent {} s, netmask {:#x}", self.flags, self.timeout_s, u32::from_be(self.netmask))?;
        }
        match &self.persistence_engine {
            Some(engine) => write!(f, ", persistence engine {engine}"),
            None => Ok(()),
        }
    }
}

/// How the kernel forwards to a destination (`IP_VS_CONN_F_FWD_MASK`). The agent uses only direct routing; others may have been set by hand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Forward {
    /// NAT (`ipvsadm -m`).
    Masquerade,
    /// The director itself.
    Local,
    /// Encapsulation (`ipvsadm -i`).
    Tunnel,
    /// Direct routing (`ipvsadm -g`).
    Direct,
    /// Cache bypass.
    Bypass,
    /// A method that this agent does not know.
    Other(u32),
}

impl Forward {
    /// The kernel's number.
    pub const fn number(self) -> u32 {
        match self {
            Forward::Masquerade => 0,
            Forward::Local => 1,
            Forward::Tunnel => 2,
            Forward::Direct => 3,
            Forward::Bypass => 4,
            Forward::Other(number) => number,
        }
    }
}

impl From<u32> for Forward {
    fn from(number: u32) -> Self {
        match number {
            0 => Forward::Masquerade,
            1 => Forward::Local,
            2 => Forward::Tunnel,
            3 => Forward::Direct,
            4 => Forward::Bypass,
            other => Forward::Other(other),
        }
    }
}

impl From<ForwardMethod> for Forward {
    fn from(method: ForwardMethod) -> Self {
        match method {
            ForwardMethod::Dr => Forward::Direct,
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Forward::Masquerade => f.pad("nat"),
            Forward::Local => f.pad("local"),
            Forward::Tunnel => f.pad("tun"),
            Forward::Direct => f.pad("dr"),
            Forward::Bypass => f.pad("bypass"),
            Forward::Other(number) => write!(f, "method {number}"),
        }
    }
}

/// A destination's properties.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Dest {
    /// Its weight; 0 means no new connections.
    pub weight: u32,
    /// How it is reached.
    pub forward: Forward,
    /// No new connections above so many; 0 for no limit.
    pub upper_threshold: u32,
    /// New connections again below so many.
    pub lower_threshold: u32,
}

impl Dest {
    /// A destination without connection limits.
    pub fn plain(weight: Weight, forward: ForwardMethod) -> Self {
        Self { weight: u32::from(weight.0), forward: forward.into(), upper_threshold: 0, lower_threshold: 0 }
    }
}

impl fmt::Display for Dest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} weight {}", self.forward, self.weight)?;
        if self.upper_threshold != 0 || self.lower_threshold != 0 {
            write!(f, ", thresholds {}..{}", self.lower_threshold, self.upper_threshold)?;
        }
        Ok(())
    }
}

/// A virtual service with its destinations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct IpvsService {
    /// Properties of the service itself.
    pub options: ServiceOptions,
    /// Its destinations.
    pub dests: BTreeMap<DestKey, Dest>,
}

/// The state of a group of sysctls that the agent sets while it needs them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct SysctlState {
    /// They have the effect that the agent needs, whoever set them.
    pub in_force: bool,
    /// This agent set them, and the former values are on disk.
    pub former_kept: bool,
}

/// All that the agent reads from the kernel, in its network namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KernelState {
    /// TCP and UDP services.
    pub services: BTreeMap<ServiceKey, IpvsService>,
    /// Services by firewall mark: never the cluster's, only reported.
    pub fwmark_services: BTreeSet<u32>,
    /// Addresses with a host prefix on `lo`, without loopback addresses.
    pub lo_addresses: BTreeSet<IpAddr>,
    /// ARP silence: whether ARP requests for the addresses on `lo` stay unanswered, and they are never announced.
    pub arp: SysctlState,
    /// Whether IPVS schedules a client anew if its connection belongs to a destination that was removed. In force also where the kernel has no such
    /// settings.
    pub ipvs: SysctlState,
}
