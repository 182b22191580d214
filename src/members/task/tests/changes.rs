//! What a change that is made says, and that who was asked for it shows it.

use super::*;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_shows_on_the_node_that_was_asked_for_it_when_it_is_answered() {
    let cluster = Cluster::of(4).await;
    cluster.votes(&[1, 2, 3]).await;
    // Of voters and of the one that does not vote, whoever leads.
    for n in 0..24_u64 {
        let node = cluster.members[usize::try_from(n).unwrap() % 4].node();
        let made = node.propose_and_see(apply(n, u8::try_from(n).unwrap() + 1), PATIENCE).await.unwrap();
        assert_eq!((made.revision, made.changed), (n + 1, true));
        assert_eq!(node.state().borrow().revision, n + 1, "n{}", n % 4 + 1);
        assert!(node.view().borrow().applied >= made.index);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_are_there_already_are_no_change_whatever_others_do() {
    let cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    let node = cluster.follower().await.node();
    let made = node.propose_and_see(apply(0, 1), PATIENCE).await.unwrap();
    let again = node.propose_and_see(Command::Apply { base_revision: None, rules: rules(1) }, PATIENCE).await.unwrap();
    assert_eq!((again.revision, again.changed), (1, false));
    assert!(again.index > made.index);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_behind_says_that_the_change_is_made_but_not_here() {
    let cluster = Cluster::of(1).await;
    let node = cluster.members[0].node();
    let made = node.propose_and_see(apply(0, 1), PATIENCE).await.unwrap();
    node.see(made.index, Instant::now() + PATIENCE).await.unwrap();
    let ahead = node.see(made.index + 1000, Instant::now() + Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(ahead, ProposeError::NotSeen), "{ahead}");
    assert!(ahead.to_string().contains("is committed, but has not reached this node yet"), "{ahead}");
    cluster.stop().await;
}
