//! The envelope of every datagram between agents, gossip and lease alike.
//!
//! Layout, big-endian: magic (4), version (1), kind (1), key id (2), cluster tag (8), sender (8), session (8), sequence (8), length of
//! the body (2), body. Key id 0 says that the body is not sealed. What AEAD sealing needs is here already: the header is its associated
//! data, session and sequence make a nonce that is never used twice, and sender, session and sequence are what a replay window counts.

use crate::model::NodeId;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 42;
/// The longest payload of a UDP datagram over IPv4.
pub const MAX_DATAGRAM_BYTES: usize = 65_507;
/// The longest body.
pub const MAX_BODY_BYTES: usize = MAX_DATAGRAM_BYTES - HEADER_BYTES;

const MAGIC: [u8; 4] = *b"lvsA";
const VERSION: u8 = 1;
const NOT_SEALED: u16 = 0;

/// What a datagram is about, and so which socket it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// chitchat's messages, worker to worker.
    Gossip,
    /// Lease messages, guard to guard.
    Lease,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Kind::Gossip => 1,
            Kind::Lease => 2,
        }
    }
}

/// Who sent a datagram and which of theirs it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The sending node, by its own word until datagrams are sealed.
    pub sender: NodeId,
    /// Which start of the sender's process: each start has another.
    pub session: u64,
    /// Grows by one with each datagram of a session.
    pub sequence: u64,
}

/// Why a datagram is thrown away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejected {
    /// Shorter than a header, longer than a datagram may be, or not as long as it says.
    #[error("datagram has the wrong length")]
    Length,
    /// Not an agent's datagram.
    #[error("datagram is not from an lvs-agent")]
    Magic,
    /// An agent's, but of a version this one does not speak.
    #[error("datagram is of version {0}, this agent speaks version {VERSION}: upgrade the older of the two")]
    Version(u8),
    /// It belongs to another socket.
    #[error("datagram is of another kind ({0}): a node's gossip and guard addresses are mixed up")]
    Kind(u8),
    /// Sealed with a key that this node does not have.
    #[error("datagram is sealed with the unknown key {0}")]
    Key(u16),
    /// From a node of another cluster.
    #[error("datagram is from another cluster")]
    Cluster,
}

/// How many datagrams were thrown away, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rejections {
    /// [`Rejected::Length`].
    pub length: u64,
    /// [`Rejected::Magic`].
    pub magic: u64,
    /// [`Rejected::Version`].
    pub version: u64,
    /// [`Rejected::Kind`].
    pub kind: u64,
    /// [`Rejected::Key`].
    pub key: u64,
    /// [`Rejected::Cluster`].
    pub cluster: u64,
}

/// The body is too long for one datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("message of {0} bytes does not fit into one datagram (at most {MAX_BODY_BYTES})")]
pub struct BodyTooLong(pub usize);

/// Puts bodies into envelopes and takes them out again, for one node and one start of its process. Clones share sequence and counters.
#[derive(Clone, Debug)]
pub struct Seal {
    cluster_tag: u64,
    sender: NodeId,
    session: u64,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sequence: AtomicU64,
    length: AtomicU64,
    magic: AtomicU64,
    version: AtomicU64,
    kind: AtomicU64,
    key: AtomicU64,
    cluster: AtomicU64,
}

impl Seal {
    /// `session` must be one that no other start of this node's process has used.
    pub fn new(cluster_id: &str, sender: NodeId, session: u64) -> Self {
        Self { cluster_tag: cluster_tag(cluster_id), sender, session, shared: Arc::default() }
    }

    /// `body` in its envelope.
    pub fn seal(&self, kind: Kind, body: &[u8]) -> Result<Vec<u8>, BodyTooLong> {
        if body.len() > MAX_BODY_BYTES {
            return Err(BodyTooLong(body.len()));
        }
        let length = u16::try_from(body.len()).expect("MAX_BODY_BYTES fits 16 bits");
        let sequence = self.shared.sequence.fetch_add(1, Ordering::Relaxed);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, kind.code()]);
        bytes.extend_from_slice(&NOT_SEALED.to_be_bytes());
        for number in [self.cluster_tag, self.sender.0, self.session, sequence] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(body);
        Ok(bytes)
    }

    /// What is in the envelope, if it is for this socket of this cluster. Counts what it refuses.
    pub fn open<'a>(&self, kind: Kind, bytes: &'a [u8]) -> Result<(Header, &'a [u8]), Rejected> {
        open(self.cluster_tag, kind, bytes).inspect_err(|why| {
            self.counter(*why).fetch_add(1, Ordering::Relaxed);
        })
    }

    /// How many datagrams [`Seal::open`] refused so far.
    pub fn rejections(&self) -> Rejections {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { sequence: _, length, magic, version, kind, key, cluster } = &*self.shared;
        Rejections {
            length: count(length),
            magic: count(magic),
            version: count(version),
            kind: count(kind),
            key: count(key),
            cluster: count(cluster),
        }
    }

    /// How many datagrams [`Seal::open`] refused so far for this reason.
    pub fn rejected(&self, why: Rejected) -> u64 {
        self.counter(why).load(Ordering::Relaxed)
    }

    fn counter(&self, why: Rejected) -> &AtomicU64 {
        match why {
            Rejected::Length => &self.shared.length,
            Rejected::Magic => &self.shared.magic,
            Rejected::Version(_) => &self.shared.version,
            Rejected::Kind(_) => &self.shared.kind,
            Rejected::Key(_) => &self.shared.key,
            Rejected::Cluster => &self.shared.cluster,
        }
    }
}

fn open(cluster_tag: u64, kind: Kind, bytes: &[u8]) -> Result<(Header, &[u8]), Rejected> {
    if bytes.len() > MAX_DATAGRAM_BYTES {
        return Err(Rejected::Length);
    }
    let mut fields = Fields(bytes);
    if fields.take::<4>()? != MAGIC {
        return Err(Rejected::Magic);
    }
    let [version, code] = fields.take()?;
    if version != VERSION {
        return Err(Rejected::Version(version));
    }
    if code != kind.code() {
        return Err(Rejected::Kind(code));
    }
    let key = u16::from_be_bytes(fields.take()?);
    if key != NOT_SEALED {
        return Err(Rejected::Key(key));
    }
    if fields.number()? != cluster_tag {
        return Err(Rejected::Cluster);
    }
    let header = Header { sender: NodeId(fields.number()?), session: fields.number()?, sequence: fields.number()? };
    let length = u16::from_be_bytes(fields.take()?);
    if fields.0.len() != usize::from(length) {
        return Err(Rejected::Length);
    }
    Ok((header, fields.0))
}

/// What is not yet read of a datagram.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Rejected> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(Rejected::Length)?;
        self.0 = rest;
        Ok(*field)
    }

    fn number(&mut self) -> Result<u64, Rejected> {
        self.take().map(u64::from_be_bytes)
    }
}

/// The first 8 bytes of the cluster id's SHA-256: tells clusters apart that share a network; proves nothing.
fn cluster_tag(cluster_id: &str) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, cluster_id.as_bytes());
    let first = digest.as_ref().first_chunk::<8>().expect("SHA-256 gives 32 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(body: &[u8]) -> (Seal, Vec<u8>) {
        let seal = Seal::new("blue", NodeId(7), 42);
        let bytes = seal.seal(Kind::Lease, body).unwrap();
        (seal, bytes)
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened(body in prop::collection::vec(any::<u8>(), 0..2000), sender: u64, session: u64) {
            let seal = Seal::new("blue", NodeId(sender), session);
            for sequence in 0..3 {
                let bytes = seal.seal(Kind::Gossip, &body).unwrap();
                let header = Header { sender: NodeId(sender), session, sequence };
                prop_assert_eq!(seal.open(Kind::Gossip, &bytes), Ok((header, &body[..])));
            }
        }

        #[test]
        fn random_bytes_are_refused_and_counted(bytes: Vec<u8>) {
            let seal = Seal::new("blue", NodeId(7), 42);
            prop_assert!(seal.open(Kind::Lease, &bytes).is_err());
            let Rejections { length, magic, version, kind, key, cluster } = seal.rejections();
            prop_assert_eq!(length + magic + version + kind + key + cluster, 1);
        }

        #[test]
        fn a_changed_or_cut_datagram_never_panics(at in 0..HEADER_BYTES + 5, to: u8, end in 0..=HEADER_BYTES + 5) {
            let (seal, mut bytes) = sealed(b"hello");
            bytes[at] = to;
            let opened = seal.open(Kind::Lease, &bytes[..end]);
            prop_assert!(end == bytes.len() || opened.is_err());
        }
    }

    #[test]
    fn each_wrong_field_has_its_reason() {
        let (seal, good) = sealed(b"hello");
        let with = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            seal.open(Kind::Lease, &bytes).map(|_| ())
        };
        assert_eq!(with(0, b'x'), Err(Rejected::Magic));
        assert_eq!(with(4, 2), Err(Rejected::Version(2)));
        assert_eq!(with(5, 9), Err(Rejected::Kind(9)));
        assert_eq!(with(7, 3), Err(Rejected::Key(3)));
        assert_eq!(with(HEADER_BYTES - 1, 4), Err(Rejected::Length));
        assert_eq!(seal.open(Kind::Gossip, &good).unwrap_err(), Rejected::Kind(2));
        assert_eq!(Seal::new("green", NodeId(7), 42).open(Kind::Lease, &good).unwrap_err(), Rejected::Cluster);
        assert_eq!(seal.open(Kind::Lease, &[0; MAX_DATAGRAM_BYTES + 1]).unwrap_err(), Rejected::Length);
        let expected = Rejections { length: 2, magic: 1, version: 1, kind: 2, key: 1, cluster: 0 };
        assert_eq!(seal.rejections(), expected);
    }

    #[test]
    fn a_body_that_fills_a_datagram_passes_and_one_byte_more_does_not() {
        let seal = Seal::new("blue", NodeId(7), 42);
        let bytes = seal.seal(Kind::Gossip, &vec![1; MAX_BODY_BYTES]).unwrap();
        assert_eq!(bytes.len(), MAX_DATAGRAM_BYTES);
        assert!(seal.open(Kind::Gossip, &bytes).is_ok());
        assert_eq!(seal.seal(Kind::Gossip, &vec![1; MAX_BODY_BYTES + 1]), Err(BodyTooLong(MAX_BODY_BYTES + 1)));
    }

    #[test]
    fn the_layout_on_the_wire_stays() {
        let (_, bytes) = sealed(b"hi");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let fields = [
            "6c767341",
            "01",
            "02",
            "0000",
            "16477688c0e00699",
            "0000000000000007",
            "000000000000002a",
            "0000000000000000",
            "0002",
        ];
        assert_eq!(hex, fields.concat() + "6869");
    }
}
