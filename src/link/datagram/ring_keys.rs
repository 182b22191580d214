//! AES-256-GCM (NIST SP 800-38D) under keys that follow from the cluster's gossip keys by HKDF-SHA256 (RFC 5869).
//!
//! Every start of every node's every process has a key of its own, so that a sequence number is a nonce that is never used twice.

use super::header::{Header, Kind};
use crate::model::{NodeId, Secret};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};

/// Seals one session's datagrams and opens them again.
pub(super) struct Opener(LessSafeKey);

/// The datagram is not what was sealed.
pub(super) struct NotOpened;

impl Opener {
    /// What the sender's datagrams of one kind and session are sealed with under a key of the ring.
    pub fn derive(secret: &Secret, cluster_id: &str, kind: Kind, sender: NodeId, session: u64) -> Self {
        let parts = [&b"lvs-agent datagram 2"[..], &[kind.code()], &sender.0.to_be_bytes(), &session.to_be_bytes()];
        let prk = Salt::new(HKDF_SHA256, cluster_id.as_bytes()).extract(secret.expose());
        let key = prk.expand(&parts, &AES_256_GCM).expect("HKDF gives 32 bytes");
        Self(LessSafeKey::new(UnboundKey::from(key)))
    }

    /// Seals what is in `bytes` after the header, for one receiver.
    pub fn seal(&self, to: NodeId, header: &Header, header_bytes: usize, bytes: &mut Vec<u8>) {
        let (head, text) = bytes.split_at_mut(header_bytes);
        let tag = self.0.seal_in_place_separate_tag(nonce(header), associated(to, head), text);
        bytes.extend_from_slice(tag.expect("a datagram is shorter than AES-GCM's limit").as_ref());
    }

    /// Opens in place what was `sealed` for this receiver.
    pub fn open(&self, to: NodeId, header: &Header, header_bytes: &[u8], sealed: &mut [u8]) -> Result<(), NotOpened> {
        self.0.open_in_place(nonce(header), associated(to, header_bytes), sealed).map(|_| ()).map_err(|_| NotOpened)
    }
}

fn associated(to: NodeId, header: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([&to.0.to_be_bytes(), header].concat())
}

fn nonce(header: &Header) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&header.sequence.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}
