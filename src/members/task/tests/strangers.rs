//! What those may ask who are no member, no member any more, or not the one they say.

use super::*;
use crate::{
    link::{authority, certificate::Certificate, node_key::NodeKey},
    members::{AuthorityKeyOf, CertifyRequest, SignedJoin, request::CertifyRefusal},
    peers::{Ask, BootstrapPeer, CallError, Directory, GreetingPurpose, HelloRefusal},
    raft::{
        Proposed,
        message::{Propose, RaftRequest, WhoVotes},
    },
    rules::VerdictChange,
};
use openraft::raft::VoteRequest;

impl Member {
    /// Connections that say they are `id`'s, with this member's certificate.
    pub(super) fn peers_as(&self, id: NodeId) -> Peers {
        let identity = NodeIdentity::load(self.dir.path()).unwrap().unwrap();
        let (_, published) = watch::channel(Published::default());
        Peers::of_member(id, Directory::new(&identity.cluster_id, published, &[] as &[BootstrapPeer]), self.credentials())
    }

    pub(super) fn id(&self) -> NodeId {
        NodeIdentity::load(self.dir.path()).unwrap().unwrap().node_id
    }
}

pub(super) fn vote_for(id: u64) -> RaftRequest {
    RaftRequest::PreVote(VoteRequest::new(crate::raft::types::Vote::new(1000, id), None))
}

pub(super) async fn ask<Q: Ask>(peers: &Peers, addr: SocketAddr, asked: &Q) -> Result<Q::Answer, CallError> {
    peers.call(None, addr, asked, PATIENCE).await
}

pub(super) fn hello_refusal<A>(answer: Result<A, CallError>) -> HelloRefusal {
    match answer {
        Err(CallError::Refused { refusal, .. }) => refusal,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was answered"),
    }
}

/// A cluster of one with a member that is a real server and runs.
async fn with_real_server() -> (Cluster, Member) {
    let cluster = Cluster::of(1).await;
    let mut server = Member::new("r1");
    let roles = Roles::new([Role::RealServer]).unwrap();
    cluster.join_with(JoinSettings { roles, ..server.settings(Some(&cluster.token)) }).await.unwrap();
    server.try_start(&cluster.live).await.unwrap();
    (cluster, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_only_join_and_certify_are_heard() {
    let cluster = Cluster::of(1).await;
    let addr = cluster.members[0].addr;
    let trusted = files::trusted(cluster.members[0].dir.path()).unwrap();
    let peers = Peers::of_stranger(Credentials::new(None, Trust::Authorities(trusted.clone())).unwrap());
    let key = AuthorityKeyOf(crate::link::fingerprint::fingerprint(&trusted[0]));
    assert_eq!(hello_refusal(ask(&peers, addr, &vote_for(1)).await), HelloRefusal::NoCertificate);
    assert_eq!(hello_refusal(ask(&peers, addr, &Propose(apply(0, 1))).await), HelloRefusal::NoCertificate);
    assert_eq!(hello_refusal(ask(&peers, addr, &WhoVotes).await), HelloRefusal::NoCertificate);
    assert_eq!(hello_refusal(ask(&peers, addr, &key).await), HelloRefusal::NoCertificate);
    let nonsense = SignedJoin { request: vec![1, 2, 3], by_node: crate::link::node_key::Signature(vec![0; 64]), by_token: None };
    let answer = ask(&peers, addr, &nonsense).await.unwrap();
    assert!(matches!(answer, Err(JoinRefusal::Unreadable(_))));
    let csr = authority::request(&NodeKey::generate());
    let answer = ask(&peers, addr, &CertifyRequest { csr }).await.unwrap();
    assert!(matches!(answer, Err(CertifyRefusal::NoMember)), "who is no member gets no certificate");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_refused_too_often_is_told_to_wait() {
    let cluster = Cluster::of(1).await;
    let trusted = files::trusted(cluster.members[0].dir.path()).unwrap();
    let peers = Peers::of_stranger(Credentials::new(None, Trust::Authorities(trusted)).unwrap());
    let nonsense = SignedJoin { request: Vec::new(), by_node: crate::link::node_key::Signature(Vec::new()), by_token: None };
    let mut answers = Vec::new();
    for _ in 0..12 {
        match ask(&peers, cluster.members[0].addr, &nonsense).await {
            Ok(Err(refusal)) => answers.push(refusal),
            _ => break,
        }
    }
    assert!(matches!(answers[0], JoinRefusal::Unreadable(_)));
    assert!(matches!(answers.last(), Some(JoinRefusal::TooOften { wait_s: 1..=3 })), "{answers:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_speaks_for_itself_only_and_a_real_server_changes_nothing() {
    let (cluster, mut server) = with_real_server().await;
    let (addr, id) = (cluster.members[0].addr, server.id());

    let refused = hello_refusal(ask(&server.peers_as(NodeId(1)), addr, &vote_for(1)).await);
    assert!(matches!(refused, HelloRefusal::NotYou { says: NodeId(1), .. }), "{refused}");
    let peers = server.peers_as(id);
    assert!(matches!(ask(&peers, addr, &vote_for(1)).await, Err(CallError::Failed { .. })), "it asks for votes for another");
    assert!(matches!(ask(&peers, addr, &vote_for(id.0)).await, Err(CallError::Failed { .. })), "it does not vote");
    assert!(ask(&peers, addr, &WhoVotes).await.is_ok(), "any member may know who does");

    let verdicts = Command::Verdicts(Vec::<VerdictChange>::new());
    for change in [apply(0, 1), verdicts, Command::NodeLeft("n1".parse().unwrap())] {
        let answer = ask(&peers, addr, &Propose(change)).await;
        assert!(matches!(answer, Ok(Proposed::Forbidden(_))));
    }
    let issuing = cluster.members[0].node().state().borrow().security.authorities.issuing.unwrap();
    assert!(matches!(ask(&peers, addr, &AuthorityKeyOf(issuing)).await, Err(CallError::Failed { .. })));

    let error = server.node().propose(apply(0, 1), PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("run this on a director (n1)"), "{error}");
    server.node().leave(PATIENCE).await.unwrap();
    server.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_says_hello_takes_no_place_for_long() {
    let (cluster, mut server) = with_real_server().await;
    let (addr, peers) = (cluster.members[0].addr, server.peers_as(server.id()));
    peers.greet(NodeId(1), addr, GreetingPurpose::Short).await.unwrap();
    assert_eq!(peers.kept(NodeId(1), addr), 0);
    peers.greet(NodeId(1), addr, GreetingPurpose::Anew).await.unwrap();
    assert_eq!(peers.kept(NodeId(1), addr), 1);
    server.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_cut_off_with_its_next_question_and_told() {
    let (cluster, mut server) = with_real_server().await;
    let (addr, id) = (cluster.members[0].addr, server.id());
    let peers = server.peers_as(id);
    assert!(ask(&peers, addr, &WhoVotes).await.is_ok());
    let running = server.member().clone();
    cluster.members[0].node().propose(Command::NodeLeft("r1".parse().unwrap()), PATIENCE).await.unwrap();
    assert_eq!(
        hello_refusal(ask(&peers, addr, &vote_for(id.0)).await),
        HelloRefusal::Removed { id, barred: None },
        "on the same connection"
    );
    assert_eq!(
        hello_refusal(ask(&peers, addr, &vote_for(id.0)).await),
        HelloRefusal::Removed { id, barred: None },
        "on a new one"
    );
    let csr = authority::request(&files::node_key(server.dir.path()).unwrap());
    let error = running.request_certificate(csr, &[]).await.unwrap_err();
    assert!(error.to_string().contains("no member of this cluster has this node's key"), "{error}");
    let mut view = running.raft().view();
    let told = timeout(PATIENCE, view.wait_for(|view| view.refused.is_some())).await.unwrap().unwrap().refused.clone();
    assert!(told.unwrap().contains("was removed from the cluster: run `lvs-agent leave`"));
    drop(running);
    server.crash().await;

    // Away when it happened, or not: it hears it when it comes back, and may then leave.
    server.try_start(&cluster.live).await.unwrap();
    let mut view = server.node().view();
    assert!(timeout(PATIENCE, view.wait_for(|view| view.refused.is_some())).await.is_ok());
    server.node().leave(PATIENCE).await.unwrap();
    server.stop().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directors_renew_certificates_and_hand_the_ca_key_to_directors() {
    let cluster = Cluster::of(2).await;
    let second = &cluster.members[1];
    let mut state = second.node().state();
    let state = timeout(PATIENCE, state.wait_for(|state| state.nodes.len() == 2)).await.unwrap().unwrap().clone();
    let issuing = state.security.authorities.issuing.unwrap();
    assert!(files::authority(second.dir.path(), &files::trusted(second.dir.path()).unwrap()[0]).unwrap().is_none());
    let key = second.member().fetch_authority(issuing).await.unwrap();
    let ca = files::trusted(second.dir.path()).unwrap().remove(0);
    files::save_authority(second.dir.path(), &authority::Authority::from_parts(&ca, &key).unwrap()).unwrap();
    for member in &cluster.members {
        let key = files::node_key(member.dir.path()).unwrap();
        let chain = member.member().request_certificate(authority::request(&key), &[]).await.unwrap();
        let certificate = Certificate::parse(&chain[0]).unwrap();
        assert_eq!((certificate.key, chain.last()), (Some(key.public()), Some(&ca)));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_at_the_leaders_address_is_not_taken_for_it() {
    let (cluster, mut server) = with_real_server().await;
    let peers = cluster.members[0].peers_as(NodeId(1));
    let answer = peers.call(Some(NodeId(1)), server.addr, &vote_for(1), PATIENCE).await;
    assert!(matches!(answer, Err(CallError::SomebodyElse { .. })));
    server.stop().await;
    cluster.stop().await;
}
