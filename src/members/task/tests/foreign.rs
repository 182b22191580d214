//! A cluster of certificates that somebody else's CA has signed: they name no number, and are good until they end.

use super::{
    strangers::{ask, hello_refusal, vote_for},
    *,
};
use crate::{
    model::Fingerprint,
    peers::{CallError, HelloRefusal},
    rules::SecurityChange,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// An organisation's CA.
struct Pki {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

impl Pki {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named("Example CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A node with a director's certificate.
    fn member(&self, name: &str) -> Member {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name);
        params.distinguished_name.push(DnType::OrganizationalUnitName, "lvs-director");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let presented = Presented { chain: vec![leaf.der().to_vec()], key: Zeroizing::new(key.serialize_der()) };
        let trust = Trust::Authorities(vec![self.certificate.clone()]);
        Member { external: Some(Credentials::new(Some(presented), trust).unwrap()), ..Member::new(name) }
    }

    /// As [`Cluster::of`].
    async fn cluster(&self, count: usize) -> Cluster {
        let mut founder = self.member("n1");
        let live = watch::channel(BTreeSet::new()).0;
        assert!(init(founder.founding()).await.unwrap().token.is_none());
        founder.try_start(&live).await.unwrap();
        let mut cluster = Cluster { members: vec![founder], token: JoinToken::make(Fingerprint([0; 32])), live };
        for n in 2..=count {
            self.joins(&mut cluster, &format!("n{n}")).await;
        }
        cluster
    }

    async fn joins(&self, cluster: &mut Cluster, name: &str) {
        let mut member = self.member(name);
        // Only the leader sees a certificate; the others name it.
        cluster.join_with(member.settings(None)).await.unwrap();
        member.try_start(&cluster.live).await.unwrap();
        cluster.members.push(member);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_out_with_a_good_certificate_until_it_is_allowed_back() {
    let pki = Pki::new();
    let mut cluster = pki.cluster(4).await;
    cluster.votes(&[1, 2, 3]).await;
    cluster.follower().await.node().propose(apply(0, 1), PATIENCE).await.unwrap();
    cluster.has_revision(1).await;

    let mut removed = cluster.members.pop().unwrap();
    let (id, far) = (removed.id(), NodeId(1_000_000_000));
    let of_nobody = removed.peers_as(far);
    let addr = cluster.members[0].addr;
    // As long as it is a member, it may have been given another number since; that matters to nobody who leads or hears a leader.
    for member in cluster.running() {
        let heard = ask(&of_nobody, member.addr, &vote_for(far.0)).await;
        assert!(matches!(heard, Err(CallError::Failed { .. })), "{} hears it", member.name);
    }
    cluster.members[0].node().propose(Command::NodeRemoved(removed.name.clone()), PATIENCE).await.unwrap();
    for member in cluster.running() {
        let mut state = member.node().state();
        timeout(PATIENCE, state.wait_for(|state| state.nodes.len() == 3)).await.unwrap().unwrap();
    }
    let mut view = removed.node().view();
    let told = timeout(PATIENCE, view.wait_for(|view| view.refused.is_some())).await.unwrap().unwrap().refused.clone();
    assert!(told.as_ref().is_some_and(|told| told.contains("`lvs-agent node allow n4`")), "{told:?}");
    removed.crash().await;

    let known = HelloRefusal::Removed { id, barred: Some(removed.name.clone()) };
    assert_eq!(hello_refusal(ask(&removed.peers_as(id), addr, &vote_for(id.0)).await), known);
    let barred = HelloRefusal::Barred { name: removed.name.clone() };
    assert_eq!(hello_refusal(ask(&of_nobody, addr, &vote_for(far.0)).await), barred, "on the same connection");
    assert_eq!(hello_refusal(ask(&removed.peers_as(far), addr, &vote_for(far.0)).await), barred);

    // As `leave` does, and then `join`: with another key, and the same certificate.
    std::fs::remove_dir_all(removed.dir.path()).unwrap();
    let refused = cluster.join_with(removed.settings(None)).await.unwrap_err();
    assert!(matches!(&refused, JoinError::Refused { refusal: JoinRefusal::Refused(CommandRefusal::Barred(_)), .. }), "{refused}");
    let allowed = Command::Security(SecurityChange::NodeAllowed(removed.name.clone()));
    cluster.members[0].node().propose(allowed, PATIENCE).await.unwrap();
    let identity = cluster.join_with(removed.settings(None)).await.unwrap();
    assert!(identity.node_id > id);
    removed.try_start(&cluster.live).await.unwrap();
    cluster.members.push(removed);
    cluster.has_revision(1).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_no_member_is_not_heard_whatever_number_it_says() {
    let pki = Pki::new();
    let cluster = pki.cluster(1).await;
    let stranger = pki.member("x1");
    // It has read somewhere which cluster that is.
    let far = NodeId(1_000_000_000);
    let identity = NodeIdentity::load(cluster.members[0].dir.path()).unwrap().unwrap();
    identity.save(stranger.dir.path()).unwrap();
    let refused = hello_refusal(ask(&stranger.peers_as(far), cluster.members[0].addr, &vote_for(far.0)).await);
    assert_eq!(refused, HelloRefusal::Unknown { name: stranger.name.clone() });
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_hears_of_a_new_member_from_one_that_it_knows() {
    let pki = Pki::new();
    let mut cluster = pki.cluster(3).await;
    cluster.votes(&[1, 2, 3]).await;
    cluster.members[2].crash().await;
    for name in ["n4", "n5"] {
        pki.joins(&mut cluster, name).await;
    }
    cluster.votes(&[1, 2, 3, 4, 5]).await;
    let new = cluster.members[3].node().clone();
    timeout(PATIENCE, async {
        while !new.is_leader_with_quorum() {
            for member in cluster.running() {
                let _ = member.node().openraft().trigger().transfer_leader(4).await;
            }
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .unwrap();
    new.propose(apply(0, 1), PATIENCE).await.unwrap();
    let live = cluster.live.clone();
    cluster.members[2].try_start(&live).await.unwrap();
    let mut state = cluster.members[2].node().state();
    let soon = Duration::from_secs(2);
    let heard = timeout(soon, state.wait_for(|state| state.revision == 1)).await.is_ok();
    assert!(!heard || !new.is_leader_with_quorum(), "it does not know who n4 is");

    // What its log says: agents of leaders that it does not know are restarted.
    drop(new);
    for unknown in [3, 4] {
        cluster.members[unknown].stop().await;
    }
    cluster.has_revision(1).await;
    for unknown in [3, 4] {
        cluster.members[unknown].try_start(&live).await.unwrap();
    }
    cluster.votes(&[1, 2, 3, 4, 5]).await;
    assert_eq!(cluster.members[2].node().view().borrow().refused, None);
    cluster.stop().await;
}
