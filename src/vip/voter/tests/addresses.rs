//! An address has one node, whatever its groups are called.

use super::*;

/// When the transition after the telling of the rules is over.
const SETTLED: u64 = 5_000;

fn www() -> VipName {
    "www".parse().expect("legal")
}

/// Both groups have candidates 2 and 3.
fn voter_of_two_groups() -> Voter {
    let mut voter = voter();
    let both = [web(), www()].map(|group| (group, vec![NodeId(2), NodeId(3)]));
    voter.step(VoterEvent::Candidates(both.into()), at(1));
    voter
}

/// What node `from` is not granted of its ask, or why it is granted nothing.
fn lacking(
    voter: &mut Voter,
    (from, group): (u64, VipName),
    (round, life): (Round, Life),
    hosts: &[u8],
    now: u64,
) -> Result<BTreeSet<IpAddr>, RefusalReason> {
    let LeaseMessage::Ask { membership, ttl, dry, epoch, .. } = ask_of(round, 5, TTL) else { unreachable!() };
    let message = LeaseMessage::Ask { group, round, life, membership, ttl, addresses: vips(hosts).into(), dry, epoch };
    match voter.step(VoterEvent::Heard { from: NodeId(from), message }, at(now)).remove(0) {
        VoterEffect::Send { message: LeaseMessage::Grant { lacking, .. }, .. } => Ok(lacking),
        VoterEffect::Send { message: LeaseMessage::Refuse { why, .. }, .. } => Err(why),
        other @ VoterEffect::Send { .. } => panic!("{other:?}"),
    }
}

#[test]
fn an_address_that_one_node_has_is_not_promised_to_another_for_another_group() {
    let mut voter = voter_of_two_groups();
    assert_eq!(lacking(&mut voter, (2, web()), (10, 7), &[10, 11], SETTLED), Ok(vips(&[])));
    let held = Err(RefusalReason::Held { by: NodeId(2), remaining: ms(PROMISED_MS - 1) });
    assert_eq!(lacking(&mut voter, (3, www()), (10, 7), &[10], SETTLED + 1), held);
    assert_eq!(lacking(&mut voter, (3, www()), (11, 7), &[10, 12], SETTLED + 2), Ok(vips(&[10])), "what is free is granted");
    assert_eq!(lacking(&mut voter, (3, www()), (12, 7), &[10, 12], SETTLED + PROMISED_MS), Ok(vips(&[])), "it has run out");
}

#[test]
fn the_node_that_has_an_address_may_have_it_for_another_group_too() {
    let mut voter = voter_of_two_groups();
    assert_eq!(lacking(&mut voter, (2, web()), (10, 7), &[10], SETTLED), Ok(vips(&[])));
    assert_eq!(lacking(&mut voter, (2, www()), (10, 8), &[10], SETTLED + 1), Ok(vips(&[])));
    release(&mut voter, 2, 10, SETTLED + 2);
    assert_eq!(voter.promise(&web()), None);
    let held = Err(RefusalReason::Held { by: NodeId(2), remaining: ms(PROMISED_MS - 2) });
    assert_eq!(lacking(&mut voter, (3, web()), (10, 7), &[10], SETTLED + 3), held, "the other group has it still");
}

#[test]
fn an_address_that_is_named_no_more_is_free_at_once_unless_another_life_may_have_it() {
    let mut voter = voter_of_two_groups();
    assert_eq!(lacking(&mut voter, (2, web()), (10, 7), &[10, 11], SETTLED), Ok(vips(&[])));
    assert_eq!(lacking(&mut voter, (2, web()), (11, 7), &[11], SETTLED + 10), Ok(vips(&[])));
    assert_eq!(lacking(&mut voter, (3, www()), (10, 7), &[10], SETTLED + 11), Ok(vips(&[])));
    assert_eq!(lacking(&mut voter, (2, web()), (12, 8), &[12], SETTLED + 20), Ok(vips(&[])), "of another life, without 11");
    let held = Err(RefusalReason::Held { by: NodeId(2), remaining: ms(10 + PROMISED_MS - 21) });
    assert_eq!(lacking(&mut voter, (3, web()), (9, 7), &[11], SETTLED + 21).map_err(|_| ()), Err(()), "web is of node 2");
    voter.step(
        VoterEvent::Heard { from: NodeId(3), message: LeaseMessage::Release { group: www(), round: 10, life: 7 } },
        at(SETTLED + 21),
    );
    assert_eq!(lacking(&mut voter, (3, www()), (11, 7), &[11], SETTLED + 21), held);
}

#[test]
fn after_a_change_of_the_rules_those_come_first_that_have_addresses() {
    let mut voter = voter_of_two_groups();
    assert_eq!(lacking(&mut voter, (2, web()), (10, 7), &[10], 400), Ok(vips(&[])));
    let held = Err(RefusalReason::Held { by: NodeId(2), remaining: ms(PROMISED_MS - 1) });
    assert_eq!(lacking(&mut voter, (3, www()), (10, 7), &[10, 11], 401), held, "11 would be free");
    assert_eq!(lacking(&mut voter, (2, www()), (10, 8), &[10, 11], 402), Ok(vips(&[])));
}

#[test]
fn a_holder_whose_group_the_rules_no_longer_name_renews_for_a_while() {
    let mut voter = voter_of_two_groups();
    assert_eq!(lacking(&mut voter, (2, web()), (10, 7), &[10], 400), Ok(vips(&[])));
    voter.step(VoterEvent::Candidates([(www(), vec![NodeId(2), NodeId(3)])].into()), at(410));
    assert_eq!(lacking(&mut voter, (2, web()), (11, 7), &[10], 420), Ok(vips(&[])));
    assert_eq!(lacking(&mut voter, (3, web()), (11, 7), &[10], 430), Err(RefusalReason::NotCandidate));
    let mut now = 420;
    let last = loop {
        now += 100;
        if let Err(why) = lacking(&mut voter, (2, web()), (now, 7), &[10], now) {
            break why;
        }
    };
    assert_eq!((last, now), (RefusalReason::NotCandidate, 2_920), "eight promises after the change");
}

#[test]
fn what_a_voter_remembers_of_addresses_is_bounded() {
    let mut voter = voter_of_two_groups();
    let mut asked = |life: u8| {
        let addresses: BTreeSet<IpAddr> = (0..200).map(|host| IpAddr::from([192, 0, life, host])).collect();
        let addresses = addresses.into();
        let LeaseMessage::Ask { membership, ttl, dry, epoch, .. } = ask_of(1, 5, TTL) else { unreachable!() };
        let (round, life) = (Round::from(life) + 10, Life::from(life));
        answer(&mut voter, 2, LeaseMessage::Ask { group: web(), round, life, membership, ttl, addresses, dry, epoch }, 400)
    };
    let granted = (0..20).take_while(|life| asked(*life).is_ok()).count();
    assert_eq!(granted, 5, "each life's addresses count until they have run out");
    voter.step(VoterEvent::Candidates(BTreeMap::new()), at(SETTLED));
    assert!(voter.promises.are_none());
}
