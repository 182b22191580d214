//! Answers as bytes, from a local listener.

use crate::{
    health::{hysteresis::Grade, io::probe::tests::probe},
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
async fn serve(response: impl AsRef<[u8]> + Send + 'static, open: bool) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        let _ = stream.write_all(response.as_ref()).await;
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
    assert_eq!((grade, &*what), (Grade::Failed, "no HTTP response: the answer begins with \"220 mail.example.org ESMTP\""));
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
    assert!(grade == Grade::Failed && what == "the answer's head is longer than 65536 bytes", "{what}");
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
        for header in [format!("host: {expected}"), format!("user-agent: {}", *super::AGENT), "connection: close".to_owned()] {
            assert!(request.contains(&format!("{header}\r\n")), "{header} in {request}");
        }
    }
}

/// curl 7.88.1's exit status for each answer, and why the check fails, if it does. After each answer the server closes.
#[tokio::test]
async fn answers_are_taken_that_curl_takes() {
    let many = |count: usize| (0..count).map(|i| format!("X-{i}: y\r\n")).collect::<String>().into_bytes();
    let with = |header: &[u8]| [b"HTTP/1.1 200 OK\r\n", header, b"Content-Length: 2\r\n\r\nok"].concat();
    let first = |line: &[u8]| [line, b"\r\nContent-Length: 2\r\n\r\nok"].concat();
    let long = |bytes: usize| [b"X: ", "y".repeat(bytes).as_bytes(), b"\r\n"].concat();
    let begins = |text: &str| Some(format!("no HTTP response: the answer begins with {text:?}"));
    let cut = || Some("connection closed before the end of the response".to_owned());
    let chunked =
        |version: &str, body: &str| format!("{version} 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes();
    let rows: Vec<(&str, i32, Vec<u8>, Option<String>)> = vec![
        ("101 headers", 0, with(&many(101)), None),
        ("5000 headers", 0, with(&many(5000)), None),
        ("a space before the colon", 0, with(b"X-App : foo\r\n"), None),
        ("a tab before the colon", 0, with(b"X-App\t: foo\r\n"), None),
        ("a folded header", 0, with(b"X-App: foo\r\n bar\r\n\tbaz\r\n"), None),
        ("17 kB", 0, with(&long(17_000)), None),
        ("65 kB", 0, with(&long(65_000)), None),
        // curl's bound is 300 kB.
        ("70 kB", 0, with(&long(70_000)), Some("the answer's head is longer than 65536 bytes".to_owned())),
        ("LF alone", 0, b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok".to_vec(), None),
        ("CR in a value", 0, with(b"X: a\rb\r\n"), None),
        ("bytes over 0x7f in a value", 0, with(b"X: caf\xe9\r\n"), None),
        ("bytes over 0x7f in a name", 0, with(b"X\xe9: a\r\n"), None),
        ("control characters in a value", 0, with(b"X: a\x01\x7fb\r\n"), None),
        // What is folded is a header like any other.
        ("a folded length", 8, b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok".to_vec(), None),
        // nginx and hyper leave such lines out.
        ("NUL in a value", 8, with(b"X: a\0b\r\n"), None),
        ("a line without a colon", 8, with(b"nonsense\r\n"), None),
        ("an odd name", 0, with(b"X (y): a\r\n"), None),
        ("no name", 0, with(b": a\r\n"), None),
        ("100", 0, [b"HTTP/1.1 100 Continue\r\n\r\n", &with(b"")[..]].concat(), None),
        ("103, often", 0, [&b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(50)[..], &with(b"")].concat(), None),
        ("101", 52, b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n".to_vec(), Some("status 101, want 200-299 or 301".to_owned())),
        ("HTTP/1.0 without a length", 0, b"HTTP/1.0 200 OK\r\n\r\nto the end".to_vec(), None),
        ("no reason phrase", 0, first(b"HTTP/1.1 200 "), None),
        ("a bare status", 0, first(b"HTTP/1.1 200"), None),
        ("bytes over 0x7f in the reason phrase", 0, first(b"HTTP/1.1 200 tr\xe8s"), None),
        ("control characters in the reason phrase", 0, first(b"HTTP/1.1 200 a\x01b"), None),
        ("two spaces", 0, first(b"HTTP/1.1  200 OK"), None),
        ("no space after the status", 0, first(b"HTTP/1.1 200OK"), None),
        ("lower case", 0, first(b"http/1.1 200 OK"), None),
        ("HTTP/2", 0, first(b"HTTP/2 200 OK"), None),
        ("HTTP/1.2", 1, first(b"HTTP/1.2 200 OK"), begins("HTTP/1.2 200 OK")),
        ("HTTP/0.9", 1, b"<html>up</html>\n".to_vec(), begins("<html>up</html>")),
        ("ICY", 1, first(b"ICY 200 OK"), begins("ICY 200 OK")),
        ("two digits", 1, first(b"HTTP/1.1 20 OK"), begins("HTTP/1.1 20 OK")),
        ("four digits", 1, first(b"HTTP/1.1 2000 OK"), begins("HTTP/1.1 2000 OK")),
        ("below 100", 1, first(b"HTTP/1.1 099 OK"), begins("HTTP/1.1 099 OK")),
        // Taken by hyper, and so before.
        ("an empty line first", 1, [b"\r\n", &with(b"")[..]].concat(), None),
        ("nothing", 52, Vec::new(), cut()),
        ("half a status line", 52, b"HTTP/1.1 200".to_vec(), cut()),
        // nginx does not take them, and a server that ends in the middle of its head is not well.
        ("the end after the status line", 0, b"HTTP/1.1 200 OK\r\n".to_vec(), cut()),
        ("the end in the head", 0, b"HTTP/1.1 200 OK\r\nServer: x\r\n".to_vec(), cut()),
        ("the end after the head", 0, b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), None),
        ("the end after the head, with a length", 18, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".to_vec(), cut()),
        ("more than its length", 0, [&with(b"")[..], b"more"].concat(), None),
        ("the same length twice", 0, with(b"Content-Length: 2\r\n"), None),
        ("chunks", 0, chunked("HTTP/1.1", "2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n"), None),
        ("chunks by HTTP/1.0", 0, chunked("HTTP/1.0", "2\r\nok\r\n0\r\n\r\n"), None),
        ("chunks cut", 18, chunked("HTTP/1.1", "2\r\nok\r\n"), cut()),
        (
            "chunks and a length",
            0,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec(),
            None,
        ),
        ("another encoding", 61, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok".to_vec(), None),
        ("204 with a body", 0, b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok".to_vec(), None),
    ];
    let mut otherwise = Vec::new();
    for (what, curl, answer, why) in rows {
        let (address, _server) = serve(answer, false).await;
        let said = ask(address, None, 10_000).await;
        let as_wanted = match &why {
            None => said.0 == Grade::Passed,
            Some(why) => said.0 == Grade::Failed && said.1 == *why,
        };
        if !as_wanted {
            otherwise.push(format!("{what} (curl {curl}): {said:?}, not {why:?}"));
        }
    }
    assert!(otherwise.is_empty(), "{otherwise:#?}");
}
