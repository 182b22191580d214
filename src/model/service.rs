//! Virtual services and their real servers, in ipvsadm(8)'s terms.

use super::{
    check::Check,
    name::{ServerName, ServiceName, VipName},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

/// Transport protocol of a virtual service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// `ipvsadm -t`
    Tcp,
    /// `ipvsadm -u`
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// How packets reach the real server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardMethod {
    /// Direct routing (`ipvsadm -g`): same packet, real server's MAC; the real server has the VIP on `lo`.
    Dr,
}

impl fmt::Display for ForwardMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("dr")
    }
}

/// An IPVS scheduler by its kernel name (`net/netfilter/ipvs/ip_vs_*.c`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the variants are the kernel's own names, described in ipvsadm(8)")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Lblc,
    Lblcr,
    Dh,
    Sh,
    Mh,
    Sed,
    Nq,
    Fo,
    Ovf,
    Twos,
}

impl Scheduler {
    /// Every scheduler of Linux 6.1.
    pub const ALL: [Scheduler; 14] = [
        Scheduler::Rr,
        Scheduler::Wrr,
        Scheduler::Lc,
        Scheduler::Wlc,
        Scheduler::Lblc,
        Scheduler::Lblcr,
        Scheduler::Dh,
        Scheduler::Sh,
        Scheduler::Mh,
        Scheduler::Sed,
        Scheduler::Nq,
        Scheduler::Fo,
        Scheduler::Ovf,
        Scheduler::Twos,
    ];

    /// The name that the kernel and ipvsadm use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheduler::Rr => "rr",
            Scheduler::Wrr => "wrr",
            Scheduler::Lc => "lc",
            Scheduler::Wlc => "wlc",
            Scheduler::Lblc => "lblc",
            Scheduler::Lblcr => "lblcr",
            Scheduler::Dh => "dh",
            Scheduler::Sh => "sh",
            Scheduler::Mh => "mh",
            Scheduler::Sed => "sed",
            Scheduler::Nq => "nq",
            Scheduler::Fo => "fo",
            Scheduler::Ovf => "ovf",
            Scheduler::Twos => "twos",
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scheduler {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Scheduler::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Scheduler::ALL.iter().map(|s| s.as_str()).collect();
            format!("`{text}` is not a scheduler: use one of {}", known.join(", "))
        })
    }
}

/// A real server's weight, 0 to 65535 as in ipvsadm(8). 0 means: no new connections (quiesced).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub u16);

/// One machine that answers a service's requests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RealServer {
    /// Its name within the service.
    pub name: ServerName,
    /// Its address, by which it is also matched to a member.
    pub address: IpAddr,
    /// Its port. Under direct routing always the service's port.
    pub port: u16,
    /// Its share of new connections while it is in.
    pub weight: Weight,
    /// No agent runs there: it counts as ready.
    pub agentless: bool,
}

/// A virtual service on every address of one VIP group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Its name, unique in the cluster.
    pub name: ServiceName,
    /// The VIP group it is served on.
    pub vip: VipName,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port on the VIP.
    pub port: u16,
    /// How connections are spread.
    pub scheduler: Scheduler,
    /// How packets reach the servers.
    pub forward: ForwardMethod,
    /// How its servers are checked; `None`: every server counts as up.
    pub check: Option<Check>,
    /// Its servers by name.
    pub servers: BTreeMap<ServerName, RealServer>,
}
