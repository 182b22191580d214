//! One exchange with an agent: a connection, a request, its answer.

use super::error::ClientError;
use crate::{
    api::MAX_ANSWER_BYTES,
    link::{
        certificate::Subject,
        io::handshake::{self, TlsStream},
        tls::Credentials,
    },
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use std::{error::Error, io, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};

/// How long a connection and its handshake may take, per address.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Most addresses of one host name that are tried.
const MAX_ADDRESSES: usize = 4;

/// A remote agent, and what proves us to it and it to us.
#[derive(Clone, Debug)]
pub struct Server {
    /// `HOST:PORT`, the host an address or a name.
    pub name: String,
    /// Our certificate, and the CAs that the agent's must be of.
    pub credentials: Credentials,
}

/// Where the agent is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Socket(PathBuf),
    Server(Server),
}

impl Place {
    /// The answer's body, if it is 200.
    pub(super) async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "lvs-agent")
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        match self {
            Place::Socket(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(|source| match source.kind() {
                    io::ErrorKind::PermissionDenied => ClientError::NotAllowed(socket.clone()),
                    _ => ClientError::NotReachable { socket: socket.clone(), source },
                })?;
                over(stream, request).await.map_err(|error| ClientError::Protocol(error.to_string()))?
            }
            Place::Server(server) => {
                let stream = server.connect().await?;
                over(stream, request).await.map_err(|error| server.broken(&error))?
            }
        }
    }
}

impl Server {
    async fn connect(&self) -> Result<TlsStream, ClientError> {
        let unreachable = |source| ClientError::ServerNotReachable { server: self.name.clone(), source };
        // Statically linked, this program knows no more names than the C library's files tell.
        let nameless = |error: io::Error| io::Error::new(error.kind(), format!("{error}; name its address instead"));
        let addresses = lookup_host(&self.name).await.map_err(|error| unreachable(nameless(error)))?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in addresses.take(MAX_ADDRESSES) {
            match timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.shake_hands(stream).await,
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer"),
            }
        }
        Err(unreachable(last))
    }

    async fn shake_hands(&self, stream: TcpStream) -> Result<TlsStream, ClientError> {
        let unreachable = |source| ClientError::ServerNotReachable { server: self.name.clone(), source };
        let shaken = timeout(CONNECT_DEADLINE, handshake::connect(stream, &self.credentials)).await;
        let shaken = shaken.map_err(|_| unreachable(io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake")))?;
        let (stream, certificate) = shaken.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => self.not_trusted(error.to_string()),
            _ => unreachable(error),
        })?;
        match certificate.subject {
            Subject::Node { .. } => Ok(stream),
            // An identity of the same CA must not pass for an agent.
            Subject::Identity { name, .. } => {
                Err(self.not_trusted(format!("it shows the certificate of the remote identity {name}, not a node's")))
            }
        }
    }

    fn not_trusted(&self, why: String) -> ClientError {
        ClientError::NotTrusted { server: self.name.clone(), why }
    }

    /// An exchange that broke off. In TLS 1.3 a server says only now that it does not take our certificate.
    fn broken(&self, error: &hyper::Error) -> ClientError {
        let mut cause = error.source();
        let io = loop {
            match cause {
                None => break None,
                Some(found) => match found.downcast_ref::<io::Error>() {
                    Some(io) => break Some(io),
                    None => cause = found.source(),
                },
            }
        };
        match io {
            Some(io) if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) => {
                self.not_trusted(handshake::explain(io::Error::new(io.kind(), tls.clone())).to_string())
            }
            Some(io) => {
                let source = io::Error::new(io.kind(), format!("the connection broke: {io}"));
                ClientError::ServerNotReachable { server: self.name.clone(), source }
            }
            None => ClientError::Protocol(error.to_string()),
        }
    }
}

/// The outer error is the connection's, the inner one the agent's.
async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Result<Bytes, ClientError>, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let code = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    driver.abort();
    Ok(match body {
        Err(error) => Err(ClientError::Protocol(error.to_string())),
        Ok(body) if code == StatusCode::OK => Ok(body.to_bytes()),
        Ok(body) => Err(refused(code, &body.to_bytes())),
    })
}

fn refused(code: StatusCode, bytes: &[u8]) -> ClientError {
    match serde_json::from_slice(bytes) {
        Ok(body) => ClientError::Refused { code: code.as_u16(), body },
        Err(_) => ClientError::Protocol(format!("HTTP status {code} without an explanation")),
    }
}
