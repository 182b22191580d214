//! The one place where connections between nodes are made and taken: TCP, and TLS 1.3 on it.

use crate::{
    link::{
        certificate::Certificate,
        fingerprint::fingerprint,
        io::handshake::{self, TlsStream},
        tls::Credentials,
    },
    model::Fingerprint,
};
use std::{io, net::SocketAddr};
use tokio::net::{TcpListener, TcpStream};

/// A connection to another node. Boxed: it is moved about, and its TLS state is large.
pub type Stream = Box<TlsStream>;

/// A connection that this node made.
pub struct Connected {
    /// The bytes.
    pub stream: Stream,
    /// Who is there.
    pub certificate: Certificate,
    /// The CAs that it has shown with its certificate.
    pub authorities: Vec<Fingerprint>,
}

/// Why there is no connection.
pub enum NotConnected {
    /// Nobody listens there.
    Tcp(io::Error),
    /// Somebody does, but one does not believe the other.
    Tls(io::Error),
}

/// Connects to the node at `addr`. Cancel-safe; waits as long as TCP and the other side do, the caller sets the deadline.
///
/// # Errors
/// What the operating system says, or TLS.
pub async fn connect(addr: SocketAddr, credentials: &Credentials) -> Result<Connected, NotConnected> {
    let stream = TcpStream::connect(addr).await.and_then(at_once).map_err(NotConnected::Tcp)?;
    let (stream, certificate) = handshake::connect(stream, credentials).await.map_err(NotConnected::Tls)?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let authorities = chain.iter().skip(1).map(|der| fingerprint(der)).collect();
    Ok(Connected { stream: Box::new(stream), certificate, authorities })
}

/// Waits for another node to connect. Nothing has been heard of it then. Cancel-safe.
///
/// # Errors
/// What the operating system says; the listener stays good.
pub async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, from) = listener.accept().await?;
    Ok((at_once(stream)?, from))
}

/// Hears who has connected; `None`: it has shown no certificate. The caller sets the deadline.
///
/// # Errors
/// TLS's.
pub async fn secure(stream: TcpStream, credentials: &Credentials) -> io::Result<(Stream, Option<Certificate>)> {
    let (stream, certificate) = handshake::accept(stream, credentials).await?;
    Ok((Box::new(stream), certificate))
}

/// Every frame is a question or an answer: none should wait for more.
fn at_once(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}
