//! The admin protocol over a real socket.

use super::super::{
    Client, ClientError,
    fake::{Fake, Place},
};
use super::*;
use std::{os::unix::fs::PermissionsExt, path::Path, sync::atomic::Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const WEB: &str = "[[vip]]\nname = \"web\"\naddresses = [\"10.0.0.100\"]\ninterface = \"eth0\"\n";

fn start(place: &Place, fake: &Arc<Fake>) -> (Client, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = AdminListener::bind(&place.socket()).unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, fake.clone(), shutdown.clone()));
    (Client::new(place.socket()), shutdown, server)
}

fn plan_request(text: &str) -> PlanRequest {
    PlanRequest { file_name: "c.toml".to_owned(), text: text.to_owned() }
}

fn apply_request(text: &str, base_revision: Option<u64>) -> ApplyRequest {
    ApplyRequest { file_name: "c.toml".to_owned(), text: text.to_owned(), base_revision }
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, ErrorBody) {
    match answer.unwrap_err() {
        ClientError::Refused { code, body } => (code, body),
        other => panic!("{other}"),
    }
}

/// Sends bytes as they are; gives the whole answer.
async fn raw(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_plan_an_apply_and_an_export_fit_together() {
    let (place, fake) = (Place::new("apply"), Arc::new(Fake::default()));
    let (client, _shutdown, _server) = start(&place, &fake);
    let plan = client.plan(&plan_request(WEB)).await.unwrap();
    assert_eq!((plan.revision, plan.changes.len()), (0, 1));
    let answer = client.apply(&apply_request(WEB, Some(plan.revision))).await.unwrap();
    assert_eq!(answer, ApplyAnswer { revision: 1, changed: true, changes: plan.changes });
    let exported = client.export().await.unwrap();
    assert!(exported.starts_with("# lvs-agent cluster file, exported at revision 1\n"), "{exported}");
    let again = client.apply(&apply_request(&exported, None)).await.unwrap();
    assert_eq!(again, ApplyAnswer { revision: 1, changed: false, changes: Vec::new() });
}

#[tokio::test]
async fn a_wrong_file_is_refused_whole_with_every_problem() {
    let (place, fake) = (Place::new("wrong"), Arc::new(Fake::default()));
    let (client, _shutdown, _server) = start(&place, &fake);
    let (code, body) = refusal(client.apply(&apply_request(&format!("{WEB}colour = 1\nport = 2\n"), None)).await);
    assert_eq!((code, body.error.as_str(), body.details.len()), (422, "c.toml has 2 problems", 2));
    assert!(body.details[0].starts_with("c.toml:5:1: [[vip]] has no key `colour`"), "{body:?}");
    assert_eq!(*fake.rules.lock().unwrap(), (0, RuleSet::default()));
}

#[tokio::test]
async fn each_reason_has_its_http_status() {
    let (place, fake) = (Place::new("codes"), Arc::new(Fake::default()));
    let (client, _shutdown, _server) = start(&place, &fake);
    assert_eq!(refusal(client.init(&InitRequest::default()).await).0, 409);
    let (code, body) = refusal(client.join(&JoinRequest::default()).await);
    assert_eq!((code, body.details), (502, vec!["10.0.0.11:7400: connection refused".to_owned()]));
    assert_eq!(refusal(client.leave().await).0, 503);
    let (code, body) = refusal(client.apply(&apply_request(WEB, Some(9))).await);
    assert_eq!(code, 409);
    assert!(body.error.contains("revision 0, the change was made for revision 9"), "{body:?}");
    let socket = place.socket();
    assert!(raw(&socket, "GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 404"));
    assert!(raw(&socket, "GET /v1/apply HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 405"));
    let unknown_field = "{\"file_name\":\"a\",\"text\":\"\",\"base\":1}";
    let post = |body: &str, length: usize| {
        format!("POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let answer = raw(&socket, &post(unknown_field, unknown_field.len())).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("unknown field `base`"), "{answer}");
    let long = format!("\"{}", "x".repeat(MAX_REQUEST_BYTES));
    assert!(raw(&socket, &post(&long, long.len())).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn outside_a_cluster_the_status_says_what_to_do() {
    let (place, fake) = (Place::new("outside"), Arc::new(Fake { outside: true, ..Fake::default() }));
    let (client, _shutdown, _server) = start(&place, &fake);
    let status = client.status().await.unwrap();
    assert_eq!((status.cluster, status.problems), (None, vec![AdminError::NotInCluster.to_string()]));
    assert_eq!(refusal(client.export().await).0, 409);
    assert_eq!(client.version().await.unwrap(), Version::this());
}

/// A deadline that passes soon.
const SOON: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_change_runs_to_its_end_without_its_client_and_others_wait_for_their_turn() {
    let fake = Arc::new(Fake::default());
    let api = Api { admin: fake.clone(), change: Arc::new(Semaphore::new(1)) };
    let admin = fake.clone();
    let seeds = vec!["10.0.0.11:7400".parse().unwrap()];
    let gone = timeout(SOON, api.change(JOIN_DEADLINE, async move { admin.join(seeds, None).await })).await;
    assert!(gone.is_err(), "the client went away first");
    let second = api.change(SOON, async { Ok(()) }).await.unwrap_err();
    assert_eq!(second.code, StatusCode::SERVICE_UNAVAILABLE);
    fake.gate.notify_one();
    assert!(api.change(CHANGE_DEADLINE, async { Ok(()) }).await.is_ok());
    assert_eq!(fake.finished.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_change_without_a_result_in_time_says_so_and_does_not_block_the_next_for_good() {
    let api = Api { admin: Arc::new(Fake::default()), change: Arc::new(Semaphore::new(1)) };
    let late = api.change::<()>(SOON, std::future::pending()).await.unwrap_err();
    assert_eq!(late.code, StatusCode::GATEWAY_TIMEOUT);
    assert!(late.body.error.contains("look at `lvs-agent status` before you try again"), "{:?}", late.body);
    assert!(api.change(CHANGE_DEADLINE, async { Ok(()) }).await.is_ok());
}

#[tokio::test]
async fn only_a_dead_agents_socket_is_taken_over() {
    let (place, fake) = (Place::new("stale"), Arc::new(Fake::default()));
    let (_client, shutdown, server) = start(&place, &fake);
    assert!(matches!(AdminListener::bind(&place.socket()), Err(super::super::BindError::InUse(_))));
    shutdown.cancel();
    server.await.unwrap();
    assert!(!place.socket().exists(), "the socket is removed at the end");
    // A dead agent leaves its socket behind.
    drop(std::os::unix::net::UnixListener::bind(place.socket()).unwrap());
    assert!(matches!(Client::new(place.socket()).status().await, Err(ClientError::NotReachable { .. })));
    let listener = AdminListener::bind(&place.socket()).unwrap();
    assert_eq!(std::fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    drop(listener);
    std::fs::write(place.socket(), "precious").unwrap();
    assert!(matches!(AdminListener::bind(&place.socket()), Err(super::super::BindError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(place.socket()).unwrap(), "precious");
}

#[tokio::test]
async fn serving_ends_while_a_client_dawdles() {
    let (place, fake) = (Place::new("dawdle"), Arc::new(Fake::default()));
    let (_client, shutdown, server) = start(&place, &fake);
    let mut slow = UnixStream::connect(place.socket()).await.unwrap();
    slow.write_all(b"GET /v1/sta").await.unwrap();
    shutdown.cancel();
    timeout(Duration::from_secs(30), server).await.expect("it must not wait for the client").unwrap();
}
