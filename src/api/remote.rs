//! Serves the admin protocol over mutual TLS on TCP, to clients that the [`Authoriser`] accepts.
//!
//! The cost of unauthenticated clients is bounded: the number of connections in all and per address, the time of a handshake, the time and the bytes
//! of a request's head; its body is not read.

use super::{
    Admin, Authoriser, CHANGE_DEADLINE, READ_DEADLINE,
    access::RequestOrigin,
    connection_limit::ConnectionLimit,
    routes::{Api, for_peer},
    server::{BREATHER, drain},
};
use crate::link::{io::handshake, tls::Credentials};
use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    io,
    net::{Shutdown, SocketAddr},
    os::fd::AsFd,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Connections at once. Each may carry a body of some megabytes.
const MAX_CONNECTIONS: usize = 64;
/// Connections at once from one address, so that one machine cannot keep the others out.
const MAX_PER_SOURCE: usize = 16;
/// How long a handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// A connection carries one request: none takes longer than a change that waited for its turn, and its transfer.
const CONNECTION_DEADLINE: Duration =
    CHANGE_DEADLINE.saturating_add(READ_DEADLINE.saturating_mul(2)).saturating_add(Duration::from_secs(30));
/// How long a connection stays half open after its answer, for what the other side has already sent.
const LINGER: Duration = Duration::from_secs(2);
/// Longest head of a request, and most lines in it.
const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_HEAD_LINES: usize = 64;

/// Serves until `shutdown`, then lets running requests finish for half a second. Changes under way go on in their own tasks.
pub async fn serve_remote(
    listener: TcpListener,
    credentials: Credentials,
    admin: Arc<dyn Admin>,
    gate: Arc<dyn Authoriser>,
    shutdown: CancellationToken,
) {
    let routes = Api::new(admin).routes();
    let connection_limit = ConnectionLimit::new(MAX_CONNECTIONS, MAX_PER_SOURCE);
    let mut connections = JoinSet::new();
    loop {
        let next = async { (connection_limit.wait().await, listener.accept().await) };
        // Cancel-safe: a permit that is returned and an accept that took no connection lose nothing.
        let (seat, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, source)) => {
                let Some(place) = connection_limit.take(seat, source.ip()) else {
                    tracing::debug!(%source, "remote connection refused: too many of this address");
                    continue;
                };
                let (routes, credentials, gate) = (routes.clone(), credentials.clone(), gate.clone());
                connections.spawn(async move {
                    if let Err(error) = serve_connection(stream, source, routes, &credentials, gate).await {
                        tracing::debug!(%source, %error, "remote connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "remote connection not accepted");
                sleep(BREATHER).await;
            }
        }
    }
    drop(listener);
    drain(connections).await;
}

async fn serve_connection(
    stream: TcpStream,
    source: SocketAddr,
    routes: Router,
    credentials: &Credentials,
    gate: Arc<dyn Authoriser>,
) -> io::Result<()> {
    // A second handle on the socket: if the socket is closed with unread bytes, the kernel discards the last data that was sent: the alert with
    // the reason why a certificate is refused, or the answer to a request whose body is too long (RFC 9112 §9.6).
    let kept = stream.as_fd().try_clone_to_owned()?;
    let served = shake_and_serve(stream, source, routes, credentials, gate).await;
    if served.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        return served;
    }
    let kept = std::net::TcpStream::from(kept);
    // The other side may be gone already, which does no harm.
    let _ = kept.shutdown(Shutdown::Write);
    let mut kept = TcpStream::from_std(kept)?;
    let _ = timeout(LINGER, tokio::io::copy(&mut kept, &mut tokio::io::sink())).await;
    served
}

async fn shake_and_serve(
    stream: TcpStream,
    source: SocketAddr,
    routes: Router,
    credentials: &Credentials,
    gate: Arc<dyn Authoriser>,
) -> io::Result<()> {
    let shaken = timeout(HANDSHAKE_DEADLINE, handshake::accept(stream, credentials)).await;
    let (stream, certificate) = shaken.map_err(|_| too_slow("handshake"))??;
    let routes = for_peer(routes, RequestOrigin::Remote { source, certificate: certificate.map(Arc::new), gate });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_DEADLINE)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEAD_LINES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    timeout(CONNECTION_DEADLINE, connection).await.map_err(|_| too_slow("request"))?.map_err(io::Error::other)
}

fn too_slow(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the {what} took too long"))
}

#[cfg(test)]
mod tests;
