//! Who becomes a member, who votes, who goes.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_voters_come_one_at_a_time_and_no_sooner_than_the_spacing() {
    let cluster = Cluster::of(6).await;
    cluster.votes(&[1, 2, 3, 4, 5]).await;
    assert_eq!(cluster.members[5].node().view().borrow().learners, BTreeSet::from([NodeId(6)]));
    let spacing = 2 * TimingProfile::Lan.ttl();
    for member in &cluster.members {
        let notes = member.notes.0.lock().unwrap();
        // Those that this node itself proposed: the guard hears of them before they are committed, so the pause between them is at least the spacing.
        let own: Vec<_> = notes.iter().filter(|(_, membership)| membership.id.leader == NodeId(1)).collect();
        for pair in own.windows(2) {
            let [(before_at, before), (after_at, after)] = pair else { unreachable!("windows of two") };
            let (old, new) = (before.voters.last().unwrap(), after.voters.last().unwrap());
            assert!(after.id > before.id);
            // Who follows may be told the last of several, and between two terms others may have led.
            if member.name.as_str() != "n1" || before.id.term != after.id.term {
                continue;
            }
            assert!(old.symmetric_difference(new).count() <= 1, "{before:?} -> {after:?}");
            let begins = after.voters.len() == 2;
            if begins {
                assert!(*after_at - *before_at >= spacing, "{before:?} -> {after:?}");
            }
        }
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_an_empty_disk_gets_a_new_number_and_votes_again() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    cluster.members[1].node().propose(apply(0, 3), PATIENCE).await.unwrap();
    cluster.members[2].crash().await;
    std::fs::remove_dir_all(cluster.members[2].dir.path()).unwrap();
    let refused = cluster.join(&cluster.members[2]).await.unwrap_err();
    assert!(refused.to_string().contains("is still heard"), "its key is another one: {refused}");
    cluster.is_silent(&cluster.members[2].name).await;
    let identity = cluster.join(&cluster.members[2]).await.unwrap();
    assert_eq!(identity.node_id, NodeId(4));
    let live = cluster.live.clone();
    cluster.members[2].try_start(&live).await.unwrap();
    cluster.votes(&[1, 2, 4]).await;
    cluster.has_revision(1).await;
    for member in cluster.running() {
        let mut view = member.node().view();
        let clean = timeout(PATIENCE, view.wait_for(|view| view.learners.is_empty())).await;
        assert!(clean.is_ok(), "{}: the old number is still there: {:?}", member.name, member.node().view().borrow().clone());
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_stops_voting_even_as_the_leader() {
    let mut cluster = Cluster::of(4).await;
    cluster.votes(&[1, 2, 3]).await;
    let leader = cluster.leader().await;
    cluster.members[leader].node().leave(PATIENCE).await.unwrap();
    cluster.members[leader].stop().await;
    let rest: Vec<u64> = (1..=4).filter(|id| *id != leader as u64 + 1).collect();
    cluster.votes(&rest).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_director_does_not_leave_others_behind() {
    let cluster = Cluster::of(1).await;
    let server = Member::new("r1");
    let roles = Roles::new([Role::RealServer]).unwrap();
    cluster.join_with(JoinSettings { roles, ..server.settings(Some(&cluster.token)) }).await.unwrap();
    let director = cluster.members[0].node();
    let refused = director.leave(PATIENCE).await.unwrap_err();
    assert!(matches!(&refused, ProposeError::Refused(CommandRefusal::OnlyDirector(name)) if name.as_str() == "n1"), "{refused}");
    assert!(!director.is_leaving(), "should it be removed later, it says so");
    director.propose(apply(0, 1), PATIENCE).await.unwrap();
    director.propose(Command::NodeLeft("r1".parse().unwrap()), PATIENCE).await.unwrap();
    director.propose(Command::NodeLeft("n1".parse().unwrap()), PATIENCE).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_voter_hands_the_cluster_on_before_it_is_gone() {
    let mut cluster = Cluster::of(2).await;
    cluster.votes(&[1]).await;
    cluster.members[0].node().leave(PATIENCE).await.unwrap();
    cluster.members[0].stop().await;
    cluster.votes(&[2]).await;
    cluster.members[1].node().propose(apply(0, 1), PATIENCE).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_voter_leaves_though_members_gossip_with_it_no_more() {
    let mut cluster = Cluster::of(2).await;
    cluster.votes(&[1]).await;
    let leaver = cluster.members[0].node();
    let falls_silent = async {
        leaver.state().wait_for(|state| state.nodes.len() == 1).await.unwrap();
        cluster.live.send_modify(BTreeSet::clear);
    };
    let (left, ()) = tokio::join!(leaver.leave(PATIENCE), falls_silent);
    left.unwrap();
    cluster.members[0].stop().await;
    cluster.votes(&[2]).await;
    cluster.members[1].node().propose(apply(0, 1), PATIENCE).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_that_leaves_at_once_leaves_a_cluster_behind() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    let (one, two) = (cluster.members[0].node(), cluster.members[1].node());
    let (first, second) = tokio::join!(one.leave(PATIENCE), two.leave(PATIENCE));
    first.unwrap();
    second.unwrap();
    for gone in [0, 1] {
        cluster.members[gone].stop().await;
    }
    cluster.votes(&[3]).await;
    cluster.members[2].node().propose(apply(0, 1), PATIENCE).await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_hears_a_leader_that_joined_meanwhile() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    cluster.members[2].crash().await;
    for name in ["n4", "n5"] {
        let mut member = Member::new(name);
        cluster.join(&member).await.unwrap();
        member.try_start(&cluster.live).await.unwrap();
        cluster.members.push(member);
    }
    cluster.votes(&[1, 2, 3, 4, 5]).await;
    for gone in [0, 1] {
        cluster.members[gone].node().leave(PATIENCE).await.unwrap();
        cluster.members[gone].stop().await;
    }
    cluster.votes(&[3, 4, 5]).await;
    cluster.members[3].node().propose(apply(0, 1), PATIENCE).await.unwrap();
    let live = cluster.live.clone();
    cluster.members[2].try_start(&live).await.unwrap();
    cluster.has_revision(1).await;
    cluster.votes(&[3, 4, 5]).await;
    assert_eq!(cluster.members[2].node().view().borrow().refused, None);
    cluster.stop().await;
}
