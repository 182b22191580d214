//! A member that does not vote and speaks Raft like a leader, or a candidate: it is not heard, whether there is a leader or not.

use super::{
    strangers::{ask, vote_for},
    *,
};
use crate::{
    peers::CallError,
    raft::{
        message::{RaftAnswer, RaftRequest},
        types::{TypeConfig, Vote},
    },
};
use openraft::{
    async_runtime::WatchReceiver,
    raft::{AppendEntriesRequest, VoteRequest},
};

const LATER: u64 = 1000;

impl Cluster {
    /// A real server that has joined and runs.
    async fn real_server(&self, name: &str) -> Member {
        let mut server = Member::new(name);
        let roles = Roles::new([Role::RealServer]).unwrap();
        self.join_with(JoinSettings { roles, ..server.settings(Some(&self.token)) }).await.unwrap();
        server.try_start(&self.live).await.unwrap();
        server
    }
}

fn heartbeat(of: u64) -> RaftRequest {
    let vote = Vote::new_committed(LATER, of);
    RaftRequest::Append(AppendEntriesRequest { vote, prev_log_id: None, entries: Vec::new(), leader_commit: None })
}

/// A heartbeat of a leader of a later term, its candidacies, and the whole state as it might have it.
async fn attempts(of: u64, from: &RaftNode) -> Vec<RaftRequest> {
    from.openraft().trigger().snapshot().await.unwrap();
    let made = |metrics: &openraft::RaftMetrics<TypeConfig>| metrics.snapshot.is_some();
    from.openraft().wait(Some(PATIENCE)).metrics(made, "there is a snapshot").await.unwrap();
    let snapshot = from.openraft().get_snapshot().await.unwrap().unwrap();
    let mut candidacy = VoteRequest::new(Vote::new(LATER, of), snapshot.meta.last_log_id);
    candidacy.leadership_transfer = true;
    vec![
        RaftRequest::Vote(candidacy),
        vote_for(of),
        heartbeat(of),
        RaftRequest::Snapshot { vote: Vote::new_committed(LATER, of), meta: snapshot.meta, data: snapshot.snapshot },
    ]
}

async fn is_not_heard(member: &Member, by: &Member) {
    let (id, node) = (by.id(), member.node());
    for (n, attempt) in attempts(id.0, node).await.into_iter().enumerate() {
        let answer = ask(&by.peers_as(id), member.addr, &attempt).await;
        let is_refused = matches!(&answer, Err(CallError::Failed { why, .. }) if why.contains("does not vote"));
        assert!(
            is_refused,
            "{} hears attempt {n}: its term is {}",
            member.name,
            node.openraft().metrics().borrow_watched().current_term
        );
        assert!(node.openraft().metrics().borrow_watched().current_term < LATER);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_vote_takes_raft_over_neither_from_a_leader_nor_without_one() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    let mut server = cluster.real_server("r4").await;
    let mut state = server.node().state();
    timeout(PATIENCE, state.wait_for(|state| state.nodes.len() == 4)).await.unwrap().unwrap();
    for member in &cluster.members {
        is_not_heard(member, &server).await;
    }
    cluster.members[0].node().propose(apply(0, 1), PATIENCE).await.unwrap();

    // Whoever is left hears no leader, and asks who votes: the server itself, which is one to be asked, is not believed.
    let leader = cluster.leader().await;
    let left = (leader + 1) % 3;
    for gone in (0..3).filter(|n| *n != left) {
        cluster.members[gone].crash().await;
    }
    let mut view = cluster.members[left].node().view();
    timeout(PATIENCE, view.wait_for(|view| !view.quorum)).await.unwrap().unwrap();
    for _ in 0..3 {
        is_not_heard(&cluster.members[left], &server).await;
        sleep(Duration::from_millis(400)).await;
    }
    let live = cluster.live.clone();
    for back in (0..3).filter(|n| *n != left) {
        cluster.members[back].try_start(&live).await.unwrap();
    }
    cluster.votes(&[1, 2, 3]).await;
    cluster.members[left].node().propose(apply(1, 2), PATIENCE).await.unwrap();
    server.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_voter_that_starts_again_believes_not_even_the_only_one_that_it_can_ask() {
    let mut cluster = Cluster::of(1).await;
    let mut server = cluster.real_server("r2").await;
    let mut state = server.node().state();
    timeout(PATIENCE, state.wait_for(|state| state.nodes.len() == 2)).await.unwrap().unwrap();
    let peers = server.peers_as(server.id());
    cluster.members[0].crash().await;
    let live = cluster.live.clone();
    cluster.members[0].try_start(&live).await.unwrap();
    let founder = &cluster.members[0];
    timeout(PATIENCE, async {
        while !founder.node().is_leader_with_quorum() {
            let answer = ask(&peers, founder.addr, &heartbeat(2)).await;
            assert!(!matches!(answer, Ok(RaftAnswer::Append(_))), "it follows who does not vote");
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    assert!(founder.node().openraft().metrics().borrow_watched().current_term < LATER);
    server.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_hears_a_leader_that_is_no_director_once_others_say_that_it_votes() {
    let mut cluster = Cluster::of(1).await;
    for name in ["r2", "r3"] {
        let server = cluster.real_server(name).await;
        cluster.members.push(server);
    }
    cluster.votes(&[1, 2, 3]).await;
    let second = cluster.members[1].node().clone();
    timeout(PATIENCE, async {
        while !second.is_leader_with_quorum() {
            for member in cluster.running() {
                let _ = member.node().openraft().trigger().transfer_leader(2).await;
            }
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .unwrap();
    let term = second.view().borrow().term;
    let newcomer = cluster.real_server("r4").await;
    let mut state = newcomer.node().state();
    let seen = timeout(PATIENCE, state.wait_for(|state| state.nodes.len() == 4)).await;
    seen.expect("the newcomer has the state").unwrap();
    let is_vouched_for = newcomer.node().is_vouched_for(NodeId(2));
    assert!(is_vouched_for || second.view().borrow().term > term, "it has heard a leader that it could not know");
    drop(second);
    cluster.members.push(newcomer);
    cluster.stop().await;
}
