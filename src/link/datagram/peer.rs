//! What is remembered of one other member: which start of it speaks, what was seen of that, what was last said to it.

use super::{ring_keys::Opener, window::Window};
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
    /// Its present session, as far as its own signed word says; 0 before it has spoken. Only grows.
    pub session: u64,
    pub window: Window,
    /// What the present session's datagrams are opened with, of keys that have opened one.
    openers: Vec<(KeyId, Opener)>,
    last: Option<LastSaid>,
    notices: Budget,
}

/// The last body, and the session that it was for.
struct LastSaid {
    body: Vec<u8>,
    to_session: u64,
}

impl Peer {
    pub fn new(place: Place, key: PublicKey) -> Self {
        let (window, openers) = (Window::default(), Vec::new());
        Self { place, key, session: 0, window, openers, last: None, notices: Budget::default() }
    }

    pub fn opener(&self, key: KeyId, session: u64) -> Option<&Opener> {
        let known = self.session == session;
        self.openers.iter().find(|(id, _)| known && *id == key).map(|(_, opener)| opener)
    }

    /// Takes note of a datagram that is proven to be this member's.
    pub fn heard(&mut self, session: u64, sequence: u64) {
        if session > self.session {
            self.session = session;
            self.window = Window::default();
            self.openers.clear();
        }
        self.window.mark(sequence);
    }

    /// Keeps what has opened a datagram of the present session.
    pub fn keep(&mut self, key: KeyId, opener: Opener) {
        if self.openers.len() >= MAX_KEYS {
            self.openers.clear();
        }
        self.openers.push((key, opener));
    }

    /// The key ring has changed.
    pub fn forget_openers(&mut self) {
        self.openers.clear();
    }

    /// Remembers what was said.
    pub fn said(&mut self, body: &[u8]) {
        let to_session = self.session;
        self.last = Some(LastSaid { body: body.to_vec(), to_session });
    }

    /// What this member cannot have taken because it was for an earlier start of it. Once: it counts as said to the present one then.
    pub fn missed(&mut self) -> Option<&[u8]> {
        let last = self.last.as_mut().filter(|last| last.to_session != self.session)?;
        last.to_session = self.session;
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
