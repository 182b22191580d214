//! The admin protocol over real TLS on the loopback interface.

use super::*;
use crate::api::SecurityAdmin;
use crate::{
    api::{
        ApplyRequest, Client, ClientError, IdentityRequest, JoinOrder, LeaveRequest, MAX_REQUEST_BYTES, RemoteAgent,
        TokenRequest, Version, fake::Fake,
    },
    clock::{BootClock, Clock},
    link::tls::{Presented, Trust},
    model::{Access, Role, Roles},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const WEB: &str = "[[vip]]\nname = \"web\"\naddresses = [\"10.0.0.100\"]\ninterface = \"eth0\"\n";

async fn start(fake: &Arc<Fake>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_remote(listener, fake.credentials(), fake.clone(), fake.clone(), CancellationToken::new()));
    address
}

fn client(address: SocketAddr, presented: Option<Presented>, trusts: &Fake) -> Client {
    let credentials = Credentials::new(presented, Trust::Authorities(vec![trusts.authority.certificate().to_vec()])).unwrap();
    Client::remote(RemoteAgent { name: address.to_string(), credentials })
}

/// A certificate of this cluster's CA that ends after an hour, or ended `ago`.
fn certificate(fake: &Fake, name: &str, access: Access, ago: Duration) -> Presented {
    let (lifetime, now) = (Duration::from_secs(3600), BootClock.unix_now() - ago);
    let (leaf, key) = fake.authority.make_identity("c1", &name.parse().unwrap(), access, lifetime, now).unwrap();
    Presented { chain: vec![leaf.der], key }
}

/// A client with an identity that the agent knows.
async fn registered(fake: &Fake, address: SocketAddr, name: &str, access: Access) -> Client {
    client(address, Some(identity(fake, name, access).await), fake)
}

async fn identity(fake: &Fake, name: &str, access: Access) -> Presented {
    let request = IdentityRequest { name: name.parse().unwrap(), access, ttl_s: 3600 };
    let bundle = fake.make_identity(request).await.unwrap().bundle;
    // Several tests of this process use the same name at the same time.
    let file = std::env::temp_dir().join(format!("lvs-agent-{}-{name}-{:x}.pem", std::process::id(), rand::random::<u64>()));
    std::fs::write(&file, bundle).unwrap();
    let (mut chain, key) = crate::link::io::files::external(&file, &file).unwrap();
    std::fs::remove_file(&file).unwrap();
    chain.truncate(1);
    Presented { chain, key }
}

fn apply_request(text: &str) -> ApplyRequest {
    ApplyRequest { file_name: "c.toml".to_owned(), text: text.to_owned(), base_revision: None, prune: false, strict: false }
}

fn token_request() -> TokenRequest {
    TokenRequest { ttl_s: 3600, uses: 1, roles: Roles::new([Role::RealServer]).unwrap() }
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    match answer.unwrap_err() {
        ClientError::Refused { code, body } => (code, body.error),
        other => panic!("{other}"),
    }
}

fn distrust<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer.unwrap_err() {
        ClientError::NotTrusted { why, .. } => why,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn who_may_look_may_not_change() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let looker = registered(&fake, address, "grafana", Access::ReadOnly).await;
    assert!(looker.status().await.unwrap().cluster.is_some());
    assert_eq!(looker.version().await.unwrap(), Version::this());
    assert!(looker.export().await.unwrap().contains("revision 0"));
    let (code, why) = refusal(looker.apply(&apply_request(WEB)).await);
    assert_eq!((code, why.contains("grafana may only look")), (403, true), "{why}");
    assert_eq!(fake.rules.lock().unwrap().0, 0);
    assert_eq!(refusal(looker.make_token(&token_request()).await).0, 403);
    assert_eq!(refusal(looker.tokens().await).0, 403);
    assert_eq!(refusal(looker.identities().await).0, 403);
    assert_eq!(refusal(looker.remove_node(&"r3".parse().unwrap()).await).0, 403);
    assert_eq!(refusal(looker.allow_node(&"r3".parse().unwrap()).await).0, 403);
    assert_eq!(refusal(looker.leave(&LeaveRequest::default()).await).0, 403);
    assert!(fake.tokens().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_administrator_changes_the_cluster_but_no_nodes_standing() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let admin = registered(&fake, address, "ann", Access::Admin).await;
    assert_eq!(admin.apply(&apply_request(WEB)).await.unwrap().revision, 1);
    let token = admin.make_token(&token_request()).await.unwrap();
    admin.revoke_token(token.status.id).await.unwrap();
    assert_eq!(refusal(admin.revoke_token(token.status.id).await).0, 409);
    admin.remove_node(&"r3".parse().unwrap()).await.unwrap();
    admin.allow_node(&"r3".parse().unwrap()).await.unwrap();
    let request = JoinOrder { seeds: vec!["10.0.0.11:7400".parse().unwrap()], token: None };
    assert_eq!(refusal(admin.join(&request).await).0, 403);
    assert_eq!(refusal(admin.leave(&LeaveRequest::default()).await).0, 403);
    assert_eq!(refusal(admin.withdraw().await).0, 403);
    assert_eq!(refusal(admin.restart_worker().await).0, 403);
    let names: Vec<String> = admin.identities().await.unwrap().iter().map(|known| known.name.to_string()).collect();
    assert_eq!(names, ["ann"]);
}

#[tokio::test]
async fn a_revoked_identity_is_out_with_its_next_request() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let admin = registered(&fake, address, "ann", Access::Admin).await;
    admin.status().await.unwrap();
    fake.revoke_identity("ann".parse().unwrap()).await.unwrap();
    let (code, why) = refusal(admin.status().await);
    assert_eq!((code, why.as_str()), (403, "the certificate of ann was revoked"));
    // The CA has signed it, but nobody has registered it.
    let unknown = client(address, Some(certificate(&fake, "bob", Access::Admin, Duration::ZERO)), &fake);
    assert_eq!(refusal(unknown.status().await).0, 403);
}

#[tokio::test]
async fn without_a_certificate_every_request_is_told_how_to_get_one() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let stranger = client(address, None, &fake);
    for (code, why) in [
        refusal(stranger.status().await),
        refusal(stranger.version().await),
        refusal(stranger.leave(&LeaveRequest::default()).await),
        refusal(stranger.apply(&apply_request(&"x".repeat(1 << 20))).await),
    ] {
        assert_eq!(code, 401);
        assert!(why.contains("lvs-agent identity create"), "{why}");
    }
}

#[tokio::test]
async fn another_clusters_certificates_count_on_neither_side() {
    let (fake, other) = (Arc::new(Fake::default()), Fake::default());
    let address = start(&fake).await;
    let foreign = client(address, Some(certificate(&other, "ann", Access::Admin, Duration::ZERO)), &fake);
    let why = distrust(foreign.status().await);
    assert!(why.contains("refuses our certificate"), "{why}");
    let misled = client(address, Some(certificate(&fake, "ann", Access::Admin, Duration::ZERO)), &other);
    let why = distrust(misled.status().await);
    assert!(why.contains("another cluster's CA"), "{why}");
    let late = client(address, Some(certificate(&fake, "ann", Access::Admin, Duration::from_secs(7200))), &fake);
    let why = distrust(late.status().await);
    assert!(why.contains("expired"), "{why}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_with_an_answer() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let admin = registered(&fake, address, "ann", Access::Admin).await;
    assert_eq!(refusal(admin.apply(&apply_request(&"x".repeat(MAX_REQUEST_BYTES + (1 << 20)))).await).0, 413);
    admin.status().await.unwrap();
}

#[tokio::test]
async fn nobody_there_and_nobody_who_speaks_tls_are_told_apart_from_distrust() {
    let fake = Fake::default();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    assert!(matches!(client(address, None, &fake).status().await, Err(ClientError::ServerNotReachable { .. })));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    tokio::spawn(async move { while silent.accept().await.is_ok() {} });
    assert!(matches!(client(address, None, &fake).status().await, Err(ClientError::ServerNotReachable { .. })));
}

#[tokio::test(start_paused = true)]
async fn who_dawdles_is_cut_off() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let begun = tokio::time::Instant::now();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let _ = idle.read_to_end(&mut answer).await;
    assert_eq!(answer, b"", "no handshake, no answer");
    assert!(begun.elapsed() >= HANDSHAKE_DEADLINE, "{:?}", begun.elapsed());

    let trust = Trust::Authorities(vec![fake.authority.certificate().to_vec()]);
    let credentials = Credentials::new(Some(certificate(&fake, "ann", Access::Admin, Duration::ZERO)), trust).unwrap();
    let (mut slow, _) = handshake::connect(TcpStream::connect(address).await.unwrap(), &credentials).await.unwrap();
    slow.write_all(b"GET /v1/sta").await.unwrap();
    let begun = tokio::time::Instant::now();
    let _ = slow.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    assert!(begun.elapsed() >= READ_DEADLINE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_is_revoked_while_its_request_is_on_its_way_changes_nothing() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let trust = Trust::Authorities(vec![fake.authority.certificate().to_vec()]);
    let credentials = Credentials::new(Some(identity(&fake, "ann", Access::Admin).await), trust).unwrap();
    let (mut stream, _) = handshake::connect(TcpStream::connect(address).await.unwrap(), &credentials).await.unwrap();
    let body = serde_json::to_string(&token_request()).unwrap();
    let head = format!(
        "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "the head was good: {}", String::from_utf8_lossy(&go_on));
    fake.revoke_identity("ann".parse().unwrap()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("was revoked"), "{answer}");
    assert!(fake.tokens().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let mut idle = Vec::new();
    for _ in 0..MAX_PER_SOURCE {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let mut one_more = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let _ = one_more.read_to_end(&mut answer).await;
    assert_eq!(answer, b"", "closed at once");
    let elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut elsewhere = elsewhere.connect(address).await.unwrap();
    elsewhere.write_all(b"not tls, but it is read and answered with an alert\r\n\r\n").await.unwrap();
    let _ = elsewhere.read_to_end(&mut answer).await;
    assert!(!answer.is_empty(), "there is a place for another address");
}

#[tokio::test]
async fn the_answer_reaches_who_sends_all_before_reading() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let mut rude = TcpStream::connect(address).await.unwrap();
    let line = b"POST /v1/apply HTTP/1.1\r\n";
    rude.write_all(&line.repeat((8 << 20) / line.len())).await.expect("closing over unread bytes would reset the connection");
    let mut answer = Vec::new();
    rude.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&21), "a TLS alert");
}

#[tokio::test]
async fn a_long_head_is_refused() {
    let fake = Arc::new(Fake::default());
    let address = start(&fake).await;
    let trust = Trust::Authorities(vec![fake.authority.certificate().to_vec()]);
    let credentials = Credentials::new(Some(certificate(&fake, "ann", Access::Admin, Duration::ZERO)), trust).unwrap();
    let (mut stream, _) = handshake::connect(TcpStream::connect(address).await.unwrap(), &credentials).await.unwrap();
    let head = format!("GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD_BYTES));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}
