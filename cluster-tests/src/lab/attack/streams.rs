//! TCP connections out of the segments of a capture: what each side said, in order.

use super::packet::{Packet, Segment};
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// Farther ahead than this a segment belongs to something else.
const WINDOW_BYTES: u32 = 64 * 1024 * 1024;

/// One direction of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Side {
    /// Number of the first byte.
    base: Option<u32>,
    /// Bytes by how far they are from the first.
    parts: BTreeMap<u32, Vec<u8>>,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Who connected; where the capture began later, who has the higher port.
    pub client: SocketAddrV4,
    /// To whom.
    pub server: SocketAddrV4,
    /// The capture has its beginning.
    pub from_start: bool,
    up: Side,
    down: Side,
}

impl Side {
    fn take(&mut self, segment: &Segment) {
        let first = if segment.syn { segment.sequence.wrapping_add(1) } else { segment.sequence };
        let base = *self.base.get_or_insert(first);
        let offset = first.wrapping_sub(base);
        if segment.body.is_empty() || offset > WINDOW_BYTES {
            return;
        }
        // What was sent again may be longer than at first.
        let part = self.parts.entry(offset).or_default();
        if segment.body.len() > part.len() {
            part.clone_from(&segment.body);
        }
    }

    /// Everything that was seen, each byte once; gaps are closed up.
    fn bytes(&self) -> Vec<u8> {
        let (mut bytes, mut next) = (Vec::new(), 0u32);
        for (&offset, part) in &self.parts {
            let known = next.saturating_sub(offset) as usize;
            if let Some(new) = part.get(known..) {
                bytes.extend_from_slice(new);
                next = next.max(offset.saturating_add(u32::try_from(part.len()).unwrap_or(u32::MAX)));
            }
        }
        bytes
    }
}

impl Conversation {
    /// What the client said.
    pub fn said(&self) -> Vec<u8> {
        self.up.bytes()
    }

    /// What the server said.
    pub fn answered(&self) -> Vec<u8> {
        self.down.bytes()
    }
}

/// The connections of a capture, in the order in which they are first seen.
pub fn conversations(packets: &[Packet]) -> Vec<Conversation> {
    let mut all: Vec<Conversation> = Vec::new();
    let mut latest: BTreeMap<(SocketAddrV4, SocketAddrV4), usize> = BTreeMap::new();
    for packet in packets {
        let Packet::Segment(segment) = packet else { continue };
        let opens = segment.syn && !segment.ack;
        let ends = (segment.from.min(segment.to), segment.from.max(segment.to));
        let known = latest.get(&ends).copied().filter(|&at| !opens || all[at].up.base == Some(segment.sequence.wrapping_add(1)));
        let at = known.unwrap_or_else(|| {
            let client_speaks = opens || (!segment.syn && segment.from.port() > segment.to.port());
            let (client, server) = if client_speaks { (segment.from, segment.to) } else { (segment.to, segment.from) };
            all.push(Conversation { client, server, from_start: opens, up: Side::default(), down: Side::default() });
            latest.insert(ends, all.len() - 1);
            all.len() - 1
        });
        let conversation = &mut all[at];
        if segment.from == conversation.client { conversation.up.take(segment) } else { conversation.down.take(segment) }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(up: bool, sequence: u32, flags: &str, body: &str) -> Packet {
        let (client, server) = ("10.0.0.12:40000".parse().unwrap(), "10.0.0.11:7400".parse().unwrap());
        let (from, to) = if up { (client, server) } else { (server, client) };
        let (syn, ack) = (flags.contains('s'), flags.contains('a'));
        Packet::Segment(Segment { from, to, sequence, syn, ack, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn what_was_sent_twice_and_out_of_order_is_read_once_and_in_order() {
        let first = u32::MAX - 2;
        let packets = [
            segment(true, first, "s", ""),
            segment(false, 9, "sa", ""),
            segment(true, first.wrapping_add(4), "a", "lo, "),
            segment(true, first.wrapping_add(1), "a", "hel"),
            segment(true, first.wrapping_add(1), "a", "hello"),
            segment(false, 10, "a", "yes"),
            segment(true, first.wrapping_add(8), "a", "you"),
        ];
        let [conversation] = &conversations(&packets)[..] else { panic!("one connection") };
        assert!(conversation.from_start);
        assert_eq!(conversation.client.port(), 40000);
        assert_eq!((conversation.said(), conversation.answered()), (b"hello, you".to_vec(), b"yes".to_vec()));
    }

    #[test]
    fn a_port_that_is_used_again_makes_another_connection() {
        let packets = [
            segment(true, 100, "s", ""),
            segment(true, 101, "a", "one"),
            segment(true, 500, "s", ""),
            segment(true, 501, "a", "two"),
        ];
        let said: Vec<Vec<u8>> = conversations(&packets).iter().map(Conversation::said).collect();
        assert_eq!(said, [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn a_connection_seen_from_its_middle_on_has_its_client_by_the_port() {
        let packets = [segment(false, 7, "a", "answer"), segment(true, 3, "a", "question")];
        let [conversation] = &conversations(&packets)[..] else { panic!("one connection") };
        assert!(!conversation.from_start);
        assert_eq!(conversation.said(), b"question");
    }
}
