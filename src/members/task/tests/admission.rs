//! Who is let in, who is not, and that it is told why.

use super::*;
use crate::{
    model::{NodeRecord, PublicKey, TokenId},
    rules::{SecurityChange, SecurityRefusal, security::Token},
};

fn refusal(error: JoinError) -> JoinRefusal {
    match error {
        JoinError::Refused { refusal, .. } => refusal,
        other => panic!("{other}"),
    }
}

fn security(error: JoinError) -> SecurityRefusal {
    match refusal(error) {
        JoinRefusal::Refused(CommandRefusal::Security(refusal)) => refusal,
        other => panic!("{other}"),
    }
}

impl Cluster {
    fn node(&self) -> &RaftNode {
        self.members[0].node()
    }

    fn authority(&self) -> crate::model::Fingerprint {
        self.node().published().borrow().state.security.authorities.issuing.unwrap()
    }

    /// A token for real servers.
    async fn token(&self, uses_left: u32, lives_s: u64) -> JoinToken {
        let token = JoinToken::make(self.authority());
        self.make_token(token.id(), token.public(), uses_left, lives_s).await;
        token
    }

    async fn make_token(&self, id: TokenId, key: PublicKey, uses_left: u32, lives_s: u64) {
        let now = crate::clock::Clock::unix_now(&crate::clock::BootClock).as_secs();
        let (roles, made_by, authority) = (real_server(), "n1".parse().unwrap(), self.authority());
        let token = Token { key, roles, uses_left, expires_unix_s: now + lives_s, made_by, authority };
        let change = Command::Security(SecurityChange::TokenMade { id, token, at_unix_s: now });
        self.node().propose(change, PATIENCE).await.unwrap();
    }

    fn record(&self, name: &str) -> Option<NodeRecord> {
        self.node().published().borrow().state.nodes.get(&name.parse::<NodeName>().unwrap()).cloned()
    }
}

fn real_server() -> Roles {
    Roles::new([Role::RealServer]).unwrap()
}

/// A real server with this token.
fn server(member: &Member, token: Option<&JoinToken>) -> JoinSettings {
    JoinSettings { roles: real_server(), ..member.settings(token) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_let_in_whom_they_are_for_as_often_and_as_long_as_they_are_for() {
    let cluster = Cluster::of(1).await;
    let node = Member::new("r1");

    let error = cluster.join_with(server(&node, None)).await.unwrap_err();
    assert!(matches!(error, JoinError::NoToken), "{error}");

    let token = cluster.token(1, 3600).await;
    let refused = security(cluster.join_with(node.settings(Some(&token))).await.unwrap_err());
    assert!(matches!(refused, SecurityRefusal::TokenRoles { .. }), "{refused}");
    let expired = cluster.token(1, 0).await;
    let refused = security(cluster.join_with(server(&node, Some(&expired))).await.unwrap_err());
    assert_eq!(refused, SecurityRefusal::TokenExpired(expired.id()));
    let unknown = JoinToken::make(cluster.authority());
    let refused = security(cluster.join_with(server(&node, Some(&unknown))).await.unwrap_err());
    assert_eq!(refused, SecurityRefusal::NoSuchToken(unknown.id()));
    // One that knows a token's name, but not the token.
    let forged = JoinToken::make(cluster.authority());
    cluster.make_token(forged.id(), PublicKey([7; 32]), 1, 3600).await;
    let refused = refusal(cluster.join_with(server(&node, Some(&forged))).await.unwrap_err());
    assert_eq!(refused, JoinRefusal::ForgedToken(forged.id()));
    assert_eq!(cluster.record("r1"), None);
    assert!(!node.dir.path().join(FILE).exists(), "a refused node has no log");

    let joined = cluster.join_with(server(&node, Some(&token))).await.unwrap();
    assert_eq!(cluster.record("r1").map(|record| (record.id, record.roles)), Some((joined.node_id, real_server())));
    let second = Member::new("r2");
    let refused = security(cluster.join_with(server(&second, Some(&token))).await.unwrap_err());
    assert_eq!(refused, SecurityRefusal::NoSuchToken(token.id()), "it is used up");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lasts_by_the_clock_of_the_leader_whatever_its_makers_says() {
    let cluster = Cluster::of(2).await;
    let now = crate::clock::Clock::unix_now(&crate::clock::BootClock).as_secs();
    let old = cluster.token(1, 3600).await;
    for maker in [now + 30 * 86_400, now - 30 * 86_400] {
        let secret = JoinToken::make(cluster.authority());
        let (roles, made_by, authority) = (real_server(), "n2".parse().unwrap(), cluster.authority());
        let token = Token { key: secret.public(), roles, uses_left: 1, expires_unix_s: maker + 3600, made_by, authority };
        let made = Command::Security(SecurityChange::TokenMade { id: secret.id(), token, at_unix_s: maker });
        cluster.members[1].node().propose(made, PATIENCE).await.unwrap();
        let tokens = cluster.node().published().borrow().state.security.tokens.clone();
        let lasts = tokens[&secret.id()].expires_unix_s;
        assert!((now + 3600..now + 3600 + 2 * PATIENCE.as_secs()).contains(&lasts), "{lasts} is not in an hour from {now}");
        assert!(tokens.contains_key(&old.id()), "others' tokens stay");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_cluster_does_not_even_let_the_node_ask() {
    let (cluster, other) = (Cluster::of(1).await, Cluster::of(1).await);
    let node = Member::new("r1");
    let error = cluster.join_with(server(&node, Some(&other.token))).await.unwrap_err();
    assert!(matches!(error, JoinError::Untrusted { with_token: true, .. }), "{error}");
    assert!(error.to_string().contains("is not in the cluster that the join token was made for"), "{error}");
    let theirs = &other.members[0];
    let refused = refusal(cluster.join_with(theirs.settings(Some(&cluster.token))).await.unwrap_err());
    assert!(matches!(refused, JoinRefusal::OtherCluster { .. }), "{refused}");
    let error = cluster.join_with(theirs.settings(None)).await.unwrap_err();
    assert!(matches!(error, JoinError::Untrusted { with_token: false, .. }), "{error}");
    assert!(error.to_string().contains("--token T"), "{error}");
    cluster.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_cannot_be_says_why() {
    let cluster = Cluster::of(2).await;
    let token = Some(&cluster.token);
    let newcomer = Member::new("n3");

    let nobody = address();
    let error = join(&[nobody], newcomer.settings(token)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("{nobody}: cannot connect")), "{error}");
    assert!(matches!(join(&[], newcomer.settings(token)).await, Err(JoinError::NoSeed)));

    let seeds = [cluster.members[1].addr];
    let wan = JoinSettings { timing: Some(TimingProfile::Wan), ..newcomer.settings(token) };
    let refused = refusal(join(&seeds, wan).await.unwrap_err());
    assert_eq!(refused, JoinRefusal::Timing { cluster: TimingProfile::Lan, asked: TimingProfile::Wan });
    let namesake = JoinSettings { name: "n1".parse().unwrap(), ..newcomer.settings(token) };
    let refused = refusal(join(&seeds, namesake).await.unwrap_err());
    assert_eq!(refused, JoinRefusal::NameTaken { name: "n1".parse().unwrap(), addr: cluster.members[0].addr });
    let neighbour = JoinSettings { addr: cluster.members[0].addr, ..newcomer.settings(token) };
    let refused = refusal(join(&seeds, neighbour).await.unwrap_err());
    assert!(matches!(refused, JoinRefusal::Refused(CommandRefusal::AddressTaken { .. })), "{refused}");

    let twice = init(cluster.members[0].founding()).await;
    assert!(twice.unwrap_err().to_string().contains("this node is n1 of cluster"));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_claim_one_name_at_once_the_second_is_refused() {
    let cluster = Cluster::of(1).await;
    let (one, two) = (Member::new("r1"), Member::new("r1"));
    let (first, second) = tokio::join!(cluster.join(&one), cluster.join(&two));
    let (won, lost) = match (first, second) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, refusal(lost)),
        other => panic!("{other:?}"),
    };
    assert_eq!(cluster.record("r1").unwrap().id, won.node_id);
    assert!(matches!(lost, JoinRefusal::NameTaken { .. }), "{lost}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_with_its_disk_needs_no_token_and_keeps_its_number() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    let before = NodeIdentity::load(cluster.members[2].dir.path()).unwrap().unwrap();
    cluster.members[2].crash().await;
    let name = cluster.members[2].name.clone();

    // While it still counts as living at its old address, who asks from another one is the second of that name.
    cluster.members[2].addr = address();
    let refused = refusal(cluster.join_with(cluster.members[2].settings(None)).await.unwrap_err());
    assert!(matches!(refused, JoinRefusal::NameTaken { .. }), "{refused}");
    cluster.is_silent(&name).await;

    let more = JoinSettings { roles: Roles::new(Role::ALL).unwrap(), ..cluster.members[2].settings(None) };
    let refused = refusal(cluster.join_with(more).await.unwrap_err());
    assert!(refused.to_string().contains("lvs-agent node rename-roles n3 --roles director,real-server,witness"), "{refused}");
    let identity = cluster.join_with(cluster.members[2].settings(None)).await.unwrap();
    assert_eq!(identity.node_id, before.node_id);
    let live = cluster.live.clone();
    cluster.members[2].try_start(&live).await.unwrap();
    cluster.votes(&[1, 2, 3]).await;
    assert_eq!(cluster.record("n3").unwrap().addr, cluster.members[2].addr);

    // Its log without its key is somebody's copy.
    cluster.members[2].crash().await;
    std::fs::remove_file(cluster.members[2].dir.path().join("node.key")).unwrap();
    let refused = refusal(cluster.join(&cluster.members[2]).await.unwrap_err());
    assert_eq!(refused, JoinRefusal::OtherKey { id: before.node_id });
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_got_no_certificate_goes_on_with_the_same_token() {
    let mut cluster = Cluster::of(1).await;
    let live = cluster.live.clone();
    let key = std::fs::read_dir(cluster.members[0].dir.path()).unwrap();
    let key = key.map(|entry| entry.unwrap().path()).find(|path| path.to_string_lossy().contains("/ca-")).unwrap();
    let hidden = cluster.members[0].dir.path().join("hidden");
    std::fs::rename(&key, &hidden).unwrap();
    let mut node = Member::new("r1");
    let token = cluster.token(1, 3600).await;
    let error = cluster.join_with(server(&node, Some(&token))).await.unwrap_err();
    assert!(matches!(error, JoinError::NoCertificate { .. }), "{error}");
    assert!(error.to_string().contains("run the same `lvs-agent join` again"), "{error}");
    std::fs::rename(&hidden, &key).unwrap();
    let identity = cluster.join_with(server(&node, Some(&token))).await.unwrap();
    assert_eq!(cluster.record("r1").unwrap().id, identity.node_id);
    node.try_start(&live).await.unwrap();
    cluster.members.push(node);
    cluster.node().propose(apply(0, 1), PATIENCE).await.unwrap();
    cluster.has_revision(1).await;
    cluster.stop().await;
}
