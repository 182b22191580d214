//! VIP groups, timing profiles, and what a node's guard says of its holding.

use super::name::VipName;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr, time::Duration};

/// Virtual IP addresses that one director holds together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VipGroup {
    /// Its name.
    pub name: VipName,
    /// Its addresses, at least one.
    pub addresses: BTreeSet<IpAddr>,
    /// The interface on which directors put the addresses.
    pub interface: String,
    /// What directors do while no majority of the voters answers them.
    #[serde(default)]
    pub on_quorum_loss: OnQuorumLoss,
}

/// What a director does with a VIP group while no majority of the voters answers it, so that it gets no lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnQuorumLoss {
    /// Directors agree without the voters, as VRRP routers do, and one of those that hear each other holds the group.
    #[default]
    Fallback,
    /// Nobody holds it.
    Release,
}

impl fmt::Display for OnQuorumLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            OnQuorumLoss::Fallback => "fallback",
            OnQuorumLoss::Release => "release",
        })
    }
}

/// The timing profile of a cluster: lease duration, and the rhythm of gossip and Raft. All nodes have the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimingProfile {
    /// Lease of 100 ms, for one switch without other load, and machines that do nothing else.
    Fast,
    /// Lease of 300 ms, for one site.
    #[default]
    Lan,
    /// Lease of 2 s, for several sites.
    Wan,
}

impl TimingProfile {
    /// Lease duration that a holder asks for, and the longest that a voter grants (docs/lease.md, "Times": `ttl`, `ttl_max`). The cluster has one
    /// profile, fixed at `init`, so that a voter's quiet time after a restart covers any promise it may have forgotten.
    pub const fn ttl(self) -> Duration {
        match self {
            TimingProfile::Fast => Duration::from_millis(100),
            TimingProfile::Lan => Duration::from_millis(300),
            TimingProfile::Wan => Duration::from_secs(2),
        }
    }

    /// Time between two gossip rounds of a node.
    pub const fn gossip_interval(self) -> Duration {
        match self {
            TimingProfile::Fast => Duration::from_millis(50),
            TimingProfile::Lan => Duration::from_millis(100),
            TimingProfile::Wan => Duration::from_millis(500),
        }
    }
}

impl fmt::Display for TimingProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TimingProfile::Fast => "fast",
            TimingProfile::Lan => "lan",
            TimingProfile::Wan => "wan",
        })
    }
}

impl FromStr for TimingProfile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [TimingProfile::Fast, TimingProfile::Lan, TimingProfile::Wan]
            .into_iter()
            .find(|profile| profile.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a timing profile: use fast, lan or wan"))
    }
}

/// Whether this node holds a VIP group, as its guard says. The worker knows nothing else of the lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holding {
    /// The VIP is on this node's interface.
    Held {
        /// How often the group has changed hands; a label for people.
        epoch: u64,
        /// When this node took it, in Unix milliseconds; a label for people.
        since_unix_ms: u64,
    },
    /// The VIP is on this node's interface without a lease: no majority of the voters answers, and this director holds it by fallback.
    Fallback {
        /// When this node took it, in Unix milliseconds; a label for people.
        since_unix_ms: u64,
    },
    /// The VIP is not on this node's interface.
    NotHeld,
}

/// For each VIP group that the guard knows of, whether this node holds it.
pub type Ownership = std::collections::BTreeMap<VipName, Holding>;

/// For each VIP group that this node cannot take, why not, in one line. A group that is absent can be taken, or is held.
pub type Obstacles = std::collections::BTreeMap<VipName, String>;
