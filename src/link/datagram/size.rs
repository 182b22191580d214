//! How long a datagram and its parts are, and the version of its form.

use crate::link::node_key::SIGNATURE_BYTES;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 50;
/// Bytes of AES-GCM's tag.
pub(super) const TAG_BYTES: usize = 16;
/// Bytes of an X25519 key.
pub(super) const PUBLIC_BYTES: usize = 32;
/// What a signed datagram has after its body.
pub(super) const TRAILER_BYTES: usize = PUBLIC_BYTES + SIGNATURE_BYTES;
/// What a body costs on the wire beyond its own bytes, at most.
pub const ENVELOPE_BYTES: usize = HEADER_BYTES + TRAILER_BYTES + TAG_BYTES;
/// The longest datagram: what passes every link that IPv6 may run over (RFC 8200 §5: 1280 bytes), less the headers of IPv6 and UDP. So no datagram
/// ever needs fragments, which firewalls and some clouds drop.
pub const MAX_DATAGRAM_BYTES: usize = 1280 - 40 - 8;
/// The longest body. It fits a datagram of either form, since its sender cannot know which one it will need if it has to send it again.
pub const MAX_BODY_BYTES: usize = MAX_DATAGRAM_BYTES - ENVELOPE_BYTES;
/// The version of everything that is put into a datagram: its header and its body.
pub const VERSION: u8 = 4;
