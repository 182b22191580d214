//! Serves the admin protocol on the node's own socket.

use super::{
    Admin, AdminListener, JOIN_DEADLINE, READ_DEADLINE,
    access::RequestOrigin,
    routes::{Api, for_peer},
};
use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::UnixStream,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Connections at once. People and a few scripts use this socket; each may carry a body of some megabytes.
const MAX_CONNECTIONS: usize = 32;
/// A connection carries one request; none takes longer than a join with its transfer.
const CONNECTION_DEADLINE: Duration = JOIN_DEADLINE.saturating_add(Duration::from_secs(30));
/// How long connections may go on when the agent stops.
pub(super) const DRAIN: Duration = Duration::from_millis(500);
/// The pause after a failed accept: the process is probably out of file descriptors, and an immediate retry would fail, too.
pub(super) const BREATHER: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then lets running requests finish for half a second and removes the socket. Changes under way go on in their own tasks.
pub async fn serve(listener: AdminListener, admin: Arc<dyn Admin>, shutdown: CancellationToken) {
    let routes = for_peer(Api::new(admin).routes(), RequestOrigin::Local);
    let connection_limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = connection_limit.clone().acquire_owned().await.expect("nobody closes this semaphore");
            (place, listener.accept().await)
        };
        // Cancel-safe: a permit that is returned and an accept that took no connection lose nothing.
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
                sleep(BREATHER).await;
            }
        }
    }
    drop(listener);
    drain(connections).await;
}

/// Lets connections finish for a moment.
pub(super) async fn drain(mut connections: JoinSet<()>) {
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

#[cfg(test)]
mod tests;
