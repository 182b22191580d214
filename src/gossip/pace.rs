//! Which of chitchat's messages need not be sent, because they would tell nobody anything. Pure.
//!
//! In each round chitchat asks three nodes at random, and each of them answers, and is answered. Where nobody has anything to tell, two thirds of that are
//! repetition:
//!
//! - The answer to an answer has nothing in it but changes, so without any it is left out.
//! - A node that has just asked this one, or answered it, needs no question for half an interval, unless this node has learned something since. But none is
//!   left out twice in a row, so that two nodes which always choose each other keep their rhythm.

use super::wire::Message;
use crate::clock::BootInstant;
use chitchat::ChitchatId;
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    time::Duration,
};

/// More than there are members, so that only addresses which come and go are ever forgotten.
const MAX_REMEMBERED: usize = 1000;

/// See the file's first line.
#[derive(Debug)]
pub(super) struct Pace {
    /// For how long nobody is asked again.
    hold: Duration,
    partners: BTreeMap<SocketAddr, Partner>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Partner {
    /// What this node knew when it asked last.
    asked: u64,
    /// When it last found that there was nothing to tell that node, and what it knew then.
    even: Option<(BootInstant, u64)>,
    /// It was not asked when its turn came last.
    left_out: bool,
}

impl Pace {
    /// For rounds of gossip at that interval.
    pub fn new(interval: Duration) -> Self {
        Self { hold: interval / 2, partners: BTreeMap::new() }
    }

    /// Whether chitchat's message to that node is to be sent now.
    pub fn is_needed(&mut self, to: SocketAddr, body: &[u8], now: BootInstant) -> bool {
        let Ok(message) = Message::read(body) else { return true };
        if self.partners.len() >= MAX_REMEMBERED && !self.partners.contains_key(&to) {
            self.partners.clear();
        }
        let known = known(&message);
        let (tells, partner) = (!message.delta.is_empty(), self.partners.entry(to).or_default());
        if message.is_question() {
            let just_heard = |(at, then)| now.saturating_since(at) < self.hold && then == known;
            partner.asked = known;
            partner.left_out = !partner.left_out && partner.even.is_some_and(just_heard);
            return !partner.left_out;
        }
        if message.is_answer() {
            partner.even = (!tells).then_some((now, known));
        } else if message.is_last() {
            partner.even = (!tells).then_some((now, partner.asked));
            return tells;
        }
        true
    }
}

/// How much a node knows: of which starts, up to which version. Their heartbeats change all the time and are no news.
fn known(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    for mention in &message.digest {
        let ChitchatId { node_id, generation_id, .. } = &mention.id;
        (node_id, generation_id, mention.last_gc_version, mention.max_version).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::wire::craft::{ack, digest, node, set, syn, syn_ack};

    const INTERVAL: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_millis(5000 + ms))
    }

    fn addr(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 7400).into()
    }

    fn id() -> ChitchatId {
        ChitchatId::new("d1", 1, addr(1))
    }

    fn known(version: u64, heartbeat: u64) -> Vec<u8> {
        digest(&[(&id(), heartbeat, 0, version)])
    }

    fn changes() -> Vec<Vec<u8>> {
        vec![node(&id(), 0, 3), set("rev", "8", 4)]
    }

    #[test]
    fn who_has_just_asked_is_not_asked_for_half_an_interval() {
        let mut pace = Pace::new(INTERVAL);
        assert!(pace.is_needed(addr(2), &syn_ack(&known(3, 10), &[]), at(0)));
        assert!(!pace.is_needed(addr(2), &syn("blue", &known(3, 11)), at(49)));
        assert!(pace.is_needed(addr(3), &syn("blue", &known(3, 11)), at(49)));
        assert!(pace.is_needed(addr(2), &syn("blue", &known(3, 12)), at(50)));
        assert!(pace.is_needed(addr(2), &syn("blue", &known(3, 12)), at(51)));
    }

    #[test]
    fn nobody_is_left_out_twice_in_a_row() {
        let mut pace = Pace::new(INTERVAL);
        for turn in 0..10 {
            assert!(pace.is_needed(addr(2), &syn_ack(&known(3, 10), &[]), at(turn * 100)));
            assert_eq!(pace.is_needed(addr(2), &syn("blue", &known(3, 11)), at(turn * 100 + 30)), turn % 2 == 1);
        }
    }

    #[test]
    fn news_are_told_at_once() {
        let mut pace = Pace::new(INTERVAL);
        assert!(pace.is_needed(addr(2), &syn_ack(&known(3, 10), &[]), at(0)));
        assert!(pace.is_needed(addr(2), &syn("blue", &known(4, 10)), at(1)));
        // It answered, and this node had something to tell: whether that arrives is to be seen.
        assert!(pace.is_needed(addr(2), &ack(&changes()), at(2)));
        assert!(pace.is_needed(addr(2), &syn("blue", &known(4, 10)), at(3)));
        assert!(pace.is_needed(addr(2), &syn_ack(&known(4, 10), &changes()), at(4)));
        assert!(pace.is_needed(addr(2), &syn("blue", &known(4, 10)), at(5)));
    }

    #[test]
    fn the_last_answer_is_left_out_where_it_has_no_changes() {
        let mut pace = Pace::new(INTERVAL);
        assert!(pace.is_needed(addr(2), &syn("blue", &known(3, 10)), at(0)));
        // It does not answer, and is asked again.
        assert!(pace.is_needed(addr(2), &syn("blue", &known(3, 10)), at(10)));
        assert!(!pace.is_needed(addr(2), &ack(&[]), at(11)));
        assert!(!pace.is_needed(addr(2), &syn("blue", &known(3, 12)), at(12)));
        // What it said in its answer was new here, so others that ask may have heard of it since, too.
        assert!(pace.is_needed(addr(2), &syn("blue", &known(4, 12)), at(13)));
    }

    #[test]
    fn what_is_no_such_message_is_sent() {
        let mut pace = Pace::new(INTERVAL);
        assert!(pace.is_needed(addr(2), b"no message", at(0)));
        assert!(pace.is_needed(addr(2), &[0x53, 0xb0, 0, 3], at(0)));
        assert!(pace.is_needed(addr(2), &[0x53, 0xb0, 0, 3], at(1)));
    }

    #[test]
    fn addresses_that_come_and_go_are_forgotten() {
        let mut pace = Pace::new(INTERVAL);
        for i in 0..=u16::MAX {
            let to = SocketAddr::from(([10, 1, 0, 1], i));
            pace.is_needed(to, &syn_ack(&known(3, 10), &[]), at(0));
            assert!(pace.partners.len() <= MAX_REMEMBERED);
        }
    }
}
