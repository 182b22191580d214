//! The CLI's client: one request to an agent, over its unix socket or over mutual TLS, with a deadline.

mod connect;
mod error;

pub use connect::RemoteAgent;
pub use error::ClientError;

use super::{
    CHANGE_DEADLINE, JOIN_DEADLINE, READ_DEADLINE,
    message::{
        ApplyAnswer, ApplyRequest, IdentityMade, IdentityRequest, IdentityStatus, InitAnswer, InitRequest, JoinAnswer, JoinOrder,
        LeaveRequest, PlanAnswer, PlanRequest, RolesRequest, TokenMade, TokenRequest, TokenStatus, Version, WithdrawAnswer,
    },
    status::Status,
};
use crate::model::{IdentityName, NodeName, Roles, TokenId};
use connect::AgentEndpoint;
use hyper::{Method, body::Bytes};
use serde::{Serialize, de::DeserializeOwned};
use std::{path::PathBuf, time::Duration};
use tokio::time::timeout;

/// The agent's own deadlines are shorter, so that the user sees the agent's answer and not a timeout.
const SLACK: Duration = Duration::from_secs(5);

/// A client of one agent.
#[derive(Clone, Debug)]
pub struct Client {
    place: AgentEndpoint,
}

/// Every request gives the server's answer, or a [`ClientError`].
#[expect(clippy::missing_errors_doc, reason = "the same for all, see above")]
impl Client {
    /// A client of the agent that listens on `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { place: AgentEndpoint::Socket(socket.into()) }
    }

    /// A client of a remote agent.
    pub fn remote(server: RemoteAgent) -> Self {
        Self { place: AgentEndpoint::Remote(server) }
    }

    /// What the agent knows.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// Which agent it is.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.get("/v1/version").await
    }

    /// The cluster file.
    pub async fn export(&self) -> Result<String, ClientError> {
        let bytes = self.ask(Method::GET, "/v1/export", Bytes::new(), READ_DEADLINE).await?;
        String::from_utf8(bytes.into()).map_err(|error| ClientError::Protocol(error.to_string()))
    }

    /// What a cluster file would change.
    pub async fn plan(&self, request: &PlanRequest) -> Result<PlanAnswer, ClientError> {
        self.send(Method::POST, "/v1/plan", request, READ_DEADLINE).await
    }

    /// Makes a cluster file the cluster's rules.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyAnswer, ClientError> {
        self.send(Method::POST, "/v1/apply", request, CHANGE_DEADLINE).await
    }

    /// Makes a new cluster.
    pub async fn init(&self, request: &InitRequest) -> Result<InitAnswer, ClientError> {
        self.send(Method::POST, "/v1/init", request, CHANGE_DEADLINE).await
    }

    /// Joins a cluster.
    pub async fn join(&self, request: &JoinOrder) -> Result<JoinAnswer, ClientError> {
        self.send(Method::POST, "/v1/join", request, JOIN_DEADLINE).await
    }

    /// Leaves the cluster.
    pub async fn leave(&self, request: &LeaveRequest) -> Result<(), ClientError> {
        self.order(Method::POST, "/v1/leave", request, JOIN_DEADLINE).await
    }

    /// Takes the node out of service.
    pub async fn withdraw(&self) -> Result<WithdrawAnswer, ClientError> {
        self.send(Method::POST, "/v1/withdraw", &(), CHANGE_DEADLINE).await
    }

    /// Has the worker replaced by a new one.
    pub async fn restart_worker(&self) -> Result<(), ClientError> {
        self.order(Method::POST, "/v1/restart-worker", &(), CHANGE_DEADLINE).await
    }

    /// The valid join tokens.
    pub async fn tokens(&self) -> Result<Vec<TokenStatus>, ClientError> {
        self.get("/v1/tokens").await
    }

    /// Makes a join token.
    pub async fn make_token(&self, request: &TokenRequest) -> Result<TokenMade, ClientError> {
        self.send(Method::POST, "/v1/tokens", request, CHANGE_DEADLINE).await
    }

    /// Revokes a join token.
    pub async fn revoke_token(&self, id: TokenId) -> Result<(), ClientError> {
        self.order(Method::DELETE, &format!("/v1/tokens/{id}"), &(), CHANGE_DEADLINE).await
    }

    /// Takes another node out of the cluster for good.
    pub async fn remove_node(&self, name: &NodeName) -> Result<(), ClientError> {
        self.order(Method::DELETE, &format!("/v1/nodes/{name}"), &(), CHANGE_DEADLINE).await
    }

    /// Allows a removed node again whose certificate an external CA has signed.
    pub async fn allow_node(&self, name: &NodeName) -> Result<(), ClientError> {
        self.order(Method::POST, &format!("/v1/nodes/{name}/allow"), &(), CHANGE_DEADLINE).await
    }

    /// Gives a node other roles.
    pub async fn set_roles(&self, name: &NodeName, roles: &Roles) -> Result<(), ClientError> {
        let request = RolesRequest { roles: roles.clone() };
        self.order(Method::PUT, &format!("/v1/nodes/{name}/roles"), &request, CHANGE_DEADLINE).await
    }

    /// Begins to replace the gossip key.
    pub async fn rotate_keys(&self) -> Result<(), ClientError> {
        self.order(Method::POST, "/v1/keys/rotate", &(), CHANGE_DEADLINE).await
    }

    /// Begins to replace the CA and every node's certificate.
    pub async fn rotate_authority(&self) -> Result<(), ClientError> {
        self.order(Method::POST, "/v1/ca/rotate", &(), CHANGE_DEADLINE).await
    }

    /// The identities that may use the remote API.
    pub async fn identities(&self) -> Result<Vec<IdentityStatus>, ClientError> {
        self.get("/v1/identities").await
    }

    /// Makes a certificate for the remote API.
    pub async fn make_identity(&self, request: &IdentityRequest) -> Result<IdentityMade, ClientError> {
        self.send(Method::POST, "/v1/identities", request, CHANGE_DEADLINE).await
    }

    /// Revokes a remote identity's certificate.
    pub async fn revoke_identity(&self, name: &IdentityName) -> Result<(), ClientError> {
        self.order(Method::DELETE, &format!("/v1/identities/{name}"), &(), CHANGE_DEADLINE).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        decode(&self.ask(Method::GET, path, Bytes::new(), READ_DEADLINE).await?)
    }

    async fn order<B: Serialize>(&self, method: Method, path: &str, body: &B, deadline: Duration) -> Result<(), ClientError> {
        self.send::<_, serde_json::Value>(method, path, body, deadline).await.map(|_| ())
    }

    async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Protocol(error.to_string()))?;
        // A change may have to wait for another one first.
        decode(&self.ask(method, path, body.into(), deadline + READ_DEADLINE).await?)
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes, deadline: Duration) -> Result<Bytes, ClientError> {
        let deadline = deadline + SLACK;
        timeout(deadline, self.place.exchange(method, path, body)).await.map_err(|_| ClientError::NoAnswer(deadline))?
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| ClientError::Protocol(error.to_string()))
}
