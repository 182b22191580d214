//! The first frames of a connection between two nodes: the sender's identity, the receiver that it expects, and the answer.

use crate::model::{NodeId, NodeName};
use serde::{Deserialize, Serialize};

/// The version of the protocol between nodes over TCP. Nodes of different versions refuse each other.
pub const PROTOCOL_VERSION: u16 = 7;
/// Longest hello and answer to it: a few numbers and a cluster id.
pub const MAX_HELLO_BYTES: usize = 1 << 10;

/// First frame of every connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`]; stands first in every version.
    pub version: u16,
    /// The sender's cluster; `None`: the sender is no member now and may only ask to join, or for its certificate.
    pub cluster_id: Option<String>,
    /// The sender, where it has a number.
    pub from: Option<NodeId>,
    /// The receiver that is meant, where that matters: after a disk was replaced, another number answers at the same address.
    pub to: Option<NodeId>,
}

/// Answer to [`Hello`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Welcome {
    /// The connection is accepted.
    Welcome,
    /// The connection is refused.
    No(HelloRefusal),
}

/// Why a connection was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum HelloRefusal {
    /// Another version of the protocol.
    #[error("it has protocol version {theirs}, this node {}: install the same lvs-agent version on both", PROTOCOL_VERSION)]
    WrongVersion {
        /// The other side's version.
        theirs: u16,
    },
    /// The other side belongs to another cluster.
    #[error("it belongs to cluster {theirs}, another one")]
    WrongCluster {
        /// The other side's.
        theirs: String,
    },
    /// Another node answers at this address.
    #[error("node {theirs} answers there")]
    SomebodyElse {
        /// Who.
        theirs: NodeId,
    },
    /// The sender was a member.
    #[error("{id} was removed from the cluster: run `lvs-agent leave` on it{}", way_back(barred.as_ref()))]
    Removed {
        /// The number it had.
        id: NodeId,
        /// Its name, where that is kept out until it is allowed back.
        barred: Option<NodeName>,
    },
    /// The sender's certificate is not that of the member it says it is.
    #[error("it says that it is {says}, but its certificate is {certificate}")]
    NotYou {
        /// Who it says it is.
        says: NodeId,
        /// What its certificate says.
        certificate: String,
    },
    /// The sender has shown no certificate.
    #[error("only members may ask that, and it has shown no certificate")]
    NoCertificate,
    /// The sender's certificate has ended since it connected, or the connection has reached its maximum age.
    #[error("the connection is too old: connect again")]
    Stale,
    /// With an external CA, whose certificates have no number: the certificate is of no member that the other side knows.
    #[error(
        "no member called {name} is known there yet; if that stays so, restart the agent of the leader (`lvs-agent status` names it) until one leads that \
         is known there"
    )]
    Unknown {
        /// Whose certificate it is.
        name: NodeName,
    },
    /// As `Unknown`, and the name is barred as far as the other side knows.
    #[error("{name} was removed from the cluster: run `lvs-agent node allow {name}` on a director if it shall come back")]
    Barred {
        /// Whose certificate it is.
        name: NodeName,
    },
}

fn way_back(barred: Option<&NodeName>) -> String {
    let allow = barred.map(|name| format!("run `lvs-agent node allow {name}` on a director and `lvs-agent join SEED` here"));
    let words = allow.unwrap_or_else(|| "run `lvs-agent join SEED --token T` here".to_owned());
    format!("; if it shall be a member again, then {words}")
}
