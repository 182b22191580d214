//! ARP announcements and probes as bytes on Ethernet (RFC 826, RFC 5227 §3), and when they are sent.

use crate::{clock::BootInstant, vip::ArpSeen};
use std::{net::Ipv4Addr, time::Duration};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Length of an announcement's frame.
pub const FRAME_BYTES: usize = 42;

const BROADCAST: Mac = [0xff; 6];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// Both forms of "`vip` is at `mac`": neighbours differ in which one they learn from, so both are sent.
pub fn announcements(mac: Mac, vip: Ipv4Addr) -> [[u8; FRAME_BYTES]; 2] {
    // RFC 5227's announcement is a request with an empty target; the older gratuitous reply repeats the sender (RFC 5944 §4.6).
    [frame(REQUEST, mac, vip, [0; 6], vip), frame(REPLY, mac, vip, mac, vip)]
}

/// "Who has `address`?", asked without an address of one's own (RFC 5227 §2.1.1).
pub fn probe(mac: Mac, address: Ipv4Addr) -> [u8; FRAME_BYTES] {
    frame(REQUEST, mac, Ipv4Addr::UNSPECIFIED, [0; 6], address)
}

/// Who says in an ARP frame that it has which address; `None` where that is not said.
pub fn sender(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let frame: &[u8; FRAME_BYTES] = frame.first_chunk()?;
    let mac: Mac = *frame[22..].first_chunk()?;
    let address = Ipv4Addr::from(*frame[28..].first_chunk::<4>()?);
    (frame[12..20] == HEAD && !address.is_unspecified()).then_some((address, mac))
}

/// Who says in an ARP frame what of which address: that it has it, or that it looks whether anybody has (RFC 5227 §2.1.1).
pub fn seen(frame: &[u8]) -> Option<(Ipv4Addr, Mac, ArpSeen)> {
    if let Some((address, mac)) = sender(frame) {
        return Some((address, mac, ArpSeen::Claim));
    }
    let frame: &[u8; FRAME_BYTES] = frame.first_chunk()?;
    let mac: Mac = *frame[22..].first_chunk()?;
    let target = Ipv4Addr::from(*frame[38..].first_chunk::<4>()?);
    let is_request = frame[12..20] == HEAD && frame[20..22] == REQUEST.to_be_bytes();
    is_request.then_some((target, mac, ArpSeen::Probe))
}

/// EtherType ARP; Ethernet, IPv4, lengths of their addresses.
const HEAD: [u8; 8] = [0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4];

fn frame(operation: u16, mac: Mac, own: Ipv4Addr, target: Mac, wanted: Ipv4Addr) -> [u8; FRAME_BYTES] {
    let fields: [&[u8]; 8] = [&BROADCAST, &mac, &HEAD, &operation.to_be_bytes(), &mac, &own.octets(), &target, &wanted.octets()];
    fields.concat().try_into().expect("the fields of an ARP frame are 42 bytes")
}

/// When a held VIP is announced: several times at take-over, because a frame may be lost and a switch may still be learning, then rarely, for neighbours that missed it all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Burst {
    taken: BootInstant,
    sent: usize,
    next: BootInstant,
}

/// After take-over.
const AFTER: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// From then on.
const REPEAT: Duration = Duration::from_secs(45);

impl Burst {
    /// The first is due at once.
    pub fn start(taken: BootInstant) -> Self {
        Self { taken, sent: 0, next: taken + AFTER[0] }
    }

    /// When the next announcement is due.
    pub fn deadline(&self) -> BootInstant {
        self.next
    }

    /// Whether one is due. If so it counts as sent; those that a late guard has missed are skipped.
    pub fn take_due(&mut self, now: BootInstant) -> bool {
        if now < self.next {
            return false;
        }
        while self.next <= now {
            self.sent += 1;
            self.next = match AFTER.get(self.sent) {
                Some(after) => self.taken + *after,
                None => self.next.max(now) + REPEAT,
            };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(100) + Duration::from_millis(millis))
    }

    #[test]
    fn announcements_are_the_bytes_of_the_rfc() {
        let [request, reply] = announcements([2, 0, 0, 0, 0, 1], Ipv4Addr::new(192, 0, 2, 10));
        let hex = |frame: [u8; FRAME_BYTES]| frame.map(|byte| format!("{byte:02x}")).concat();
        let ethernet = "ffffffffffff".to_owned() + "020000000001" + "0806" + "0001" + "0800" + "06" + "04";
        assert_eq!(hex(request), ethernet.clone() + "0001" + "020000000001" + "c000020a" + "000000000000" + "c000020a");
        assert_eq!(hex(reply), ethernet + "0002" + "020000000001" + "c000020a" + "020000000001" + "c000020a");
    }

    #[test]
    fn a_probe_has_no_sender_and_an_answer_to_it_has() {
        let (me, other, vip) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], Ipv4Addr::new(192, 0, 2, 10));
        let probe = probe(me, vip);
        assert_eq!(probe[20..42], [&[0, 1][..], &me, &[0; 4], &[0; 6], &vip.octets()].concat());
        assert_eq!(sender(&probe), None);
        let answer = frame(REPLY, other, vip, me, Ipv4Addr::UNSPECIFIED);
        assert_eq!(sender(&answer), Some((vip, other)));
        assert_eq!(sender(&[&answer[..], &[0; 18]].concat()), Some((vip, other)), "padded to the shortest frame");
        assert_eq!(sender(&answer[..41]), None);
        assert_eq!(seen(&probe), Some((vip, me, ArpSeen::Probe)));
        assert_eq!(seen(&answer), Some((vip, other, ArpSeen::Claim)));
        assert_eq!(seen(&frame(REPLY, other, Ipv4Addr::UNSPECIFIED, me, vip)), None, "only who asks looks for an address");
        assert_eq!(seen(&probe[..41]), None);
        let mut other_type = answer;
        other_type[13] = 0;
        assert_eq!(sender(&other_type), None);
    }

    #[test]
    fn a_punctual_guard_announces_six_times_and_then_every_45_seconds() {
        let mut burst = Burst::start(at(0));
        let mut sent = Vec::new();
        for _ in 0..8 {
            let due = burst.deadline();
            assert!(!burst.take_due(due.saturating_sub(Duration::from_nanos(1))));
            assert!(burst.take_due(due));
            sent.push((due - at(0)).as_millis());
        }
        assert_eq!(sent, [0, 30, 100, 300, 1000, 3000, 48_000, 93_000]);
    }

    #[test]
    fn a_late_guard_announces_once_for_all_it_missed() {
        let mut burst = Burst::start(at(0));
        assert!(burst.take_due(at(500)));
        assert_eq!(burst.deadline(), at(1000));
        assert!(burst.take_due(at(1_000_000)));
        assert_eq!(burst.deadline(), at(1_045_000));
    }
}
