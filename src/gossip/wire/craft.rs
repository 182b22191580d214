//! Messages by hand, as a member may write them that does not keep to chitchat's ways: for tests and fuzzing.

use super::{ACK, END, KEY_VALUE, NODE, PLAIN, PREFIX, SET_MAX_VERSION, SYN, SYN_ACK};
use chitchat::{ChitchatId, Serializable};

/// A digest: of each start its heartbeat, last collected version, greatest version.
pub fn digest(mentions: &[(&ChitchatId, u64, u64, u64)]) -> Vec<u8> {
    let mut bytes = (mentions.len() as u16).to_le_bytes().to_vec();
    for (id, heartbeat, last_gc_version, max_version) in mentions {
        id.serialize(&mut bytes);
        bytes.extend([heartbeat, last_gc_version, max_version].into_iter().flat_map(|number| number.to_le_bytes()));
    }
    bytes
}

/// Begins a node's changes: last collected version, version after which they are.
pub fn node(id: &ChitchatId, last_gc_version: u64, from_version: u64) -> Vec<u8> {
    let mut bytes = vec![NODE];
    id.serialize(&mut bytes);
    bytes.extend([last_gc_version, from_version].into_iter().flat_map(u64::to_le_bytes));
    bytes
}

/// A key is set.
pub fn set(key: &str, value: &str, version: u64) -> Vec<u8> {
    change(key, value, version, 0)
}

/// A key is deleted.
pub fn deleted(key: &str, version: u64) -> Vec<u8> {
    change(key, "", version, 1)
}

/// A change with any status.
pub fn change(key: &str, value: &str, version: u64, status: u8) -> Vec<u8> {
    let mut bytes = vec![KEY_VALUE];
    key.serialize(&mut bytes);
    value.serialize(&mut bytes);
    bytes.extend(version.to_le_bytes());
    bytes.push(status);
    bytes
}

/// The greatest version.
pub fn max_version(version: u64) -> Vec<u8> {
    [&[SET_MAX_VERSION][..], &version.to_le_bytes()].concat()
}

/// Asks for what the sender does not have.
pub fn syn(cluster_id: &str, digest: &[u8]) -> Vec<u8> {
    let mut bytes = [&PREFIX[..], &[SYN], digest].concat();
    cluster_id.serialize(&mut bytes);
    bytes
}

/// Answers, and asks.
pub fn syn_ack(digest: &[u8], items: &[Vec<u8>]) -> Vec<u8> {
    [&PREFIX[..], &[SYN_ACK], digest, &delta(items)].concat()
}

/// Answers.
pub fn ack(items: &[Vec<u8>]) -> Vec<u8> {
    [&PREFIX[..], &[ACK], &delta(items)[..]].concat()
}

fn delta(items: &[Vec<u8>]) -> Vec<u8> {
    let items = items.concat();
    let blocks =
        items.chunks(super::BLOCK_BYTES).map(|block| [&[PLAIN][..], &(block.len() as u16).to_le_bytes(), block].concat());
    blocks.chain([vec![END]]).collect::<Vec<_>>().concat()
}
