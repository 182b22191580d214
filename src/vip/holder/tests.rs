//! The holder, rule by rule. Node 2 of the voters 1, 2, 3 asks with a ttl of 300 ms: a lease counts for 294 ms, its removal begins 15 ms
//! before, renewals come every 75 ms.

use super::*;
use crate::vip::message::{LeaseMembership, MembershipId};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

mod addresses;
mod dry;
mod fitness;
mod learning;

fn at(ms: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_millis(ms))
}

fn web() -> VipName {
    "web".parse().expect("legal")
}

fn membership(index: u64, sets: &[&[u64]]) -> LeaseMembership {
    let voters = sets.iter().map(|set| set.iter().copied().map(NodeId).collect()).collect();
    LeaseMembership { id: MembershipId { term: 1, leader: NodeId(1), index }, voters, addresses: BTreeMap::new() }
}

/// The addresses of the group.
fn vips() -> BTreeSet<IpAddr> {
    [IpAddr::from([192, 0, 2, 10])].into()
}

fn remove(why: &'static str) -> HolderEffect {
    HolderEffect::Remove { why }
}

fn install(until: u64, fresh: bool, epoch: u64) -> HolderEffect {
    HolderEffect::Install { until: at(until), fresh, epoch }
}

fn to(nodes: &[u64], message: &LeaseMessage) -> Vec<HolderEffect> {
    nodes.iter().map(|node| HolderEffect::Send { to: NodeId(*node), message: message.clone() }).collect()
}

fn asks(nodes: &[u64], round: Round, index: u64, epoch: u64) -> Vec<HolderEffect> {
    let membership = membership(index, &[]).id;
    to(
        nodes,
        &LeaseMessage::Ask {
            group: web(),
            round,
            life: 7,
            membership,
            ttl: Duration::from_millis(300),
            addresses: vips().into(),
            dry: false,
            epoch,
        },
    )
}

/// …and the same, dry.
fn questions(nodes: &[u64], round: Round, index: u64, epoch: u64) -> Vec<HolderEffect> {
    let mut asks = asks(nodes, round, index, epoch);
    for ask in &mut asks {
        if let HolderEffect::Send { message: LeaseMessage::Ask { dry, .. }, .. } = ask {
            *dry = true;
        }
    }
    asks
}

fn releases(nodes: &[u64], round: Round) -> Vec<HolderEffect> {
    to(nodes, &LeaseMessage::Release { group: web(), round, life: 7 })
}

fn hand_overs(nodes: &[u64]) -> Vec<HolderEffect> {
    to(nodes, &LeaseMessage::HandOver { group: web(), first: None })
}

fn grant(from: u64, round: Round) -> HolderEvent {
    HolderEvent::Heard {
        from: NodeId(from),
        message: LeaseMessage::Grant { group: web(), round, life: 7, lacking: BTreeSet::new(), epoch: 4 },
    }
}

fn refuse(from: u64, round: Round, why: RefusalReason) -> HolderEvent {
    HolderEvent::Heard { from: NodeId(from), message: LeaseMessage::Refuse { group: web(), round, life: 7, why, epoch: 4 } }
}

fn held(by: u64, remaining: u64) -> RefusalReason {
    RefusalReason::Held { by: NodeId(by), remaining: Duration::from_millis(remaining) }
}

fn hand_over_from(node: u64) -> HolderEvent {
    HolderEvent::Heard { from: NodeId(node), message: LeaseMessage::HandOver { group: web(), first: None } }
}

/// Swept and told everything but that it is ready; `candidates` best first.
fn unready(candidates: &[u64]) -> Holder {
    let mut holder = Holder::new(NodeId(2), web(), LeaseTiming::of(Duration::from_millis(300)), 100, 7);
    assert_eq!(holder.deadline(), Some(BootInstant::default()), "it has something to do before it is told anything");
    assert_eq!(holder.step(HolderEvent::Tick, at(0)), vec![remove("guard started")]);
    assert_eq!(holder.step(HolderEvent::Removed, at(0)), vec![]);
    assert_eq!(holder.step(HolderEvent::Membership(membership(5, &[&[1, 2, 3]])), at(0)), vec![]);
    assert_eq!(holder.step(HolderEvent::Candidates(candidates.iter().copied().map(NodeId).collect()), at(0)), vec![]);
    assert_eq!(holder.step(HolderEvent::Addresses(vips()), at(0)), vec![]);
    holder
}

/// The best candidate, which has asked round 101 at 1000.
fn asking() -> Holder {
    let mut holder = unready(&[2, 3]);
    assert_eq!(holder.step(HolderEvent::Ready(true), at(1000)), asks(&[1, 2, 3], 101, 5, 0));
    assert_eq!(holder.state(), HolderState::Asking);
    holder
}

/// …and has got it, to keep until 1294.
fn holding() -> Holder {
    let mut holder = asking();
    assert_eq!(holder.step(grant(2, 101), at(1001)), vec![]);
    assert_eq!(holder.step(grant(1, 101), at(1002)), vec![install(1294, true, 5)]);
    assert_eq!(holder.step(HolderEvent::Installed, at(1003)), vec![]);
    assert_eq!(holder.state(), HolderState::Holding { until: at(1294), epoch: 5 });
    holder
}

#[test]
fn a_guard_that_starts_removes_before_it_sends_anything() {
    let mut holder = Holder::new(NodeId(2), web(), LeaseTiming::of(Duration::from_millis(300)), 100, 7);
    let first = holder.step(HolderEvent::Membership(membership(5, &[&[1, 2, 3]])), at(0));
    assert_eq!(first, vec![remove("guard started")]);
    holder.step(HolderEvent::Candidates(vec![NodeId(2)]), at(0));
    holder.step(HolderEvent::Addresses(vips()), at(0));
    assert_eq!(holder.step(HolderEvent::Ready(true), at(0)), vec![]);
    assert_eq!(holder.step(HolderEvent::Removed, at(1)), asks(&[1, 2, 3], 101, 5, 0));
}

#[test]
fn a_lease_counts_from_before_it_was_asked_for() {
    assert_eq!(holding().deadline(), Some(at(1075)));
}

#[test]
fn a_member_that_was_not_asked_teaches_nothing() {
    for lie in
        [RefusalReason::NewerMembership(membership(900, &[&[4]])), RefusalReason::OldRound { last: u64::MAX }, held(4, 10_000)]
    {
        let mut holder = holding();
        assert_eq!(holder.step(HolderEvent::Tick, at(1075)), asks(&[1, 2, 3], 102, 5, 5));
        assert_eq!(holder.step(refuse(4, 102, lie), at(1076)), vec![]);
        assert_eq!(holder.step(grant(4, 102), at(1076)), vec![]);
        assert_eq!(holder.step(grant(1, 102), at(1077)), vec![]);
        assert_eq!(holder.step(grant(3, 102), at(1078)), vec![install(1369, false, 5)]);
        assert_eq!(
            holder.step(HolderEvent::Tick, at(1150)),
            asks(&[1, 2, 3], 103, 5, 5),
            "the round, the epoch and the voters are its own"
        );
    }
}

#[test]
fn an_answer_to_an_earlier_life_counts_for_nothing() {
    let mut holder = asking();
    for voter in [1, 3] {
        let late = LeaseMessage::Grant { group: web(), round: 101, life: 6, lacking: BTreeSet::new(), epoch: 4 };
        assert_eq!(holder.step(HolderEvent::Heard { from: NodeId(voter), message: late }, at(1001)), vec![]);
    }
    assert_eq!(holder.state(), HolderState::Asking);
}

#[test]
fn a_hand_over_of_somebody_who_is_no_candidate_is_none() {
    let mut holder = asking();
    assert_eq!(holder.step(hand_over_from(4), at(1001)), vec![]);
    assert_eq!(holder.state(), HolderState::Asking);
}

#[test]
fn a_worse_candidate_asks_a_step_later() {
    let mut holder = unready(&[3, 2]);
    assert_eq!(holder.step(HolderEvent::Ready(true), at(1000)), vec![]);
    assert_eq!(holder.deadline(), Some(at(1005)));
    assert_eq!(holder.step(HolderEvent::Tick, at(1005)), asks(&[1, 2, 3], 101, 5, 0));
}

#[test]
fn a_renewal_extends_the_lease_from_its_own_t0() {
    let mut holder = holding();
    assert_eq!(holder.step(HolderEvent::Tick, at(1075)), asks(&[1, 2, 3], 102, 5, 5));
    assert_eq!(holder.step(grant(3, 101), at(1076)), vec![], "a late grant of the round before adds nothing");
    assert_eq!(holder.step(grant(3, 102), at(1076)), vec![]);
    assert_eq!(holder.step(grant(1, 102), at(1077)), vec![install(1369, false, 5)]);
}

#[test]
fn a_failed_renewal_releases_nothing() {
    let mut holder = holding();
    holder.step(HolderEvent::Tick, at(1075));
    for from in [1, 3] {
        let quiet = RefusalReason::Quiet { remaining: Duration::from_millis(300) };
        assert_eq!(holder.step(refuse(from, 102, quiet), at(1080)), vec![]);
    }
    assert_eq!(holder.step(HolderEvent::Tick, at(1150)), asks(&[1, 2, 3], 103, 5, 5));
}

#[test]
fn a_lease_that_runs_out_is_removed_in_time_and_then_released() {
    let mut holder = holding();
    holder.step(HolderEvent::Tick, at(1278));
    assert_eq!(holder.deadline(), Some(at(1279)));
    assert_eq!(holder.step(HolderEvent::Tick, at(1279)), vec![remove("lease ran out without a renewal")]);
    assert_eq!(holder.state(), HolderState::Removing);
    assert_eq!(holder.step(grant(1, 102), at(1280)), vec![], "too late");
    let expected = [releases(&[1, 2, 3], 102), questions(&[1, 2, 3], 103, 5, 5)].concat();
    assert_eq!(holder.step(HolderEvent::Removed, at(1281)), expected);
}

#[test]
fn who_wakes_past_the_deadline_removes_first_whatever_woke_it() {
    for event in [grant(3, 101), HolderEvent::Tick, HolderEvent::Ready(false), HolderEvent::Installed] {
        assert_eq!(holding().step(event, at(5000)), vec![remove("lease ran out without a renewal")]);
    }
}

#[test]
fn a_grant_that_comes_too_late_to_be_of_use_installs_nothing() {
    let mut holder = asking();
    holder.step(grant(2, 101), at(1001));
    assert_eq!(holder.step(grant(1, 101), at(1279)), [releases(&[1, 2, 3], 101)].concat());
}

#[test]
fn a_lost_round_is_released_and_dead() {
    let mut holder = asking();
    holder.step(grant(2, 101), at(1001));
    holder.step(refuse(1, 101, held(3, 200)), at(1002));
    assert_eq!(holder.step(refuse(3, 101, held(3, 200)), at(1003)), releases(&[2], 101), "who refused has nothing to release");
    assert_eq!(holder.step(grant(1, 101), at(1004)), vec![]);
    assert_eq!(holder.step(grant(3, 101), at(1004)), vec![]);
    assert_eq!(holder.state(), HolderState::Asking);
}

#[test]
fn asking_again_waits_until_a_majority_can_be_free() {
    let mut holder = asking();
    for (from, remaining) in [(1, 100), (2, 150), (3, 200)] {
        holder.step(refuse(from, 101, held(3, remaining)), at(1010));
    }
    assert_eq!(holder.deadline(), Some(at(1160)), "1 is free at 1110, 2 at 1160: a majority");
}

#[test]
fn silence_ends_a_round_after_a_quarter_of_a_ttl() {
    let mut holder = asking();
    assert_eq!(holder.deadline(), Some(at(1075)));
    assert_eq!(holder.step(HolderEvent::Tick, at(1075)), releases(&[1, 2, 3], 101));
    assert_eq!(holder.step(HolderEvent::Tick, at(1075)), questions(&[1, 2, 3], 102, 5, 0));
}

#[test]
fn a_round_is_counted_with_the_membership_that_its_ask_named() {
    let mut holder = asking();
    holder.step(HolderEvent::Membership(membership(6, &[&[1, 2, 3, 4, 5]])), at(1001));
    holder.step(grant(2, 101), at(1001));
    assert_eq!(holder.step(grant(1, 101), at(1002)), vec![install(1294, true, 5)]);
}

#[test]
fn a_joint_membership_needs_both_majorities() {
    let mut holder = unready(&[2]);
    holder.step(HolderEvent::Membership(membership(6, &[&[1, 2, 3], &[2, 3, 4]])), at(1));
    assert_eq!(holder.step(HolderEvent::Ready(true), at(1000)), asks(&[1, 2, 3, 4], 101, 6, 0));
    holder.step(grant(1, 101), at(1001));
    assert_eq!(holder.step(grant(2, 101), at(1001)), vec![]);
    assert_eq!(holder.step(grant(4, 101), at(1002)), vec![install(1294, true, 5)]);
}

#[test]
fn the_refusal_of_a_duplicate_does_not_undo_the_grant() {
    let mut holder = asking();
    holder.step(grant(1, 101), at(1001));
    holder.step(refuse(1, 101, RefusalReason::OldRound { last: 101 }), at(1001));
    assert_eq!(holder.step(grant(2, 101), at(1002)), vec![install(1294, true, 5)]);
}

#[test]
fn retiring_removes_then_releases_then_hands_over() {
    let mut holder = holding();
    assert_eq!(holder.step(HolderEvent::Retire, at(1010)), vec![remove("retiring")]);
    let expected = [releases(&[1, 2, 3], 101), hand_overs(&[3])].concat();
    assert_eq!(holder.step(HolderEvent::Removed, at(1012)), expected);
    assert_eq!(holder.state(), HolderState::Retired);
    assert_eq!(holder.step(HolderEvent::Ready(true), at(1013)), vec![]);
    assert_eq!(holder.deadline(), None);
}

#[test]
fn without_rules_in_the_kernel_it_lets_another_have_it() {
    let mut holder = holding();
    assert_eq!(holder.step(HolderEvent::Ready(false), at(1010)), vec![remove("rules are not in the kernel")]);
    let expected = [releases(&[1, 2, 3], 101), hand_overs(&[3])].concat();
    assert_eq!(holder.step(HolderEvent::Removed, at(1012)), expected);
    assert_eq!(holder.state(), HolderState::Idle);
}

#[test]
fn who_is_no_candidate_any_more_lets_go() {
    let mut holder = holding();
    assert_eq!(holder.step(HolderEvent::Candidates(vec![NodeId(3)]), at(1010)), vec![remove("no candidate any more")]);
}

#[test]
fn a_kernel_that_refuses_the_vip_is_left_alone_for_a_while() {
    let mut holder = asking();
    holder.step(grant(1, 101), at(1001));
    holder.step(grant(2, 101), at(1001));
    assert_eq!(holder.step(HolderEvent::InstallFailed, at(1010)), vec![remove("kernel would not take the VIP")]);
    let expected = [releases(&[1, 2, 3], 101), hand_overs(&[3])].concat();
    assert_eq!(holder.step(HolderEvent::Removed, at(1012)), expected);
    assert_eq!(holder.deadline(), Some(at(4010)));
}

#[test]
fn the_successor_asks_at_once_and_again_soon_if_its_ask_overtook_the_release() {
    let mut holder = asking();
    for from in [1, 2, 3] {
        holder.step(refuse(from, 101, held(3, 250)), at(1001));
    }
    assert_eq!(holder.step(hand_over_from(3), at(1020)), asks(&[1, 2, 3], 102, 5, 4));
    for from in [1, 3] {
        holder.step(refuse(from, 102, held(3, 230)), at(1021));
    }
    assert!(holder.deadline() < Some(at(1023)), "{:?}", holder.deadline());
}

#[test]
fn a_better_candidate_does_not_preempt_a_healthy_holder() {
    let mut holder = holding();
    assert_eq!(holder.step(HolderEvent::Candidates(vec![NodeId(3), NodeId(2)]), at(1010)), vec![]);
    assert_eq!(holder.state(), HolderState::Holding { until: at(1294), epoch: 5 });
}

#[test]
fn a_cluster_of_one_asks_itself() {
    let mut holder = unready(&[2]);
    holder.step(HolderEvent::Membership(membership(6, &[&[2]])), at(1));
    assert_eq!(holder.step(HolderEvent::Ready(true), at(1000)), asks(&[2], 101, 6, 0));
    assert_eq!(holder.step(grant(2, 101), at(1000)), vec![install(1294, true, 5)]);
}

#[test]
fn the_better_of_two_that_split_the_votes_comes_back_first() {
    let split = |candidates: &[u64]| {
        let mut holder = unready(candidates);
        holder.step(HolderEvent::Ready(true), at(1000));
        holder.step(HolderEvent::Tick, at(1005));
        holder.step(grant(2, 101), at(1006));
        holder.step(refuse(1, 101, held(3, 300)), at(1006));
        holder.step(refuse(3, 101, held(3, 300)), at(1006));
        holder.deadline().expect("it waits")
    };
    assert!(split(&[2, 3]) <= at(1082));
    assert!(split(&[3, 2]) >= at(1306));
}
