//! What stands before every sealed body, as bytes and back.
//!
//! | field | bytes | |
//! |---|---|---|
//! | magic | 4 | `lvsA` |
//! | version | 1 | 3 |
//! | kind and form | 1 | 1 gossip, 2 lease; and the [`Form`] in the two top bits |
//! | key id | 2 | which key of the ring |
//! | cluster tag | 8 | the first bytes of the cluster id's SHA-256 |
//! | sender | 8 | node number |
//! | session | 8 | which start of the sender's process |
//! | sequence | 8 | which datagram of that session: the nonce |
//! | to session | 8 | the receiver's session as the sender knows it, 0 for "not yet" |
//! | length | 2 | of the body |
//!
//! Numbers are big-endian. What follows is encrypted, and then comes the AEAD's tag of 16 bytes:
//!
//! | form | bits | encrypted | key |
//! |---|---|---|---|
//! | paired | `00` | body | of the pair of sessions, see `cipher.rs` |
//! | signed | `01` | body, the sender's X25519 key of this session (32), its Ed25519 signature (64) | of the sender's session, which all members can derive |
//! | notice | `10` | as signed, with an empty body | as signed |

use super::{
    refusal::Rejected,
    size::{MAX_DATAGRAM_BYTES, TAG_BYTES, TRAILER_BYTES, VERSION},
};
use crate::model::{KeyId, NodeId};

const MAGIC: [u8; 4] = *b"lvsA";

/// What a datagram is about, and so which socket it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// chitchat's messages, worker to worker.
    Gossip,
    /// Lease messages, guard to guard.
    Lease,
}

impl Kind {
    pub(super) const fn code(self) -> u8 {
        match self {
            Kind::Gossip => 1,
            Kind::Lease => 2,
        }
    }
}

/// What proves whose a datagram is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Its key, which only sender and receiver have.
    Paired,
    /// A signature; it also tells the receiver the sender's key of this session.
    Signed,
    /// A signature, too. It has no body: it only says which session its sender is in.
    Notice,
}

impl Form {
    const MASK: u8 = 0xc0;

    const fn code(self) -> u8 {
        match self {
            Form::Paired => 0,
            Form::Signed => 0x40,
            Form::Notice => 0x80,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code & Self::MASK {
            0 => Some(Form::Paired),
            0x40 => Some(Form::Signed),
            0x80 => Some(Form::Notice),
            _ => None,
        }
    }

    /// Bytes between body and tag.
    pub const fn trailer_bytes(self) -> usize {
        match self {
            Form::Paired => 0,
            Form::Signed | Form::Notice => TRAILER_BYTES,
        }
    }
}

/// Who sent a datagram and which of theirs it is. Proven, where [`super::Seal::open`] gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The sending node.
    pub sender: NodeId,
    /// Which start of the sender's process: later ones have higher numbers.
    pub session: u64,
    /// Grows by one with each datagram of a session.
    pub sequence: u64,
    /// The receiver's session as the sender knew it.
    pub to_session: u64,
}

/// All fields but those that are the same in every datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fields {
    pub kind: Kind,
    pub form: Form,
    pub key: KeyId,
    pub cluster_tag: u64,
    pub header: Header,
    pub length: u16,
}

impl Fields {
    /// Begins a datagram.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let Self { kind, form, key, cluster_tag, header, length } = *self;
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, kind.code() | form.code()]);
        bytes.extend_from_slice(&key.0.to_be_bytes());
        for number in [cluster_tag, header.sender.0, header.session, header.sequence, header.to_session] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&length.to_be_bytes());
    }

    /// Reads the beginning of a datagram that came in on the socket of `kind`; costs next to nothing.
    pub fn read(kind: Kind, cluster_tag: u64, bytes: &[u8]) -> Result<Self, Rejected> {
        if bytes.len() > MAX_DATAGRAM_BYTES {
            return Err(Rejected::Length);
        }
        let mut rest = Rest(bytes);
        if rest.take::<4>()? != MAGIC {
            return Err(Rejected::Magic);
        }
        let [version, code] = rest.take()?;
        if version != VERSION {
            return Err(Rejected::Version(version));
        }
        let form = Form::of(code).filter(|_| code & !Form::MASK == kind.code()).ok_or(Rejected::Kind(code))?;
        let key = KeyId(u16::from_be_bytes(rest.take()?));
        if rest.number()? != cluster_tag {
            return Err(Rejected::Cluster);
        }
        let header = Header {
            sender: NodeId(rest.number()?),
            session: rest.number()?,
            sequence: rest.number()?,
            to_session: rest.number()?,
        };
        let length = u16::from_be_bytes(rest.take()?);
        let sealed = usize::from(length) + form.trailer_bytes() + TAG_BYTES;
        if rest.0.len() != sealed || (form == Form::Notice && length != 0) {
            return Err(Rejected::Length);
        }
        Ok(Self { kind, form, key, cluster_tag, header, length })
    }
}

/// What is not yet read of a datagram.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
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
pub(super) fn cluster_tag(cluster_id: &str) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, cluster_id.as_bytes());
    let first = digest.as_ref().first_chunk::<8>().expect("SHA-256 gives 32 bytes");
    u64::from_be_bytes(*first)
}
