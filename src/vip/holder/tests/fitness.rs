//! A holder that is not well, a candidate that is fitter, and who goes first then.

use super::*;

fn from(node: u64, message: LeaseMessage) -> HolderEvent {
    HolderEvent::Heard { from: NodeId(node), message }
}

fn seek(fitness: u16) -> LeaseMessage {
    LeaseMessage::Seek { group: web(), fitness: Fitness(fitness) }
}

fn offer(fitness: u16) -> LeaseMessage {
    LeaseMessage::Offer { group: web(), fitness: Fitness(fitness) }
}

/// The best candidate; node 3 holds, and all voters have said so just now, at 1001.
fn refused() -> Holder {
    let mut holder = asking();
    for voter in [1, 2, 3] {
        holder.step(refuse(voter, 101, held(3, 250)), at(1001));
    }
    holder
}

#[test]
fn a_holder_that_is_not_well_seeks_at_once_and_with_each_renewal_and_goes_on_holding() {
    let mut holder = holding();
    assert_eq!(holder.step(HolderEvent::Fitness(Fitness(300)), at(1010)), to(&[3], &seek(300)));
    let renewal = [asks(&[1, 2, 3], 102, 5, 5), to(&[3], &seek(300))].concat();
    assert_eq!(holder.step(HolderEvent::Tick, at(1075)), renewal);
    assert_eq!(holder.step(HolderEvent::Fitness(Fitness::WELL), at(1080)), vec![]);
    assert_eq!(holder.step(from(3, offer(1000)), at(1081)), vec![], "it is well again");
}

#[test]
fn it_hands_over_to_who_is_fitter_and_to_nobody_else() {
    let mut holder = holding();
    holder.step(HolderEvent::Fitness(Fitness(300)), at(1010));
    assert_eq!(holder.step(from(3, offer(300)), at(1011)), vec![], "as bad");
    assert_eq!(holder.step(from(4, offer(1000)), at(1011)), vec![], "no candidate");
    assert_eq!(holder.step(from(3, offer(700)), at(1012)), vec![remove("another director is fitter")]);
    let handed_over = to(&[3], &LeaseMessage::HandOver { group: web(), first: Some(NodeId(3)) });
    assert_eq!(holder.step(HolderEvent::Removed, at(1013)), [releases(&[1, 2, 3], 101), handed_over].concat());
    assert_eq!(holder.deadline(), Some(at(1013 + 75)), "it lets the other go first, though it is the better candidate");
}

#[test]
fn a_candidate_offers_itself_only_if_it_is_fitter_and_the_voters_answer_it() {
    let mut holder = refused();
    let offered = |holder: &mut Holder, fitness, now| holder.step(from(3, seek(fitness)), at(now));
    assert_eq!(offered(&mut holder, 300, 1010), to(&[3], &offer(1000)));
    assert_eq!(offered(&mut holder, 1000, 1011), vec![]);
    holder.step(HolderEvent::Fitness(Fitness(300)), at(1012));
    assert_eq!(offered(&mut holder, 300, 1013), vec![]);
    assert_eq!(offered(&mut holder, 1, 1014), to(&[3], &offer(300)));
    assert_eq!(holder.step(from(4, seek(1)), at(1015)), vec![], "no candidate");
    assert_eq!(
        offered(&mut holder, 1, 1601).len(),
        3,
        "it has asked, and offers nothing: the voters have been silent for two ttl"
    );
}

#[test]
fn of_four_voters_all_answers_count_though_two_have_the_round_lost() {
    let mut holder = unready(&[2, 3]);
    holder.step(HolderEvent::Membership(membership(6, &[&[1, 2, 3, 4]])), at(1000));
    holder.step(HolderEvent::Ready(true), at(1000));
    for voter in [1, 2] {
        holder.step(refuse(voter, 101, held(3, 250)), at(1001));
    }
    assert_eq!(holder.step(from(3, seek(300)), at(1002)), vec![], "two of four are no majority");
    holder.step(refuse(4, 101, held(3, 250)), at(1003));
    assert_eq!(holder.step(from(3, seek(300)), at(1004)), to(&[3], &offer(1000)));
}

#[test]
fn a_candidate_that_is_not_ready_or_backs_off_offers_nothing() {
    let mut holder = refused();
    holder.step(HolderEvent::Ready(false), at(1005));
    assert_eq!(holder.step(from(3, seek(1)), at(1010)), vec![]);
    let mut holder = holding();
    holder.step(HolderEvent::InstallFailed, at(1010));
    holder.step(HolderEvent::Removed, at(1012));
    assert_eq!(holder.step(from(3, seek(1)), at(1013)), vec![]);
}

#[test]
fn who_is_not_well_lets_others_go_first_unless_it_is_named() {
    let mut holder = unready(&[2, 3]);
    holder.step(HolderEvent::Fitness(Fitness(300)), at(1000));
    assert_eq!(holder.step(HolderEvent::Ready(true), at(1000)), vec![]);
    assert_eq!(holder.deadline(), Some(at(1075)));
    let named = LeaseMessage::HandOver { group: web(), first: Some(NodeId(2)) };
    assert_eq!(holder.step(from(3, named), at(1010)), asks(&[1, 2, 3], 101, 5, 0));
}

#[test]
fn who_is_not_named_waits_for_who_is() {
    let mut holder = unready(&[2, 1, 3]);
    holder.step(HolderEvent::Ready(true), at(1000));
    for voter in [1, 2, 3] {
        holder.step(refuse(voter, 101, held(3, 250)), at(1001));
    }
    let named = LeaseMessage::HandOver { group: web(), first: Some(NodeId(1)) };
    assert_eq!(holder.step(from(3, named), at(1010)), vec![]);
    assert_eq!(holder.deadline(), Some(at(1020)), "two steps");
}

#[test]
fn a_director_that_is_not_fit_at_all_lets_go() {
    let mut holder = holding();
    assert_eq!(holder.step(HolderEvent::Fitness(Fitness::NONE), at(1010)), vec![remove("not fit to hold it")]);
}

#[test]
fn it_lets_go_when_a_majority_has_promised_to_another() {
    let mut holder = holding();
    holder.step(HolderEvent::Tick, at(1075));
    assert_eq!(holder.step(refuse(1, 102, held(3, 250)), at(1076)), vec![]);
    let let_go = vec![remove("a majority of the voters has promised it to another node")];
    assert_eq!(holder.step(refuse(2, 102, held(3, 250)), at(1077)), let_go);
    let released = [releases(&[1, 2, 3], 102), asks(&[1, 2, 3], 103, 5, 5)].concat();
    assert_eq!(holder.step(HolderEvent::Removed, at(1078)), released, "and hands nothing over");
}
