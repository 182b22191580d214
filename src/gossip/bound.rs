//! What a gossip message may unpack to. chitchat's deltas are blocks of zstd, each of which may become 64 KiB from 14 bytes, so that one datagram could ask
//! for 300 MB; looked at before chitchat is given it. Pure.
//!
//! The layout is chitchat 0.11's (`message.rs`, `digest.rs`, `serialize.rs`).

use chitchat::{ChitchatMessage, Deserializable};

/// Compressed blocks of one message, at most 64 KiB each: 8 MiB. chitchat itself fills blocks to 16 KiB, so an honest message of so many is 2 MiB of keys,
/// more than a node with [`super::keys::MAX_KEYS`] has.
const MAX_COMPRESSED_BLOCKS: usize = 128;

const SYN: u8 = 0;
const SYN_ACK: u8 = 1;
const ACK: u8 = 2;
const BAD_CLUSTER: u8 = 3;
/// Magic number and version.
const PREFIX_BYTES: usize = 3;
/// Heartbeat, last collected version, greatest version.
const NODE_DIGEST_BYTES: usize = 24;
const GENERATION_BYTES: usize = 8;
const PORT_BYTES: usize = 2;

/// The message that `bytes` are, if it is modest.
///
/// # Errors
/// chitchat's, or that it is not.
pub fn read(mut bytes: &[u8]) -> anyhow::Result<ChitchatMessage> {
    if !is_modest(bytes) {
        anyhow::bail!("the message is cut short, or unpacks to too much");
    }
    ChitchatMessage::deserialize(&mut bytes)
}

/// Whether the message is laid out as one and has no more blocks than allowed. What is not may still have been begun with, so it is not for chitchat.
fn is_modest(message: &[u8]) -> bool {
    let mut fields = Fields(message);
    blocks(&mut fields).is_some_and(|blocks| blocks <= MAX_COMPRESSED_BLOCKS)
}

fn blocks(fields: &mut Fields<'_>) -> Option<usize> {
    fields.skip(PREFIX_BYTES)?;
    match fields.byte()? {
        SYN | BAD_CLUSTER => Some(0),
        SYN_ACK => {
            fields.skip_digest()?;
            fields.count_blocks()
        }
        ACK => fields.count_blocks(),
        _ => None,
    }
}

/// What is not yet read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(usize::from(u16::from_le_bytes(*number)))
    }

    fn skip_digest(&mut self) -> Option<()> {
        for _ in 0..self.number()? {
            let name_bytes = self.number()?;
            self.skip(name_bytes + GENERATION_BYTES)?;
            let address_bytes = match self.byte()? {
                4 => 4,
                6 => 16,
                _ => return None,
            };
            self.skip(address_bytes + PORT_BYTES + NODE_DIGEST_BYTES)?;
        }
        Some(())
    }

    fn count_blocks(&mut self) -> Option<usize> {
        let mut compressed = 0;
        loop {
            match self.byte()? {
                0 => return Some(compressed),
                1 => compressed += 1,
                2 => {}
                _ => return None,
            }
            let bytes = self.number()?;
            self.skip(bytes)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chitchat::{
        ChitchatConfig, ChitchatId, FailureDetectorConfig, Serializable, spawn_chitchat,
        transport::{ChannelTransport, Transport},
    };
    use std::{net::SocketAddr, time::Duration};

    /// 64 KiB of zeros: a frame of one run-length block (RFC 8878).
    const BOMB: [u8; 14] = [1, 11, 0, 0x28, 0xb5, 0x2f, 0xfd, 0x60, 0xff, 0xfe, 0xfb, 0xff, 0x07, 0];

    fn ack(blocks: usize) -> Vec<u8> {
        [&[0x53, 0xb0, 0, ACK][..], &BOMB.repeat(blocks), &[0]].concat()
    }

    #[test]
    fn a_message_that_unpacks_to_much_is_refused() {
        // It is one: chitchat unpacks it, and finds no node in it.
        let refused = ChitchatMessage::deserialize(&mut &ack(1)[..]).unwrap_err();
        assert!(!format!("{refused:#}").contains("decompress"), "{refused:#}");
        assert!(is_modest(&ack(MAX_COMPRESSED_BLOCKS)));
        assert!(!is_modest(&ack(MAX_COMPRESSED_BLOCKS + 1)));
        // Without its end chitchat would have unpacked all blocks before it missed that.
        assert!(!is_modest(&ack(3)[..40]));
    }

    /// A chitchat that tells a stranger all it knows: the stranger's words are those of a node that knows nothing.
    #[tokio::test]
    async fn what_chitchat_says_is_modest_and_gone_through_to_its_end() {
        let transport = ChannelTransport::default();
        let (talker, stranger) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
        let keys = (0..2000).map(|n| (format!("obs/http/r{n}"), format!("up {n:08x} 1800000000000 200 OK"))).collect();
        let config = ChitchatConfig {
            chitchat_id: ChitchatId::new("d1".to_owned(), 1, talker),
            cluster_id: "blue".to_owned(),
            gossip_interval: Duration::from_millis(50),
            listen_addr: talker,
            seed_nodes: Vec::new(),
            failure_detector_config: FailureDetectorConfig::default(),
            marked_for_deletion_grace_period: Duration::from_secs(60),
            catchup_callback: None,
            extra_liveness_predicate: None,
        };
        let mut socket = transport.open(stranger).await.unwrap();
        let chitchat = spawn_chitchat(config, keys, &transport).await.unwrap();
        let nothing = 0_u16.to_le_bytes();
        let syn = [&[0x53, 0xb0, 0, SYN][..], &nothing, &4_u16.to_le_bytes(), b"blue"].concat();
        socket.send(talker, ChitchatMessage::deserialize(&mut &syn[..]).unwrap()).await.unwrap();
        let (_, answer) = socket.recv().await.unwrap();
        let mut bytes = Vec::new();
        answer.serialize(&mut bytes);
        let mut fields = Fields(&bytes);
        assert!(blocks(&mut fields).is_some_and(|blocks| blocks > 0), "it has no compressed blocks");
        assert_eq!(fields.0, b"", "not gone through to its end");
        assert!(is_modest(&bytes));
        chitchat.shutdown().await.unwrap();
    }
}
