//! What a status says of a VIP that is held by fallback.

use super::*;

#[test]
fn a_vip_that_is_held_without_a_majority_is_a_problem_and_a_lease_counts_before_it() {
    let mut world = World::well();
    world.node("d1").holding.clear();
    world.node("d2").holding.insert(name("front"), Holding::Fallback { since_unix_ms: 4_000 });
    let said = world.status();
    let vip = &said.vips[0];
    assert_eq!((vip.mode, vip.holder.clone(), vip.epoch, vip.held_ms), (VipMode::Fallback, Some(name("d2")), None, Some(6_000)));
    let told =
        "d2 holds VIP group front by fallback, without a majority of the voters, for 6 s: bring back a majority of the voters";
    assert_eq!(said.problems, [told]);
    world.holds("d1", 1, 1_000);
    assert_eq!((world.status().vips[0].mode, world.status().vips[0].holder.clone()), (VipMode::Lease, Some(name("d1"))));
}
