//! The admin protocol over a real socket.

use super::*;
use crate::api::{MembersAdmin, SecurityAdmin};
use crate::{
    api::{
        AdminError, ApplyAnswer, ApplyRequest, BindError, CHANGE_DEADLINE, Client, ClientError, ErrorBody, IdentityRequest,
        InitRequest, JoinOrder, LeaveRequest, MAX_REQUEST_BYTES, PlanRequest, TokenRequest, Version,
        fake::{Fake, SocketDir},
    },
    model::{Access, IdentityName, Role, Roles},
    rules::{RuleSet, Warning},
};
use axum::http::StatusCode;
use std::{os::unix::fs::PermissionsExt, path::Path, sync::atomic::Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const WEB: &str = "[[vip]]\nname = \"web\"\naddresses = [\"10.0.0.100\"]\ninterface = \"eth0\"\n";

fn start(place: &SocketDir, fake: &Arc<Fake>) -> (Client, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = AdminListener::bind(&place.socket()).unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, fake.clone(), shutdown.clone()));
    (Client::new(place.socket()), shutdown, server)
}

fn plan_request(text: &str) -> PlanRequest {
    PlanRequest { file_name: "c.toml".to_owned(), text: text.to_owned(), prune: false }
}

fn apply_request(text: &str, base_revision: Option<u64>) -> ApplyRequest {
    ApplyRequest { file_name: "c.toml".to_owned(), text: text.to_owned(), base_revision, prune: false, strict: false }
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, ErrorBody) {
    match answer.unwrap_err() {
        ClientError::Refused { code, body } => (code, body),
        other => panic!("{other}"),
    }
}

fn body(error: &str) -> ErrorBody {
    ErrorBody { error: error.to_owned(), details: Vec::new() }
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
    let (place, fake) = (SocketDir::new("apply"), Arc::new(Fake::default()));
    let (client, _shutdown, _server) = start(&place, &fake);
    let plan = client.plan(&plan_request(WEB)).await.unwrap();
    assert_eq!((plan.revision, plan.changes.len()), (0, 1));
    let answer = client.apply(&apply_request(WEB, Some(plan.revision))).await.unwrap();
    assert_eq!(answer, ApplyAnswer { revision: 1, changed: true, changes: plan.changes, warnings: Vec::new() });
    let exported = client.export().await.unwrap();
    assert!(exported.starts_with("# lvs-agent cluster file, exported at revision 1\n"), "{exported}");
    let again = client.apply(&apply_request(&exported, None)).await.unwrap();
    assert_eq!(again, ApplyAnswer { revision: 1, changed: false, changes: Vec::new(), warnings: Vec::new() });
}

#[tokio::test]
async fn a_strict_apply_is_refused_with_every_warning_before_anything_is_changed() {
    let (place, fake) = (SocketDir::new("strict"), Arc::new(Fake::default()));
    let (client, _shutdown, _server) = start(&place, &fake);
    let warning = Warning::ServerIsNoMember {
        service: "http".parse().unwrap(),
        server: "r9".parse().unwrap(),
        address: "10.0.0.99".parse().unwrap(),
    };
    fake.warnings.lock().unwrap().push(warning.clone());
    assert_eq!(client.plan(&plan_request(WEB)).await.unwrap().warnings, std::slice::from_ref(&warning));
    let strict = ApplyRequest { strict: true, ..apply_request(WEB, None) };
    let Err(ClientError::Refused { code: 409, body }) = client.apply(&strict).await else { panic!("not refused") };
    assert_eq!(body.error, "refused because of --strict: nothing is changed");
    assert!(body.details[0].starts_with("warning: server http/r9: no member of the cluster is at 10.0.0.99"), "{body:?}");
    assert_eq!(fake.rules.lock().unwrap().0, 0);
    let applied = client.apply(&apply_request(WEB, None)).await.unwrap();
    assert_eq!((applied.revision, applied.warnings), (1, vec![warning]));
    fake.warnings.lock().unwrap().clear();
    client.apply(&ApplyRequest { strict: true, prune: true, ..apply_request("", None) }).await.unwrap();
    assert_eq!(fake.rules.lock().unwrap().0, 2, "nothing to be warned of");
}

#[tokio::test]
async fn a_wrong_file_is_refused_whole_with_every_problem() {
    let (place, fake) = (SocketDir::new("wrong"), Arc::new(Fake::default()));
    let (client, _shutdown, _server) = start(&place, &fake);
    let (code, body) = refusal(client.apply(&apply_request(&format!("{WEB}colour = 1\nport = 2\n"), None)).await);
    assert_eq!((code, body.error.as_str(), body.details.len()), (422, "c.toml has 2 problems", 2));
    assert!(body.details[0].starts_with("c.toml:5:1: [[vip]] has no key `colour`"), "{body:?}");
    assert_eq!(*fake.rules.lock().unwrap(), (0, RuleSet::default()));
}

#[tokio::test]
async fn each_reason_has_its_http_status() {
    let (place, fake) = (SocketDir::new("codes"), Arc::new(Fake::default()));
    let (client, _shutdown, _server) = start(&place, &fake);
    assert_eq!(refusal(client.init(&InitRequest::default()).await).0, 409);
    let (code, body) = refusal(client.join(&JoinOrder::default()).await);
    assert_eq!((code, body.details), (502, vec!["10.0.0.11:7400: connection refused".to_owned()]));
    assert_eq!(refusal(client.leave(&LeaveRequest::default()).await).0, 503);
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
async fn tokens_nodes_keys_and_identities_have_their_requests() {
    let (place, fake) = (SocketDir::new("security"), Arc::new(Fake::default()));
    let (client, _shutdown, _server) = start(&place, &fake);
    let roles = Roles::new([Role::Director, Role::RealServer]).unwrap();
    let token = client.make_token(&TokenRequest { ttl_s: 60, uses: 2, roles: roles.clone() }).await.unwrap();
    assert_eq!((token.status.uses_left, &token.status.roles), (2, &roles));
    assert_eq!(client.tokens().await.unwrap(), std::slice::from_ref(&token.status));
    client.revoke_token(token.status.id).await.unwrap();
    assert_eq!(client.tokens().await.unwrap(), []);
    client.set_roles(&"r3".parse().unwrap(), &roles).await.unwrap();
    assert_eq!(client.status().await.unwrap().nodes[4].roles, roles);
    client.remove_node(&"r3".parse().unwrap()).await.unwrap();
    assert_eq!(refusal(client.remove_node(&"r3".parse().unwrap()).await), (409, body("no node is called r3")));
    client.allow_node(&"r3".parse().unwrap()).await.unwrap();
    let (code, said) = refusal(client.allow_node(&"r3".parse().unwrap()).await);
    assert_eq!((code, said.error.contains("r3 is not barred")), (409, true), "{said:?}");
    client.rotate_keys().await.unwrap();
    client.rotate_authority().await.unwrap();
    assert_eq!(refusal(client.rotate_authority().await).0, 409);
    let name: IdentityName = "grafana".parse().unwrap();
    let request = IdentityRequest { name: name.clone(), access: Access::ReadOnly, ttl_s: 60 };
    let made = client.make_identity(&request).await.unwrap();
    assert!(made.bundle.contains("PRIVATE KEY"));
    assert_eq!(client.identities().await.unwrap(), [made.status]);
    client.revoke_identity(&name).await.unwrap();
    assert_eq!(refusal(client.revoke_identity(&name).await).0, 409);
}

#[tokio::test]
async fn values_out_of_their_bounds_are_refused() {
    let (place, fake) = (SocketDir::new("bounds"), Arc::new(Fake::default()));
    let (client, _shutdown, _server) = start(&place, &fake);
    let roles = Roles::new([Role::Witness]).unwrap();
    for (ttl_s, uses) in [(59, 1), (30 * 86_400 + 1, 1), (60, 0), (60, 1001), (u64::MAX, u32::MAX)] {
        let request = TokenRequest { ttl_s, uses, roles: roles.clone() };
        assert_eq!(refusal(client.make_token(&request).await).0, 422, "{request:?}");
    }
    let identity = |ttl_s| IdentityRequest { name: "a".parse().unwrap(), access: Access::Admin, ttl_s };
    for ttl_s in [0, 366 * 86_400] {
        assert_eq!(refusal(client.make_identity(&identity(ttl_s)).await).0, 422);
    }
    let ask = |method: &str, path: &str, body: &str| {
        let length = body.len();
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    for (request, code) in [
        (ask("PUT", "/v1/nodes/r3/roles", "{\"roles\":[]}"), 400),
        (ask("PUT", "/v1/nodes/r3/roles", "{\"roles\":[\"king\"]}"), 400),
        (ask("PUT", "/v1/nodes/R3/roles", "{\"roles\":[\"witness\"]}"), 400),
        (ask("DELETE", "/v1/nodes/..%2F..%2Fleave", ""), 400),
        (ask("DELETE", "/v1/tokens/123", ""), 400),
        (ask("POST", "/v1/tokens/123", ""), 405),
        (ask("GET", "/v1/nodes/r3", ""), 405),
        (ask("POST", "/v1/nodes/R3/allow", ""), 400),
        (ask("DELETE", "/v1/nodes/r3/allow", ""), 405),
    ] {
        let answer = raw(&place.socket(), &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{request}\n{answer}");
        assert!(answer.contains("\"error\":"), "{answer}");
    }
    assert!(fake.tokens().await.unwrap().is_empty() && fake.identities().await.unwrap().is_empty());
}

#[tokio::test]
async fn outside_a_cluster_the_status_says_what_to_do() {
    let (place, fake) = (SocketDir::new("outside"), Arc::new(Fake { outside: true, ..Fake::default() }));
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
    let api = Api::new(fake.clone());
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
    let api = Api::new(Arc::new(Fake::default()));
    let late = api.change::<()>(SOON, std::future::pending()).await.unwrap_err();
    assert_eq!(late.code, StatusCode::GATEWAY_TIMEOUT);
    assert!(late.body.error.contains("look at `lvs-agent status` before you try again"), "{:?}", late.body);
    assert!(api.change(CHANGE_DEADLINE, async { Ok(()) }).await.is_ok());
}

#[tokio::test]
async fn only_a_dead_agents_socket_is_taken_over() {
    let (place, fake) = (SocketDir::new("stale"), Arc::new(Fake::default()));
    let (_client, shutdown, server) = start(&place, &fake);
    assert!(matches!(AdminListener::bind(&place.socket()), Err(BindError::InUse(_))));
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
    assert!(matches!(AdminListener::bind(&place.socket()), Err(BindError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(place.socket()).unwrap(), "precious");
}

#[tokio::test]
async fn serving_ends_while_a_client_dawdles() {
    let (place, fake) = (SocketDir::new("dawdle"), Arc::new(Fake::default()));
    let (_client, shutdown, server) = start(&place, &fake);
    let mut slow = UnixStream::connect(place.socket()).await.unwrap();
    slow.write_all(b"GET /v1/sta").await.unwrap();
    shutdown.cancel();
    timeout(Duration::from_secs(30), server).await.expect("it must not wait for the client").unwrap();
}
