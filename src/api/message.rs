//! Bodies of requests and answers.

use crate::{model::NodeName, rules::Difference};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Asks what a cluster file would change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The file's name, for messages.
    pub file_name: String,
    /// The file.
    pub text: String,
}

/// What a cluster file would change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The rules' revision that the file was compared with; `apply` takes it as `base_revision`.
    pub revision: u64,
    /// Empty when the file says what the cluster has.
    pub changes: Vec<Difference>,
}

/// Asks to make a cluster file the cluster's rules.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The file's name, for messages.
    pub file_name: String,
    /// The file.
    pub text: String,
    /// Refuse when the rules have another revision by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_revision: Option<u64>,
}

/// What an `apply` did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApplyAnswer {
    /// The rules' revision now.
    pub revision: u64,
    /// The rules were not the same before.
    pub changed: bool,
    /// What changed, compared with what this node had.
    pub changes: Vec<Difference>,
}

/// Asks to make a new cluster. Nothing to say yet: name, roles and timing are `agent.toml`'s.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitRequest {}

/// Asks to join a cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// Members to ask; `agent.toml`'s where there are none.
    #[serde(default)]
    pub seeds: Vec<SocketAddr>,
}

/// The cluster that this node is a member of now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Membership {
    /// The cluster's identity.
    pub cluster_id: String,
    /// This node.
    pub node: NodeName,
}

/// Which program this is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Version {
    /// As in `Cargo.toml`.
    pub version: String,
}

impl Version {
    /// This program's.
    pub fn this() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// Why a request was not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// In one line.
    pub error: String,
    /// One line each; for an invalid file, every problem with its place.
    #[serde(default)]
    pub details: Vec<String>,
}
