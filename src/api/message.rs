//! Bodies of requests and answers.

use super::formats::Formats;
use crate::{
    base::build::VERSION,
    model::{Access, Fingerprint, IdentityName, NodeName, Roles, TokenId},
    rules::{Difference, Warning},
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};
use zeroize::Zeroizing;

/// Asks what a cluster file would change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The file's name, for messages.
    pub file_name: String,
    /// The file.
    pub text: String,
    /// An empty file is intended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,
}

/// What a cluster file would change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// The rules' revision that the file was compared with; `apply` takes it as `base_revision`.
    pub revision: u64,
    /// Empty when the file says what the cluster has.
    pub changes: Vec<Difference>,
    /// Warnings: the parts of the file that are legal but probably not meant, as far as the answering node knows. Empty from older agents.
    #[serde(default)]
    pub warnings: Vec<Warning>,
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
    /// An empty file is intended: all rules are deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,
    /// Refuse when there are warnings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

/// The result of an `apply`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApplyAnswer {
    /// The rules' revision now.
    pub revision: u64,
    /// The rules were not the same before.
    pub changed: bool,
    /// What changed, compared with what this node had.
    pub changes: Vec<Difference>,
    /// As in [`PlanAnswer`], from before the change.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// Asks to make a new cluster. It has no fields yet: name, roles and timing are `agent.toml`'s.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitRequest {}

/// Asks to join a cluster. Debug does not show the token.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinOrder {
    /// Members to ask; `agent.toml`'s where there are none.
    #[serde(default)]
    pub seeds: Vec<SocketAddr>,
    /// The join token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Zeroizing<String>>,
}

/// Asks to leave. Clients of earlier versions send `null`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaveRequest {
    /// Leave without telling other nodes: the data on this machine is removed, the cluster still counts this node.
    #[serde(default)]
    pub force: bool,
    /// Leave even if the cluster ends with this node, or has no director left that is heard: without this such a request gets 428.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
}

/// A node was taken out of service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WithdrawAnswer {
    /// Which.
    pub node: NodeName,
    /// It stays out of service until its agent is restarted; `false`: it is in no cluster, so that it had no service to be taken out of.
    pub withdrawn: bool,
    /// How many changes put its kernel back.
    pub changes: usize,
    /// What the cluster lacks without it, one line each.
    pub warnings: Vec<String>,
}

/// A cluster was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InitAnswer {
    /// The cluster, and this node in it.
    #[serde(flatten)]
    pub membership: JoinAnswer,
    /// The address at which the other nodes reach this one.
    pub seed: SocketAddr,
    /// A token for the others, of any role; `None` where certificates come from elsewhere.
    pub token: Option<TokenMade>,
}

/// Asks for a join token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Its lifetime, in seconds.
    pub ttl_s: u64,
    /// How many nodes may join with it.
    pub uses: u32,
    /// What they may be.
    pub roles: Roles,
}

/// A join token. Its secret is given out only here. Debug does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMade {
    /// The secret itself.
    pub token: Zeroizing<String>,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub status: TokenStatus,
}

/// A join token without its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TokenStatus {
    /// Its name.
    pub id: TokenId,
    /// What nodes that join with it may be.
    pub roles: Roles,
    /// How many may still join.
    pub uses_left: u32,
    /// When it ends.
    pub expires_unix_s: u64,
    /// On which node it was made.
    pub made_by: NodeName,
}

/// Asks for a node's new roles.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolesRequest {
    /// All that it is to do.
    pub roles: Roles,
}

/// Asks for a certificate for the remote API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityRequest {
    /// Its name.
    pub name: IdentityName,
    /// What it may do.
    pub access: Access,
    /// How long it lasts, in seconds.
    pub ttl_s: u64,
}

/// A certificate for the remote API. Its private key is given out only here. Debug does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityMade {
    /// PEM: private key, certificate, and the CAs to trust.
    pub bundle: Zeroizing<String>,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub status: IdentityStatus,
}

/// An identity that may use the remote API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IdentityStatus {
    /// Its name.
    pub name: IdentityName,
    /// What it may do.
    pub access: Access,
    /// SHA-256 of its certificate.
    pub certificate: Fingerprint,
    /// When it ends.
    pub expires_unix_s: u64,
}

/// The cluster that this node is a member of now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The cluster's identity.
    pub cluster_id: String,
    /// This node.
    pub node: NodeName,
}

/// The version of the program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Version {
    /// See [`VERSION`].
    pub version: String,
    /// The formats that it speaks; `None` from agents that do not tell.
    #[serde(default)]
    pub formats: Option<Formats>,
    /// The process that answers, by which a worker is told from its successor; `None` from agents that do not tell.
    #[serde(default)]
    pub pid: Option<u32>,
}

impl Version {
    /// This program's.
    pub fn this() -> Self {
        Self { version: VERSION.to_owned(), formats: Some(Formats::this()), pid: Some(std::process::id()) }
    }
}

/// The reason why a request was not done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// In one line.
    pub error: String,
    /// One line each; for an invalid file, every problem with its place.
    #[serde(default)]
    pub details: Vec<String>,
}

impl fmt::Debug for JoinOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "join {:?} {} a token", self.seeds, if self.token.is_some() { "with" } else { "without" })
    }
}

impl fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

impl fmt::Debug for IdentityMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    #[test]
    fn secrets_are_in_the_json_and_not_in_the_log() {
        let request = JoinOrder { seeds: Vec::new(), token: Some(Zeroizing::new("lvs1_secret".to_owned())) };
        let status = TokenStatus {
            id: TokenId([1; 8]),
            roles: Roles::new([Role::Witness]).unwrap(),
            uses_left: 1,
            expires_unix_s: 1,
            made_by: "d1".parse().unwrap(),
        };
        let token = TokenMade { token: Zeroizing::new("lvs1_secret".to_owned()), status };
        let status = IdentityStatus {
            name: "ann".parse().unwrap(),
            access: Access::Admin,
            certificate: Fingerprint([1; 32]),
            expires_unix_s: 1,
        };
        let identity = IdentityMade { bundle: Zeroizing::new("lvs1_secret".to_owned()), status };
        for (logged, json) in [
            (format!("{request:?}"), serde_json::to_string(&request).unwrap()),
            (format!("{token:?}"), serde_json::to_string(&token).unwrap()),
            (format!("{identity:?}"), serde_json::to_string(&identity).unwrap()),
        ] {
            assert!(!logged.contains("secret") && json.contains("secret"), "{logged} {json}");
        }
    }
}
