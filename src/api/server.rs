//! Serves the admin protocol: decodes requests, checks cluster files, asks the [`Admin`], encodes answers.

use super::{
    Admin, AdminError, AdminListener, CHANGE_DEADLINE, JOIN_DEADLINE, MAX_REQUEST_BYTES, READ_DEADLINE,
    message::{ApplyAnswer, ApplyRequest, ErrorBody, Founded, InitRequest, JoinRequest, Membership, Plan, PlanRequest, Version},
    status::Status,
};
use crate::{
    config::{Problems, cluster, export},
    rules::{RuleSet, diff},
};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    net::UnixStream,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Connections at once. People and a few scripts use this socket; each may carry a body of some megabytes.
const MAX_CONNECTIONS: usize = 32;
/// A connection carries one request; none takes longer than a join, give or take its transfer.
const CONNECTION_DEADLINE: Duration = JOIN_DEADLINE.saturating_add(Duration::from_secs(30));
/// How long connections may go on when the agent stops.
const DRAIN: Duration = Duration::from_millis(500);

/// Serves until `shutdown`, then lets running requests finish for half a second and removes the socket. Changes under way go on in their own tasks.
pub async fn serve(listener: AdminListener, admin: Arc<dyn Admin>, shutdown: CancellationToken) {
    let routes = routes(admin);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.expect("nobody closes this semaphore");
            (place, listener.accept().await)
        };
        // Cancel-safe: a place given back and an accept that took no connection lose nothing.
        let (place, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(stream) => {
                let routes = routes.clone();
                connections.spawn(async move {
                    serve_connection(stream, routes).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin connection not accepted");
                // Out of file descriptors, most likely: that does not end by asking again at once.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve_connection(stream: UnixStream, routes: Router) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_DEADLINE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    match timeout(CONNECTION_DEADLINE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection broke"),
        Err(_) => tracing::warn!("admin connection took too long"),
    }
}

#[derive(Clone)]
struct Api {
    admin: Arc<dyn Admin>,
    /// One change at a time.
    change: Arc<Semaphore>,
}

fn routes(admin: Arc<dyn Admin>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/version", get(version))
        .route("/v1/export", get(export_rules))
        .route("/v1/plan", post(plan))
        .route("/v1/apply", post(apply))
        .route("/v1/init", post(init))
        .route("/v1/join", post(join))
        .route("/v1/leave", post(leave))
        .fallback(async || Failure::new(StatusCode::NOT_FOUND, "no such request"))
        .method_not_allowed_fallback(async || Failure::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method"))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(Api { admin, change: Arc::new(Semaphore::new(1)) })
}

async fn version() -> Json<Version> {
    Json(Version::this())
}

async fn status(State(api): State<Api>) -> Result<Json<Status>, Failure> {
    read(async { Ok(api.admin.status().await) }).await.map(Json)
}

async fn export_rules(State(api): State<Api>) -> Result<String, Failure> {
    let (revision, rules) = read(api.admin.rules()).await?;
    Ok(format!("# lvs-agent cluster file, exported at revision {revision}\n\n{}", export::to_toml(&rules)))
}

async fn plan(State(api): State<Api>, body: Body<PlanRequest>) -> Result<Json<Plan>, Failure> {
    let Json(request) = body?;
    let wanted = parse(request.file_name, request.text).await?;
    let (revision, rules) = read(api.admin.rules()).await?;
    Ok(Json(Plan { revision, changes: diff(&rules, &wanted) }))
}

async fn apply(State(api): State<Api>, body: Body<ApplyRequest>) -> Result<Json<ApplyAnswer>, Failure> {
    let Json(request) = body?;
    let wanted = parse(request.file_name, request.text).await?;
    let (_, before) = read(api.admin.rules()).await?;
    let changes = diff(&before, &wanted);
    let admin = api.admin.clone();
    let work = async move { admin.apply(wanted, request.base_revision).await };
    let applied = api.change(CHANGE_DEADLINE, work).await?;
    Ok(Json(ApplyAnswer { revision: applied.revision, changed: applied.changed, changes }))
}

async fn init(State(api): State<Api>, body: Body<InitRequest>) -> Result<Json<Founded>, Failure> {
    let Json(InitRequest {}) = body?;
    let admin = api.admin.clone();
    api.change(CHANGE_DEADLINE, async move { admin.init().await }).await.map(Json)
}

async fn join(State(api): State<Api>, body: Body<JoinRequest>) -> Result<Json<Membership>, Failure> {
    let Json(request) = body?;
    let admin = api.admin.clone();
    api.change(JOIN_DEADLINE, async move { admin.join(request.seeds, request.token).await }).await.map(Json)
}

async fn leave(State(api): State<Api>) -> Result<Json<serde_json::Value>, Failure> {
    let admin = api.admin.clone();
    api.change(JOIN_DEADLINE, async move { admin.leave().await }).await?;
    Ok(Json(serde_json::json!({})))
}

impl Api {
    /// Runs `work` to its end, whatever becomes of the client; answers with what came of it, if that is known by the deadline.
    async fn change<T: Send + 'static>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, AdminError>> + Send + 'static,
    ) -> Result<T, Failure> {
        let Ok(turn) = timeout(READ_DEADLINE.min(deadline), self.change.clone().acquire_owned()).await else {
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "another change is under way: try again when it is done"));
        };
        let task = tokio::spawn(async move {
            let done = timeout(deadline * 2, work).await;
            drop(turn);
            done
        });
        match timeout(deadline, task).await {
            Ok(Ok(Ok(done))) => Ok(done?),
            Ok(Ok(Err(_))) | Err(_) => Err(no_answer(deadline)),
            Ok(Err(panicked)) => Err(AdminError::Internal(panicked.to_string()).into()),
        }
    }
}

async fn read<T>(work: impl Future<Output = Result<T, AdminError>>) -> Result<T, Failure> {
    match timeout(READ_DEADLINE, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(no_answer(READ_DEADLINE)),
    }
}

fn no_answer(deadline: Duration) -> Failure {
    let message = format!("no result within {} s; look at `lvs-agent status` before you try again", deadline.as_secs());
    AdminError::Timeout(message).into()
}

/// Checks a cluster file away from the tasks that wait: a large one takes a while.
async fn parse(file: String, text: String) -> Result<RuleSet, Failure> {
    tokio::task::spawn_blocking(move || cluster::parse(&file, &text))
        .await
        .map_err(|panicked| Failure::from(AdminError::Internal(panicked.to_string())))?
        .map_err(Failure::from)
}

type Body<T> = Result<Json<T>, JsonRejection>;

/// An answer that says why not.
struct Failure {
    code: StatusCode,
    body: ErrorBody,
}

impl Failure {
    fn new(code: StatusCode, error: impl Into<String>) -> Self {
        Self { code, body: ErrorBody { error: error.into(), details: Vec::new() } }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let count = problems.list.len();
        let error = format!("{} has {count} problem{}", problems.file, if count == 1 { "" } else { "s" });
        Self { code: StatusCode::UNPROCESSABLE_ENTITY, body: ErrorBody { error, details: problems.lines() } }
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let code = match &error {
            AdminError::NotInCluster | AdminError::InCluster(_) | AdminError::Refused(_) => StatusCode::CONFLICT,
            AdminError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            AdminError::NoSeed(_) => StatusCode::BAD_GATEWAY,
            AdminError::NoQuorum(_) => StatusCode::SERVICE_UNAVAILABLE,
            AdminError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            AdminError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let error_line = error.to_string();
        let details = match error {
            AdminError::NoSeed(each) => each,
            _ => Vec::new(),
        };
        Self { code, body: ErrorBody { error: error_line, details } }
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(code, rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.code, Json(self.body)).into_response()
    }
}

#[cfg(test)]
mod tests;
