//! A node's entries as they arrive: whole, in pieces, changed on the way, out of time.

use super::*;
use crate::{
    link::node_key::NodeKey,
    model::{NodeId, PublicKey},
};

struct Author {
    key: NodeKey,
    id: ChitchatId,
    state: NodeState,
    counter: u64,
}

impl Author {
    fn new() -> Self {
        let id = ChitchatId::new("a", 5, "192.0.2.1:7400".parse().unwrap());
        Self { key: NodeKey::generate(), id, state: NodeState::for_test(), counter: 0 }
    }

    fn member(&self, number: u64, key: PublicKey) -> PeerKeys {
        let (id, at) = (NodeId(number), self.id.gossip_advertise_addr);
        PeerKeys { members: [(id, (at, key))].into(), names: [("a".parse().unwrap(), id)].into(), ..PeerKeys::default() }
    }

    fn speakers(&self) -> PeerKeys {
        self.member(1, self.key.public())
    }

    fn sign(&mut self) {
        self.counter += 1;
        let origin = Origin { cluster_id: "blue", node: NodeId(1), generation: 5 };
        let signature = node_state::sign(&self.key, origin, self.counter, self.state.key_values());
        self.state.set(SIGNATURE, signature);
    }

    fn say(&mut self, revision: u64) {
        self.state.set("rev", revision);
        self.sign();
    }

    fn heard_by(&self, words: &mut NodeStates) -> News {
        words.look("blue", &self.speakers(), &self.id, &self.state)
    }

    fn revision(&self, words: &NodeStates) -> Option<u64> {
        words.good(&self.id).map(|view| view.revision)
    }
}

#[test]
fn a_signed_word_is_taken_and_pieces_of_the_next_leave_it_standing() {
    let (mut a, mut words) = (Author::new(), NodeStates::default());
    a.say(1);
    assert_eq!(a.heard_by(&mut words), News::First(None));
    assert_eq!(a.heard_by(&mut words), News::Nothing);
    a.state.set("rev", 2);
    assert_eq!(a.heard_by(&mut words), News::Nothing);
    assert_eq!(a.revision(&words), Some(1));
    a.sign();
    assert_eq!(a.heard_by(&mut words), News::Changed);
    assert_eq!(a.revision(&words), Some(2));
    a.state.set(keys::BYE, "");
    a.sign();
    a.heard_by(&mut words);
    assert!(!words.good(&a.id).unwrap().live);
}

#[test]
fn what_another_member_writes_in_its_name_is_not_taken() {
    let (mut a, mut words) = (Author::new(), NodeStates::default());
    a.say(1);
    a.heard_by(&mut words);
    // Changed entries with the signature of the former ones, which a member can make the latest change.
    let signature = a.state.get(SIGNATURE).unwrap().to_owned();
    a.state.set("rev", 99);
    a.state.delete(SIGNATURE);
    a.state.set(SIGNATURE, signature);
    assert_eq!(a.heard_by(&mut words), News::Nothing);
    // Signed with a key of another.
    let own = std::mem::replace(&mut a.key, NodeKey::generate());
    a.say(98);
    a.key = own;
    assert_eq!(a.heard_by(&mut words), News::Nothing);
    assert_eq!(a.revision(&words), Some(1));
}

#[test]
fn an_earlier_word_of_the_same_start_is_refused() {
    let (mut a, mut words) = (Author::new(), NodeStates::default());
    a.say(1);
    let earlier = a.state.get(SIGNATURE).unwrap().to_owned();
    a.say(2);
    a.heard_by(&mut words);
    a.state.set("rev", 1);
    a.state.set(SIGNATURE, earlier);
    assert_eq!(a.heard_by(&mut words), News::Nothing);
    assert_eq!(a.revision(&words), Some(2));
}

#[test]
fn whoever_is_no_member_or_has_another_key_or_number_is_not_listened_to() {
    let (mut a, mut words) = (Author::new(), NodeStates::default());
    a.say(1);
    for speakers in [PeerKeys::default(), a.member(2, a.key.public()), a.member(1, NodeKey::generate().public())] {
        a.heard_by(&mut words);
        assert_eq!(a.revision(&words), Some(1));
        assert_eq!(words.look("blue", &speakers, &a.id, &a.state), News::Nothing);
        assert_eq!(a.revision(&words), None);
    }
    assert_eq!(words.look("green", &a.speakers(), &a.id, &a.state), News::Nothing);
}

#[test]
fn a_word_that_stays_in_pieces_is_reported_ever_more_seldom() {
    let (mut a, mut words) = (Author::new(), NodeStates::default());
    a.say(1);
    a.heard_by(&mut words);
    assert_eq!((0..50).map(|_| words.overdue(|_| true).len()).sum::<usize>(), 0);
    a.state.set("rev", 2);
    a.heard_by(&mut words);
    assert_eq!((0..50).map(|_| words.overdue(|_| false).len()).sum::<usize>(), 0);
    let reported: Vec<usize> = (1..100).filter(|_| !words.overdue(|_| true).is_empty()).collect();
    assert_eq!(reported, [10, 20, 40, 80]);
}
