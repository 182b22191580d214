//! Whole handshakes over loopback.

use super::*;
use crate::{
    clock::{BootClock, Clock},
    link::{
        authority::{Authority, NODE_LIFETIME, NodeSubject, request},
        certificate::Subject,
        node_key::NodeKey,
        tls::{Presented, Trust},
        token::JoinToken,
    },
    model::{Access, NodeId, Role, Roles},
};
use rustls::{
    HandshakeKind, ProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use zeroize::Zeroizing;

const DAY: Duration = Duration::from_secs(86_400);

/// A cluster with its own CA.
struct Cluster {
    id: &'static str,
    ca: Authority,
}

impl Cluster {
    fn new(id: &'static str) -> Self {
        Self { id, ca: Authority::make(id, now()) }
    }

    fn trust(&self) -> Trust {
        Trust::Authorities(vec![self.ca.certificate().to_vec()])
    }

    fn presented(&self, name: &str, at: Duration) -> Presented {
        let (key, roles) = (NodeKey::generate(), Roles::new([Role::Director]).unwrap());
        let subject = NodeSubject { cluster_id: self.id, name: &name.parse().unwrap(), id: NodeId(1), roles: &roles };
        let signed = self.ca.sign_node(&request(&key), &subject, at).unwrap();
        Presented { chain: vec![signed.der, self.ca.certificate().to_vec()], key: Zeroizing::new(key.pkcs8().to_vec()) }
    }

    fn node_at(&self, name: &str, at: Duration) -> Credentials {
        Credentials::new(Some(self.presented(name, at)), self.trust()).unwrap()
    }

    fn node(&self, name: &str) -> Credentials {
        self.node_at(name, now())
    }

    fn guest(&self) -> Credentials {
        Credentials::new(None, self.trust()).unwrap()
    }

    fn joining(&self) -> Credentials {
        Credentials::new(None, Trust::Pinned(JoinToken::make(self.ca.fingerprint()).pin())).unwrap()
    }
}

fn now() -> Duration {
    BootClock.unix_now()
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (server.unwrap().0, client.unwrap())
}

type Accepted = io::Result<(TlsStream, Option<Certificate>)>;
type Connected = io::Result<(TlsStream, Certificate)>;

/// What becomes of a handshake, on both sides.
async fn meet(server: &Credentials, client: &Credentials) -> (Accepted, Connected) {
    let (inward, outward) = pair().await;
    tokio::join!(accept(inward, server), connect(outward, client))
}

fn words_of<T>(result: io::Result<T>) -> String {
    result.err().expect("this must be refused").to_string()
}

fn name(certificate: &Certificate) -> &str {
    match &certificate.subject {
        Subject::Node { name, .. } => name.as_str(),
        Subject::Identity { name, .. } => name.as_str(),
    }
}

async fn echo(from: &mut TlsStream, to: &mut TlsStream) {
    from.write_all(b"hello").await.unwrap();
    from.flush().await.unwrap();
    let mut read = [0; 5];
    to.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
}

/// The server refuses the client, and the client learns why with its first read.
async fn client_is_refused(server: &Credentials, client: &Credentials) -> (String, String) {
    let (accepted, connected) = meet(server, client).await;
    let (mut stream, _) = connected.unwrap();
    let read = stream.read_u8().await.map_err(explain);
    (words_of(accepted), words_of(read))
}

#[tokio::test]
async fn two_nodes_prove_to_each_other_who_they_are() {
    let cluster = Cluster::new("c1");
    let (accepted, connected) = meet(&cluster.node("d1"), &cluster.node("d2")).await;
    let (mut server, client_is) = accepted.unwrap();
    let (mut client, server_is) = connected.unwrap();
    assert_eq!((name(&server_is), name(&client_is.unwrap())), ("d1", "d2"));
    assert_eq!(client.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    echo(&mut client, &mut server).await;
    echo(&mut server, &mut client).await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_let_in_as_nobody() {
    let cluster = Cluster::new("c1");
    let (accepted, connected) = meet(&cluster.node("d1"), &cluster.guest()).await;
    assert_eq!(accepted.unwrap().1, None);
    assert_eq!(name(&connected.unwrap().1), "d1");
}

#[tokio::test]
async fn two_clusters_never_speak() {
    let (ours, theirs) = (Cluster::new("ours"), Cluster::new("theirs"));
    let (accepted, connected) = meet(&theirs.node("d9"), &ours.node("d1")).await;
    let connected = words_of(connected);
    assert!(connected.contains("of another cluster's CA"), "{connected}");
    assert!(connected.contains("it says node d9 of cluster theirs"), "{connected}");
    let accepted = words_of(accepted);
    assert!(accepted.contains("refuses our certificate: it does not trust the CA"), "{accepted}");

    // A client that believes anybody's CA is refused all the same.
    let trusting = Trust::Authorities(vec![theirs.ca.certificate().to_vec(), ours.ca.certificate().to_vec()]);
    let trusting = Credentials::new(Some(ours.presented("d1", now())), trusting).unwrap();
    let (server_says, client_says) = client_is_refused(&theirs.node("d9"), &trusting).await;
    assert!(server_says.contains("of another cluster's CA"), "{server_says}");
    assert!(server_says.contains("it says node d1 of cluster ours"), "{server_says}");
    assert!(client_says.contains("refuses our certificate: it does not trust the CA"), "{client_says}");
}

#[tokio::test]
async fn a_ca_with_our_ca_s_name_is_not_ours() {
    let ours = Cluster::new("c1");
    let forger = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(&CertificateDer::from(ours.ca.certificate()), &forger).unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "d1");
    params.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, "lvs-director");
    params.use_authority_key_identifier_extension = true;
    let forged = params.signed_by(&key, &issuer).unwrap().der().to_vec();
    let chain = vec![forged, ours.ca.certificate().to_vec()];
    let forged = Credentials::new(Some(Presented { chain, key: Zeroizing::new(key.serialize_der()) }), ours.trust()).unwrap();
    for client in [ours.node("d2"), ours.joining()] {
        let said = words_of(meet(&forged, &client).await.1);
        assert!(said.contains("not signed by the CA that it names"), "{said}");
    }
    let (server_says, client_says) = client_is_refused(&ours.node("d2"), &forged).await;
    assert!(server_says.contains("not signed by the CA that it names"), "{server_says}");
    assert!(client_says.contains("refuses our certificate"), "{client_says}");
}

#[tokio::test]
async fn a_trusted_certificate_that_does_not_say_whose_it_is_is_nobody_s() {
    let root = CertificateDer::from_pem_slice(include_bytes!("../../testdata/root.pem")).unwrap();
    let chain = CertificateDer::pem_slice_iter(include_bytes!("../../testdata/wrong.pem")).take(1).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../testdata/ed25519.key")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let nameless =
        rustls::ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let nameless = TlsAcceptor::from(Arc::new(nameless.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    let client = Credentials::new(None, Trust::Authorities(vec![root.to_vec()])).unwrap();
    let (inward, outward) = pair().await;
    let (_, connected) = tokio::join!(nameless.accept(inward), connect(outward, &client));
    let said = words_of(connected);
    assert!(said.contains("cannot be told who it is") && said.contains("its subject has no CN"), "{said}");
}

#[tokio::test]
async fn certificates_out_of_their_time_are_refused_with_both_clocks_named() {
    let cluster = Cluster::new("c1");
    let expired = cluster.node_at("old", now() - NODE_LIFETIME - DAY);
    let early = cluster.node_at("new", now() + 3 * DAY);
    let good = cluster.node("d1");
    for (wrong, ours, theirs) in [
        (&expired, "has expired: it ended ", "by its clock it has expired or is not valid yet"),
        (&early, "is not valid yet: it begins ", "by its clock it has expired or is not valid yet"),
    ] {
        let (accepted, connected) = meet(wrong, &good).await;
        let (connected, accepted) = (words_of(connected), words_of(accepted));
        assert!(connected.contains(ours) && connected.contains("this machine's clock says 2"), "{connected}");
        assert!(accepted.contains(theirs), "{accepted}");
        let (server_says, client_says) = client_is_refused(&good, wrong).await;
        assert!(server_says.contains(ours), "{server_says}");
        assert!(client_says.contains(theirs), "{client_says}");
    }
}

#[tokio::test]
async fn a_token_s_holder_believes_its_cluster_and_no_other() {
    let (ours, theirs) = (Cluster::new("ours"), Cluster::new("theirs"));
    let (accepted, connected) = meet(&ours.node("d1"), &ours.joining()).await;
    assert_eq!((name(&connected.unwrap().1), accepted.unwrap().1), ("d1", None));

    let said = words_of(meet(&theirs.node("d9"), &ours.joining()).await.1);
    assert!(said.contains("not in the cluster that the join token was made for"), "{said}");
    assert!(said.contains("node d9 of cluster theirs"), "{said}");

    // Time counts here too.
    let said = words_of(meet(&ours.node_at("d1", now() - NODE_LIFETIME - DAY), &ours.joining()).await.1);
    assert!(said.contains("has expired"), "{said}");
}

#[tokio::test]
async fn a_pinned_certificate_must_be_a_ca_that_was_sent() {
    let cluster = Cluster::new("c1");
    let mut presented = cluster.presented("d1", now());
    let leaf = crate::link::fingerprint::fingerprint(&presented.chain[0]);
    presented.chain.insert(1, presented.chain[0].clone());
    let server = Credentials::new(Some(presented), cluster.trust()).unwrap();
    let pinned = Credentials::new(None, Trust::Pinned(JoinToken::make(leaf).pin())).unwrap();
    let said = words_of(meet(&server, &pinned).await.1);
    assert!(said.contains("its CA is another one"), "{said}");

    let mut presented = cluster.presented("d1", now());
    presented.chain.truncate(1);
    let without = Credentials::new(Some(presented), cluster.trust()).unwrap();
    assert!(words_of(meet(&without, &cluster.joining()).await.1).contains("its CA is another one"));
}

#[tokio::test]
async fn a_remote_identity_is_let_in_as_a_client_and_is_never_a_server() {
    let cluster = Cluster::new("c1");
    let (made, key) = cluster.ca.make_identity("c1", &"alice".parse().unwrap(), Access::Admin, DAY, now()).unwrap();
    let presented = Presented { chain: vec![made.der, cluster.ca.certificate().to_vec()], key };
    let alice = Credentials::new(Some(presented), cluster.trust()).unwrap();
    let (accepted, _) = meet(&cluster.node("d1"), &alice).await;
    assert_eq!(name(&accepted.unwrap().1.unwrap()), "alice");
    let said = words_of(meet(&alice, &cluster.node("d1")).await.1);
    assert!(said.contains("its certificate is not for this"), "{said}");
}

#[tokio::test]
async fn credentials_change_for_new_connections_while_old_ones_go_on() {
    let (old, new) = (Cluster::new("c1"), Cluster::new("c1"));
    let (server, client) = (old.node("d1"), old.node("d2"));
    let (accepted, connected) = meet(&server, &client).await;
    let (mut inward, mut outward) = (accepted.unwrap().0, connected.unwrap().0);

    // Both trust both CAs, then the server changes over, then the old CA is dropped.
    let both = Trust::Authorities(vec![old.ca.certificate().to_vec(), new.ca.certificate().to_vec()]);
    client.clone().replace(Some(old.presented("d2", now())), both.clone()).unwrap();
    server.replace(Some(new.presented("d1", now())), both.clone()).unwrap();
    let (accepted, connected) = meet(&server, &client).await;
    assert!(accepted.is_ok() && connected.is_ok());
    server.replace(Some(new.presented("d1", now())), new.trust()).unwrap();
    let (server_says, _) = client_is_refused(&server, &client).await;
    assert!(server_says.contains("not trusted any more"), "{server_says}");
    client.replace(Some(new.presented("d2", now())), new.trust()).unwrap();
    let (accepted, connected) = meet(&server, &client).await;
    assert!(accepted.is_ok() && connected.is_ok());

    echo(&mut outward, &mut inward).await;
    echo(&mut inward, &mut outward).await;
}

#[tokio::test]
async fn a_change_that_cannot_be_leaves_what_was_there() {
    let cluster = Cluster::new("c1");
    let server = cluster.node("d1");
    let mut mixed = cluster.presented("d1", now());
    mixed.key = Zeroizing::new(NodeKey::generate().pkcs8().to_vec());
    let error = server.replace(Some(mixed), cluster.trust()).unwrap_err().to_string();
    assert!(error.contains("the certificate (fingerprint ") && error.contains("do not belong together"), "{error}");
    let leaf = cluster.presented("d1", now()).chain.remove(0);
    assert!(server.replace(None, Trust::Authorities(vec![leaf])).unwrap_err().to_string().contains("may not sign others"));
    assert!(meet(&server, &cluster.node("d2")).await.0.is_ok());
}

#[tokio::test]
async fn every_handshake_is_a_whole_one() {
    let cluster = Cluster::new("c1");
    let (server, client) = (cluster.node("d1"), cluster.node("d2"));
    for _ in 0..3 {
        let (accepted, connected) = meet(&server, &client).await;
        let (mut inward, mut outward) = (accepted.unwrap().0, connected.unwrap().0);
        echo(&mut inward, &mut outward).await;
        assert_eq!(outward.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
    // Also when one configuration is used again, as others might.
    let config = client.client();
    for _ in 0..2 {
        let (inward, outward) = pair().await;
        let connector = TlsConnector::from(config.clone());
        let (accepted, connected) = tokio::join!(accept(inward, &server), connector.connect("x".try_into().unwrap(), outward));
        let (mut inward, mut outward) = (accepted.unwrap().0, TlsStream::from(connected.unwrap()));
        echo(&mut inward, &mut outward).await;
        assert_eq!(outward.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn certificates_of_another_pki_are_as_good() {
    let openssl = |chain: &str, key: &str| {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(|der| der.unwrap().to_vec()).collect();
        let key = Zeroizing::new(PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap().secret_der().to_vec());
        let root = CertificateDer::from_pem_slice(include_bytes!("../../testdata/root.pem")).unwrap().to_vec();
        Credentials::new(Some(Presented { chain, key }), Trust::Authorities(vec![root])).unwrap()
    };
    let rsa = openssl(include_str!("../../testdata/rsa.pem"), include_str!("../../testdata/rsa-pkcs1.key"));
    let ec = openssl(include_str!("../../testdata/ec.pem"), include_str!("../../testdata/ec-sec1.key"));
    let admin = openssl(include_str!("../../testdata/ed25519.pem"), include_str!("../../testdata/ed25519.key"));
    for (server, client, expected) in [(&rsa, &ec, "w1"), (&ec, &rsa, "d1"), (&rsa, &admin, "alice")] {
        let (accepted, connected) = meet(server, client).await;
        assert_eq!(name(&accepted.unwrap().1.unwrap()), expected);
        assert!(connected.is_ok());
    }
    assert!(words_of(meet(&admin, &rsa).await.1).contains("not for this"));
    let ours = Cluster::new("c1");
    let said = words_of(meet(&rsa, &ours.node("d1")).await.1);
    assert!(said.contains("of another cluster's CA") && said.contains("it says node d1, fingerprint"), "{said}");
}

#[tokio::test]
async fn what_is_no_tls_or_has_no_certificate_is_told_apart() {
    let cluster = Cluster::new("c1");
    let said = |spoken: &'static [u8]| {
        let client = cluster.node("d1");
        async move {
            let (mut inward, outward) = pair().await;
            let other = async {
                inward.write_all(spoken).await.unwrap();
                inward.shutdown().await.unwrap();
                let mut rest = Vec::new();
                let _ = inward.read_to_end(&mut rest).await;
            };
            words_of(tokio::join!(connect(outward, &client), other).0)
        }
    };
    let http = said(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(http.contains("does not speak TLS"), "{http}");
    let closed = said(b"").await;
    assert!(closed.contains("has closed the connection in the TLS handshake"), "{closed}");

    let (accepted, connected) = meet(&cluster.guest(), &cluster.node("d1")).await;
    let (accepted, connected) = (words_of(accepted), words_of(connected));
    assert!(accepted.contains("this node has no certificate yet"), "{accepted}");
    assert!(connected.contains("has no certificate yet"), "{connected}");
}

#[tokio::test]
async fn a_node_that_trusts_nobody_lets_everybody_be_nobody() {
    let cluster = Cluster::new("c1");
    let trusting_none = Credentials::new(Some(cluster.presented("d1", now())), Trust::Authorities(Vec::new())).unwrap();
    let (accepted, _) = meet(&trusting_none, &cluster.node("d2")).await;
    assert_eq!(accepted.unwrap().1, None);
    assert!(words_of(meet(&cluster.node("d2"), &trusting_none).await.1).contains("another cluster's CA"));
}

#[test]
fn private_keys_are_not_shown() {
    let cluster = Cluster::new("c1");
    let shown = format!("{:?} {:?}", cluster.node("d1"), cluster.guest());
    assert!(shown.starts_with("certificate ") && shown.ends_with(" no certificate") && shown.len() < 60, "{shown}");
}
