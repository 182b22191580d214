//! Which CA a node believes: when it joins, when it comes back, and when the CA was replaced while it was away.

use super::*;
use crate::{
    clock::{BootClock, Clock},
    link::{
        authority::{self, Authority, NodeSubject},
        frame::{read_frame, write_frame},
        node_key::NodeKey,
    },
    members::{CertifyRequest, JoinAccepted, RejoinError, SignedJoin, certify_task::believed},
    model::NodeRecord,
    peers::{
        AnswerFrame, QuestionFrame, Topic,
        hello::{Hello, MAX_HELLO_BYTES, Welcome},
        question::MAX_FRAME_BYTES,
        stream,
    },
    rules::SecurityChange,
};

fn real_servers() -> Roles {
    Roles::new([Role::RealServer]).unwrap()
}

impl Member {
    /// As a keeper does it, after its files have changed.
    fn speak_anew(&self) {
        let dir = self.dir.path();
        let key = Zeroizing::new(files::node_key(dir).unwrap().pkcs8().to_vec());
        let presented = files::certificate(dir).unwrap().map(|chain| Presented { chain, key });
        let trust = Trust::Authorities(files::trusted(dir).unwrap());
        self.speaks.as_ref().expect("it runs").replace(presented, trust).unwrap();
    }

    async fn renews(&self) {
        let key = files::node_key(self.dir.path()).unwrap();
        let chain = self.member().request_certificate(authority::request(&key), &[]).await.unwrap();
        files::save_certificate(self.dir.path(), &chain).unwrap();
        self.speak_anew();
    }

    fn trusts(&self, authorities: &[Vec<u8>]) {
        files::save_trusted(self.dir.path(), authorities).unwrap();
        self.speak_anew();
    }
}

impl Cluster {
    async fn commit(&self, change: SecurityChange) {
        let node = self.running().next().unwrap().node();
        node.propose(Command::Security(change), PATIENCE).await.unwrap();
        let before = node.published().borrow().applied;
        for member in self.running() {
            let mut published = member.node().published();
            timeout(PATIENCE, published.wait_for(|now| now.applied >= before)).await.unwrap().unwrap();
        }
    }

    /// Replaces the CA with all that run, whose keepers this test is. `n1` makes it. The old one and the new one.
    async fn rotate(&self) -> (Vec<u8>, Authority) {
        let founder = &self.members[0];
        let old = files::trusted(founder.dir.path()).unwrap().remove(0);
        let new = Authority::make(founder.node().cluster_id(), BootClock.unix_now());
        files::save_authority(founder.dir.path(), &new).unwrap();
        let (fingerprint, der) = (new.fingerprint(), new.certificate().to_vec());
        self.commit(SecurityChange::AuthorityAdded { fingerprint, der: der.clone() }).await;
        self.running().for_each(|member| member.trusts(&[old.clone(), der.clone()]));
        self.commit(SecurityChange::AuthorityPromoted(fingerprint)).await;
        for member in self.running() {
            member.renews().await;
        }
        self.commit(SecurityChange::AuthorityDropped(crate::link::fingerprint::fingerprint(&old))).await;
        self.running().for_each(|member| member.trusts(std::slice::from_ref(&der)));
        (old, new)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_off_while_the_ca_was_replaced_comes_back_with_a_token_and_its_data() {
    // One that does not vote: a voter asks for votes all the time, and the loopback address from which it does that in a test is no member's.
    let mut cluster = Cluster::of(4).await;
    cluster.votes(&[1, 2, 3]).await;
    cluster.members[3].crash().await;
    let (old, new) = cluster.rotate().await;
    cluster.members[0].node().propose(apply(0, 1), PATIENCE).await.unwrap();
    let live = cluster.live.clone();
    cluster.members[3].try_start(&live).await.unwrap();
    let node = cluster.members[3].member().clone();
    let mut view = node.raft().view();
    let told = timeout(PATIENCE, view.wait_for(|view| view.untrusted.is_some())).await.unwrap().unwrap().clone();
    assert_eq!(told.refused, None, "nobody can tell it anything: {told:?}");

    let dir = cluster.members[3].dir.path();
    let before = NodeIdentity::load(dir).unwrap().unwrap();
    let token = JoinToken::make(new.fingerprint());
    let seeds = [cluster.members[0].addr];
    let error = node.rejoin(&seeds, &JoinToken::make(crate::link::fingerprint::fingerprint(&old))).await.unwrap_err();
    assert!(matches!(error, RejoinError::Tried(_)), "a token of the old ca proves nothing: {error}");
    let other = Cluster::of(1).await;
    let error = node.rejoin(&[other.members[0].addr], &other.token).await.unwrap_err();
    assert!(error.to_string().contains("lvs-agent leave --force"), "{error}");
    other.stop().await;

    // Any member may be asked: the second one has no ca key, and names who has.
    // In a test all come from an address that is no member's, and have failed too often.
    let asked = async {
        loop {
            match node.rejoin(&[cluster.members[1].addr], &token).await {
                Ok(chain) => break chain,
                Err(error) => assert!(matches!(error, RejoinError::Tried(_)), "{error}"),
            }
        }
    };
    let chain = timeout(3 * PATIENCE, asked).await.unwrap();
    assert_eq!(chain[1], new.certificate());
    files::save_certificate(dir, &chain).unwrap();
    cluster.members[3].trusts(&[old, new.certificate().to_vec()]);
    cluster.has_revision(1).await;
    cluster.votes(&[1, 2, 3]).await;
    assert_eq!(NodeIdentity::load(dir).unwrap().unwrap(), before);
    assert!(timeout(PATIENCE, view.wait_for(|view| view.untrusted.is_none())).await.is_ok());
    cluster.stop().await;
}

/// What a stranger's questions are answered with, on a port of its own, by whoever has these credentials.
async fn seed(credentials: Credentials, answer: impl Fn(QuestionFrame) -> AnswerFrame + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = stream::accept(&listener).await {
            let Ok((mut stream, _)) = stream::secure(stream, &credentials).await else { continue };
            let Ok(Some(_)) = read_frame::<Hello>(&mut stream, MAX_HELLO_BYTES).await else { continue };
            write_frame(&mut stream, &Welcome::Welcome, MAX_HELLO_BYTES).await.unwrap();
            while let Ok(Some(question)) = read_frame::<QuestionFrame>(&mut stream, MAX_FRAME_BYTES).await {
                write_frame(&mut stream, &answer(question), MAX_FRAME_BYTES).await.unwrap();
            }
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lies_to_a_joining_node_about_cas_and_directors_is_not_believed() {
    let cluster = Cluster::of(1).await;
    let server = Member::new("r1");
    let settings = JoinSettings { roles: real_servers(), ..server.settings(Some(&cluster.token)) };
    let identity = cluster.join_with(settings).await.unwrap();
    // It has a member's certificate, so that the pin of the token holds; it says that it directs, and that another CA is the cluster's, too.
    let (ours, theirs) = (files::trusted(server.dir.path()).unwrap().remove(0), Authority::make("lies", BootClock.unix_now()));
    let addr = Arc::new(std::sync::OnceLock::new());
    let known = addr.clone();
    let answer = move |question: QuestionFrame| match question.topic {
        Topic::Join => {
            let asked = question.read::<SignedJoin>().ok().unwrap().verify().unwrap().request().clone();
            let record = |name: NodeName, id, addr, key| NodeRecord { name, id, addr, key, roles: roles(), zone: None };
            let liar = record("r1".parse().unwrap(), identity.node_id, *known.get().unwrap(), NodeKey::generate().public());
            let nodes = vec![liar, record(asked.name, NodeId(9), asked.addr, asked.key)];
            let authorities = vec![ours.clone(), theirs.certificate().to_vec()];
            let (cluster_id, timing) = ("lies".to_owned(), TimingProfile::Lan);
            AnswerFrame::to::<SignedJoin>(&Ok(JoinAccepted { cluster_id, id: NodeId(9), timing, nodes, authorities }))
        }
        Topic::Certify => {
            let CertifyRequest { csr } = question.read().ok().unwrap();
            let (name, roles) = ("n9".parse().unwrap(), roles());
            let subject = NodeSubject { cluster_id: "lies", name: &name, id: NodeId(9), roles: &roles };
            let leaf = theirs.sign_node(&csr, &subject, BootClock.unix_now()).unwrap();
            AnswerFrame::to::<CertifyRequest>(&Ok(vec![leaf.der, theirs.certificate().to_vec()]))
        }
        _ => AnswerFrame::Failed("no".to_owned()),
    };
    addr.set(seed(server.credentials(), answer).await).unwrap();
    let newcomer = Member::new("n9");
    let error = join(&[*addr.get().unwrap()], newcomer.settings(Some(&cluster.token))).await.unwrap_err();
    assert!(matches!(error, JoinError::NoCertificate { .. }), "{error}");
    assert!(error.to_string().contains("make a new token"), "{error}");
    assert_eq!(NodeIdentity::load(newcomer.dir.path()).unwrap(), None);
    assert!(files::trusted(newcomer.dir.path()).unwrap().is_empty());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_director_comes_back_from_its_backup_and_signs_for_itself() {
    let mut cluster = Cluster::of(1).await;
    for name in ["r1", "r2"] {
        let mut server = Member::new(name);
        let settings = JoinSettings { roles: real_servers(), ..server.settings(Some(&cluster.token)) };
        cluster.join_with(settings).await.unwrap();
        server.try_start(&cluster.live).await.unwrap();
        cluster.members.push(server);
    }
    cluster.votes(&[1, 2, 3]).await;
    for member in cluster.running() {
        // A change of voters under way would need the founder still.
        member.node().voters_settled(3, PATIENCE).await;
    }
    cluster.members[0].crash().await;
    // docs/security.md, On disk: what is to be kept.
    let dir = cluster.members[0].dir.path().to_owned();
    for entry in std::fs::read_dir(&dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let kept = name == "node.key" || name == "trusted.crt" || (name.starts_with("ca-") && name.ends_with(".key"));
        if !kept {
            std::fs::remove_file(dir.join(name)).unwrap();
        }
    }
    cluster.is_silent(&cluster.members[0].name).await;
    let identity = cluster.join_with(cluster.members[0].settings(None)).await.unwrap();
    assert_eq!(identity.node_id, NodeId(4));
    let live = cluster.live.clone();
    cluster.members[0].try_start(&live).await.unwrap();
    cluster.votes(&[2, 3, 4]).await;
    cluster.members[0].renews().await;
    cluster.stop().await;
}

#[test]
fn a_certificate_of_a_director_whose_clock_is_wrong_is_refused() {
    let (ca, key, now) = (Authority::make("c", BootClock.unix_now()), NodeKey::generate(), BootClock.unix_now());
    let believe = |made_at: Duration| {
        let (name, roles) = ("n1".parse().unwrap(), roles());
        let subject = NodeSubject { cluster_id: "c", name: &name, id: NodeId(1), roles: &roles };
        let leaf = ca.sign_node(&authority::request(&key), &subject, made_at).unwrap();
        let trusted = [ca.certificate().to_vec()];
        believed(&[leaf.der, ca.certificate().to_vec()], key.public(), &trusted).map(|_| ())
    };
    let days = |days: u64| Duration::from_secs(days * 86_400);
    assert_eq!(believe(now), Ok(()));
    assert!(believe(now + days(3)).unwrap_err().contains("not valid yet"));
    assert!(believe(now - days(31)).unwrap_err().contains("has ended"));
    let other = NodeKey::generate();
    let stranger = [Authority::make("c", now).certificate().to_vec()];
    let leaf = |key: &NodeKey| {
        let (name, roles) = ("n1".parse().unwrap(), roles());
        let subject = NodeSubject { cluster_id: "c", name: &name, id: NodeId(1), roles: &roles };
        vec![ca.sign_node(&authority::request(key), &subject, now).unwrap().der, ca.certificate().to_vec()]
    };
    assert!(believed(&leaf(&key), other.public(), &[ca.certificate().to_vec()]).is_err(), "another key");
    assert!(believed(&leaf(&key), key.public(), &stranger).unwrap_err().contains("no ca that is trusted"));
}
