//! Node 1, `me`, hears of `a` and `b` by `a` (2), `b` (3) and `z` (4).

mod size;

use super::{member::STEP, *};
use crate::{
    gossip::wire::craft::{ack, digest, max_version, node, set, syn, syn_ack},
    model::PublicKey,
};

const KEPT: Duration = Duration::from_secs(200);
const NAMES: [&str; 4] = ["me", "a", "b", "z"];

fn addr(name: &str) -> SocketAddr {
    let last = NAMES.iter().position(|known| *known == name).unwrap_or(98) as u8;
    ([10, 0, 0, last + 1], 7400).into()
}

fn id(name: &str, generation: u64) -> ChitchatId {
    ChitchatId::new(name, generation, addr(name))
}

fn validation() -> Validation {
    let mut validation = Validation::new(id("me", 7), "blue".to_owned(), KEPT);
    let mut speakers = PeerKeys::default();
    for (number, name) in (1..).zip(NAMES) {
        speakers.members.insert(NodeId(number), (addr(name), PublicKey([number as u8; 32])));
        speakers.names.insert(name.parse().unwrap(), NodeId(number));
    }
    validation.update(&speakers);
    validation.own_numbers(10, 1000);
    validation
}

fn at(second: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_secs(second))
}

/// By a node in its first start.
fn by(name: &str, second: u64) -> Voice {
    by_start(name, 1, second)
}

fn by_start(name: &str, session: u64, second: u64) -> Voice {
    let node = NodeId(NAMES.iter().position(|known| *known == name).unwrap() as u64 + 1);
    Voice { node, session, now: at(second) }
}

/// What is left of a message, as chitchat shows it, and the doubts.
fn heard(validation: &mut Validation, by: Voice, body: &[u8]) -> (String, Vec<Refusal>) {
    let Heard { message, doubts } = validation.hear(by, body).unwrap();
    (format!("{message:?}"), doubts.into_iter().collect())
}

/// The heartbeat that is left of a mention; none if the mention is not left.
fn mentioned(
    validation: &mut Validation,
    by: Voice,
    id: &ChitchatId,
    heartbeat: u64,
    version: u64,
) -> (Option<u64>, Vec<Refusal>) {
    let (text, doubts) = heard(validation, by, &syn("blue", &digest(&[(id, heartbeat, 0, version)])));
    let left = text.split_once("heartbeat: Heartbeat(").map(|(_, rest)| rest.split(')').next().unwrap().parse().unwrap());
    (left, doubts)
}

/// Whether changes up to a version are passed on.
fn passed(
    validation: &mut Validation,
    by: Voice,
    id: &ChitchatId,
    last_gc_version: u64,
    version: u64,
) -> Result<bool, Vec<Refusal>> {
    let (text, doubts) = heard(validation, by, &ack(&[node(id, last_gc_version, 0), set("k", "v", version)]));
    if doubts.is_empty() { Ok(text.contains("NodeDelta {")) } else { Err(doubts) }
}

#[test]
fn only_members_at_their_addresses_are_spoken_of() {
    let mut validation = validation();
    let elsewhere = ChitchatId::new("a", 1, addr("z"));
    for stranger in [id("x", 1), elsewhere, id("me", 6), id("me", 8), ChitchatId::new("\u{1f980}".repeat(9), 1, addr("a"))] {
        assert_eq!(mentioned(&mut validation, by("z", 0), &stranger, 5, 5), (None, vec![]), "{stranger:?}");
        assert_eq!(passed(&mut validation, by("z", 0), &stranger, 0, 5), Ok(false), "{stranger:?}");
    }
    assert_eq!(mentioned(&mut validation, by("z", 0), &id("a", 1), 5, 5), (Some(5), vec![]));
    assert_eq!(passed(&mut validation, by("z", 0), &id("a", 1), 0, 5), Ok(true));
    // chitchat would not take changes of a start that it has not been told of.
    assert_eq!(passed(&mut validation, by("b", 0), &id("b", 1), 0, 5), Ok(false));
}

#[test]
fn another_clusters_gossip_is_refused() {
    assert_eq!(validation().hear(by("a", 0), &syn("green", &digest(&[]))).unwrap_err(), Refusal::Cluster);
}

#[test]
fn a_node_is_the_measure_of_what_others_say_of_it() {
    let mut validation = validation();
    let a = id("a", 1);
    assert_eq!(mentioned(&mut validation, by("a", 0), &a, 500, 50), (Some(500), vec![]));
    assert_eq!(mentioned(&mut validation, by("z", 0), &a, 500 + STEP, 50), (Some(500 + STEP), vec![]));
    assert_eq!(mentioned(&mut validation, by("z", 0), &a, 501 + STEP, 50), (Some(0), vec![Refusal::Ahead]));
    assert_eq!(passed(&mut validation, by("z", 0), &a, 0, 50 + STEP), Ok(true));
    assert_eq!(passed(&mut validation, by("z", 0), &a, 0, 51 + STEP), Err(vec![Refusal::Ahead]));
    assert_eq!(passed(&mut validation, by("z", 0), &a, 50, 60), Ok(true));
    assert_eq!(passed(&mut validation, by("z", 0), &a, 51, 60), Err(vec![Refusal::Collected]));
    // It goes on meanwhile.
    assert_eq!(mentioned(&mut validation, by("z", 1), &a, 501 + STEP, 50), (Some(501 + STEP), vec![]));
    assert_eq!(passed(&mut validation, by("z", 1), &a, 0, 51 + STEP), Ok(true));
    // Of itself it may say what it likes.
    assert_eq!(passed(&mut validation, by("a", 1), &a, 1 << 50, 1 << 60), Ok(true));
    assert_eq!(mentioned(&mut validation, by("a", 1), &a, 1 << 61, 1 << 61), (Some(1 << 61), vec![]));
}

#[test]
fn of_a_node_that_was_never_heard_itself_much_is_believed_but_nothing_that_leaves_no_room_for_more() {
    let mut validation = validation();
    let a = id("a", 1);
    assert_eq!(mentioned(&mut validation, by("z", 0), &a, FLOOR + 1, 5), (None, vec![Refusal::Ahead]));
    assert_eq!(mentioned(&mut validation, by("z", 0), &a, FLOOR, 5), (Some(FLOOR), vec![]));
    assert_eq!(passed(&mut validation, by("z", 0), &a, 0, FLOOR), Ok(true));
    assert_eq!(passed(&mut validation, by("z", 0), &a, 0, FLOOR + 1), Err(vec![Refusal::Ahead]));
    assert_eq!(passed(&mut validation, by("z", 0), &a, 6, 5), Err(vec![Refusal::Collected]));
}

#[test]
fn a_start_before_the_present_one_is_not_heard_of_any_more() {
    let mut validation = validation();
    let (former, present, next) = (id("a", 1), id("a", 2), id("a", 3));
    assert_eq!(mentioned(&mut validation, by("z", 0), &former, 5, 5), (Some(5), vec![]));
    assert_eq!(mentioned(&mut validation, by_start("a", 2, 0), &present, 5, 5), (Some(5), vec![]));
    // What chitchat holds is compared as before, so that it is not all sent again.
    assert_eq!(mentioned(&mut validation, by("z", 0), &former, 6, 5), (Some(0), vec![]));
    assert_eq!(passed(&mut validation, by("z", 0), &former, 0, 6), Ok(false));
    assert_eq!(mentioned(&mut validation, by("z", 0), &next, 5, 5), (Some(5), vec![]));
    // A node speaks of no other start of itself.
    for other in [&former, &next] {
        assert_eq!(mentioned(&mut validation, by_start("a", 2, 0), other, 7, 7), (Some(0), vec![]));
        assert_eq!(passed(&mut validation, by_start("a", 2, 0), other, 0, 7), Ok(false));
    }
    assert_eq!(mentioned(&mut validation, by_start("a", 2, 0), &id("a", 9), 7, 7), (None, vec![]));
}

#[test]
fn invented_starts_do_not_fill_the_digest_nor_keep_the_next_true_one_out() {
    let mut validation = validation();
    let told =
        |validation: &mut Validation, by: Voice, generation| mentioned(validation, by, &id("a", generation), 5, 5).0.is_some();
    let invented = (1..10_000).filter(|generation| told(&mut validation, by("z", 0), *generation)).count();
    assert!(invented > 10, "{invented} starts fit");
    assert!(told(&mut validation, by_start("a", 20_000, 0), 20_000));
    let started = (20_001..40_000).filter(|start| told(&mut validation, by_start("a", *start, 0), *start)).count();
    let all = (1 + invented + started) * (MENTION_BYTES + 1) * NAMES.len();
    assert!(all <= DIGEST_BYTES, "{all} bytes if all are treated so");
    assert_eq!(mentioned(&mut validation, by_start("a", 50_000, 0), &id("a", 50_000), 5, 5), (None, vec![Refusal::Crowd]));
    // Once chitchat has forgotten them there is room again.
    assert!(told(&mut validation, by_start("a", 50_000, KEPT.as_secs()), 50_000));
}

#[test]
fn of_this_node_is_heard_what_it_can_answer() {
    let mut validation = validation();
    let me = id("me", 7);
    assert_eq!(passed(&mut validation, by("z", 0), &me, 10, 10 + OWN_STEP), Ok(true));
    assert_eq!(passed(&mut validation, by("z", 0), &me, 0, 11 + OWN_STEP), Err(vec![Refusal::Ahead]));
    assert_eq!(passed(&mut validation, by("z", 0), &me, 11, 12), Err(vec![Refusal::Collected]));
    assert_eq!((mentioned(&mut validation, by("z", 0), &me, 1000, 5).0, validation.overtaken()), (Some(1000), None));
    mentioned(&mut validation, by("z", 0), &me, 1002, 5);
    mentioned(&mut validation, by("z", 0), &me, 1001, 5);
    mentioned(&mut validation, by("z", 0), &me, FLOOR + 1, 5);
    assert_eq!((validation.overtaken(), validation.overtaken()), (Some(1002), None));
}

#[test]
fn a_node_whose_word_was_forged_is_believed_itself_only_while_it_is_heard() {
    let mut validation = validation();
    let a = id("a", 1);
    mentioned(&mut validation, by("a", 0), &a, 5, 5);
    validation.distrust(&a);
    assert_eq!(passed(&mut validation, by("z", 29), &a, 0, 6), Ok(false));
    assert_eq!(passed(&mut validation, by("a", 29), &a, 0, 6), Ok(true));
    assert_eq!(mentioned(&mut validation, by("z", 29), &a, 6, 5), (Some(6), vec![]), "heartbeats are");
    assert_eq!(passed(&mut validation, by("z", 30), &a, 0, 6), Ok(true));
}

#[test]
fn words_are_bounded_by_what_chitchat_holds_and_is_told() {
    let mut validation = validation();
    let (a, me) = (id("a", 1), id("me", 7));
    mentioned(&mut validation, by("a", 0), &a, 5, 5);
    let value = "v".repeat(2048);
    let full = |id: &ChitchatId| {
        let keys = (1..900).map(|version| set(&format!("k{version}"), &value, version));
        ack(&std::iter::once(node(id, 0, 0)).chain(keys).collect::<Vec<_>>())
    };
    let until_flood = |validation: &mut Validation, by: Voice, body: &[u8]| {
        (0..100).take_while(|_| heard(validation, by, body).1 != [Refusal::Flood]).count()
    };
    let (of_a, of_me) = (full(&a), full(&me));
    assert_eq!(until_flood(&mut validation, by("z", 0), &of_a), 8);
    assert_eq!(until_flood(&mut validation, by("z", 0), &of_me), 8);
    assert_eq!(until_flood(&mut validation, by("a", 0), &of_a), 9, "it may say as much again itself");
    validation.weighed(&[("a".to_owned(), 12 << 20)].into());
    assert_eq!(until_flood(&mut validation, by("z", 0), &of_a), 2);
    assert_eq!(until_flood(&mut validation, by("z", 0), &of_me), 8);
}

#[test]
fn what_is_not_believed_is_left_out_and_the_rest_goes_on() {
    let mut validation = validation();
    let (a, b, me) = (id("a", 1), id("b", 1), id("me", 7));
    let told = digest(&[(&a, FLOOR + 1, 0, 5), (&b, 5, 0, 5), (&id("x", 1), 5, 0, 5)]);
    let items = [node(&b, 0, 0), set("k", "v", 5), node(&me, 0, 0), max_version(FLOOR), node(&a, 0, 0), max_version(5)];
    let (left, doubts) = heard(&mut validation, by("z", 0), &syn_ack(&told, &items));
    assert_eq!(doubts, [Refusal::Ahead]);
    assert_eq!(left.matches("b:1:").count(), 2, "{left}");
    assert!(!left.contains("a:1:") && !left.contains("me:7:") && !left.contains("x:1:"), "{left}");
}

#[test]
fn a_new_node_by_an_old_name_is_measured_anew() {
    let mut validation = validation();
    mentioned(&mut validation, by_start("a", 9, 0), &id("a", 9), 5, 5);
    let speakers = PeerKeys {
        members: [(NodeId(8), (addr("a"), PublicKey([8; 32])))].into(),
        names: [("a".parse().unwrap(), NodeId(8))].into(),
        ..PeerKeys::default()
    };
    validation.update(&speakers);
    assert_eq!(mentioned(&mut validation, by("z", 0), &id("a", 1), 6, 5), (Some(6), vec![]));
    assert_eq!(mentioned(&mut validation, by("z", 0), &id("b", 1), 6, 5), (None, vec![]), "a member no more");
}
