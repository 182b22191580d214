//! Whole values between two processes of one node, over a socketpair that preserves packets (`SOCK_SEQPACKET`, unix(7)).

use crate::link::codec::{self, CodecError};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
        sockopt::{socket_domain, socket_type},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tokio::io::unix::AsyncFd;

/// Why a value could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// The socket failed. It is of no use any more.
    #[error("socket failed")]
    Socket(#[source] io::Error),
    /// The packet is not such a value, or too long. The next packet may be understood again.
    #[error("packet is not understood")]
    Codec(#[from] CodecError),
}

/// Makes a pair. Both ends are closed on exec.
///
/// # Errors
/// The system's.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Whether this is an end of such a pair.
pub fn is_packet_socket(fd: impl AsFd) -> bool {
    socket_domain(&fd).ok() == Some(AddressFamily::UNIX) && socket_type(&fd).ok() == Some(SocketType::SEQPACKET)
}

/// One end, on the current runtime. Other processes that have this end open may read and write it at the same time; each packet goes to one reader.
#[derive(Debug)]
pub struct Packets {
    fd: AsyncFd<OwnedFd>,
}

impl Packets {
    /// Serves one end.
    ///
    /// # Errors
    /// The system's.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, for as long as it lives.
        let fd = unsafe { AsyncFd::register(fd) }?;
        Ok(Self { fd })
    }

    /// Sends one value, whole or not at all. Cancel-safe. Waits while the other end has no room; the caller sets the deadline.
    pub async fn send<T: Serialize>(&self, value: &T, limit: usize) -> Result<(), PacketError> {
        let bytes = codec::encode(value, limit)?;
        loop {
            let mut ready = self.fd.writable().await.map_err(PacketError::Socket)?;
            match ready.try_io(|fd| Ok(send(fd, &bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)) {
                Ok(sent) => return sent.map(drop).map_err(PacketError::Socket),
                Err(_would_block) => {}
            }
        }
    }

    /// The next value; `None` when the other end is closed. Cancel-safe.
    pub async fn receive<T: DeserializeOwned>(&self, limit: usize) -> Result<Option<T>, PacketError> {
        // One byte more, so that a packet that is too long is noticed.
        let mut buffer = vec![0; limit + 1];
        loop {
            let mut ready = self.fd.readable().await.map_err(PacketError::Socket)?;
            match ready.try_io(|fd| Ok(recv(fd, &mut buffer[..], RecvFlags::DONTWAIT)?.0)) {
                Ok(Ok(0)) => return Ok(None),
                // The other end was closed with packets unread.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::CONNRESET.raw_os_error()) => return Ok(None),
                Ok(Ok(length)) => return Ok(Some(codec::decode(&buffer[..length], limit)?)),
                Ok(Err(error)) => return Err(PacketError::Socket(error)),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_arrive_whole_and_the_end_is_seen() {
        let (one, other) = pair().unwrap();
        assert!(is_packet_socket(&one) && !is_packet_socket(io::stdin()));
        let (one, other) = (Packets::new(one).unwrap(), Packets::new(other).unwrap());
        one.send(&"a".to_owned(), 100).await.unwrap();
        one.send(&"b".repeat(300), 400).await.unwrap();
        one.send(&"c".to_owned(), 100).await.unwrap();
        assert_eq!(other.receive::<String>(100).await.unwrap().as_deref(), Some("a"));
        assert!(matches!(other.receive::<String>(100).await, Err(PacketError::Codec(_))));
        assert_eq!(other.receive::<String>(100).await.unwrap().as_deref(), Some("c"));
        assert!(matches!(one.send(&"d".repeat(300), 100).await, Err(PacketError::Codec(_))));
        other.send(&7_u32, 100).await.unwrap();
        drop(other);
        assert_eq!(one.receive::<u32>(100).await.unwrap(), Some(7));
        assert_eq!(one.receive::<u32>(100).await.unwrap(), None);
        assert!(matches!(one.send(&7_u32, 100).await, Err(PacketError::Socket(_))));
    }
}
