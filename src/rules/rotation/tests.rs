//! Rotations step by step, and a cluster whose members follow and report late.

use super::*;
use crate::{
    model::Secret,
    rules::{
        SecurityChange,
        fixture::{founding, name},
    },
};
use proptest::prelude::*;

const OLD: Fingerprint = Fingerprint([1; 32]);
const NEW: Fingerprint = Fingerprint([2; 32]);
const K1: KeyId = KeyId(1);
const K2: KeyId = KeyId(2);

/// Members in few words: `a k1,k2 ca1,ca2 by1`: name, keys, trusted CAs, issuer (`by-` for somebody else's).
fn members(lines: &[&str]) -> BTreeMap<NodeName, KeyInventory> {
    let ca = |n: &str| Fingerprint([n.parse().unwrap(); 32]);
    let held = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let held = match words.as_slice() {
            [_] => KeyInventory::default(),
            [_, keys, authorities, issuer] => KeyInventory {
                keys: keys.split(',').map(|key| KeyId(key.strip_prefix('k').unwrap().parse().unwrap())).collect(),
                authorities: authorities.split(',').map(|word| ca(word.strip_prefix("ca").unwrap())).collect(),
                issuer: issuer.strip_prefix("by").filter(|n| *n != "-").map(ca),
                // Enough for a rotation to go on; see the test of a key that nobody has.
                signs: if words[0] == "a" { [OLD, NEW].into() } else { BTreeSet::new() },
            },
            other => panic!("{other:?}"),
        };
        (name(words[0]), held)
    };
    lines.iter().map(held).collect()
}

fn wants(security: &Security, live: &[&str], age_s: u64, leavers_are_out: bool) -> Option<Wanted> {
    let age = Duration::from_secs(age_s);
    let (me, live) = (name("a"), members(live));
    next(&RotationInput { security, me: &me, live: &live, key_age: age, authority_age: age, leavers_are_out })
}

fn after(changes: &[SecurityChange]) -> Security {
    let mut security = Security::found(&founding());
    changes.iter().for_each(|change| security.apply(change).unwrap());
    security
}

fn key_added() -> SecurityChange {
    SecurityChange::KeyAdded { key: Secret::new([2; 32]), departures: None }
}

fn ca_added() -> SecurityChange {
    SecurityChange::AuthorityAdded { fingerprint: NEW, der: vec![2] }
}

#[test]
fn a_cluster_that_rotates_nothing_is_left_alone() {
    assert_eq!(wants(&after(&[]), &["a k1 ca1 by1", "b k1 ca1 by1"], 1_000_000, true), None);
    assert_eq!(wants(&Security::default(), &["a"], 1_000_000, true), None);
}

#[test]
fn a_key_is_used_when_all_that_are_heard_have_it() {
    let added = after(&[key_added()]);
    assert_eq!(wants(&added, &["a k1,k2 ca1 by1", "b k1 ca1 by1"], 100, true), None);
    assert_eq!(wants(&added, &["a k1 ca1 by1", "b k1,k2 ca1 by1"], 100, true), None, "nor before the leader itself");
    assert_eq!(wants(&added, &["a k1,k2 ca1 by1", "b"], 100, true), None, "b has not said anything yet");
    assert_eq!(wants(&added, &["b k1,k2 ca1 by1"], 100, true), None, "this leader does not hear itself");
    assert_eq!(wants(&added, &["a k1,k2 ca1 by1", "b k1,k2 ca1 by1"], 0, true), Some(Wanted::PromoteKey(K2)));
}

#[test]
fn the_former_key_goes_a_minute_later() {
    let promoted = after(&[key_added(), SecurityChange::KeyPromoted(K2)]);
    let both = ["a k1,k2 ca1 by1", "b k1,k2 ca1 by1"];
    assert_eq!(wants(&promoted, &both, 59, true), None);
    assert_eq!(wants(&promoted, &both, 60, true), Some(Wanted::DropKey(K1)));
    assert_eq!(wants(&promoted, &["a k1,k2 ca1 by1", "b k1 ca1 by1"], 60, true), None, "b came back without the new one");
}

#[test]
fn who_left_is_followed_by_a_new_key_that_it_does_not_get() {
    let mut stale = after(&[]);
    stale.keyring.stale = true;
    let live = ["a k1 ca1 by1"];
    assert_eq!(wants(&stale, &live, 0, false), None, "it still follows the log");
    assert_eq!(wants(&stale, &live, 0, true), Some(Wanted::AddKey));
    // Another leaves while the new key goes round: that one is brought to its end, then comes a third.
    let mut again = after(&[key_added()]);
    again.keyring.stale = true;
    assert_eq!(wants(&again, &["a k1 ca1 by1"], 0, true), None);
    assert_eq!(wants(&again, &["a k1,k2 ca1 by1"], 0, true), Some(Wanted::PromoteKey(K2)));
    again.apply(&SecurityChange::KeyPromoted(K2)).unwrap();
    assert_eq!(wants(&again, &["a k1,k2 ca1 by1"], 0, true), Some(Wanted::AddKey));
}

#[test]
fn a_full_ring_makes_room_before_it_takes_another_key() {
    let mut full = after(&[]);
    for id in 2..=4 {
        full.apply(&SecurityChange::KeyAdded { key: Secret::new([id; 32]), departures: None }).unwrap();
        full.apply(&SecurityChange::KeyPromoted(KeyId(u16::from(id)))).unwrap();
    }
    full.keyring.stale = true;
    let live = ["a k1,k2,k3,k4 ca1 by1"];
    assert_eq!(wants(&full, &live, 0, true), None);
    assert_eq!(wants(&full, &live, 60, true), Some(Wanted::DropKey(K1)));
}

#[test]
fn a_ca_issues_when_all_trust_it_and_the_former_goes_when_nobody_needs_it() {
    let added = after(&[ca_added()]);
    assert_eq!(wants(&added, &["a k1 ca1,ca2 by1", "b k1 ca1 by1"], 100, true), None);
    assert_eq!(wants(&added, &["a k1 ca1,ca2 by1", "b k1 ca1,ca2 by1"], 0, true), Some(Wanted::PromoteAuthority(NEW)));
    let promoted = after(&[ca_added(), SecurityChange::AuthorityPromoted(NEW)]);
    let renewed = ["a k1 ca1,ca2 by2", "b k1 ca1,ca2 by2"];
    assert_eq!(wants(&promoted, &["a k1 ca1,ca2 by2", "b k1 ca1,ca2 by1"], 100, true), None);
    assert_eq!(wants(&promoted, &renewed, 59, true), None);
    assert_eq!(wants(&promoted, &renewed, 60, true), Some(Wanted::DropAuthority(OLD)));
    let elsewhere = ["a k1 ca1,ca2 by2", "b k1 ca1,ca2 by-"];
    assert_eq!(wants(&promoted, &elsewhere, 60, true), Some(Wanted::DropAuthority(OLD)), "b's own ca is nobody's concern");
    assert_eq!(wants(&promoted, &["a k1 ca1,ca2 by2", "b"], 60, true), None, "b has not said anything yet");
}

#[test]
fn each_stage_waits_for_those_that_lack_what_comes_next() {
    let live = members(&["a k1,k2 ca1,ca2 by2", "b k1 ca1,ca2 by1", "c k1,k2 ca1 by1"]);
    let waits = |changes: &[SecurityChange]| {
        let stage = RotationStage::of(&after(changes))?;
        Some((stage, stage.held_up_by(&live).map(NodeName::as_str).collect::<Vec<_>>().join(" ")))
    };
    let promoted = SecurityChange::AuthorityPromoted(NEW);
    assert_eq!(waits(&[]), None);
    assert_eq!(waits(&[key_added()]), Some((RotationStage::Key(K2), "b".to_owned())));
    assert_eq!(waits(&[ca_added(), key_added()]), Some((RotationStage::Key(K2), "b".to_owned())));
    assert_eq!(waits(&[ca_added()]), Some((RotationStage::Authority(NEW), "c".to_owned())));
    assert_eq!(waits(&[ca_added(), promoted.clone()]), Some((RotationStage::Certificates(NEW), "b c".to_owned())));
    assert_eq!(waits(&[ca_added(), promoted, SecurityChange::AuthorityDropped(OLD)]), None);
}

#[test]
fn a_ca_whose_key_no_live_member_has_never_issues() {
    let added = after(&[ca_added()]);
    let mut live = members(&["a k1 ca1,ca2 by1", "b k1 ca1,ca2 by1"]);
    let decide = |live: &BTreeMap<NodeName, KeyInventory>| {
        let age = Duration::from_secs(100);
        next(&RotationInput { security: &added, me: &name("a"), live, key_age: age, authority_age: age, leavers_are_out: true })
    };
    live.get_mut(&name("a")).unwrap().signs = [OLD].into();
    assert_eq!(decide(&live), None, "it could sign for nobody");
    live.get_mut(&name("b")).unwrap().signs = [NEW].into();
    assert_eq!(
        decide(&live),
        Some(Wanted::PromoteAuthority(NEW)),
        "one director is enough, and the lost key of the old one is not missed"
    );
}

/// One member of a cluster in which everything arrives late.
#[derive(Clone, Debug, Default)]
struct Member {
    /// How many states of the history it has applied.
    applied: usize,
    /// What of that it has said, and was heard.
    said: usize,
    silent: bool,
    /// It has its certificate from the CA that issued at that point of the history.
    certified: usize,
}

#[derive(Clone, Debug)]
enum Event {
    Apply(usize),
    Say(usize),
    Certify(usize),
    Silence(usize),
    Return(usize),
    /// So many seconds; a live member never lags longer than [`DROP_AFTER`], or gossip would not call it live.
    Wait(u64),
    RotateKey,
    RotateAuthority,
    Leave,
    LeaverIsOut,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_usize..3).prop_map(Event::Apply),
        4 => (0_usize..3).prop_map(Event::Say),
        2 => (0_usize..3).prop_map(Event::Certify),
        1 => (0_usize..3).prop_map(Event::Silence),
        1 => (0_usize..3).prop_map(Event::Return),
        3 => (1_u64..50).prop_map(Event::Wait),
        1 => Just(Event::RotateKey),
        1 => Just(Event::RotateAuthority),
        1 => Just(Event::Leave),
        1 => Just(Event::LeaverIsOut),
    ]
}

/// The leader is the member 0 and applies at once.
struct Cluster {
    history: Vec<(u64, Security)>,
    members: Vec<Member>,
    now: u64,
    key_since: u64,
    authority_since: u64,
    leaver_follows: bool,
}

impl Cluster {
    fn new() -> Self {
        Self {
            history: vec![(0, after(&[]))],
            members: vec![Member::default(); 3],
            now: 0,
            key_since: 0,
            authority_since: 0,
            leaver_follows: false,
        }
    }

    fn agreed(&self) -> &Security {
        &self.history.last().unwrap().1
    }

    fn commit(&mut self, security: Security) {
        if security.keyring.primary != self.agreed().keyring.primary {
            self.key_since = self.now;
        }
        if security.authorities.issuing != self.agreed().authorities.issuing {
            self.authority_since = self.now;
        }
        self.history.push((self.now, security));
        self.members[0].applied = self.history.len() - 1;
    }

    fn change(&mut self, change: &SecurityChange) {
        let mut security = self.agreed().clone();
        if security.apply(change).is_ok() {
            self.commit(security);
        }
    }

    fn happens(&mut self, event: &Event) {
        let newest = self.history.len() - 1;
        match event {
            Event::Apply(n) if !self.members[*n].silent => self.members[*n].applied = newest,
            Event::Say(n) if !self.members[*n].silent => self.members[*n].said = self.members[*n].applied,
            Event::Certify(n) if !self.members[*n].silent => self.members[*n].certified = self.members[*n].applied,
            Event::Silence(n) => self.members[*n].silent = *n != 0,
            // Raft tells it what it missed before gossip calls it live again; its old word stands until it speaks.
            Event::Return(n) if self.members[*n].silent => {
                let certified = self.members[*n].certified;
                self.members[*n] = Member { applied: newest, silent: false, certified, ..self.members[*n] };
                // Its certificate may be of a CA that is gone: it gets another before it can speak with anybody.
                if !self.agreed().authorities.trusted.contains_key(&self.issuer(certified)) {
                    self.members[*n].certified = newest;
                }
                self.members[*n].said = newest;
            }
            Event::Apply(_) | Event::Say(_) | Event::Certify(_) | Event::Return(_) => {}
            Event::Wait(seconds) => {
                self.now += seconds;
                self.catch_up();
            }
            Event::RotateKey => {
                let byte = u8::try_from(self.history.len() % 256).unwrap();
                self.change(&SecurityChange::KeyAdded { key: Secret::new([byte; 32]), departures: None });
            }
            Event::RotateAuthority => {
                let byte = u8::try_from(self.history.len() % 256).unwrap();
                self.change(&SecurityChange::AuthorityAdded { fingerprint: Fingerprint([byte; 32]), der: vec![byte] });
            }
            Event::Leave => {
                let mut security = self.agreed().clone();
                security.keyring.somebody_left();
                self.leaver_follows = true;
                self.commit(security);
            }
            Event::LeaverIsOut => self.leaver_follows = false,
        }
    }

    /// Nobody who is heard lags longer than 50 s behind.
    fn catch_up(&mut self) {
        let due = self.history.iter().rposition(|(at, _)| at + 50 <= self.now).unwrap_or(0);
        for member in self.members.iter_mut().filter(|member| !member.silent) {
            member.applied = member.applied.max(due);
        }
    }

    fn issuer(&self, at: usize) -> Fingerprint {
        self.history[at].1.authorities.issuing.unwrap()
    }

    fn decide(&mut self) -> Option<Wanted> {
        let said = |member: &Member| {
            let Security { keyring, authorities, .. } = &self.history[member.said].1;
            let issuer = self.issuer(member.certified.min(member.said));
            KeyInventory {
                keys: keyring.keys.keys().copied().collect(),
                authorities: authorities.trusted.keys().copied().collect(),
                issuer: Some(issuer),
                signs: authorities.trusted.keys().copied().collect(),
            }
        };
        let live = self.members.iter().zip(["a", "b", "c"]).filter(|(member, _)| !member.silent);
        let live = live.map(|(member, node)| (name(node), said(member))).collect();
        let wanted = next(&RotationInput {
            security: self.agreed(),
            me: &name("a"),
            live: &live,
            key_age: Duration::from_secs(self.now - self.key_since),
            authority_age: Duration::from_secs(self.now - self.authority_since),
            leavers_are_out: !self.leaver_follows,
        })?;
        assert!(!(wanted == Wanted::AddKey && self.leaver_follows));
        let byte = u8::try_from(self.history.len() % 256).unwrap();
        let change = match wanted {
            Wanted::AddKey => {
                let departures = Some(self.agreed().keyring.departures);
                SecurityChange::KeyAdded { key: Secret::new([byte; 32]), departures }
            }
            Wanted::PromoteKey(id) => SecurityChange::KeyPromoted(id),
            Wanted::DropKey(id) => SecurityChange::KeyDropped(id),
            Wanted::PromoteAuthority(ca) => SecurityChange::AuthorityPromoted(ca),
            Wanted::DropAuthority(ca) => SecurityChange::AuthorityDropped(ca),
        };
        let mut security = self.agreed().clone();
        security.apply(&change).expect("what is wanted is allowed");
        self.commit(security);
        Some(wanted)
    }

    /// Every two that are heard understand each other, each by what it has applied: the sender seals with its primary key and shows its certificate.
    fn understand(&self) -> Result<(), String> {
        let live: Vec<&Member> = self.members.iter().filter(|member| !member.silent).collect();
        for (sender, receiver) in live.iter().flat_map(|sender| live.iter().map(move |receiver| (sender, receiver))) {
            let (theirs, ours) = (&self.history[sender.applied].1, &self.history[receiver.applied].1);
            let key = theirs.keyring.primary.unwrap();
            if !ours.keyring.keys.contains_key(&key) {
                return Err(format!("{receiver:?} has no {key} of {sender:?}"));
            }
            let issuer = self.issuer(sender.certified);
            if !ours.authorities.trusted.contains_key(&issuer) {
                return Err(format!("{receiver:?} does not trust {issuer} of {sender:?}"));
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_step_leaves_a_live_member_behind_and_every_rotation_ends(events in proptest::collection::vec(event(), 0..60)) {
        let mut cluster = Cluster::new();
        for event in &events {
            cluster.happens(event);
            prop_assert_eq!(cluster.understand(), Ok(()));
            if cluster.decide().is_some() {
                prop_assert_eq!(cluster.understand(), Ok(()), "{:?}", cluster.history.last());
            }
        }
        // When everybody is there and follows, it comes to an end with one key and one CA.
        cluster.leaver_follows = false;
        for _ in 0..60 {
            for n in 0..3 {
                [Event::Return(n), Event::Apply(n), Event::Certify(n), Event::Say(n)].iter().for_each(|event| cluster.happens(event));
            }
            cluster.happens(&Event::Wait(20));
            cluster.decide();
        }
        let Security { keyring, authorities, .. } = cluster.agreed();
        prop_assert_eq!((keyring.keys.len(), keyring.stale, authorities.trusted.len()), (1, false, 1));
    }
}
