//! A generic-netlink socket: pipelined requests, every acknowledgement matched, every wait with a deadline.

use super::frame::{Frame, KernelRefusal, Request, frames};
use crate::base::errors::with_sources;
use crate::kernel::DataPlaneError;
use netlink_packet_core::{NLM_F_DUMP_INTR, NLMSG_DONE};
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_GENERIC};
use std::{collections::BTreeMap, io, time::Duration};
use tokio::time::timeout;

/// The kernel answers within the system call that asks; a scheduler's module may have to be loaded from disk meanwhile.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// The longest run of requests in one `send`.
const BATCH_BYTES: usize = 64 * 1024;
/// An acknowledgement takes under 1 KiB of the receive buffer, so that those of a batch fit even the default 208 KiB.
const BATCH_REQUESTS: usize = 200;
/// So many acknowledgements never overflow.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// The kernel dumps in pieces of at most 32 KiB; a longer one would be cut, and be found malformed.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// The result of a request in a pipeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestResult {
    /// Done.
    Done,
    /// The kernel refused.
    Refused(KernelRefusal),
    /// No acknowledgement: it overflowed, or came too late, or the request could not be sent.
    Unknown(String),
}

/// Whether a table was read in one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dumped {
    /// It was.
    Whole,
    /// It changed meanwhile (`NLM_F_DUMP_INTR`): read again.
    Interrupted,
}

/// One socket. After an error it may hold late answers: throw it away.
pub struct Socket {
    inner: TokioSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> DataPlaneError {
    move |source| DataPlaneError::Netlink { doing, source }
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open() -> Result<Self, DataPlaneError> {
        let mut inner = TokioSocket::new(NETLINK_GENERIC).map_err(failed("open a socket"))?;
        let socket = inner.socket_mut();
        socket.bind_auto().map_err(failed("bind a socket"))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed("connect to the kernel"))?;
        socket.set_cap_ack(true).map_err(failed("ask for short acknowledgements"))?;
        socket.set_ext_ack(true).map_err(failed("ask for acknowledgements in words"))?;
        // Beyond rmem_max only with CAP_NET_ADMIN; without, the batch size keeps us within the default.
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&*socket, RECEIVE_BUFFER_BYTES).ok();
        Ok(Self { inner, sequence: 0, buffer: Vec::with_capacity(DATAGRAM_BYTES) })
    }

    /// Sends every request, many in one system call, and gives back what became of each, in order. The kernel works through all of them
    /// whatever the others' fate.
    pub async fn pipeline(&mut self, requests: &[Request]) -> Vec<RequestResult> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut rest = requests;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_length(rest));
            answers.extend(self.send_batch(batch).await);
            rest = later;
        }
        answers
    }

    async fn send_batch(&mut self, batch: &[Request]) -> Vec<RequestResult> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(batch.iter().map(Request::len).sum());
        for request in batch {
            self.sequence = self.sequence.wrapping_add(1);
            bytes.extend(request.numbered(self.sequence));
        }
        let mut received = BTreeMap::new();
        let silence = match self.send(&bytes).await {
            Ok(()) => self.collect(first, batch.len(), &mut received).await.err(),
            Err(error) => Some(error),
        };
        let silence = silence.map_or_else(|| "lost".to_owned(), |error| with_sources(&error));
        (0..batch.len()).map(|index| received.remove(&index).unwrap_or_else(|| RequestResult::Unknown(silence.clone()))).collect()
    }

    /// Reads acknowledgements until all of a batch are there.
    async fn collect(
        &mut self,
        first: u32,
        wanted: usize,
        into: &mut BTreeMap<usize, RequestResult>,
    ) -> Result<(), DataPlaneError> {
        let mut overflowed = None;
        while into.len() < wanted {
            // After an overflow, whatever survived it is in the buffer already.
            let patience = if overflowed.is_some() { Duration::ZERO } else { ANSWER_DEADLINE };
            let datagram = match (self.receive(patience, "see a change acknowledged").await, overflowed.take()) {
                (Ok(datagram), former) => {
                    overflowed = former;
                    datagram
                }
                (Err(DataPlaneError::Netlink { source, .. }), _) if source.raw_os_error() == Some(libc::ENOBUFS) => {
                    overflowed = Some(DataPlaneError::Netlink { doing: "keep up with acknowledgements", source });
                    continue;
                }
                (Err(_), Some(former)) => return Err(former),
                (Err(error), None) => return Err(error),
            };
            for frame in frames(datagram) {
                let frame = frame?;
                // A late answer to an earlier batch falls outside of this one's numbers.
                let index = frame.sequence.wrapping_sub(first) as usize;
                if let Some(answer) = frame.acknowledgement().filter(|_| index < wanted) {
                    into.insert(index, answer?.map_or_else(RequestResult::Refused, |()| RequestResult::Done));
                }
            }
        }
        Ok(())
    }

    /// Asks one question that is answered by at most one message; `None` when it is acknowledged without one.
    pub async fn ask<T>(
        &mut self,
        request: &Request,
        read: impl Fn(&[u8]) -> Result<T, DataPlaneError> + Send,
    ) -> Result<Result<Option<T>, KernelRefusal>, DataPlaneError>
    where
        T: Send,
    {
        let sequence = self.send_one(request).await?;
        let mut answer = None;
        loop {
            let datagram = self.receive(ANSWER_DEADLINE, "have a question answered").await?;
            for frame in own(datagram, sequence) {
                let frame = frame?;
                match frame.acknowledgement() {
                    Some(acknowledged) => return Ok(acknowledged?.map(|()| answer)),
                    None => answer = Some(read(frame.payload)?),
                }
            }
        }
    }

    /// Reads a table, entry by entry.
    pub async fn dump(
        &mut self,
        request: &Request,
        mut entry: impl FnMut(&[u8]) -> Result<(), DataPlaneError> + Send,
    ) -> Result<Dumped, DataPlaneError> {
        let sequence = self.send_one(request).await?;
        let mut dumped = Dumped::Whole;
        loop {
            let datagram = self.receive(ANSWER_DEADLINE, "read a table").await?;
            for frame in own(datagram, sequence) {
                let frame = frame?;
                if frame.flags & NLM_F_DUMP_INTR != 0 {
                    dumped = Dumped::Interrupted;
                }
                match frame.acknowledgement() {
                    Some(acknowledged) => {
                        return match acknowledged? {
                            Ok(()) => Ok(dumped),
                            Err(refusal) => Err(failed("read a table")(io::Error::from_raw_os_error(refusal.errno))),
                        };
                    }
                    None if frame.kind == NLMSG_DONE => return Ok(dumped),
                    None => entry(frame.payload)?,
                }
            }
        }
    }

    async fn send_one(&mut self, request: &Request) -> Result<u32, DataPlaneError> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes: Vec<u8> = request.numbered(self.sequence).collect();
        self.send(&bytes).await?;
        Ok(self.sequence)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), DataPlaneError> {
        const DOING: &str = "send a request";
        let sending = self.inner.send(bytes);
        match timeout(ANSWER_DEADLINE, sending).await {
            Ok(Ok(sent)) if sent == bytes.len() => Ok(()),
            Ok(Ok(_)) => Err(failed(DOING)(io::ErrorKind::WriteZero.into())),
            Ok(Err(source)) => Err(failed(DOING)(source)),
            Err(_) => Err(DataPlaneError::Deadline(ANSWER_DEADLINE, DOING)),
        }
    }

    async fn receive(&mut self, patience: Duration, doing: &'static str) -> Result<&[u8], DataPlaneError> {
        self.buffer.clear();
        match timeout(patience, self.inner.recv(&mut self.buffer)).await {
            Ok(received) => received.map_err(failed(doing))?,
            Err(_) => return Err(DataPlaneError::Deadline(patience, doing)),
        }
        Ok(&self.buffer)
    }
}

/// How many of `requests` go in one system call; at least one.
fn batch_length(requests: &[Request]) -> usize {
    let mut bytes = 0;
    let fitting = requests.iter().take(BATCH_REQUESTS).take_while(|request| {
        bytes += request.len();
        bytes <= BATCH_BYTES
    });
    fitting.count().max(1)
}

/// The frames that answer request `sequence`: late answers to a request given up before are passed over.
fn own(datagram: &[u8], sequence: u32) -> impl Iterator<Item = Result<Frame<'_>, DataPlaneError>> {
    frames(datagram).filter(move |frame| !matches!(frame, Ok(frame) if frame.sequence != sequence))
}
