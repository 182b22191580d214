//! What is remembered of one other member: which start of it speaks, what was seen of that, what was last said to it.

use super::{
    cipher::Cipher,
    header::{Form, Header},
    refusal::Rejected,
    session_key::Shared,
    size::PUBLIC_BYTES,
    window::Window,
};
use crate::{
    clock::BootInstant,
    model::{KeyId, PublicKey},
    rules::security::MAX_KEYS,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Most notices to one member at once; one more each [`NOTICE_EVERY`].
const NOTICES: u32 = 10;
const NOTICE_EVERY: Duration = Duration::from_millis(100);

/// An address, without what makes equal ones differ (IPv4 in IPv6, flow labels).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place(IpAddr, u16);

impl From<SocketAddr> for Place {
    fn from(addr: SocketAddr) -> Self {
        Self(addr.ip().to_canonical(), addr.port())
    }
}

/// See the file's first line. Its size is bounded.
pub(super) struct Peer {
    pub place: Place,
    pub key: PublicKey,
    /// Its present session, as far as it has proven it itself. Their numbers only grow.
    pub session: Option<Session>,
    last: Option<LastSaid>,
    notices: Budget,
}

/// One start of a member's process, and what this node shares with it.
pub(super) struct Session {
    /// Never 0.
    pub number: u64,
    /// Its X25519 key.
    pub public: [u8; PUBLIC_BYTES],
    shared: Shared,
    window: Window,
    /// Its latest datagram was for this node's present session, so it has the key of that.
    knows_us: bool,
    /// With the ring's keys, as far as they were needed.
    ciphers: Vec<(KeyId, Pair)>,
}

/// What is sealed for a session, and what it seals.
pub(super) struct Pair {
    pub to_it: Cipher,
    pub from_it: Cipher,
}

/// The last body, the session that it was for, and how it was sealed.
struct LastSaid {
    body: Vec<u8>,
    to_session: u64,
    form: Form,
}

impl Session {
    /// That of a datagram which is proven to be its own.
    pub fn new(number: u64, public: [u8; PUBLIC_BYTES], shared: Shared) -> Self {
        let (window, knows_us, ciphers) = Default::default();
        Self { number, public, shared, window, knows_us, ciphers }
    }

    /// Takes note of one of its datagrams that is proven, and whether that was for this node's present session. Later ones know better.
    pub fn heard(&mut self, sequence: u64, for_us: bool) {
        if self.window.is_latest(sequence) {
            self.knows_us = for_us;
        }
        self.window.mark(sequence);
    }

    /// The ciphers under a key of the ring, derived with `derive` if they have not been yet.
    pub fn ciphers(&mut self, key: KeyId, derive: impl FnOnce(&Shared) -> Pair) -> &Pair {
        let known = self.ciphers.iter().position(|(id, _)| *id == key).unwrap_or_else(|| {
            if self.ciphers.len() >= MAX_KEYS {
                self.ciphers.clear();
            }
            self.ciphers.push((key, derive(&self.shared)));
            self.ciphers.len() - 1
        });
        &self.ciphers[known].1
    }
}

impl Peer {
    pub fn new(place: Place, key: PublicKey) -> Self {
        Self { place, key, session: None, last: None, notices: Budget::default() }
    }

    /// The number of its present session; 0 before it has spoken.
    pub fn session(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.number)
    }

    /// Whether a datagram may be new. What is not cannot become it by being genuine, and is not worth a cipher: a flood of recorded datagrams costs
    /// nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn may_be_new(&self, header: &Header) -> Result<(), Rejected> {
        match &self.session {
            Some(present) if header.session < present.number => Err(Rejected::OldSession(header.sender)),
            Some(present) if header.session == present.number && !present.window.is_new(header.sequence) => {
                Err(Rejected::Replayed(header.sender))
            }
            // No session has this number: it says "not known".
            None if header.session == 0 => Err(Rejected::OldSession(header.sender)),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it is beyond all that was heard of this member.
    pub fn is_latest(&self, header: &Header) -> bool {
        self.session.as_ref().is_none_or(|present| {
            header.session > present.number || (header.session == present.number && present.window.is_latest(header.sequence))
        })
    }

    /// The form for the next body.
    pub fn form(&self) -> Form {
        if self.session.as_ref().is_some_and(|session| session.knows_us) { Form::Paired } else { Form::Signed }
    }

    /// The ring has changed.
    pub fn forget_ciphers(&mut self) {
        self.session.iter_mut().for_each(|session| session.ciphers.clear());
    }

    /// Remembers what was said.
    pub fn said(&mut self, said: &[u8], form: Form) {
        let to_session = self.session();
        let last = self.last.get_or_insert_with(|| LastSaid { body: Vec::new(), to_session, form });
        (last.to_session, last.form) = (to_session, form);
        last.body.clear();
        last.body.extend_from_slice(said);
    }

    /// What this member, now that it has sent a notice, cannot have taken: it was for an earlier start of it, or sealed with a key that it does not
    /// have. Once: it is sent in signed form then.
    pub fn missed(&mut self) -> Option<&[u8]> {
        let present = self.session.as_ref()?;
        let unread = |last: &LastSaid| last.form == Form::Paired && !present.knows_us;
        let last = self.last.as_mut().filter(|last| last.to_session != present.number || unread(last))?;
        (last.to_session, last.form) = (present.number, Form::Signed);
        Some(&last.body)
    }

    /// Whether one more notice may be sent to it.
    pub fn may_notify(&mut self, now: BootInstant) -> bool {
        self.notices.take(now)
    }
}

/// So many at once, and one more in each interval.
#[derive(Clone, Copy)]
struct Budget {
    left: u32,
    since: BootInstant,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: NOTICES, since: BootInstant::default() }
    }
}

impl Budget {
    fn take(&mut self, now: BootInstant) -> bool {
        if self.left == NOTICES {
            self.since = now;
        }
        let gained = (now - self.since).as_millis() / NOTICE_EVERY.as_millis();
        let gained = u32::try_from(gained).unwrap_or(NOTICES).min(NOTICES - self.left);
        self.left += gained;
        self.since = if self.left == NOTICES { now } else { self.since + NOTICE_EVERY * gained };
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_ten_at_once_and_ten_a_second() {
        let at = |millis| BootInstant::from_boot(Duration::from_millis(millis));
        let mut budget = Budget::default();
        let count = |budget: &mut Budget, now| (0..100).filter(|_| budget.take(now)).count();
        assert_eq!(count(&mut budget, at(5000)), 10);
        assert_eq!(count(&mut budget, at(5099)), 0);
        assert_eq!(count(&mut budget, at(5100)), 1);
        assert_eq!((5101..=6100).filter(|now| budget.take(at(*now))).count(), 10);
        assert_eq!(count(&mut budget, at(60_000)), 10);
    }

    #[test]
    fn the_same_address_in_other_words_is_the_same_place() {
        let place = |text: &str| Place::from(text.parse::<SocketAddr>().unwrap());
        assert_eq!(place("[::ffff:192.0.2.1]:7400"), place("192.0.2.1:7400"));
        assert_ne!(place("192.0.2.1:7401"), place("192.0.2.1:7400"));
    }
}
