//! The HTTP check: `GET path` is answered with an expected status, and the response arrives whole.

mod head;
mod stream;

use super::{
    deadline::{ProbeDeadline, ProbeFault},
    tcp,
};
use crate::{base::build::VERSION, health::hysteresis::Grade, model::StatusRange};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, sync::LazyLock};
use stream::Lenient;

/// The user agent, by which operators recognise probes in their logs.
static AGENT: LazyLock<String> = LazyLock::new(|| format!("lvs-agent/{VERSION}"));
/// So much of a body is read, so that servers do not log a client that hung up. The rest of a longer body is not waited for.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Passes with the status, which is one of `wanted`.
pub(super) async fn probe(
    address: SocketAddr,
    path: &str,
    host: Option<&str>,
    wanted: &[StatusRange],
    deadline: ProbeDeadline,
) -> Result<String, ProbeFault> {
    let request = request(address, path, host)?;
    let stream = tcp::connect(address, deadline).await?;
    let handshake = http1::handshake(TokioIo::new(Lenient::new(stream)));
    let (mut sender, connection) = handshake.await.map_err(|error| broken(&error))?;
    let exchange = async {
        let response = deadline.with("request", async { sender.send_request(request).await.map_err(|e| broken(&e)) }).await?;
        let status = judge(&response, wanted)?;
        deadline.with("response", drain(response.into_body())).await?;
        Ok(status)
    };
    // The exchange proceeds only while the connection is polled. If the connection fails, its own error says why, and the exchange's does not.
    let driven = async {
        match connection.await {
            Ok(()) => std::future::pending().await,
            Err(error) => broken(&error),
        }
    };
    tokio::select! {
        biased;
        fault = driven => Err(fault),
        result = exchange => result,
    }
}

fn request(address: SocketAddr, path: &str, host: Option<&str>) -> Result<Request<Empty<Bytes>>, ProbeFault> {
    let host = match host {
        Some(host) => host.to_owned(),
        None if address.port() == 80 && address.is_ipv4() => address.ip().to_string(),
        None => address.to_string(),
    };
    Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT.as_str())
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| ProbeFault { grade: Grade::NotAsked, what: format!("not asked: {error}") })
}

fn judge(response: &Response<Incoming>, wanted: &[StatusRange]) -> Result<String, ProbeFault> {
    let code = response.status().as_u16();
    if wanted.iter().any(|range| range.contains(code)) {
        return Ok(code.to_string());
    }
    let range = |range: &StatusRange| match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    };
    let wanted: Vec<String> = wanted.iter().map(range).collect();
    Err(ProbeFault::failed(format!("status {code}, want {}", wanted.join(" or "))))
}

async fn drain(mut body: Incoming) -> Result<(), ProbeFault> {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        read += frame.data_ref().map_or(0, Bytes::len);
        if read >= MAX_BODY_BYTES {
            break;
        }
    }
    Ok(())
}

fn broken(error: &hyper::Error) -> ProbeFault {
    let system = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let cut = error.is_incomplete_message() || system.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof);
    match system {
        _ if cut => ProbeFault::failed("connection closed before the end of the response"),
        Some(error) => ProbeFault::of_system(error),
        None => ProbeFault::failed(format!("no HTTP response: {error}")),
    }
}

#[cfg(test)]
mod tests;
