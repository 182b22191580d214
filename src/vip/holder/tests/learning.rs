//! What refusals teach a holder, and what they do not.

use super::*;
use crate::vip::lessons::LAST_ROUND;

#[test]
fn one_voter_teaches_nothing_however_often_it_says_it() {
    for lie in [RefusalReason::NewerMembership(membership(900, &[&[3]])), RefusalReason::OldRound { last: LAST_ROUND - 1 }] {
        let mut holder = holding();
        assert_eq!(holder.step(HolderEvent::Tick, at(1075)), asks(&[1, 2, 3], 102, 5, 5));
        assert_eq!(holder.step(refuse(3, 102, lie.clone()), at(1076)), vec![]);
        assert_eq!(holder.step(refuse(3, 102, lie), at(1076)), vec![]);
        assert_eq!(holder.step(grant(2, 102), at(1077)), vec![]);
        assert_eq!(holder.step(grant(1, 102), at(1078)), vec![install(1369, false, 5)]);
        assert_eq!(holder.step(HolderEvent::Tick, at(1150)), asks(&[1, 2, 3], 103, 5, 5));
    }
}

#[test]
fn a_refusal_counts_for_no_longer_than_a_promise_lasts() {
    let mut holder = asking();
    for voter in [1, 3] {
        let why = RefusalReason::Quiet { remaining: Duration::MAX };
        holder.step(refuse(voter, 101, why), at(1001));
    }
    assert_eq!(holder.deadline(), Some(at(1001 + 306)));
}

#[test]
fn a_newer_membership_is_adopted_at_once_and_lapses() {
    let mut holder = asking();
    let newer = RefusalReason::NewerMembership(membership(6, &[&[1, 2, 3, 4]]));
    let expected = [releases(&[2], 101), asks(&[1, 2, 3, 4], 102, 6, 4)].concat();
    assert_eq!(holder.step(refuse(1, 101, newer.clone()), at(1001)), vec![]);
    assert_eq!(holder.step(refuse(3, 101, newer), at(1001)), expected);
    holder.step(HolderEvent::Tick, at(2300));
    assert_eq!(holder.step(HolderEvent::Tick, at(2300)), asks(&[1, 2, 3], 103, 5, 4), "four ttl later");
}

#[test]
fn until_the_worker_tells_an_adopted_membership_the_told_one_counts_too() {
    let mut holder = asking();
    for voter in [1, 3] {
        holder.step(refuse(voter, 101, RefusalReason::NewerMembership(membership(6, &[&[3]]))), at(1001));
    }
    assert_eq!(holder.step(grant(3, 102), at(1002)), vec![], "a majority of the adopted one alone");
    assert_eq!(holder.step(grant(1, 102), at(1003)), vec![install(1295, true, 5)]);
    holder.step(HolderEvent::Membership(membership(6, &[&[3]])), at(1004));
    assert_eq!(holder.step(HolderEvent::Tick, at(1080)), asks(&[3], 103, 6, 5), "told, it stands alone");
}

#[test]
fn a_truncated_log_takes_what_was_adopted_with_it() {
    let mut holder = asking();
    for voter in [1, 3] {
        holder.step(refuse(voter, 101, RefusalReason::NewerMembership(membership(6, &[&[1, 2, 3, 4]]))), at(1001));
    }
    holder.step(HolderEvent::Membership(membership(4, &[&[1, 2]])), at(1002));
    holder.step(HolderEvent::Tick, at(1080));
    assert_eq!(holder.step(HolderEvent::Tick, at(1080)), questions(&[1, 2], 103, 4, 4));
}

#[test]
fn a_node_whose_clock_went_back_catches_up() {
    let mut holder = asking();
    let next = 900 + (1 << 20) + 1;
    let expected = [releases(&[1, 2, 3], 900 + (1 << 20)), asks(&[1, 2, 3], next, 5, 4)].concat();
    assert_eq!(holder.step(refuse(1, 101, RefusalReason::OldRound { last: 900 }), at(1001)), vec![]);
    assert_eq!(holder.step(refuse(3, 101, RefusalReason::OldRound { last: 950 }), at(1001)), expected, "what both have seen");
}

#[test]
fn a_round_that_only_one_voter_knows_is_caught_up_with_once_the_round_is_lost() {
    let mut holder = asking();
    holder.step(grant(2, 101), at(1001));
    assert_eq!(holder.step(refuse(1, 101, RefusalReason::OldRound { last: 900 }), at(1001)), vec![]);
    assert_eq!(holder.step(HolderEvent::Tick, at(1075)), releases(&[1, 2, 3], 900 + (1 << 20)));
    let next = 900 + (1 << 20) + 1;
    assert_eq!(holder.step(HolderEvent::Tick, at(1080)), asks(&[1, 2, 3], next, 5, 4));
}

#[test]
fn rounds_and_epochs_end_at_the_highest_number() {
    let mut holder = asking();
    let old =
        |last| LeaseMessage::Refuse { group: web(), round: 101, life: 7, why: RefusalReason::OldRound { last }, epoch: u64::MAX };
    let heard = |from, last| HolderEvent::Heard { from: NodeId(from), message: old(last) };
    holder.step(heard(1, LAST_ROUND - 1), at(1001));
    let effects = holder.step(heard(3, LAST_ROUND - 1), at(1001));
    assert!(effects.contains(&asks(&[1], LAST_ROUND, 5, u64::MAX)[0]), "{effects:?}");
}
