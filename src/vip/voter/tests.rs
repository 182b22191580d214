//! The voter, rule by rule.

use super::*;
use crate::vip::message::{Life, MembershipId, Round};

mod addresses;

const TTL: Duration = Duration::from_millis(300);
/// `TTL·(1+ε)`.
const PROMISED_MS: u64 = 306;

fn at(ms: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_millis(ms))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn web() -> VipName {
    "web".parse().expect("legal")
}

fn membership(index: u64) -> LeaseMembership {
    let voters = vec![BTreeSet::from([NodeId(1), NodeId(2), NodeId(3)])];
    let address = "192.0.2.1:4402".parse().expect("legal");
    let id = MembershipId { term: 1, leader: NodeId(1), index };
    LeaseMembership { id, voters, addresses: BTreeMap::from([(NodeId(1), address)]) }
}

fn candidates(nodes: &[u64]) -> VoterEvent {
    VoterEvent::Candidates(BTreeMap::from([(web(), nodes.iter().copied().map(NodeId).collect())]))
}

/// Started at 0, told everything; its quiet time ends at [`PROMISED_MS`].
fn voter() -> Voter {
    let mut voter = Voter::new(NodeId(1), TTL, at(0));
    assert_eq!(voter.step(VoterEvent::Membership(membership(5)), at(1)), vec![]);
    assert_eq!(voter.step(candidates(&[2, 3]), at(1)), vec![]);
    voter
}

fn ask_of(round: Round, membership: u64, ttl: Duration) -> LeaseMessage {
    let id = MembershipId { term: 1, leader: NodeId(1), index: membership };
    LeaseMessage::Ask { group: web(), round, life: 7, membership: id, ttl, addresses: vips(&[10]).into(), dry: false, epoch: 0 }
}

fn vips(hosts: &[u8]) -> BTreeSet<IpAddr> {
    hosts.iter().map(|host| IpAddr::from([192, 0, 2, *host])).collect()
}

fn answer(voter: &mut Voter, from: u64, message: LeaseMessage, now: u64) -> Result<Round, RefusalReason> {
    let mut effects = voter.step(VoterEvent::Heard { from: NodeId(from), message }, at(now));
    assert_eq!(effects.len(), 1, "one ask, one answer");
    match effects.remove(0) {
        VoterEffect::Send { to, message: LeaseMessage::Grant { group, round, .. } } if to == NodeId(from) && group == web() => {
            Ok(round)
        }
        VoterEffect::Send { to, message: LeaseMessage::Refuse { group, why, .. } } if to == NodeId(from) && group == web() => {
            Err(why)
        }
        other => panic!("{other:?}"),
    }
}

fn ask(voter: &mut Voter, from: u64, round: Round, now: u64) -> Result<Round, RefusalReason> {
    answer(voter, from, ask_of(round, 5, TTL), now)
}

fn release(voter: &mut Voter, from: u64, round: Round, now: u64) {
    let message = LeaseMessage::Release { group: web(), round, life: 7 };
    assert_eq!(voter.step(VoterEvent::Heard { from: NodeId(from), message }, at(now)), vec![]);
}

#[test]
fn a_promise_excludes_others_until_it_has_run_out() {
    let mut voter = voter();
    assert_eq!(ask(&mut voter, 2, 10, 400), Ok(10));
    assert_eq!(voter.promise(&web()), Some((NodeId(2), at(400 + PROMISED_MS))));
    assert_eq!(ask(&mut voter, 3, 20, 500), Err(RefusalReason::Held { by: NodeId(2), remaining: ms(206) }));
    assert_eq!(ask(&mut voter, 3, 21, 705), Err(RefusalReason::Held { by: NodeId(2), remaining: ms(1) }));
    assert_eq!(ask(&mut voter, 3, 22, 706), Ok(22));
}

#[test]
fn the_holder_renews() {
    let mut voter = voter();
    assert_eq!(ask(&mut voter, 2, 10, 400), Ok(10));
    assert_eq!(ask(&mut voter, 2, 11, 500), Ok(11));
    assert_eq!(voter.promise(&web()), Some((NodeId(2), at(500 + PROMISED_MS))));
}

#[test]
fn a_renewal_with_a_shorter_ttl_never_shrinks_a_promise() {
    let mut voter = voter();
    assert_eq!(ask(&mut voter, 2, 10, 400), Ok(10));
    assert_eq!(answer(&mut voter, 2, ask_of(11, 5, ms(100)), 410), Ok(11));
    assert_eq!(voter.promise(&web()), Some((NodeId(2), at(400 + PROMISED_MS))));
}

#[test]
fn a_ttl_above_the_cluster_s_is_refused() {
    let mut voter = voter();
    assert_eq!(answer(&mut voter, 2, ask_of(10, 5, ms(301)), 400), Err(RefusalReason::TtlTooLong { max: TTL }));
    assert_eq!(voter.promise(&web()), None);
}

#[test]
fn a_round_is_answered_once() {
    let mut voter = voter();
    assert_eq!(ask(&mut voter, 2, 10, 400), Ok(10));
    assert_eq!(ask(&mut voter, 2, 10, 401), Err(RefusalReason::OldRound { last: 10 }));
    assert_eq!(ask(&mut voter, 2, 9, 402), Err(RefusalReason::OldRound { last: 10 }));
    assert_eq!(ask(&mut voter, 3, 7, 403), Err(RefusalReason::Held { by: NodeId(2), remaining: ms(303) }));
    assert_eq!(ask(&mut voter, 3, 7, 800), Err(RefusalReason::OldRound { last: 7 }), "refused rounds count as seen");
}

#[test]
fn who_counts_with_an_older_membership_is_told_the_newer() {
    let mut voter = voter();
    assert_eq!(answer(&mut voter, 2, ask_of(10, 4, TTL), 400), Err(RefusalReason::NewerMembership(membership(5))));
    assert_eq!(answer(&mut voter, 2, ask_of(11, 6, TTL), 401), Ok(11), "a newer one than its own is granted");
}

#[test]
fn a_truncated_log_takes_the_voter_s_membership_back() {
    let mut voter = voter();
    voter.step(VoterEvent::Membership(membership(4)), at(399));
    assert_eq!(voter.membership(), Some(&membership(4)));
    assert_eq!(answer(&mut voter, 2, ask_of(10, 4, TTL), 400), Ok(10));
}

#[test]
fn who_is_no_candidate_is_refused_and_leaves_no_trace() {
    let mut voter = voter();
    assert_eq!(ask(&mut voter, 9, 10, 400), Err(RefusalReason::NotCandidate));
    assert!(voter.promises.are_none());
}

#[test]
fn a_voter_is_quiet_until_every_promise_it_may_have_forgotten_is_over() {
    let mut voter = voter();
    assert_eq!(ask(&mut voter, 2, 10, 2), Err(RefusalReason::Quiet { remaining: ms(304) }));
    assert_eq!(ask(&mut voter, 2, 11, 305), Err(RefusalReason::Quiet { remaining: ms(1) }));
    assert_eq!(ask(&mut voter, 2, 12, 306), Ok(12));
}

#[test]
fn a_voter_is_quiet_until_it_is_told_membership_and_candidates() {
    let mut voter = Voter::new(NodeId(1), TTL, at(0));
    assert_eq!(ask(&mut voter, 2, 10, 1000), Err(RefusalReason::Quiet { remaining: TTL }));
    voter.step(VoterEvent::Membership(membership(5)), at(1001));
    assert_eq!(ask(&mut voter, 2, 11, 1002), Err(RefusalReason::Quiet { remaining: TTL }));
    voter.step(candidates(&[2]), at(1003));
    assert_eq!(ask(&mut voter, 2, 12, 1004), Ok(12));
}

#[test]
fn a_release_of_that_round_or_a_later_one_frees_the_group() {
    for released in [10, 11] {
        let mut voter = voter();
        assert_eq!(ask(&mut voter, 2, 10, 400), Ok(10));
        release(&mut voter, 2, released, 401);
        assert_eq!(ask(&mut voter, 3, 20, 402), Ok(20));
    }
}

#[test]
fn a_release_by_another_or_of_an_earlier_round_frees_nothing() {
    let mut voter = voter();
    assert_eq!(ask(&mut voter, 2, 10, 400), Ok(10));
    release(&mut voter, 3, 99, 401);
    release(&mut voter, 2, 9, 401);
    assert_eq!(voter.promise(&web()), Some((NodeId(2), at(400 + PROMISED_MS))));
}

#[test]
fn an_ask_that_its_own_release_has_overtaken_is_not_granted() {
    let mut voter = voter();
    assert_eq!(ask(&mut voter, 2, 10, 400), Ok(10));
    release(&mut voter, 2, 11, 401);
    assert_eq!(ask(&mut voter, 2, 11, 402), Err(RefusalReason::OldRound { last: 11 }));
}

#[test]
fn a_release_ends_what_its_own_life_was_promised_and_no_more() {
    let said = |life, message| match message {
        LeaseMessage::Ask { group, round, membership, ttl, addresses, dry, epoch, .. } => {
            LeaseMessage::Ask { group, round, life, membership, ttl, addresses, dry, epoch }
        }
        other => other,
    };
    let released = |voter: &mut Voter, life, now| {
        let message = LeaseMessage::Release { group: web(), round: 900, life };
        voter.step(VoterEvent::Heard { from: NodeId(2), message }, at(now));
        voter.promise(&web())
    };
    let mut voter = voter();
    assert_eq!(answer(&mut voter, 2, said(1, ask_of(10, 5, TTL)), 400), Ok(10));
    assert_eq!(released(&mut voter, 2, 401), Some((NodeId(2), at(706))), "late, and of a life whose clock was ahead");
    assert_eq!(answer(&mut voter, 2, said(2, ask_of(901, 5, TTL)), 410), Ok(901), "the same node need not wait for itself");
    assert_eq!(released(&mut voter, 1, 411), Some((NodeId(2), at(716))));
    assert_eq!(released(&mut voter, 2, 412), Some((NodeId(2), at(716))), "an earlier round");
    let message = LeaseMessage::Release { group: web(), round: 901, life: 2 };
    voter.step(VoterEvent::Heard { from: NodeId(2), message }, at(413));
    assert_eq!(voter.promise(&web()), Some((NodeId(2), at(706))), "until the other life's would have run out");
}

#[test]
fn a_promise_outlives_the_rules_that_allowed_it() {
    let mut voter = voter();
    assert_eq!(ask(&mut voter, 2, 10, 400), Ok(10));
    voter.step(candidates(&[3]), at(410));
    assert_eq!(ask(&mut voter, 3, 20, 411), Err(RefusalReason::Held { by: NodeId(2), remaining: ms(295) }));
    voter.step(candidates(&[2, 3]), at(412));
    assert_eq!(ask(&mut voter, 2, 10, 413), Err(RefusalReason::OldRound { last: 10 }), "nor is its round forgotten");
    voter.step(VoterEvent::Candidates(BTreeMap::new()), at(414));
    assert!(!voter.promises.are_none());
    voter.step(VoterEvent::Candidates(BTreeMap::new()), at(800));
    assert!(voter.promises.are_none());
}

#[test]
fn the_greatest_epoch_is_passed_on() {
    let mut voter = voter();
    let ask = |round, epoch| match ask_of(round, 5, TTL) {
        LeaseMessage::Ask { group, round, life, membership, ttl, addresses, dry, .. } => {
            LeaseMessage::Ask { group, round, life, membership, ttl, addresses, dry, epoch }
        }
        other => other,
    };
    voter.step(VoterEvent::Heard { from: NodeId(2), message: ask(10, 7) }, at(400));
    let effects = voter.step(VoterEvent::Heard { from: NodeId(3), message: ask(20, 3) }, at(400));
    let why = RefusalReason::Held { by: NodeId(2), remaining: ms(306) };
    let message = LeaseMessage::Refuse { group: web(), round: 20, life: 7, why, epoch: 7 };
    assert_eq!(effects, vec![VoterEffect::Send { to: NodeId(3), message }]);
}

#[test]
fn a_question_is_answered_like_an_ask_and_promises_nothing() {
    let mut voter = voter();
    let question = |round| match ask_of(round, 5, TTL) {
        LeaseMessage::Ask { group, round, life, membership, ttl, addresses, epoch, .. } => {
            LeaseMessage::Ask { group, round, life, membership, ttl, addresses, dry: true, epoch }
        }
        other => other,
    };
    assert_eq!(answer(&mut voter, 2, question(10), 400), Ok(10));
    assert_eq!(voter.promise(&web()), None);
    assert_eq!(answer(&mut voter, 3, ask_of(10, 5, TTL), 401), Ok(10));
    let promise = voter.promise(&web());
    assert!(matches!(answer(&mut voter, 2, question(11), 402), Err(RefusalReason::Held { by: NodeId(3), .. })));
    assert_eq!(answer(&mut voter, 3, question(11), 403), Ok(11));
    assert_eq!(voter.promise(&web()), promise, "it is not renewed either");
}
