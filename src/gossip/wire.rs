//! chitchat's messages, taken apart and written again. Pure.
//!
//! chitchat takes a message for its own kind's: it asserts what its own code always writes, unpacks whatever it is given, and keeps what it reads. So a
//! member's bytes are unpacked here, within limits, refused unless they are what an honest chitchat writes, and chitchat reads only what [`Message::write`]
//! wrote. The layout is chitchat 0.11's (`message.rs`, `digest.rs`, `delta.rs`, `serialize.rs`).

pub mod craft;

use super::{keys::MAX_VALUE_BYTES, refusal::Refusal};
use chitchat::{ChitchatId, ChitchatMessage, Deserializable, Serializable};
use std::collections::BTreeSet;

/// Greatest version or heartbeat that is read: further than any node counts, and far enough from the end that nobody who counts on from it overflows.
pub const MAX_NUMBER: u64 = 1 << 62;
/// Blocks of one message. With [`BLOCK_BYTES`] they are 2 MiB of keys, more than fits into a datagram unless it is made to.
const MAX_BLOCKS: usize = 128;
/// Most that chitchat puts into a block before it is compressed. One of 64 KiB takes 14 bytes: a datagram could ask for 300 MB.
const BLOCK_BYTES: usize = 16_384;
/// Longest key: a service and a server are named in it, of 63 bytes at most.
const MAX_KEY_BYTES: usize = 256;

const PREFIX: [u8; 3] = [0x53, 0xb0, 0];
const SYN: u8 = 0;
const SYN_ACK: u8 = 1;
const ACK: u8 = 2;
const BAD_CLUSTER: u8 = 3;
const END: u8 = 0;
const COMPRESSED: u8 = 1;
const PLAIN: u8 = 2;
const NODE: u8 = 0;
const KEY_VALUE: u8 = 1;
const SET_MAX_VERSION: u8 = 2;
/// Set, or deleted. That chitchat can also delete a key after some time is not used here.
const STATUSES: [u8; 2] = [0, 1];

/// What two chitchats say to each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    kind: u8,
    /// Whose gossip it is, in the one kind of message that says it.
    pub cluster_id: Option<String>,
    /// What the sender has of each node.
    pub digest: Vec<Mention>,
    /// What it passes on.
    pub delta: Vec<Part>,
}

/// How much somebody has of one start of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mention {
    /// Which start of which node.
    pub id: ChitchatId,
    /// The last heartbeat heard.
    pub heartbeat: u64,
    /// Deletions up to this version have been forgotten.
    pub last_gc_version: u64,
    /// Version of the latest change.
    pub max_version: u64,
}

/// Changes of one start of a node, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Which start of which node.
    pub id: ChitchatId,
    /// As in [`Mention`].
    pub last_gc_version: u64,
    /// What comes is all that happened after this version.
    pub from_version: u64,
    /// Version of the last change in it; 0 if there is none.
    pub max_version: u64,
    /// How many there are.
    pub count: usize,
    /// The changes as they were written.
    pub changes: Vec<u8>,
    closed: bool,
}

impl Message {
    /// Takes a message apart.
    ///
    /// # Errors
    /// If no honest chitchat would have written it.
    pub fn read(mut bytes: &[u8]) -> Result<Self, Refusal> {
        let bytes = &mut bytes;
        if get::<[u8; 3]>(bytes)? != PREFIX {
            return Err(Refusal::Layout);
        }
        let mut message = Self { kind: get(bytes)?, cluster_id: None, digest: Vec::new(), delta: Vec::new() };
        match message.kind {
            SYN => {
                message.digest = digest(bytes)?;
                message.cluster_id = Some(get(bytes)?);
            }
            SYN_ACK => {
                message.digest = digest(bytes)?;
                message.delta = parts(&unpack(bytes)?)?;
            }
            ACK => message.delta = parts(&unpack(bytes)?)?,
            BAD_CLUSTER => {}
            _ => return Err(Refusal::Layout),
        }
        if bytes.is_empty() { Ok(message) } else { Err(Refusal::Layout) }
    }

    /// It asks for what the sender does not have.
    pub fn is_question(&self) -> bool {
        self.kind == SYN
    }

    /// It answers a question, and asks back.
    pub fn is_answer(&self) -> bool {
        self.kind == SYN_ACK
    }

    /// It answers an answer.
    pub fn is_last(&self) -> bool {
        self.kind == ACK
    }

    /// The message for chitchat.
    ///
    /// # Errors
    /// Where chitchat does not read what is written here: texts that are not UTF-8.
    pub fn write(&self) -> Result<ChitchatMessage, Refusal> {
        ChitchatMessage::deserialize(&mut &self.to_bytes()?[..]).map_err(|_| Refusal::Layout)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, Refusal> {
        let mut bytes = PREFIX.to_vec();
        bytes.push(self.kind);
        if [SYN, SYN_ACK].contains(&self.kind) {
            u16::try_from(self.digest.len()).map_err(|_| Refusal::Layout)?.serialize(&mut bytes);
            for Mention { id, heartbeat, last_gc_version, max_version } in &self.digest {
                id.serialize(&mut bytes);
                [heartbeat, last_gc_version, max_version].into_iter().for_each(|number| number.serialize(&mut bytes));
            }
        }
        if let Some(cluster_id) = &self.cluster_id {
            cluster_id.serialize(&mut bytes);
        }
        if [SYN_ACK, ACK].contains(&self.kind) {
            self.write_delta(&mut bytes);
        }
        Ok(bytes)
    }

    fn write_delta(&self, bytes: &mut Vec<u8>) {
        let mut items = Vec::new();
        for part in &self.delta {
            items.push(NODE);
            part.id.serialize(&mut items);
            [part.last_gc_version, part.from_version].into_iter().for_each(|number| number.serialize(&mut items));
            items.extend_from_slice(&part.changes);
        }
        for block in items.chunks(BLOCK_BYTES) {
            bytes.push(PLAIN);
            u16::try_from(block.len()).expect("a block is of 16 KiB at most").serialize(bytes);
            bytes.extend_from_slice(block);
        }
        bytes.push(END);
    }
}

fn get<T: Deserializable>(bytes: &mut &[u8]) -> Result<T, Refusal> {
    T::deserialize(bytes).map_err(|_| Refusal::Layout)
}

fn number(bytes: &mut &[u8]) -> Result<u64, Refusal> {
    let number = get(bytes)?;
    if number > MAX_NUMBER { Err(Refusal::Number) } else { Ok(number) }
}

fn take<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Refusal> {
    let length = usize::from(get::<u16>(bytes)?);
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Refusal::Layout)?;
    *bytes = rest;
    Ok(taken)
}

fn digest(bytes: &mut &[u8]) -> Result<Vec<Mention>, Refusal> {
    let (mut mentions, mut seen) = (Vec::new(), BTreeSet::new());
    for _ in 0..get::<u16>(bytes)? {
        let id: ChitchatId = get(bytes)?;
        if !seen.insert(id.clone()) {
            return Err(Refusal::Twice);
        }
        let [heartbeat, last_gc_version, max_version] = [number(bytes)?, number(bytes)?, number(bytes)?];
        mentions.push(Mention { id, heartbeat, last_gc_version, max_version });
    }
    Ok(mentions)
}

fn unpack(bytes: &mut &[u8]) -> Result<Vec<u8>, Refusal> {
    let (mut items, mut block) = (Vec::new(), vec![0; BLOCK_BYTES]);
    for _ in 0..=MAX_BLOCKS {
        match get::<u8>(bytes)? {
            END => return Ok(items),
            COMPRESSED => {
                let packed = take(bytes)?;
                let length = zstd::bulk::decompress_to_buffer(packed, &mut block[..]).map_err(|_| Refusal::Packing)?;
                items.extend_from_slice(&block[..length]);
            }
            PLAIN => match take(bytes)? {
                plain if plain.len() <= BLOCK_BYTES => items.extend_from_slice(plain),
                _ => return Err(Refusal::Packing),
            },
            _ => return Err(Refusal::Layout),
        }
    }
    Err(Refusal::Packing)
}

fn parts(mut items: &[u8]) -> Result<Vec<Part>, Refusal> {
    let items = &mut items;
    let (mut parts, mut seen) = (Vec::<Part>::new(), BTreeSet::new());
    while !items.is_empty() {
        let begun = *items;
        match get::<u8>(items)? {
            NODE => {
                let id: ChitchatId = get(items)?;
                if !seen.insert(id.clone()) {
                    return Err(Refusal::Twice);
                }
                let [last_gc_version, from_version] = [number(items)?, number(items)?];
                let (max_version, count, changes, closed) = Default::default();
                parts.push(Part { id, last_gc_version, from_version, max_version, count, changes, closed });
            }
            KEY_VALUE => {
                let (key, value) = (take(items)?, take(items)?);
                // Not only to be tidy: chitchat cuts keys after their first byte.
                if !key.is_ascii() || key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
                    return Err(Refusal::Text);
                }
                let version = number(items)?;
                if !STATUSES.contains(&get(items)?) {
                    return Err(Refusal::Layout);
                }
                let part = parts.last_mut().filter(|part| !part.closed).ok_or(Refusal::Order)?;
                part.add(version, &begun[..begun.len() - items.len()])?;
            }
            SET_MAX_VERSION => {
                let version = number(items)?;
                // LocalState of a node of whom there is no change to pass on, and then nothing else.
                let part = parts.last_mut().filter(|part| part.count == 0).ok_or(Refusal::Order)?;
                part.add(version, &begun[..begun.len() - items.len()])?;
                part.closed = true;
            }
            _ => return Err(Refusal::Layout),
        }
    }
    Ok(parts)
}

impl Part {
    /// Each change has a higher version than the one before it, and than that from which on they are.
    fn add(&mut self, version: u64, change: &[u8]) -> Result<(), Refusal> {
        if version <= self.max_version.max(self.from_version) {
            return Err(Refusal::Order);
        }
        self.max_version = version;
        self.count += 1;
        self.changes.extend_from_slice(change);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
