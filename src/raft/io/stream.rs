//! The one place where connections between nodes are made and taken. Certificates will come in here.

use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A connection to another node.
pub type Stream = Box<dyn Duplex>;

/// Connects to the node at `addr`. Cancel-safe; waits as long as TCP does, the caller sets the deadline.
///
/// # Errors
/// What the operating system says.
pub async fn connect(addr: SocketAddr) -> io::Result<Stream> {
    wrap(TcpStream::connect(addr).await?)
}

/// Waits for another node to connect. Cancel-safe.
///
/// # Errors
/// What the operating system says; the listener stays good.
pub async fn accept(listener: &TcpListener) -> io::Result<(Stream, SocketAddr)> {
    let (stream, from) = listener.accept().await?;
    Ok((wrap(stream)?, from))
}

fn wrap(stream: TcpStream) -> io::Result<Stream> {
    // Every frame is a question or an answer: none should wait for more.
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}
