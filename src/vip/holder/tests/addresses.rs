//! Which addresses are under the lease.

use super::*;

fn hosts(hosts: &[u8]) -> BTreeSet<IpAddr> {
    hosts.iter().map(|host| IpAddr::from([192, 0, 2, *host])).collect()
}

fn grant_without(from: u64, round: Round, lacking: &[u8]) -> HolderEvent {
    let message = LeaseMessage::Grant { group: web(), round, life: 7, lacking: hosts(lacking), epoch: 4 };
    HolderEvent::Heard { from: NodeId(from), message }
}

/// The addresses of the asks among `effects`.
fn asked(effects: &[HolderEffect]) -> Option<BTreeSet<IpAddr>> {
    effects.iter().find_map(|effect| match effect {
        HolderEffect::Send { message: LeaseMessage::Ask { addresses, .. }, .. } => Some(BTreeSet::clone(addresses)),
        _ => None,
    })
}

#[test]
fn what_the_voters_have_promised_elsewhere_is_not_under_the_lease_until_a_majority_grants_it() {
    let mut holder = holding();
    assert_eq!(holder.leased(), &hosts(&[10]));
    let asks = holder.step(HolderEvent::Addresses(hosts(&[10, 11])), at(1010));
    assert_eq!(asked(&asks), Some(hosts(&[10, 11])), "the voters are told at once");
    assert_eq!(holder.step(grant_without(1, 102, &[11]), at(1011)), vec![]);
    assert_eq!(holder.step(grant_without(2, 102, &[]), at(1012)), vec![install(1304, false, 5)]);
    assert_eq!(holder.leased(), &hosts(&[10]), "one of three has granted 11");
    assert_eq!(holder.step(grant_without(3, 102, &[]), at(1013)), vec![install(1304, false, 5)]);
    assert_eq!(holder.leased(), &hosts(&[10, 11]), "two of three");
}

#[test]
fn a_renewal_without_a_majority_for_what_is_held_is_not_won() {
    let mut holder = holding();
    holder.step(HolderEvent::Tick, at(1075));
    assert_eq!(holder.step(grant_without(1, 102, &[10]), at(1076)), vec![]);
    assert_eq!(holder.step(grant_without(2, 102, &[]), at(1077)), vec![]);
    assert_eq!(holder.state(), HolderState::Holding { until: at(1294), epoch: 5 });
    assert_eq!(holder.step(grant_without(3, 102, &[]), at(1078)), vec![install(1369, false, 5)]);
}

#[test]
fn an_address_that_comes_back_is_under_the_lease_only_with_a_round_that_asked_for_it_since() {
    let mut holder = holding();
    holder.step(HolderEvent::Addresses(hosts(&[10, 11])), at(1010));
    holder.step(HolderEvent::Addresses(hosts(&[10])), at(1020));
    holder.step(HolderEvent::Addresses(hosts(&[10, 11])), at(1030));
    assert_eq!(holder.step(grant_without(1, 102, &[]), at(1031)), vec![]);
    assert_eq!(holder.step(grant_without(2, 102, &[]), at(1032)), vec![install(1304, false, 5)]);
    assert_eq!(holder.leased(), &hosts(&[10]), "round 102 asked for 11, and round 103 has said that it is not here");
    holder.step(grant_without(1, 104, &[]), at(1033));
    assert_eq!(holder.step(grant_without(2, 104, &[]), at(1034)), vec![install(1324, false, 5)]);
    assert_eq!(holder.leased(), &hosts(&[10, 11]));
}

#[test]
fn a_first_round_is_won_with_some_of_the_addresses_and_not_with_none() {
    let mut holder = unready(&[2, 3]);
    holder.step(HolderEvent::Addresses(hosts(&[10, 11])), at(0));
    holder.step(HolderEvent::Ready(true), at(1000));
    assert_eq!(holder.step(grant_without(1, 101, &[10, 11]), at(1001)), vec![]);
    assert_eq!(holder.step(grant_without(2, 101, &[10]), at(1002)), vec![]);
    assert_eq!(holder.state(), HolderState::Asking);
    assert_eq!(holder.step(grant_without(3, 101, &[10]), at(1003)), vec![install(1294, true, 5)]);
    assert_eq!(holder.leased(), &hosts(&[11]));
}

#[test]
fn an_heir_waits_for_no_better_candidate() {
    let mut holder = unready(&[1, 3, 2]);
    assert_eq!(holder.step(HolderEvent::Ready(true), at(1000)), vec![]);
    assert_eq!(holder.step(HolderEvent::Inherits(true), at(1001)), asks(&[1, 2, 3], 101, 5, 0));
}

#[test]
fn a_holder_asks_at_once_for_what_another_candidate_has_let_go() {
    let mut holder = holding();
    assert_eq!(holder.step(hand_over_from(3), at(1010)), vec![], "it has all");
    holder.step(HolderEvent::Addresses(hosts(&[10, 11])), at(1010));
    assert_eq!(asked(&holder.step(hand_over_from(3), at(1020))), Some(hosts(&[10, 11])));
    assert_eq!(holder.step(hand_over_from(3), at(1021)), vec![], "it has just asked");
    assert_eq!(holder.deadline(), Some(BootInstant::from_boot(Duration::from_micros(1_021_250))));
}
