//! Voters that change while everything runs.

use super::*;
use crate::rules::Command;

/// Waits until somebody leads, and says who: on a busy machine leaders change at any time.
async fn leader(cluster: &Cluster) -> usize {
    let mut view = cluster.running().next().expect("somebody runs").node().view();
    let led = timeout(PATIENCE, view.wait_for(|view| view.quorum && view.leader.is_some())).await.expect("somebody leads");
    let id = led.expect("it runs").leader.expect("just seen");
    usize::try_from(id.0).unwrap() - 1
}

/// Waits until every running member sees that another one than `former` leads.
async fn is_led_by_another(cluster: &Cluster, former: NodeId) {
    for member in cluster.running() {
        let mut view = member.node().view();
        let other = timeout(PATIENCE, view.wait_for(|view| view.quorum && view.leader.is_some_and(|id| id != former))).await;
        assert!(other.is_ok(), "{}: {:?}", member.name, member.node().view().borrow().clone());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_hears_that_it_votes_no_more() {
    let mut cluster = Cluster::of(5).await;
    cluster.votes(&[1, 2, 3, 4, 5]).await;
    // Followers, one after the other: a follower hears it from the leader, or not at all.
    for _ in 0..3 {
        let leader = leader(&cluster).await;
        let leaver = (0..5).find(|n| *n != leader && cluster.members[*n].node.is_some()).expect("one follows");
        let left = cluster.members[leaver].node().leave(PATIENCE / 2).await;
        assert!(left.is_ok(), "n{}: {left:?}", leaver + 1);
        cluster.members[leaver].stop().await;
        // It goes for good a moment later.
        let gone = NodeId(leaver as u64 + 1);
        for member in cluster.running() {
            let mut view = member.node().view();
            let clean = view.wait_for(|view| !view.voters.contains(&gone) && !view.learners.contains(&gone));
            let clean = timeout(PATIENCE, clean).await.is_ok();
            assert!(clean, "{}: {gone} is still there: {:?}", member.name, member.node().view().borrow().clone());
        }
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_vote_goes_to_a_director_hands_over_first() {
    let cluster = Cluster::of(4).await;
    cluster.votes(&[1, 2, 3]).await;
    let leader = leader(&cluster).await;
    let name = cluster.members[leader].name.clone();
    let roles = Roles::new([Role::RealServer]).unwrap();
    cluster.members[leader].node().propose(Command::NodeRoles { name, roles }, PATIENCE).await.unwrap();
    let voters: Vec<u64> = (1..=4).filter(|id| *id != leader as u64 + 1).collect();
    cluster.votes(&voters).await;
    is_led_by_another(&cluster, NodeId(leader as u64 + 1)).await;
    let said = cluster.members[leader].node().voters_why();
    assert_eq!(
        said[&cluster.members[leader].name],
        "does not vote: three others do, and one more would survive no more failures"
    );
    cluster.stop().await;
}
