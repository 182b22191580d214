//! Seals every datagram between agents, gossip and lease alike, and opens those of others.
//!
//! A datagram is a header (see [`header`](Header)), and then the body and its sender's Ed25519 signature, encrypted. The AEAD keeps everybody
//! out who has no key of the cluster's ring; the signature keeps members from speaking for each other; the header's sessions and sequence
//! keep out what was recorded. The receiver's number is sealed and signed too, without being sent. A receiver takes a datagram only if it is for its own present session, so nothing that was recorded before
//! it started, or for another node, has any effect. A sender that does not know that session is told by a *notice*, a sealed datagram without a body,
//! and then sends again what it said last.

mod header;
mod peer;
mod refusal;
mod ring_keys;
mod size;
mod window;

pub use header::{Header, Kind};
pub use refusal::{Rejected, Rejections, Unsent};
pub use size::{ENVELOPE_BYTES, HEADER_BYTES, MAX_BODY_BYTES, MAX_DATAGRAM_BYTES};

use super::node_key::{NodeKey, Purpose, SIGNATURE_BYTES, Signature, verify};
use crate::{
    clock::BootInstant,
    model::{KeyId, NodeId, PublicKey},
    rules::security::KeyRing,
};
use header::{Fields, cluster_tag};
use peer::{Peer, Place};
use refusal::Refusals;
use ring_keys::Opener;
use size::TAG_BYTES;
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

/// Seals for one node, one kind of datagram and one start of its process, and opens what others sent to that. Clones are the same seal.
///
/// Without a key and members ([`Seal::update`]) nothing is sent or taken.
#[derive(Clone)]
pub struct Seal {
    shared: Arc<Mutex<Inner>>,
}

/// What came of a datagram that was good.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// Something was said.
    Body {
        /// By whom.
        header: Header,
        /// What.
        body: &'a [u8],
    },
    /// This datagram is to be sent back to where it came from.
    Answer(Vec<u8>),
    /// There is nothing to do.
    Nothing,
}

struct Inner {
    kind: Kind,
    cluster_id: String,
    cluster_tag: u64,
    me: NodeId,
    session: u64,
    sequence: u64,
    node_key: Arc<NodeKey>,
    ring: KeyRing,
    /// The ring's primary key, as this session's datagrams are sealed with it.
    sealer: Option<(KeyId, Opener)>,
    peers: BTreeMap<NodeId, Peer>,
    places: BTreeMap<Place, NodeId>,
    refusals: Refusals,
    unsent: u64,
}

impl Seal {
    /// `session` must be higher than at every earlier start of this node's process ([`super::io::files::next_session`]): then no nonce is ever
    /// used twice, and others take this start for the present one.
    pub fn new(kind: Kind, cluster_id: &str, me: NodeId, session: u64, node_key: Arc<NodeKey>) -> Self {
        let inner = Inner {
            kind,
            cluster_id: cluster_id.to_owned(),
            cluster_tag: cluster_tag(cluster_id),
            me,
            // 0 says "not known" in a header.
            session: session.max(1),
            sequence: 0,
            node_key,
            ring: KeyRing::default(),
            sealer: None,
            peers: BTreeMap::new(),
            places: BTreeMap::new(),
            refusals: Refusals::default(),
            unsent: 0,
        };
        Self { shared: Arc::new(Mutex::new(inner)) }
    }

    /// Who may speak from now on, and with which keys. Whoever is not among `members` is not heard any more; what is known of the others stays.
    pub fn update(&self, ring: &KeyRing, members: &BTreeMap<NodeId, (SocketAddr, PublicKey)>) {
        let mut inner = self.inner();
        inner.set_ring(ring);
        inner.set_members(members);
    }

    /// `body` for the member at `to`, sealed.
    ///
    /// # Errors
    /// [`Unsent`]; counted.
    pub fn seal(&self, to: SocketAddr, body: &[u8]) -> Result<Vec<u8>, Unsent> {
        let mut inner = self.inner();
        let sealed = inner.seal_for(to, body);
        inner.unsent = inner.unsent.saturating_add(u64::from(sealed.is_err()));
        sealed
    }

    /// Opens what came in from `from`, in place.
    ///
    /// # Errors
    /// Why it is thrown away; counted.
    pub fn open<'a>(&self, from: SocketAddr, bytes: &'a mut [u8], now: BootInstant) -> Result<Opened<'a>, Rejected> {
        let mut inner = self.inner();
        let opened = inner.open(from, bytes, now);
        if let Err(why) = &opened {
            inner.refusals.count(*why);
        }
        opened
    }

    /// The latest start of a member that was heard here; 0 before it has spoken. `None`: it is no other member.
    pub fn session_of(&self, member: NodeId) -> Option<u64> {
        self.inner().peers.get(&member).map(|peer| peer.session)
    }

    /// How many datagrams [`Seal::open`] refused so far.
    pub fn rejections(&self) -> Rejections {
        self.inner().refusals.counts
    }

    /// How many bodies [`Seal::seal`] refused so far.
    pub fn unsent(&self) -> u64 {
        self.inner().unsent
    }

    /// How many datagrams were refused so far for this reason, if the log is to have a line about it now: one a minute and reason.
    pub fn line_due(&self, why: Rejected, now: BootInstant) -> Option<u64> {
        self.inner().refusals.line_due(why, now)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().expect("no holder of this lock panics")
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        f.debug_struct("Seal").field("kind", &inner.kind).field("me", &inner.me).field("session", &inner.session).finish()
    }
}

impl Inner {
    fn set_ring(&mut self, ring: &KeyRing) {
        if self.ring == *ring {
            return;
        }
        self.ring = ring.clone();
        for peer in self.peers.values_mut() {
            peer.forget_openers();
        }
        let primary = ring.primary.and_then(|id| Some((id, ring.keys.get(&id)?)));
        self.sealer =
            primary.map(|(id, secret)| (id, Opener::derive(secret, &self.cluster_id, self.kind, self.me, self.session)));
    }

    fn set_members(&mut self, members: &BTreeMap<NodeId, (SocketAddr, PublicKey)>) {
        let mut before = std::mem::take(&mut self.peers);
        let me = self.me;
        for (id, (addr, key)) in members.iter().filter(|(id, _)| **id != me) {
            let place = Place::from(*addr);
            let known = before.remove(id).filter(|peer| peer.key == *key);
            let mut peer = known.unwrap_or_else(|| Peer::new(place, *key));
            peer.place = place;
            self.peers.insert(*id, peer);
        }
        self.places = self.peers.iter().map(|(id, peer)| (peer.place, *id)).collect();
    }

    fn seal_for(&mut self, to: SocketAddr, body: &[u8]) -> Result<Vec<u8>, Unsent> {
        if body.len() > MAX_BODY_BYTES {
            return Err(Unsent::TooLong(body.len()));
        }
        let id = *self.places.get(&Place::from(to)).ok_or(Unsent::NotAMember(to))?;
        let peer = self.peers.get_mut(&id).ok_or(Unsent::NotAMember(to))?;
        peer.said(body);
        let to = (id, peer.session);
        self.envelope(false, to, body).ok_or(Unsent::NoKey)
    }

    /// `None` without a key to seal with. `to` is the receiver and its session.
    fn envelope(&mut self, notice: bool, (to, to_session): (NodeId, u64), body: &[u8]) -> Option<Vec<u8>> {
        let (key, sealer) = self.sealer.as_ref()?;
        let header = Header { sender: self.me, session: self.session, sequence: self.sequence, to_session };
        self.sequence += 1;
        let length = u16::try_from(body.len()).expect("MAX_BODY_BYTES fits 16 bits");
        let fields = Fields { kind: self.kind, notice, key: *key, cluster_tag: self.cluster_tag, header, length };
        let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + body.len());
        fields.write(&mut bytes);
        bytes.extend_from_slice(body);
        let signature = self.node_key.sign(Purpose::Datagram, &signed(to, &bytes));
        bytes.extend_from_slice(&signature.0);
        sealer.seal(to, &header, HEADER_BYTES, &mut bytes);
        Some(bytes)
    }

    fn open<'a>(&mut self, from: SocketAddr, bytes: &'a mut [u8], now: BootInstant) -> Result<Opened<'a>, Rejected> {
        let fields = Fields::read(self.kind, self.cluster_tag, bytes)?;
        let Header { sender, session, to_session, .. } = fields.header;
        let latest = self.prove(&fields, from, bytes)?;
        let peer = self.peers.get_mut(&sender).expect("only a member's datagram is proven");
        if to_session != self.session {
            // Notices are not answered, so that two nodes never talk about their sessions for ever; and of what was recorded, at most what
            // is newer than all that was heard since.
            if fields.notice || !latest || !peer.may_notify(now) {
                return Err(Rejected::NotForThisStart(sender));
            }
            return Ok(self.envelope(true, (sender, session), &[]).map_or(Opened::Nothing, Opened::Answer));
        }
        if fields.notice {
            let Some(missed) = peer.missed().map(<[u8]>::to_vec) else { return Ok(Opened::Nothing) };
            return Ok(self.envelope(false, (sender, session), &missed).map_or(Opened::Nothing, Opened::Answer));
        }
        Ok(Opened::Body { header: fields.header, body: &bytes[HEADER_BYTES..][..usize::from(fields.length)] })
    }

    /// Decrypts a datagram that is its sender's own and was not seen before; whether it is that session's latest.
    fn prove(&mut self, fields: &Fields, from: SocketAddr, bytes: &mut [u8]) -> Result<bool, Rejected> {
        let header = fields.header;
        let Header { sender, session, sequence, .. } = header;
        let peer = self.peers.get_mut(&sender).ok_or(Rejected::Sender(sender))?;
        if peer.place != Place::from(from) {
            return Err(Rejected::Address(sender));
        }
        let secret = self.ring.keys.get(&fields.key).ok_or(Rejected::Key(fields.key))?;
        // What is not new cannot become it by being genuine, and is not worth a cipher: a flood of recorded datagrams costs nothing.
        if session < peer.session {
            return Err(Rejected::OldSession(sender));
        }
        if session == peer.session && !peer.window.is_new(sequence) {
            return Err(Rejected::Replayed(sender));
        }
        let latest = session > peer.session || peer.window.is_latest(sequence);
        let fresh = match peer.opener(fields.key, session) {
            Some(opener) => opened(opener, self.me, &header, bytes).map(|()| None),
            None => {
                let opener = Opener::derive(secret, &self.cluster_id, self.kind, sender, session);
                opened(&opener, self.me, &header, bytes).map(|()| Some(opener))
            }
        }?;
        if !is_signed(&peer.key, self.me, bytes, usize::from(fields.length)) {
            return Err(Rejected::Signature(sender));
        }
        peer.heard(session, sequence);
        if let Some(opener) = fresh {
            peer.keep(fields.key, opener);
        }
        Ok(latest)
    }
}

fn opened(opener: &Opener, to: NodeId, header: &Header, bytes: &mut [u8]) -> Result<(), Rejected> {
    let (aad, sealed) = bytes.split_at_mut(HEADER_BYTES);
    opener.open(to, header, aad, sealed).map_err(|_| Rejected::Forged(header.sender))
}

/// What a signature is over: receiver, header and body. Sessions alone do not tell receivers apart, for two may start in the same millisecond.
fn signed(to: NodeId, header_and_body: &[u8]) -> Vec<u8> {
    [&to.0.to_be_bytes(), header_and_body].concat()
}

fn is_signed(key: &PublicKey, to: NodeId, bytes: &[u8], length: usize) -> bool {
    let (said, rest) = bytes.split_at(HEADER_BYTES + length);
    let signature = Signature(rest[..SIGNATURE_BYTES].to_vec());
    debug_assert_eq!(rest.len(), SIGNATURE_BYTES + TAG_BYTES);
    verify(key, Purpose::Datagram, &signed(to, said), &signature)
}

#[cfg(test)]
mod tests;
