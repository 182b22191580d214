//! An nfnetlink socket: one transaction at a time, whose result is there when the system call that sends it returns.

use super::wire::Batch;
use crate::kernel::{
    DataPlaneError,
    io::ipvs::frame::{KernelRefusal, frames},
};
use netlink_sys::{Socket as Netlink, SocketAddr, protocols::NETLINK_NETFILTER};
use std::io;

/// A batch has under 30 bytes for each element, four elements for each of 1024 VIPs with a few addresses.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// Answers to a batch that is wrong everywhere: one for each of its messages.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// An acknowledgement is under 1 KiB: the request comes back as its header alone.
const ANSWER_BYTES: usize = 8 * 1024;
/// Datagrams that are read for one batch, old ones included.
const MOST_ANSWERS: usize = 4096;

/// Why the fence could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The socket.
    #[error("cannot {0} for nftables")]
    Socket(&'static str, #[source] io::Error),
    /// The kernel did nothing of the batch.
    #[error("the kernel refuses the table lvs-agent of nftables{}", said(.0))]
    Refused(KernelRefusal, #[source] io::Error),
    /// It said nothing, or what is not understood.
    #[error("the kernel does not say what became of a change in nftables")]
    Unanswered(#[source] Option<DataPlaneError>),
}

fn said(refusal: &KernelRefusal) -> String {
    refusal.text.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

impl FenceError {
    /// The kernel's error number.
    pub fn errno(&self) -> Option<i32> {
        match self {
            FenceError::Refused(refusal, _) => Some(refusal.errno),
            FenceError::Socket(_, source) => source.raw_os_error(),
            FenceError::Unanswered(_) => None,
        }
    }
}

/// See the file's first line.
pub struct Socket {
    inner: Netlink,
    /// Of the next message.
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open() -> Result<Self, FenceError> {
        let failed = |source| FenceError::Socket("open a socket", source);
        let mut inner = Netlink::new(NETLINK_NETFILTER).map_err(failed)?;
        inner.bind_auto().map_err(failed)?;
        inner.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        inner.set_non_blocking(true).map_err(failed)?;
        inner.set_cap_ack(true).map_err(failed)?;
        inner.set_ext_ack(true).map_err(failed)?;
        // Without CAP_NET_ADMIN nothing of this would work; the defaults are enough for hundreds of VIPs.
        rustix::net::sockopt::set_socket_send_buffer_size_force(&inner, SEND_BUFFER_BYTES).ok();
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&inner, RECEIVE_BUFFER_BYTES).ok();
        Ok(Self { inner, sequence: 1, buffer: Vec::with_capacity(ANSWER_BYTES) })
    }

    /// Has the kernel do a batch, made with the number of its first message.
    ///
    /// The kernel works through it within `send`, and its answers are in the receive buffer afterwards: there is nothing to wait for. It waits itself for
    /// another transaction of this network namespace that is under way.
    pub fn commit(&mut self, make: impl FnOnce(u32) -> Batch) -> Result<(), FenceError> {
        let batch = make(self.sequence);
        self.sequence = batch.last.wrapping_add(2);
        let sent = self.inner.send(&batch.bytes, 0).map_err(|source| FenceError::Socket("send a change", source))?;
        if sent != batch.bytes.len() {
            return Err(FenceError::Socket("send a change", io::ErrorKind::WriteZero.into()));
        }
        self.result(&batch)
    }

    /// The first refusal, or the acknowledgement of the last message, which the kernel sends when it has done all.
    fn result(&mut self, batch: &Batch) -> Result<(), FenceError> {
        let (mut refusal, mut is_done) = (None, false);
        for _ in 0..MOST_ANSWERS {
            self.buffer.clear();
            match self.inner.recv(&mut self.buffer, 0) {
                Ok(_) => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(FenceError::Socket("see a change acknowledged", source)),
            }
            for frame in frames(&self.buffer) {
                let frame = frame.map_err(|error| FenceError::Unanswered(Some(error)))?;
                if frame.sequence.wrapping_sub(batch.first) > batch.last.wrapping_sub(batch.first).wrapping_add(1) {
                    continue; // of a batch that was given up
                }
                match frame.acknowledgement() {
                    None => (),
                    Some(Err(error)) => return Err(FenceError::Unanswered(Some(error))),
                    Some(Ok(Err(refused))) => drop(refusal.get_or_insert(refused)),
                    Some(Ok(Ok(()))) => is_done |= frame.sequence == batch.last,
                }
            }
        }
        match refusal {
            Some(refusal) => {
                let source = io::Error::from_raw_os_error(refusal.errno);
                Err(FenceError::Refused(refusal, source))
            }
            None if is_done => Ok(()),
            None => Err(FenceError::Unanswered(None)),
        }
    }
}
