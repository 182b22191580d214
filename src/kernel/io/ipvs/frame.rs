//! Netlink frames: what surrounds every message (`include/uapi/linux/netlink.h`, RFC 3549 §2.3).

use crate::kernel::DataPlaneError;
use netlink_packet_core::{
    NLA_F_NESTED, NLA_HEADER_SIZE, NLA_TYPE_MASK, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_REQUEST, NLMSG_ERROR,
    NlasIterator,
};

/// Bytes of `struct nlmsghdr`.
pub const HEADER_BYTES: usize = 16;
/// Bytes of `struct genlmsghdr`.
pub const GENERIC_HEADER_BYTES: usize = 4;
const ERROR_ATTRIBUTE_TEXT: u16 = 1;

/// A generic-netlink request without a sequence number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// A request that is acknowledged.
    pub fn new(family: u16, command: u8, attributes: &Attributes) -> Self {
        Self::with_flags(family, command, NLM_F_REQUEST | NLM_F_ACK, attributes)
    }

    /// A request for a table.
    pub fn dump(family: u16, command: u8, attributes: &Attributes) -> Self {
        Self::with_flags(family, command, NLM_F_REQUEST | netlink_packet_core::NLM_F_DUMP, attributes)
    }

    fn with_flags(family: u16, command: u8, flags: u16, attributes: &Attributes) -> Self {
        let length = HEADER_BYTES + GENERIC_HEADER_BYTES + attributes.0.len();
        let length = u32::try_from(length).expect("a request is a few hundred bytes");
        let mut bytes = Vec::with_capacity(length as usize);
        bytes.extend(length.to_ne_bytes());
        bytes.extend(family.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]); // sequence number and port: the socket's business
        bytes.extend([command, 1, 0, 0]); // version 1 of the family, two reserved bytes
        bytes.extend(&attributes.0);
        Self(bytes)
    }

    /// The bytes with their sequence number.
    pub fn numbered(&self, sequence: u32) -> impl Iterator<Item = u8> + '_ {
        self.0[..8].iter().copied().chain(sequence.to_ne_bytes()).chain(self.0[12..].iter().copied())
    }

    /// Its size on the wire.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Attributes as they are written one after the other.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    /// Adds one attribute.
    pub fn put(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(NLA_HEADER_SIZE + value.len()).expect("our attributes are under 64 KiB");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// All of them, as they are sent.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a number in the machine's byte order.
    pub fn put_u16(self, kind: u16, value: u16) -> Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds a number in the machine's byte order.
    pub fn put_u32(self, kind: u16, value: u32) -> Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds a text with its closing NUL.
    pub fn put_text(self, kind: u16, text: &str) -> Self {
        self.put(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// Adds attributes within an attribute.
    pub fn nest(self, kind: u16, inner: &Attributes) -> Self {
        self.put(kind | NLA_F_NESTED, &inner.0)
    }
}

/// One message of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// `NLMSG_*`, or a family's number.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// Number of the request that it answers.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The frames of one datagram. Stops after the first malformed one: what follows has no known beginning.
pub fn frames(datagram: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, DataPlaneError>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = split_frame(rest);
        rest = frame.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(frame.map(|(frame, _)| frame))
    })
}

fn split_frame(bytes: &[u8]) -> Result<(Frame<'_>, &[u8]), DataPlaneError> {
    const CUT: DataPlaneError = DataPlaneError::Malformed("a message is shorter than it says");
    let length = u32_at(bytes, 0).ok_or(CUT)? as usize;
    let kind = u16_at(bytes, 4).ok_or(CUT)?;
    let flags = u16_at(bytes, 6).ok_or(CUT)?;
    let sequence = u32_at(bytes, 8).ok_or(CUT)?;
    let payload = bytes.get(HEADER_BYTES..length).ok_or(CUT)?;
    // The last message of a datagram may come without its padding.
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Ok((Frame { kind, flags, sequence, payload }, rest))
}

/// The kernel's refusal of one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelRefusal {
    /// Error number, positive.
    pub errno: i32,
    /// The kernel's own text (extended ack), if it gave one.
    pub text: Option<String>,
}

impl Frame<'_> {
    /// Reads an `NLMSG_ERROR`, which with error 0 is an acknowledgement. `None` for every other message.
    pub fn acknowledgement(&self) -> Option<Result<Result<(), KernelRefusal>, DataPlaneError>> {
        (self.kind == NLMSG_ERROR).then(|| {
            let error = u32_at(self.payload, 0).ok_or(DataPlaneError::Malformed("an acknowledgement without an error number"))?;
            match error.cast_signed() {
                0 => Ok(Ok(())),
                error => Ok(Err(KernelRefusal { errno: error.saturating_neg(), text: self.extended_text() })),
            }
        })
    }

    /// `NLMSGERR_ATTR_MSG`, behind the request that the kernel gives back whole or, when capped, as its header alone.
    fn extended_text(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        let echoed = self.payload.get(4..)?;
        let echoed_bytes = if self.flags & NLM_F_CAPPED != 0 { HEADER_BYTES } else { u32_at(echoed, 0)? as usize };
        let attributes = echoed.get(echoed_bytes.next_multiple_of(4)..)?;
        let text = attributes_of(attributes).filter_map(Result::ok).find(|(kind, _)| *kind == ERROR_ATTRIBUTE_TEXT)?.1;
        Some(text_of(text))
    }
}

/// Attributes with their kinds, freed of flag bits.
pub fn attributes_of(bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), DataPlaneError>> {
    NlasIterator::new(bytes).map(|attribute| {
        let cut = DataPlaneError::Malformed("an attribute is shorter than it says");
        let Ok(attribute) = attribute else { return Err(cut) };
        let (kind, end) = (attribute.kind() & NLA_TYPE_MASK, usize::from(attribute.length()));
        let value = attribute.into_inner().get(NLA_HEADER_SIZE..end).ok_or(cut)?;
        Ok((kind, value))
    })
}

/// A text up to its first NUL.
pub fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The number at `at` in the machine's byte order.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().expect("the slice has two bytes")))
}

/// The number at `at` in the machine's byte order.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().expect("the slice has four bytes")))
}
