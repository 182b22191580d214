//! TLS over a TCP connection, and who is on the other side of it. The caller sets the deadline.

use crate::link::{certificate::Certificate, tls::Credentials};
use std::io;
use tokio::net::TcpStream;

/// An encrypted connection.
pub type TlsStream = tokio_rustls::TlsStream<TcpStream>;

/// Connects as a client. The other side has proved the certificate that is given back.
///
/// # Errors
/// The handshake's, in words that name the cause: an unknown CA, an expired certificate, this machine's clock.
pub async fn connect(_stream: TcpStream, _credentials: &Credentials) -> io::Result<(TlsStream, Certificate)> {
    unimplemented!()
}

/// Accepts as a server. `None`: the client has no certificate.
///
/// # Errors
/// As [`connect`].
pub async fn accept(_stream: TcpStream, _credentials: &Credentials) -> io::Result<(TlsStream, Option<Certificate>)> {
    unimplemented!()
}
