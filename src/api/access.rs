//! Who asks, and what they may: the same routes for root on the node and for remote identities.

use super::{MAX_REQUEST_BYTES, failure::Failure};
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
pub struct Caller {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub access: Access,
}

/// Decides what the holder of a certificate may do through the remote API.
pub trait Gate: Send + Sync + 'static {
    /// Asked at every request, with a certificate that a trusted CA has signed, that is within its dates, and whose key the caller holds.
    ///
    /// # Errors
    /// Why its holder may do nothing, in words for it.
    fn access(&self, certificate: &Certificate) -> Result<Caller, String>;
}

/// Where a request comes from.
#[derive(Clone)]
pub(super) enum Peer {
    /// The node's own socket, which only root and the agent's user can open.
    Local,
    /// The remote API.
    Remote {
        source: SocketAddr,
        /// What it has proved in the handshake; `None`: nothing.
        certificate: Option<Arc<Certificate>>,
        gate: Arc<dyn Gate>,
    },
}

/// Whose request it is, once that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Who {
    Local,
    Remote { source: SocketAddr, caller: Caller },
}

/// What a route is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    /// Shows what the cluster is like: for everybody who is let in.
    Look,
    /// Shows who may get in: for administrators.
    Secrets,
    /// Changes the cluster: for administrators.
    Change,
    /// Changes the standing of the node itself: only on it.
    Here,
}

const NO_CERTIFICATE: &str = "no certificate: this api wants one; `lvs-agent identity create NAME` on a director makes it, \
                              then `lvs-agent --server HOST:PORT --cert NAME.pem …`";

/// Finds out whose request it is, or answers it with 401 or 403. Outermost, so that it comes before every route and before any body is read.
pub(super) async fn admit(State(peer): State<Peer>, mut request: Request, next: Next) -> Response {
    match who(&peer) {
        Ok(who) => {
            request.extensions_mut().insert(who);
            request.extensions_mut().insert(peer);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

fn who(peer: &Peer) -> Result<Who, Failure> {
    let Peer::Remote { source, certificate, gate } = peer else { return Ok(Who::Local) };
    let Some(certificate) = certificate else {
        tracing::debug!(%source, "remote request without a certificate refused");
        return Err(Failure::new(StatusCode::UNAUTHORIZED, NO_CERTIFICATE));
    };
    match gate.access(certificate) {
        Ok(caller) => Ok(Who::Remote { source: *source, caller }),
        Err(why) => {
            tracing::warn!(%source, subject = ?certificate.subject, certificate = %certificate.fingerprint, why, "remote request refused");
            Err(Failure::new(StatusCode::FORBIDDEN, why))
        }
    }
}

/// Lets a request through to its route if who asks may ask that, and logs what was done of changes.
pub(super) async fn check(State(need): State<Need>, request: Request, next: Next) -> Response {
    let Some(who) = request.extensions().get::<Who>().cloned() else {
        // Only a mistake in this room leads here; it must not open the door.
        return Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "nobody knows whose request this is").into_response();
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if let Err(why) = may(&who, need) {
        tracing::warn!(who = %who, %method, path, why, "administrator refused");
        return Failure::new(StatusCode::FORBIDDEN, why).into_response();
    }
    let request = match whole(request, need).await {
        Ok(request) => request,
        Err(failure) => return failure.into_response(),
    };
    let answer = next.run(request).await;
    if matches!(need, Need::Change | Need::Here) {
        tracing::info!(who = %who, %method, path, code = answer.status().as_u16(), "change asked for by an administrator");
    }
    answer
}

/// A remote request with all of its body. Who has sent the head alone keeps no right that it loses meanwhile: it is asked for once more.
async fn whole(request: Request, need: Need) -> Result<Request, Failure> {
    let Some(peer @ Peer::Remote { .. }) = request.extensions().get::<Peer>().cloned() else { return Ok(request) };
    let (parts, body) = request.into_parts();
    let read = timeout(BODY_DEADLINE, to_bytes(body, MAX_REQUEST_BYTES)).await;
    let read = read.map_err(|_| Failure::new(StatusCode::REQUEST_TIMEOUT, "the body of the request took too long"))?;
    let body = read.map_err(|error| {
        let is_long = std::error::Error::source(&error).is_some_and(|source| source.is::<LengthLimitError>());
        let code = if is_long { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        Failure::new(code, format!("the body of the request cannot be read: {error}"))
    })?;
    may(&who(&peer)?, need).map_err(|why| Failure::new(StatusCode::FORBIDDEN, why))?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn may(who: &Who, need: Need) -> Result<(), String> {
    let Who::Remote { caller: Caller { name, access }, .. } = who else { return Ok(()) };
    match (need, access) {
        (Need::Here, _) => Err("this can only be asked on the node itself, not through the remote api".to_owned()),
        (Need::Look, Access::ReadOnly | Access::Admin) | (Need::Secrets | Need::Change, Access::Admin) => Ok(()),
        (Need::Secrets | Need::Change, Access::ReadOnly) => Err(format!(
            "{name} may only look (status, node list, plan, export, version): an administrator's certificate can do this"
        )),
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Who::Local => f.write_str("local"),
            Who::Remote { source, caller } => write!(f, "{} at {source}", caller.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_administrator_changes_and_nobody_changes_a_nodes_standing_from_afar() {
        let remote =
            |access| Who::Remote { source: "192.0.2.7:999".parse().unwrap(), caller: Caller { name: "ann".to_owned(), access } };
        let allowed = |who: &Who| [Need::Look, Need::Secrets, Need::Change, Need::Here].map(|need| may(who, need).is_ok());
        assert_eq!(allowed(&Who::Local), [true; 4]);
        assert_eq!(allowed(&remote(Access::Admin)), [true, true, true, false]);
        assert_eq!(allowed(&remote(Access::ReadOnly)), [true, false, false, false]);
    }
}
