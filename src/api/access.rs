//! Authorisation: the sender of a request and what it may ask. Root on the node and remote identities have the same routes.

use super::{MAX_REQUEST_BYTES, failure::FailureResponse};
use crate::{link::certificate::Certificate, model::Access};
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body_util::LengthLimitError;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long the body of a remote request may take.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// A remote administrator, as its certificate says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoteAdmin {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub access: Access,
}

/// Decides what the holder of a certificate may do through the remote API.
pub trait Authoriser: Send + Sync + 'static {
    /// Called at every request, with a certificate that a trusted CA has signed, that is within its dates, and whose key the client has.
    ///
    /// # Errors
    /// The reason for which the holder may do nothing, as a text for it.
    fn access(&self, certificate: &Certificate) -> Result<RemoteAdmin, String>;
}

/// Where a request comes from.
#[derive(Clone)]
pub(super) enum RequestOrigin {
    /// The node's own socket, which only root and the agent's user can open.
    Local,
    /// The remote API.
    Remote {
        source: SocketAddr,
        /// The certificate that it has proved in the handshake; `None`: it has shown none.
        certificate: Option<Arc<Certificate>>,
        gate: Arc<dyn Authoriser>,
    },
}

/// The sender of a request, once it is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Requester {
    Local,
    Remote { source: SocketAddr, caller: RemoteAdmin },
}

/// The access that a route needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RouteAccess {
    /// Shows the state of the cluster: for every authorised identity.
    Look,
    /// Shows tokens and identities: for administrators.
    Secrets,
    /// Changes the cluster: for administrators.
    Change,
    /// Changes the node's own membership: only on the node itself.
    Here,
}

const NO_CERTIFICATE: &str = "no certificate: this api wants one; `lvs-agent identity create NAME` on a director makes it, \
                              then `lvs-agent --server HOST:PORT --cert NAME.pem …`";

/// Finds out the sender of a request, or answers it with 401 or 403. Outermost, so that it comes before every route and before any body is read.
pub(super) async fn admit(State(peer): State<RequestOrigin>, mut request: Request, next: Next) -> Response {
    match who(&peer) {
        Ok(who) => {
            request.extensions_mut().insert(who);
            request.extensions_mut().insert(peer);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

fn who(peer: &RequestOrigin) -> Result<Requester, FailureResponse> {
    let RequestOrigin::Remote { source, certificate, gate } = peer else { return Ok(Requester::Local) };
    let Some(certificate) = certificate else {
        tracing::debug!(%source, "remote request without a certificate refused");
        return Err(FailureResponse::new(StatusCode::UNAUTHORIZED, NO_CERTIFICATE));
    };
    match gate.access(certificate) {
        Ok(caller) => Ok(Requester::Remote { source: *source, caller }),
        Err(why) => {
            tracing::warn!(%source, subject = ?certificate.subject, certificate = %certificate.fingerprint, why, "remote request refused");
            Err(FailureResponse::new(StatusCode::FORBIDDEN, why))
        }
    }
}

/// Passes a request to its route if its sender may make it, and logs changes with their result.
pub(super) async fn check(State(need): State<RouteAccess>, request: Request, next: Next) -> Response {
    let Some(who) = request.extensions().get::<Requester>().cloned() else {
        // Only a mistake in this room leads here; the request must be refused then.
        return FailureResponse::new(StatusCode::INTERNAL_SERVER_ERROR, "the sender of this request is not known")
            .into_response();
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if let Err(why) = may(&who, need) {
        tracing::warn!(who = %who, %method, path, why, "request of an administrator refused");
        return FailureResponse::new(StatusCode::FORBIDDEN, why).into_response();
    }
    let request = match whole(request, need).await {
        Ok(request) => request,
        Err(failure) => return failure.into_response(),
    };
    let answer = next.run(request).await;
    if matches!(need, RouteAccess::Change | RouteAccess::Here) {
        tracing::info!(who = %who, %method, path, code = answer.status().as_u16(), "an administrator asked for a change");
    }
    answer
}

/// A remote request with all of its body. The authorisation is checked again after the body: the sender may have lost its rights meanwhile.
async fn whole(request: Request, need: RouteAccess) -> Result<Request, FailureResponse> {
    let Some(peer @ RequestOrigin::Remote { .. }) = request.extensions().get::<RequestOrigin>().cloned() else {
        return Ok(request);
    };
    let (parts, body) = request.into_parts();
    let read = timeout(BODY_DEADLINE, to_bytes(body, MAX_REQUEST_BYTES)).await;
    let read = read.map_err(|_| FailureResponse::new(StatusCode::REQUEST_TIMEOUT, "the body of the request took too long"))?;
    let body = read.map_err(|error| {
        let is_long = std::error::Error::source(&error).is_some_and(|source| source.is::<LengthLimitError>());
        let code = if is_long { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        FailureResponse::new(code, format!("the body of the request cannot be read: {error}"))
    })?;
    may(&who(&peer)?, need).map_err(|why| FailureResponse::new(StatusCode::FORBIDDEN, why))?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn may(who: &Requester, need: RouteAccess) -> Result<(), String> {
    let Requester::Remote { caller: RemoteAdmin { name, access }, .. } = who else { return Ok(()) };
    match (need, access) {
        (RouteAccess::Here, _) => Err("this can only be asked on the node itself, not through the remote api".to_owned()),
        (RouteAccess::Look, Access::ReadOnly | Access::Admin) | (RouteAccess::Secrets | RouteAccess::Change, Access::Admin) => {
            Ok(())
        }
        (RouteAccess::Secrets | RouteAccess::Change, Access::ReadOnly) => Err(format!(
            "{name} may only look (status, node list, plan, export, version): an administrator's certificate can do this"
        )),
    }
}

impl std::fmt::Display for Requester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Requester::Local => f.write_str("local"),
            Requester::Remote { source, caller } => write!(f, "{} at {source}", caller.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_administrator_changes_and_nobody_changes_a_nodes_standing_from_afar() {
        let remote = |access| Requester::Remote {
            source: "192.0.2.7:999".parse().unwrap(),
            caller: RemoteAdmin { name: "ann".to_owned(), access },
        };
        let allowed = |who: &Requester| {
            [RouteAccess::Look, RouteAccess::Secrets, RouteAccess::Change, RouteAccess::Here].map(|need| may(who, need).is_ok())
        };
        assert_eq!(allowed(&Requester::Local), [true; 4]);
        assert_eq!(allowed(&remote(Access::Admin)), [true, true, true, false]);
        assert_eq!(allowed(&remote(Access::ReadOnly)), [true, false, false, false]);
    }
}
