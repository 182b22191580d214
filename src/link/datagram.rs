//! Seals every datagram between agents, gossip and lease alike, and opens those of others.
//!
//! Two forms of datagram, see [`header`](Header) for their layout:
//!
//! - **Signed**: sealed with a key that follows from the cluster's ring, so that nobody reads it who is no member, and signed by its sender, so that members
//!   cannot speak for each other. It also carries the X25519 key of the sender's session, and so binds that to node, session, kind and cluster.
//! - **Paired**: sealed with a key that follows from the ring and from the secret of the two sessions' X25519 keys, one for each direction. Nobody but the
//!   two can make it, so it needs no signature, which costs a hundred times as much.
//!
//! A node uses the paired form as soon as the other has shown that it knows this node's session: the other's datagrams name it. Until then, and to whoever
//! has forgotten it, it signs. The receiver's number is sealed too, without being sent.
//!
//! A receiver takes a datagram only if it is for its own present session, and each number of a session once, so nothing that was recorded before
//! it started, or for another node, has any effect. A sender that does not know that session, or seals with a key that the receiver does not have, is told by
//! a *notice*, a signed datagram without a body, and then sends again what it said last.

mod cipher;
mod header;
mod peer;
mod refusal;
mod session_key;
mod size;
mod window;

pub use header::{Header, Kind};
pub use refusal::{Rejected, Rejections, Unsent};
pub use size::{ENVELOPE_BYTES, HEADER_BYTES, MAX_BODY_BYTES, MAX_DATAGRAM_BYTES, VERSION};

use super::node_key::{NodeKey, Purpose, SIGNATURE_BYTES, Signature, verify};
use crate::{
    clock::BootInstant,
    model::{KeyId, NodeId, PublicKey, Secret},
    rules::security::KeyRing,
};
use cipher::{Cipher, End};
use header::{Fields, Form, cluster_tag};
use peer::{Pair, Peer, Place, Session};
use refusal::Refusals;
use session_key::SessionKey;
use size::{PUBLIC_BYTES, TAG_BYTES};
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
    session_key: SessionKey,
    sequence: u64,
    node_key: Arc<NodeKey>,
    ring: KeyRing,
    peers: BTreeMap<NodeId, Peer>,
    places: BTreeMap<Place, NodeId>,
    refusals: Refusals,
    unsent: u64,
}

impl Seal {
    /// `session` must be higher than at every earlier start of this node's process ([`super::io::files::next_session`]): then no nonce is ever
    /// used twice, and others take this start for the present one.
    pub fn new(kind: Kind, cluster_id: &str, me: NodeId, session: u64, node_key: Arc<NodeKey>) -> Self {
        Self::with(SessionKey::generate(), kind, cluster_id, me, session, node_key)
    }

    fn with(session_key: SessionKey, kind: Kind, cluster_id: &str, me: NodeId, session: u64, node_key: Arc<NodeKey>) -> Self {
        let inner = Inner {
            kind,
            cluster_id: cluster_id.to_owned(),
            cluster_tag: cluster_tag(cluster_id),
            me,
            // 0 says "not known" in a header.
            session: session.max(1),
            session_key,
            sequence: 0,
            node_key,
            ring: KeyRing::default(),
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
        self.inner().peers.get(&member).map(Peer::session)
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
        if self.ring != *ring {
            self.ring = ring.clone();
            self.peers.values_mut().for_each(Peer::forget_ciphers);
        }
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
        let form = peer.form();
        peer.said(body, form);
        self.envelope(form, id, body).ok_or(Unsent::NoKey)
    }

    /// `None` without a key to seal with.
    fn envelope(&mut self, form: Form, to: NodeId, body: &[u8]) -> Option<Vec<u8>> {
        let key = self.ring.primary?;
        let secret = self.ring.keys.get(&key)?;
        let peer = self.peers.get_mut(&to)?;
        let header = Header { sender: self.me, session: self.session, sequence: self.sequence, to_session: peer.session() };
        self.sequence += 1;
        let length = u16::try_from(body.len()).expect("MAX_BODY_BYTES fits 16 bits");
        let fields = Fields { kind: self.kind, form, key, cluster_tag: self.cluster_tag, header, length };
        let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + body.len());
        fields.write(&mut bytes);
        bytes.extend_from_slice(body);
        match form {
            Form::Paired => {
                let own = End { node: self.me, session: self.session, public: self.session_key.public() };
                let session = peer.session.as_mut()?;
                let pair = pair(session, (key, secret), (&self.cluster_id, self.kind), (own, to));
                pair.to_it.seal(to, &header, HEADER_BYTES, &mut bytes);
            }
            Form::Signed | Form::Notice => {
                bytes.extend_from_slice(&self.session_key.public());
                let signature = self.node_key.sign(Purpose::Datagram, &signed(to, &bytes));
                bytes.extend_from_slice(&signature.0);
                let cipher = Cipher::for_all(secret, &self.cluster_id, self.kind, self.me, self.session);
                cipher.seal(to, &header, HEADER_BYTES, &mut bytes);
            }
        }
        Some(bytes)
    }

    fn open<'a>(&mut self, from: SocketAddr, bytes: &'a mut [u8], now: BootInstant) -> Result<Opened<'a>, Rejected> {
        let fields = Fields::read(self.kind, self.cluster_tag, bytes)?;
        let header = fields.header;
        let sender = header.sender;
        let peer = self.peers.get_mut(&sender).ok_or(Rejected::Sender(sender))?;
        if peer.place != Place::from(from) {
            return Err(Rejected::Address(sender));
        }
        if !self.ring.keys.contains_key(&fields.key) {
            return Err(Rejected::Key(fields.key));
        }
        peer.may_be_new(&header)?;
        let latest = peer.is_latest(&header);
        match fields.form {
            // A key that this session does not have, so there is nothing to try.
            Form::Paired if (header.session, header.to_session) != (peer.session(), self.session) => {
                self.notify(sender, latest, now)
            }
            Form::Paired => {
                self.open_paired(&fields, bytes)?;
                Ok(body(&fields, bytes))
            }
            Form::Signed | Form::Notice => {
                self.prove(&fields, bytes)?;
                let is_notice = fields.form == Form::Notice;
                // A notice of who does not know this session yet says so. One for an earlier session was recorded.
                match header.to_session {
                    0 if is_notice => Ok(self.say_again(sender)),
                    to if to == self.session && is_notice => Ok(self.say_again(sender)),
                    to if to == self.session => Ok(body(&fields, bytes)),
                    // Notices are not answered, so that two nodes never talk about their sessions for ever.
                    _ => self.notify(sender, latest && !is_notice, now),
                }
            }
        }
    }

    /// Tells a member which session this is. Of what was recorded, at most what is newer than all that was heard since is answered, and that so often.
    /// The notice goes to the member's own address, and names its session only if that is proven.
    fn notify(&mut self, member: NodeId, worth_it: bool, now: BootInstant) -> Result<Opened<'static>, Rejected> {
        let may_notify = worth_it && self.peers.get_mut(&member).is_some_and(|peer| peer.may_notify(now));
        let notice = may_notify.then(|| self.envelope(Form::Notice, member, &[]));
        notice.map(|notice| notice.map_or(Opened::Nothing, Opened::Answer)).ok_or(Rejected::NotForThisStart(member))
    }

    /// What a member has not taken that has just sent a notice.
    fn say_again(&mut self, member: NodeId) -> Opened<'static> {
        let missed = self.peers.get_mut(&member).and_then(|peer| peer.missed()).map(<[u8]>::to_vec);
        missed.and_then(|missed| self.envelope(Form::Signed, member, &missed)).map_or(Opened::Nothing, Opened::Answer)
    }

    /// Decrypts a datagram of the two present sessions.
    fn open_paired(&mut self, fields: &Fields, bytes: &mut [u8]) -> Result<(), Rejected> {
        let Header { sender, sequence, .. } = fields.header;
        let own = End { node: self.me, session: self.session, public: self.session_key.public() };
        let session = self.peers.get_mut(&sender).and_then(|peer| peer.session.as_mut()).ok_or(Rejected::Sender(sender))?;
        let secret = self.ring.keys.get(&fields.key).ok_or(Rejected::Key(fields.key))?;
        let pair = pair(session, (fields.key, secret), (&self.cluster_id, self.kind), (own, sender));
        opened(&pair.from_it, self.me, &fields.header, bytes)?;
        session.heard(sequence, true);
        Ok(())
    }

    /// Decrypts a datagram that is signed by its sender, and takes note of the session.
    fn prove(&mut self, fields: &Fields, bytes: &mut [u8]) -> Result<(), Rejected> {
        let Header { sender, session, sequence, to_session } = fields.header;
        let peer = self.peers.get_mut(&sender).ok_or(Rejected::Sender(sender))?;
        let secret = self.ring.keys.get(&fields.key).ok_or(Rejected::Key(fields.key))?;
        let cipher = Cipher::for_all(secret, &self.cluster_id, self.kind, sender, session);
        opened(&cipher, self.me, &fields.header, bytes)?;
        let public = signed_key(&peer.key, self.me, bytes, usize::from(fields.length)).ok_or(Rejected::Signature(sender))?;
        if session > peer.session() {
            let shared = self.session_key.agree(public).ok_or(Rejected::SessionKey(sender))?;
            peer.session = Some(Session::new(session, public, shared));
        }
        let present = peer.session.as_mut().expect("it is proven by now");
        present.heard(sequence, to_session == self.session);
        Ok(())
    }
}

/// The ciphers between one's own session and another member's, under a key of the ring.
fn pair<'a>(
    session: &'a mut Session,
    (key, secret): (KeyId, &Secret),
    (cluster_id, kind): (&str, Kind),
    (own, node): (End, NodeId),
) -> &'a Pair {
    let other = End { node, session: session.number, public: session.public };
    session.ciphers(key, |shared| {
        let [to_it, from_it] = Cipher::for_pair(secret, shared, cluster_id, kind, [own, other]);
        Pair { to_it, from_it }
    })
}

fn body<'a>(fields: &Fields, bytes: &'a [u8]) -> Opened<'a> {
    Opened::Body { header: fields.header, body: &bytes[HEADER_BYTES..][..usize::from(fields.length)] }
}

fn opened(cipher: &Cipher, to: NodeId, header: &Header, bytes: &mut [u8]) -> Result<(), Rejected> {
    let (aad, sealed) = bytes.split_at_mut(HEADER_BYTES);
    cipher.open(to, header, aad, sealed).map_err(|_| Rejected::Forged(header.sender))
}

/// What a signature is over: receiver, header, body and session key. Sessions alone do not tell receivers apart, for two may start in the same millisecond.
fn signed(to: NodeId, said: &[u8]) -> Vec<u8> {
    [&to.0.to_be_bytes(), said].concat()
}

/// The session key in an opened datagram, if the signature after it is the node's.
fn signed_key(key: &PublicKey, to: NodeId, bytes: &[u8], length: usize) -> Option<[u8; PUBLIC_BYTES]> {
    let (said, rest) = bytes.split_at(HEADER_BYTES + length + PUBLIC_BYTES);
    let signature = Signature(rest[..SIGNATURE_BYTES].to_vec());
    debug_assert_eq!(rest.len(), SIGNATURE_BYTES + TAG_BYTES);
    verify(key, Purpose::Datagram, &signed(to, said), &signature).then(|| said.last_chunk().copied()).flatten()
}

#[cfg(test)]
mod tests;
