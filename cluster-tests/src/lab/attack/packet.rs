//! UDP and TCP over IPv4 out of Ethernet frames, fragments put together; and UDP packets into fragments again.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

const IP_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// What an IP packet carries at most on this LAN, in whole units of eight bytes as fragments must.
const FRAGMENT_BYTES: usize = 1480;
const MORE_FRAGMENTS: u16 = 0x2000;

/// One UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who it says has sent it.
    pub from: SocketAddrV4,
    /// Whom it is for.
    pub to: SocketAddrV4,
    /// What it carries.
    pub body: Vec<u8>,
}

/// One TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sender.
    pub from: SocketAddrV4,
    /// Receiver.
    pub to: SocketAddrV4,
    /// Number of its first byte; that of a SYN is the one before.
    pub sequence: u32,
    /// It opens a connection, or agrees to one.
    pub syn: bool,
    /// It answers.
    pub ack: bool,
    /// What it carries.
    pub body: Vec<u8>,
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// UDP.
    Datagram(Datagram),
    /// TCP.
    Segment(Segment),
}

/// Pieces of one packet: by offset, and how long it is once that is known.
#[derive(Default)]
struct Pieces {
    parts: BTreeMap<usize, Vec<u8>>,
    length: Option<usize>,
}

/// Takes frames in the order in which they came.
#[derive(Default)]
pub struct Reader {
    open: BTreeMap<(Ipv4Addr, Ipv4Addr, u16, u8), Pieces>,
}

/// Every packet of a capture.
pub fn read_all(frames: &[Vec<u8>]) -> Vec<Packet> {
    let mut reader = Reader::default();
    frames.iter().filter_map(|frame| reader.take(frame)).collect()
}

/// The datagrams of a capture.
pub fn datagrams(frames: &[Vec<u8>]) -> Vec<Datagram> {
    let pick = |packet| if let Packet::Datagram(datagram) = packet { Some(datagram) } else { None };
    read_all(frames).into_iter().filter_map(pick).collect()
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    field(bytes, at).map(u16::from_be_bytes)
}

impl Reader {
    /// The packet that this frame holds or completes, if it is UDP or TCP over IPv4.
    pub fn take(&mut self, frame: &[u8]) -> Option<Packet> {
        if short(frame, 12)? != 0x0800 {
            return None;
        }
        let ip = &frame[14..];
        let head = usize::from(*ip.first()? & 15) * 4;
        let length = usize::from(short(ip, 2)?).min(ip.len());
        let (id, flags) = (short(ip, 4)?, short(ip, 6)?);
        let protocol = *ip.get(9)?;
        let (from, to) = (Ipv4Addr::from(field::<4>(ip, 12)?), Ipv4Addr::from(field::<4>(ip, 16)?));
        let body = ip.get(head..length)?;
        let offset = usize::from(flags & 0x1fff) * 8;
        let more = flags & MORE_FRAGMENTS != 0;
        if offset == 0 && !more {
            return parse(from, to, protocol, body);
        }
        let key = (from, to, id, protocol);
        let pieces = self.open.entry(key).or_default();
        pieces.parts.insert(offset, body.to_vec());
        if !more {
            pieces.length = Some(offset + body.len());
        }
        let whole = pieces.whole()?;
        self.open.remove(&key);
        parse(from, to, protocol, &whole)
    }
}

impl Pieces {
    fn whole(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for (&offset, part) in &self.parts {
            if offset != bytes.len() {
                return None;
            }
            bytes.extend_from_slice(part);
        }
        (Some(bytes.len()) == self.length).then_some(bytes)
    }
}

fn parse(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]) -> Option<Packet> {
    let from = SocketAddrV4::new(from, short(body, 0)?);
    let to = SocketAddrV4::new(to, short(body, 2)?);
    match protocol {
        UDP => {
            let end = usize::from(short(body, 4)?).min(body.len());
            Some(Packet::Datagram(Datagram { from, to, body: body.get(UDP_HEADER_BYTES..end)?.to_vec() }))
        }
        TCP => {
            let sequence = u32::from_be_bytes(field(body, 4)?);
            let [offset, flags] = field(body, 12)?;
            let data = body.get(usize::from(offset >> 4) * 4..)?;
            Some(Packet::Segment(Segment { from, to, sequence, syn: flags & 2 != 0, ack: flags & 16 != 0, body: data.to_vec() }))
        }
        _ => None,
    }
}

impl Datagram {
    /// The IP packets that carry it; `id` tells its fragments from those of others. Checksums of IP are the kernel's, UDP's is left out
    /// (RFC 768 allows that).
    pub fn packets(&self, id: u16) -> Vec<Vec<u8>> {
        let length = UDP_HEADER_BYTES + self.body.len();
        let mut whole = Vec::with_capacity(length);
        for number in [self.from.port(), self.to.port(), u16::try_from(length).unwrap_or(u16::MAX), 0] {
            whole.extend_from_slice(&number.to_be_bytes());
        }
        whole.extend_from_slice(&self.body);
        let count = whole.chunks(FRAGMENT_BYTES).count();
        let pieces = whole.chunks(FRAGMENT_BYTES).enumerate();
        pieces.map(|(at, piece)| self.packet(id, at * FRAGMENT_BYTES / 8, at + 1 < count, piece)).collect()
    }

    fn packet(&self, id: u16, offset_units: usize, more: bool, piece: &[u8]) -> Vec<u8> {
        let length = u16::try_from(IP_HEADER_BYTES + piece.len()).unwrap_or(u16::MAX);
        let flags = u16::try_from(offset_units).unwrap_or(0) | if more { MORE_FRAGMENTS } else { 0 };
        let mut packet = vec![0x45, 0];
        for number in [length, id, flags] {
            packet.extend_from_slice(&number.to_be_bytes());
        }
        packet.extend_from_slice(&[64, UDP, 0, 0]);
        packet.extend_from_slice(&self.from.ip().octets());
        packet.extend_from_slice(&self.to.ip().octets());
        packet.extend_from_slice(piece);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(packet: &[u8]) -> Vec<u8> {
        [&[0u8; 12][..], &[8, 0], packet].concat()
    }

    fn datagram(bytes: usize) -> Datagram {
        let body = (0..bytes).map(|at| (at % 251) as u8).collect();
        Datagram { from: "10.0.0.11:7400".parse().unwrap(), to: "10.0.0.21:7401".parse().unwrap(), body }
    }

    #[test]
    fn a_datagram_of_any_length_is_read_as_it_was_made() {
        for bytes in [0, 1, 1472, 1473, 2953, 65_507] {
            let made = datagram(bytes);
            let packets = made.packets(77);
            assert!(packets.iter().all(|packet| packet.len() <= 1500), "{bytes}");
            let frames: Vec<Vec<u8>> = packets.iter().map(|packet| frame(packet)).collect();
            assert_eq!(datagrams(&frames), [made], "{bytes}");
        }
    }

    #[test]
    fn a_datagram_that_lacks_a_fragment_is_not_read() {
        let packets = datagram(5000).packets(1);
        for missing in 0..packets.len() {
            let kept = packets.iter().enumerate().filter(|(at, _)| *at != missing);
            let frames: Vec<Vec<u8>> = kept.map(|(_, packet)| frame(packet)).collect();
            assert_eq!(datagrams(&frames), [], "without fragment {missing}");
        }
    }

    #[test]
    fn fragments_may_come_in_any_order() {
        let made = datagram(5000);
        let frames: Vec<Vec<u8>> = made.packets(1).iter().rev().map(|packet| frame(packet)).collect();
        assert_eq!(datagrams(&frames), [made]);
    }

    #[test]
    fn no_end_of_a_frame_is_too_early_for_the_reader() {
        let whole = frame(&datagram(40).packets(1)[0]);
        for end in 0..whole.len() {
            Reader::default().take(&whole[..end]);
        }
        let mut lying = whole;
        lying[14] = 0x4f;
        Reader::default().take(&lying);
    }
}
