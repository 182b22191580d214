//! The routes: decodes requests, checks their values, calls the [`Admin`], encodes answers.

use super::{
    Admin, AdminError, ApplyOutcome, CHANGE_DEADLINE, IDENTITY_TTL_S, JOIN_DEADLINE, MAX_REQUEST_BYTES, READ_DEADLINE,
    TOKEN_TTL_S, TOKEN_USES,
    access::{RequestOrigin, RouteAccess, admit, check},
    failure::FailureResponse,
    message::{
        ApplyAnswer, ApplyRequest, IdentityMade, IdentityRequest, IdentityStatus, InitAnswer, InitRequest, JoinAnswer, JoinOrder,
        LeaveRequest, PlanAnswer, PlanRequest, RolesRequest, TokenMade, TokenRequest, TokenStatus, Version, WithdrawAnswer,
    },
    status::Status,
};
use crate::{
    config::{cluster, export},
    model::{IdentityName, NodeName, Roles, TokenId},
    rules::{RuleSet, diff},
};
use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, Path, State,
        rejection::{JsonRejection, PathRejection},
    },
    http::StatusCode,
    middleware::from_fn_with_state,
    routing::{delete, get, post, put},
};
use std::{future::Future, ops::RangeInclusive, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// The agent, and the lock by which one change runs at a time. Clones share the lock.
#[derive(Clone)]
pub(super) struct Api {
    admin: Arc<dyn Admin>,
    /// One change at a time.
    change: Arc<Semaphore>,
}

impl Api {
    /// An API for this agent.
    pub(super) fn new(admin: Arc<dyn Admin>) -> Self {
        Self { admin, change: Arc::new(Semaphore::new(1)) }
    }

    /// All routes, without a sender yet: see [`for_peer`].
    pub(super) fn routes(&self) -> Router {
        let look = Router::new()
            .route("/v1/status", get(status))
            .route("/v1/version", get(version))
            .route("/v1/export", get(export_rules))
            .route("/v1/plan", post(plan))
            .route_layer(from_fn_with_state(RouteAccess::Look, check));
        let secrets = Router::new()
            .route("/v1/tokens", get(tokens))
            .route("/v1/identities", get(identities))
            .route_layer(from_fn_with_state(RouteAccess::Secrets, check));
        let change = Router::new()
            .route("/v1/apply", post(apply))
            .route("/v1/tokens", post(make_token))
            .route("/v1/tokens/{id}", delete(revoke_token))
            .route("/v1/nodes/{name}", delete(remove_node))
            .route("/v1/nodes/{name}/allow", post(allow_node))
            .route("/v1/nodes/{name}/roles", put(set_roles))
            .route("/v1/keys/rotate", post(rotate_keys))
            .route("/v1/ca/rotate", post(rotate_authority))
            .route("/v1/identities", post(make_identity))
            .route("/v1/identities/{name}", delete(revoke_identity))
            .route_layer(from_fn_with_state(RouteAccess::Change, check));
        let here = Router::new()
            .route("/v1/init", post(init))
            .route("/v1/join", post(join))
            .route("/v1/leave", post(leave))
            .route("/v1/withdraw", post(withdraw))
            .route("/v1/restart-worker", post(restart_worker))
            .route_layer(from_fn_with_state(RouteAccess::Here, check));
        look.merge(secrets)
            .merge(change)
            .merge(here)
            .fallback(async || FailureResponse::new(StatusCode::NOT_FOUND, "no such request"))
            .method_not_allowed_fallback(async || FailureResponse::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method"))
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
            .with_state(self.clone())
    }

    /// Runs `work` to its end, whether the client waits or not; answers with the result, if it is known by the deadline.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, AdminError>> + Send + 'static,
    ) -> Result<T, FailureResponse> {
        let Ok(turn) = timeout(READ_DEADLINE.min(deadline), self.change.clone().acquire_owned()).await else {
            return Err(FailureResponse::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "another change is under way: try again when it is done",
            ));
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

    /// A change whose success has no further result.
    async fn order<F: Future<Output = Result<(), AdminError>> + Send + 'static>(
        &self,
        deadline: Duration,
        work: impl FnOnce(Arc<dyn Admin>) -> F,
    ) -> EmptyAnswer {
        self.change(deadline, work(self.admin.clone())).await.map(|()| Json(serde_json::json!({})))
    }
}

/// The routes for requests of one peer.
pub(super) fn for_peer(routes: Router, peer: RequestOrigin) -> Router {
    routes.layer(from_fn_with_state(peer, admit))
}

type JsonBody<T> = Result<Json<T>, JsonRejection>;
type PathName<T> = Result<Path<T>, PathRejection>;
/// `{}`.
type EmptyAnswer = Result<Json<serde_json::Value>, FailureResponse>;

async fn version() -> Json<Version> {
    Json(Version::this())
}

async fn status(State(api): State<Api>) -> Result<Json<Status>, FailureResponse> {
    read(async { Ok(api.admin.status().await) }).await.map(Json)
}

async fn export_rules(State(api): State<Api>) -> Result<String, FailureResponse> {
    let (revision, rules) = read(api.admin.rules()).await?;
    let nothing =
        if rules == RuleSet::default() { "# no rules: `lvs-agent apply` takes this file with --prune only\n" } else { "" };
    Ok(format!("# lvs-agent cluster file, exported at revision {revision}\n{nothing}\n{}", export::to_toml(&rules)))
}

async fn plan(State(api): State<Api>, body: JsonBody<PlanRequest>) -> Result<Json<PlanAnswer>, FailureResponse> {
    let Json(request) = body?;
    let wanted = parse(request.file_name, request.text, request.prune).await?;
    let (revision, rules) = read(api.admin.rules()).await?;
    let warnings = read(api.admin.warnings(&wanted)).await?;
    Ok(Json(PlanAnswer { revision, changes: diff(&rules, &wanted), warnings }))
}

async fn apply(State(api): State<Api>, body: JsonBody<ApplyRequest>) -> Result<Json<ApplyAnswer>, FailureResponse> {
    let Json(request) = body?;
    let wanted = parse(request.file_name, request.text, request.prune).await?;
    let (_, before) = read(api.admin.rules()).await?;
    let changes = diff(&before, &wanted);
    let admin = api.admin.clone();
    // Under one lock, so that this node changes nothing between the warnings and the apply.
    let work = async move {
        let warnings = admin.warnings(&wanted).await?;
        if request.strict && !warnings.is_empty() {
            return Err(AdminError::Warned(warnings.iter().map(|warning| format!("warning: {warning}")).collect()));
        }
        admin.apply(wanted, request.base_revision).await.map(|applied| (applied, warnings))
    };
    let (ApplyOutcome { revision, changed }, warnings) = api.change(CHANGE_DEADLINE, work).await?;
    Ok(Json(ApplyAnswer { revision, changed, changes, warnings }))
}

async fn init(State(api): State<Api>, body: JsonBody<InitRequest>) -> Result<Json<InitAnswer>, FailureResponse> {
    let Json(InitRequest {}) = body?;
    let admin = api.admin.clone();
    api.change(CHANGE_DEADLINE, async move { admin.init().await }).await.map(Json)
}

async fn join(State(api): State<Api>, body: JsonBody<JoinOrder>) -> Result<Json<JoinAnswer>, FailureResponse> {
    let Json(request) = body?;
    let admin = api.admin.clone();
    api.change(JOIN_DEADLINE, async move { admin.join(request.seeds, request.token).await }).await.map(Json)
}

async fn leave(State(api): State<Api>, body: JsonBody<Option<LeaveRequest>>) -> EmptyAnswer {
    let how = body?.0.unwrap_or_default();
    api.order(JOIN_DEADLINE, move |admin| async move { admin.leave(how).await }).await
}

async fn withdraw(State(api): State<Api>) -> Result<Json<WithdrawAnswer>, FailureResponse> {
    let admin = api.admin.clone();
    api.change(CHANGE_DEADLINE, async move { admin.withdraw().await }).await.map(Json)
}

async fn restart_worker(State(api): State<Api>) -> EmptyAnswer {
    api.order(CHANGE_DEADLINE, |admin| async move { admin.restart_worker().await }).await
}

async fn tokens(State(api): State<Api>) -> Result<Json<Vec<TokenStatus>>, FailureResponse> {
    read(api.admin.tokens()).await.map(Json)
}

async fn make_token(State(api): State<Api>, body: JsonBody<TokenRequest>) -> Result<Json<TokenMade>, FailureResponse> {
    let Json(request) = body?;
    within("ttl_s", request.ttl_s, &TOKEN_TTL_S)?;
    within("uses", request.uses, &TOKEN_USES)?;
    some(&request.roles)?;
    let admin = api.admin.clone();
    api.change(CHANGE_DEADLINE, async move { admin.make_token(request).await }).await.map(Json)
}

async fn revoke_token(State(api): State<Api>, id: PathName<TokenId>) -> EmptyAnswer {
    let Path(id) = id?;
    api.order(CHANGE_DEADLINE, |admin| async move { admin.revoke_token(id).await }).await
}

async fn remove_node(State(api): State<Api>, name: PathName<NodeName>) -> EmptyAnswer {
    let Path(name) = name?;
    api.order(CHANGE_DEADLINE, |admin| async move { admin.remove_node(name).await }).await
}

async fn allow_node(State(api): State<Api>, name: PathName<NodeName>) -> EmptyAnswer {
    let Path(name) = name?;
    api.order(CHANGE_DEADLINE, |admin| async move { admin.allow_node(name).await }).await
}

async fn set_roles(State(api): State<Api>, name: PathName<NodeName>, body: JsonBody<RolesRequest>) -> EmptyAnswer {
    let Path(name) = name?;
    let Json(RolesRequest { roles }) = body?;
    some(&roles)?;
    api.order(CHANGE_DEADLINE, |admin| async move { admin.set_roles(name, roles).await }).await
}

async fn rotate_keys(State(api): State<Api>) -> EmptyAnswer {
    api.order(CHANGE_DEADLINE, |admin| async move { admin.rotate_keys().await }).await
}

async fn rotate_authority(State(api): State<Api>) -> EmptyAnswer {
    api.order(CHANGE_DEADLINE, |admin| async move { admin.rotate_authority().await }).await
}

async fn identities(State(api): State<Api>) -> Result<Json<Vec<IdentityStatus>>, FailureResponse> {
    read(api.admin.identities()).await.map(Json)
}

async fn make_identity(State(api): State<Api>, body: JsonBody<IdentityRequest>) -> Result<Json<IdentityMade>, FailureResponse> {
    let Json(request) = body?;
    within("ttl_s", request.ttl_s, &IDENTITY_TTL_S)?;
    let admin = api.admin.clone();
    api.change(CHANGE_DEADLINE, async move { admin.make_identity(request).await }).await.map(Json)
}

async fn revoke_identity(State(api): State<Api>, name: PathName<IdentityName>) -> EmptyAnswer {
    let Path(name) = name?;
    api.order(CHANGE_DEADLINE, |admin| async move { admin.revoke_identity(name).await }).await
}

fn some(roles: &Roles) -> Result<(), FailureResponse> {
    match roles.iter().next() {
        Some(_) => Ok(()),
        None => {
            Err(AdminError::Invalid("`roles` is empty: use director, real-server or witness, or some of them".to_owned()).into())
        }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(what: &str, value: T, range: &RangeInclusive<T>) -> Result<(), FailureResponse> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(AdminError::Invalid(format!("{what} {value} is out of range: use {} to {}", range.start(), range.end())).into())
}

async fn read<T>(work: impl Future<Output = Result<T, AdminError>>) -> Result<T, FailureResponse> {
    match timeout(READ_DEADLINE, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(no_answer(READ_DEADLINE)),
    }
}

fn no_answer(deadline: Duration) -> FailureResponse {
    let message = format!("no result within {} s; look at `lvs-agent status` before you try again", deadline.as_secs());
    AdminError::Timeout(message).into()
}

/// Checks a cluster file on a blocking thread: a large one takes a while.
async fn parse(file: String, text: String, prune: bool) -> Result<RuleSet, FailureResponse> {
    tokio::task::spawn_blocking(move || cluster::parse_to_apply(&file, &text, prune))
        .await
        .map_err(|panicked| FailureResponse::from(AdminError::Internal(panicked.to_string())))?
        .map_err(FailureResponse::from)
}
