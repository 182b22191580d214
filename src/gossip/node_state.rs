//! Signs a node's word and checks those of others, so that no member that passes a word on can change it.
//!
//! What is signed is the cluster, the node's number, its start, a counter that grows with every change, and the SHA-256 of all entries in order. The entry
//! [`SIGNATURE`] carries counter and signature.

use super::keys::{MAX_KEYS, SIGNATURE};
use crate::{
    link::node_key::{NodeKey, Purpose, Signature, verify},
    model::{NodeId, PublicKey},
};
use data_encoding::BASE64_NOPAD;
use ring::digest::{Context, SHA256};

/// Whose word, of which start of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin<'a> {
    /// The cluster.
    pub cluster_id: &'a str,
    /// The node.
    pub node: NodeId,
    /// Which start of its agent.
    pub generation: u64,
}

/// The value of the entry [`SIGNATURE`] that goes with these entries.
pub fn sign<'a>(key: &NodeKey, origin: Origin<'_>, counter: u64, entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let signature = key.sign(Purpose::Word, &signed(origin, counter, entries));
    format!("{counter} {}", BASE64_NOPAD.encode(&signature.0))
}

/// The counter of a word, if it is whole and its node's own. `entries` are all, in order, the signature among them.
pub fn check<'a>(key: &PublicKey, origin: Origin<'_>, entries: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Option<u64> {
    let (_, text) = entries.clone().find(|(key, _)| *key == SIGNATURE)?;
    let (counter, signature) = text.split_once(' ')?;
    let counter = counter.parse().ok()?;
    let signature = Signature(BASE64_NOPAD.decode(signature.as_bytes()).ok()?);
    if entries.clone().nth(MAX_KEYS).is_some() {
        return None;
    }
    verify(key, Purpose::Word, &signed(origin, counter, entries), &signature).then_some(counter)
}

fn signed<'a>(origin: Origin<'_>, counter: u64, entries: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut digest = Context::new(&SHA256);
    let mut add = |text: &str| {
        // With its length, so that what ends one text cannot begin the next.
        digest.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(text.as_bytes());
    };
    add(origin.cluster_id);
    for (key, value) in entries.filter(|(key, _)| *key != SIGNATURE) {
        add(key);
        add(value);
    }
    let numbers = [origin.node.0, origin.generation, counter].map(u64::to_be_bytes).concat();
    [&numbers, digest.finish().as_ref()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const ORIGIN: Origin<'_> = Origin { cluster_id: "blue", node: NodeId(3), generation: 7 };

    fn pairs(entries: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> + Clone {
        entries.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    prop_compose! {
        fn some_entries()(entries in prop::collection::btree_map("[a-z/]{1,4}", "[a-z ]{0,4}", 0..6)) -> BTreeMap<String, String> {
            entries
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_word_is_taken_as_it_was_signed_and_in_no_other_way(mut entries in some_entries(), mut other in some_entries(), counter: u64) {
            let key = NodeKey::generate();
            let signature = sign(&key, ORIGIN, counter, pairs(&entries));
            let same = entries == other;
            for entries in [&mut entries, &mut other] {
                entries.insert(SIGNATURE.to_owned(), signature.clone());
            }
            prop_assert_eq!(check(&key.public(), ORIGIN, pairs(&entries)), Some(counter));
            prop_assert_eq!(check(&key.public(), ORIGIN, pairs(&other)), same.then_some(counter));
            prop_assert_eq!(check(&NodeKey::generate().public(), ORIGIN, pairs(&entries)), None);
            for wrong in [
                Origin { cluster_id: "green", ..ORIGIN }, Origin { node: NodeId(4), ..ORIGIN }, Origin { generation: 8, ..ORIGIN },
            ] {
                prop_assert_eq!(check(&key.public(), wrong, pairs(&entries)), None);
            }
            let counted_on = format!("{} {}", counter.wrapping_add(1), signature.split_once(' ').unwrap().1);
            entries.insert(SIGNATURE.to_owned(), counted_on);
            prop_assert_eq!(check(&key.public(), ORIGIN, pairs(&entries)), None);
        }

        #[test]
        fn no_signature_makes_the_check_panic(text in "\\PC{0,90}|[0-9]{1,22} [A-Za-z0-9+/]{0,90}") {
            prop_assert_eq!(check(&NodeKey::generate().public(), ORIGIN, [(SIGNATURE, text.as_str())].into_iter()), None);
        }
    }

    #[test]
    fn where_a_text_ends_is_signed_too() {
        let key = NodeKey::generate();
        let signature = sign(&key, ORIGIN, 1, [("ab", "c")].into_iter());
        assert_eq!(check(&key.public(), ORIGIN, [("a", "bc"), (SIGNATURE, &signature)].into_iter()), None);
    }
}
