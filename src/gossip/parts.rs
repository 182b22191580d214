//! Messages that are too long for one datagram, in a few parts, and put together again. Pure.
//!
//! | field | bytes | |
//! |---|---|---|
//! | mark | 2 | `pt`, with which no message of chitchat's begins |
//! | message | 4 | the sender's count of such messages |
//! | index | 1 | which part, from 0 |
//! | count | 1 | how many there are, 2 to [`MAX_PARTS`] |
//!
//! Then the part: [`PART_BYTES`] of the message, in the last one what is left. Each is sealed by itself, so whose it is, and that it comes once, is
//! proven; a message with a part that is lost is lost.

use super::{refusal::Refusal, validation::Voice};
use crate::{clock::BootInstant, link::datagram::MAX_BODY_BYTES, model::NodeId};
use std::{collections::BTreeMap, time::Duration};

/// Most parts of a message: longer ones do not go by datagrams, for the more parts, the likelier one is lost.
pub const MAX_PARTS: usize = 8;
/// Longest message in parts.
pub const MAX_MESSAGE_BYTES: usize = MAX_PARTS * PART_BYTES;
/// What of a message is in one part.
pub const PART_BYTES: usize = MAX_BODY_BYTES - HEAD_BYTES;

const HEAD_BYTES: usize = MARK.len() + 6;
const MARK: [u8; 2] = *b"pt";
/// Messages of one member of which parts are still to come: parts arrive in order but where a network reorders.
const PER_MEMBER: usize = 3;
/// The same of all members: 1 MiB. The oldest gives way.
const TOGETHER: usize = 128;
/// What has not come after that time is lost.
const DEADLINE: Duration = Duration::from_secs(1);

/// A message in parts. `None`: it is too long for that. `number` is another one for each message.
pub fn split(number: u32, message: &[u8]) -> Option<impl Iterator<Item = Vec<u8>>> {
    let count = message.len().div_ceil(PART_BYTES);
    let count_field = u8::try_from(count).ok().filter(|_| (2..=MAX_PARTS).contains(&count))?;
    let parts = (0_u8..).zip(message.chunks(PART_BYTES));
    Some(parts.map(move |(index, part)| [&MARK, &number.to_be_bytes()[..], &[index, count_field], part].concat()))
}

/// Whether a body is a part of a message.
pub fn is_part(body: &[u8]) -> bool {
    body.starts_with(&MARK)
}

/// What has come of messages that are not whole yet. Its size is bounded.
#[derive(Debug, Default)]
pub struct Assembly {
    begun: BTreeMap<Key, Begun>,
}

/// Whose message, of which start of it, and which one.
type Key = (NodeId, u64, u32);

#[derive(Debug)]
struct Begun {
    since: BootInstant,
    parts: Vec<Option<Vec<u8>>>,
}

impl Assembly {
    /// Takes a part in; gives the message that it makes whole.
    ///
    /// # Errors
    /// No honest agent sends it.
    pub fn add(&mut self, by: Voice, body: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let (head, part) = body.split_first_chunk::<HEAD_BYTES>().ok_or(Refusal::Part)?;
        let [m0, m1, n0, n1, n2, n3, index, count] = *head;
        let (index, count) = (usize::from(index), usize::from(count));
        let is_last = index + 1 == count;
        let fits = if is_last { (1..=PART_BYTES).contains(&part.len()) } else { part.len() == PART_BYTES };
        if [m0, m1] != MARK || !(2..=MAX_PARTS).contains(&count) || index >= count || !fits {
            return Err(Refusal::Part);
        }
        self.begun.retain(|_, begun| by.now.saturating_since(begun.since) < DEADLINE);
        let key = (by.node, by.session, u32::from_be_bytes([n0, n1, n2, n3]));
        if !self.begun.contains_key(&key) {
            self.make_room(by.node);
        }
        let begun = self.begun.entry(key).or_insert_with(|| Begun { since: by.now, parts: vec![None; count] });
        if begun.parts.len() != count {
            return Err(Refusal::Part);
        }
        begun.parts[index].get_or_insert_with(|| part.to_vec());
        if begun.parts.iter().any(Option::is_none) {
            return Ok(None);
        }
        let whole = self.begun.remove(&key).map(|begun| begun.parts.into_iter().flatten().collect::<Vec<_>>().concat());
        Ok(whole)
    }

    /// How many bytes of messages are held.
    pub fn bytes(&self) -> usize {
        self.begun.values().flat_map(|begun| begun.parts.iter().flatten()).map(Vec::len).sum()
    }

    /// Each member's messages take the place of its own, as long as there is room for all.
    fn make_room(&mut self, member: NodeId) {
        let its_own = |key: &&Key| key.0 == member;
        if self.begun.keys().filter(its_own).count() >= PER_MEMBER {
            self.drop_oldest(|key| key.0 == member);
        } else if self.begun.len() >= TOGETHER {
            self.drop_oldest(|_| true);
        }
    }

    fn drop_oldest(&mut self, among: impl Fn(&Key) -> bool) {
        let oldest = self.begun.iter().filter(|(key, _)| among(key)).min_by_key(|(_, begun)| begun.since);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.begun.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
