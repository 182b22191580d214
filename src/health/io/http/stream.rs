//! A connection that gives hyper the response head as [`Heads`] has rewritten it. What is sent, and the body, pass unchanged.

use super::head::Heads;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Most bytes of a head that are read at a time.
const CHUNK_BYTES: usize = 8 << 10;

/// See the file's first line.
#[derive(Debug)]
pub struct Lenient {
    stream: TcpStream,
    /// `Some` until the head is whole.
    heads: Option<Heads>,
    /// The rewritten head and the first bytes of the body; `read` of them have been read.
    ready: Vec<u8>,
    read: usize,
}

impl Lenient {
    /// Reads one response from `stream`.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, heads: Some(Heads::default()), ready: Vec::new(), read: 0 }
    }
}

impl AsyncRead for Lenient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while let Some(heads) = &mut this.heads {
            let mut bytes = [0; CHUNK_BYTES];
            let mut chunk = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut chunk))?;
            // A response that ends before its head does: hyper reports it as incomplete when nothing more comes.
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if let Some(ready) = heads.take(chunk.filled()).map_err(io::Error::other)? {
                (this.ready, this.heads) = (ready, None);
            }
        }
        let rest = &this.ready[this.read..];
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, to);
        }
        let taken = rest.len().min(to.remaining());
        to.put_slice(&rest[..taken]);
        this.read += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lenient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
