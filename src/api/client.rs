//! The CLI's way in: one request over the agent's unix socket, with a deadline.

use super::{
    CHANGE_DEADLINE, JOIN_DEADLINE, MAX_ANSWER_BYTES, READ_DEADLINE,
    message::{ApplyAnswer, ApplyRequest, ErrorBody, Founded, InitRequest, JoinRequest, Membership, Plan, PlanRequest, Version},
    status::Status,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::{io, path::PathBuf, time::Duration};
use tokio::{net::UnixStream, time::timeout};

/// The agent's own deadlines come first, so that its answer says more than a client's timeout.
const SLACK: Duration = Duration::from_secs(5);

/// Why there is no answer, or what it says against the request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("cannot reach the agent at {}: is `lvs-agent run` running? (systemctl status lvs-agent)", socket.display())]
    NotReachable {
        /// Where.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket is root's.
    #[error("not allowed to talk to the agent at {}: run this as root", .0.display())]
    NotAllowed(PathBuf),
    /// It listens but does not answer.
    #[error("the agent did not answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// It answers something else than this protocol.
    #[error("the agent's answer was not understood: {0}")]
    Protocol(String),
    /// It says no.
    #[error("{}", body.error)]
    Refused {
        /// The HTTP status.
        code: u16,
        /// What it says.
        body: ErrorBody,
    },
}

/// The agent at one socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Every request answers with what the server makes of it, or a [`ClientError`].
#[expect(clippy::missing_errors_doc, reason = "the same for all, see above")]
impl Client {
    /// A client of the agent that listens on `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
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
    pub async fn plan(&self, request: &PlanRequest) -> Result<Plan, ClientError> {
        self.post("/v1/plan", request, READ_DEADLINE).await
    }

    /// Makes a cluster file the cluster's rules.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyAnswer, ClientError> {
        self.post("/v1/apply", request, CHANGE_DEADLINE).await
    }

    /// Makes a new cluster.
    pub async fn init(&self, request: &InitRequest) -> Result<Founded, ClientError> {
        self.post("/v1/init", request, CHANGE_DEADLINE).await
    }

    /// Joins a cluster.
    pub async fn join(&self, request: &JoinRequest) -> Result<Membership, ClientError> {
        self.post("/v1/join", request, JOIN_DEADLINE).await
    }

    /// Leaves the cluster.
    pub async fn leave(&self) -> Result<(), ClientError> {
        self.post::<_, serde_json::Value>("/v1/leave", &(), JOIN_DEADLINE).await.map(|_| ())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        decode(&self.ask(Method::GET, path, Bytes::new(), READ_DEADLINE).await?)
    }

    async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B, deadline: Duration) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Protocol(error.to_string()))?;
        // A change may wait for its turn first.
        decode(&self.ask(Method::POST, path, body.into(), deadline + READ_DEADLINE).await?)
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes, deadline: Duration) -> Result<Bytes, ClientError> {
        let deadline = deadline + SLACK;
        timeout(deadline, self.exchange(method, path, body)).await.map_err(|_| ClientError::NoAnswer(deadline))?
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let protocol = |error: &dyn std::error::Error| ClientError::Protocol(error.to_string());
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| self.unreachable(source))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| protocol(&e))?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "lvs-agent")
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|e| protocol(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| protocol(&e))?;
        let code = answer.status();
        let bytes = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|e| protocol(&*e))?.to_bytes();
        driver.abort();
        if code == StatusCode::OK { Ok(bytes) } else { Err(refused(code, &bytes)) }
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed(self.socket.clone()),
            _ => ClientError::NotReachable { socket: self.socket.clone(), source },
        }
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| ClientError::Protocol(error.to_string()))
}

fn refused(code: StatusCode, bytes: &[u8]) -> ClientError {
    match serde_json::from_slice(bytes) {
        Ok(body) => ClientError::Refused { code: code.as_u16(), body },
        Err(_) => ClientError::Protocol(format!("HTTP status {code} without an explanation")),
    }
}
