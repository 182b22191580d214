//! The HTTP check: `GET path` is answered with a wanted status, to the end of the response.

use super::{Fault, Patience, tcp};
use crate::{health::hysteresis::Grade, model::StatusRange};
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;

/// Who we say we are; lets operators tell probes apart in their logs.
const AGENT: &str = concat!("lvs-agent/", env!("CARGO_PKG_VERSION"));
/// Longest head of a response.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// So much of a body is read, lest servers log a client that hung up; the rest of a longer one is not waited for.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Passes with the status, which is one of `wanted`.
pub(super) async fn probe(
    address: SocketAddr,
    path: &str,
    host: Option<&str>,
    wanted: &[StatusRange],
    patience: Patience,
) -> Result<String, Fault> {
    let request = request(address, path, host)?;
    let stream = tcp::connect(address, patience).await?;
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| broken(&error))?;
    let exchange = async {
        let response = patience.with("request", async { sender.send_request(request).await.map_err(|e| broken(&e)) }).await?;
        let status = judge(&response, wanted)?;
        patience.with("response", drain(response.into_body())).await?;
        Ok(status)
    };
    // The exchange moves only while the connection is driven. Where the connection fails, it knows why and the exchange only that it did.
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

fn request(address: SocketAddr, path: &str, host: Option<&str>) -> Result<Request<Empty<Bytes>>, Fault> {
    let host = match host {
        Some(host) => host.to_owned(),
        None if address.port() == 80 && address.is_ipv4() => address.ip().to_string(),
        None => address.to_string(),
    };
    Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| Fault { grade: Grade::NotAsked, what: format!("not asked: {error}") })
}

fn judge(response: &Response<Incoming>, wanted: &[StatusRange]) -> Result<String, Fault> {
    let code = response.status().as_u16();
    if wanted.iter().any(|range| range.contains(code)) {
        return Ok(code.to_string());
    }
    let range = |range: &StatusRange| match range.first == range.last {
        true => range.first.to_string(),
        false => format!("{}-{}", range.first, range.last),
    };
    let wanted: Vec<String> = wanted.iter().map(range).collect();
    Err(Fault::failed(format!("status {code}, want {}", wanted.join(" or "))))
}

async fn drain(mut body: Incoming) -> Result<(), Fault> {
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

fn broken(error: &hyper::Error) -> Fault {
    let system = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let cut = error.is_incomplete_message() || system.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof);
    match system {
        _ if cut => Fault::failed("connection closed before the end of the response"),
        Some(error) => Fault::of_system(error),
        None if error.is_parse_too_large() => Fault::failed(format!("response head is longer than {MAX_HEAD_BYTES} bytes")),
        None => Fault::failed(format!("no HTTP response: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        health::{hysteresis::Grade, io::tests::probe},
        model::{Check, CheckKind, StatusRange},
    };
    use std::{net::SocketAddr, time::Duration};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        task::JoinHandle,
    };

    async fn read_request(stream: &mut TcpStream) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(request).unwrap()
    }

    /// A server that takes one request, answers `head`, and then `more` for as long as the client is there.
    async fn serve_without_end(head: &'static str, more: String) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(more.as_bytes()).await.is_ok() {}
        });
        address
    }

    /// A server that takes one request, answers `response`, and keeps the connection open if `open`. Returns the request.
    async fn serve(response: &'static str, open: bool) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            let _ = stream.write_all(response.as_bytes()).await;
            if open {
                // Until the client goes.
                let _ = stream.read_u8().await;
            }
            request
        });
        (address, server)
    }

    async fn ask(address: SocketAddr, host: Option<&str>, timeout_ms: u64) -> (Grade, String) {
        let timeout = Duration::from_millis(timeout_ms);
        let status = vec![StatusRange { first: 200, last: 299 }, StatusRange { first: 301, last: 301 }];
        let kind = CheckKind::Http { path: "/up?x=1".to_owned(), host: host.map(str::to_owned), status };
        let answer = probe(address, &Check { kind, port: None, interval: timeout, timeout, fall: 3, rise: 2 }).await;
        (answer.grade, answer.what)
    }

    #[tokio::test]
    async fn the_status_decides_and_reasons_say_what_was_wanted() {
        for (response, open, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, (Grade::Passed, "200")),
            ("HTTP/1.0 301 Moved\r\n\r\nto the end", false, (Grade::Passed, "301")),
            ("HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n", true, (Grade::Failed, "status 503, want 200-299 or 301")),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
                false,
                (Grade::Failed, "connection closed before the end of the response"),
            ),
            ("", false, (Grade::Failed, "connection closed before the end of the response")),
        ] {
            let (address, _server) = serve(response, open).await;
            assert_eq!(ask(address, None, 10_000).await, (expected.0, expected.1.to_owned()), "{response}");
        }
    }

    #[tokio::test]
    async fn what_is_not_http_fails() {
        let (address, _server) = serve("220 mail.example.org ESMTP\r\n", true).await;
        let (grade, what) = ask(address, None, 10_000).await;
        assert!(grade == Grade::Failed && what.starts_with("no HTTP response: "), "{what}");
    }

    #[tokio::test]
    async fn the_timeout_covers_every_step_and_is_named() {
        for (response, step) in [("", "request"), ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "response")] {
            let (address, _server) = serve(response, true).await;
            assert_eq!(ask(address, None, 200).await, (Grade::Failed, format!("timeout after 200 ms in {step}")));
        }
    }

    #[tokio::test]
    async fn a_head_without_end_is_bounded() {
        let address = serve_without_end("HTTP/1.1 200 OK\r\n", format!("X: {}\r\n", "y".repeat(1000))).await;
        let (grade, what) = ask(address, None, 10_000).await;
        assert!(grade == Grade::Failed && what.contains("longer than 16384 bytes"), "{what}");
    }

    #[tokio::test]
    async fn a_body_without_end_is_not_waited_for() {
        let address = serve_without_end("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1000)).await;
        assert_eq!(ask(address, None, 10_000).await, (Grade::Passed, "200".to_owned()));
    }

    #[tokio::test]
    async fn the_request_names_host_and_agent_and_wants_no_second_one() {
        for host in [Some("www.example.org"), None] {
            let (address, server) = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true).await;
            ask(address, host, 10_000).await;
            let request = server.await.unwrap();
            let expected = host.map_or(address.to_string(), str::to_owned);
            assert!(request.starts_with("GET /up?x=1 HTTP/1.1\r\n"), "{request}");
            for header in [format!("host: {expected}"), format!("user-agent: {}", super::AGENT), "connection: close".to_owned()] {
                assert!(request.contains(&format!("{header}\r\n")), "{header} in {request}");
            }
        }
    }
}
