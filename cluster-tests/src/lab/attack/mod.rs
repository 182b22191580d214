//! An attacker on the LAN: hears everything, says anything in anybody's name.
//!
//! [`capture`] writes down every frame ([`pcap`]); [`packet`] and [`streams`] read them again; [`eavesdrop`] looks for what can be read in
//! them; [`replay`] sends them once more; [`flood`] and [`frames`] send what nobody would send, random or mutated ([`mutate`]), paced
//! ([`pace`]) so that nothing is lost on the way to the parsers it is for. [`raw`] sends in anybody's name, [`hello`] and [`stranger`] speak
//! as much TLS as anyone can who has no certificate.

pub mod args;
pub mod capture;
pub mod eavesdrop;
pub mod flood;
pub mod frames;
pub mod hello;
pub mod mutate;
pub mod pace;
pub mod packet;
pub mod pcap;
pub mod raw;
pub mod replay;
pub mod stranger;
pub mod streams;

use std::fmt;
use std::str::FromStr;

/// What the agents listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// UDP, worker to worker.
    Gossip,
    /// UDP, guard to guard.
    Lease,
    /// TCP: Raft and joining.
    Raft,
    /// TCP: the remote API, where it is configured.
    Api,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gossip, Self::Lease, Self::Raft, Self::Api];

    /// Its port.
    pub fn port(self) -> u16 {
        match self {
            Self::Gossip | Self::Raft => 7400,
            Self::Lease => 7401,
            Self::Api => 7443,
        }
    }

    /// It takes datagrams, not connections.
    pub fn is_udp(self) -> bool {
        matches!(self, Self::Gossip | Self::Lease)
    }
}

impl FromStr for Door {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|door| door.to_string() == name)
            .ok_or_else(|| format!("{name:?} is none of gossip, lease, raft, api"))
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gossip => "gossip",
            Self::Lease => "lease",
            Self::Raft => "raft",
            Self::Api => "api",
        })
    }
}
