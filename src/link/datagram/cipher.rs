//! AES-256-GCM (NIST SP 800-38D) under keys that follow by HKDF-SHA256 (RFC 5869) from a gossip key of the cluster: alone, or with the secret of a pair.
//!
//! Every start of every node's every process seals with keys of its own, so that a sequence number is a nonce that is never used twice.

use super::{
    header::{Header, Kind},
    session_key::Shared,
    size::PUBLIC_BYTES,
};
use crate::model::{NodeId, Secret};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
};
use zeroize::Zeroizing;

/// Seals datagrams of one sender and opens them again.
pub(super) struct Cipher(LessSafeKey);

/// The datagram is not what was sealed.
pub(super) struct NotOpened;

/// One end of a pair: a start of a node's process.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub node: NodeId,
    pub session: u64,
    /// Its X25519 key.
    pub public: [u8; PUBLIC_BYTES],
}

impl Cipher {
    /// For signed datagrams of one sender: any member can derive it.
    pub fn for_all(secret: &Secret, cluster_id: &str, kind: Kind, sender: NodeId, session: u64) -> Self {
        let prk = extract(cluster_id, secret.expose());
        Self::expand(&prk, &[b"lvs-agent datagram 3", &[kind.code()], &sender.0.to_be_bytes(), &session.to_be_bytes()])
    }

    /// For paired datagrams, one for each direction: from `here` to `there`, and back. `shared` is what the two have in common, so nobody else
    /// can derive it. The cluster's key is in it, too: who has none of the ring's present keys is not heard.
    pub fn for_pair(secret: &Secret, shared: &Shared, cluster_id: &str, kind: Kind, [here, there]: [End; 2]) -> [Self; 2] {
        let both = Zeroizing::new([&secret.expose()[..], shared.expose()].concat());
        let prk = extract(cluster_id, &both);
        [[here, there], [there, here]].map(|[from, to]| {
            let numbers = [from.node.0, from.session, to.node.0, to.session].map(u64::to_be_bytes).concat();
            Self::expand(&prk, &[b"lvs-agent pair 3", &[kind.code()], &numbers, &from.public, &to.public])
        })
    }

    fn expand(prk: &Prk, info: &[&[u8]]) -> Self {
        let key = prk.expand(info, &AES_256_GCM).expect("HKDF gives 32 bytes");
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

/// Secrets of 32 bytes are gossip keys, those of 64 a gossip key and a pair's secret, so that neither kind of key is ever the other.
fn extract(cluster_id: &str, secret: &[u8]) -> Prk {
    Salt::new(HKDF_SHA256, cluster_id.as_bytes()).extract(secret)
}

fn associated(to: NodeId, header: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([&to.0.to_be_bytes(), header].concat())
}

fn nonce(header: &Header) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&header.sequence.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}
