//! The TCP check: a connection is accepted.

use super::deadline::{ProbeDeadline, ProbeFault};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Passes when the connection is established, and closes it at once.
pub(super) async fn probe(address: SocketAddr, deadline: ProbeDeadline) -> Result<String, ProbeFault> {
    connect(address, deadline).await.map(|_| "connected".to_owned())
}

pub(super) async fn connect(address: SocketAddr, deadline: ProbeDeadline) -> Result<TcpStream, ProbeFault> {
    deadline.with("connect", async { TcpStream::connect(address).await.map_err(|error| ProbeFault::of_system(&error)) }).await
}

#[cfg(test)]
mod tests {
    use crate::{
        health::{hysteresis::Grade, io::probe::tests::probe, observer::ProbeResult},
        model::{Check, CheckKind},
    };
    use std::{net::SocketAddr, time::Duration};

    async fn ask(address: SocketAddr) -> ProbeResult {
        let timeout = Duration::from_secs(10);
        probe(address, &Check { kind: CheckKind::Tcp, port: None, interval: timeout, timeout, fall: 3, rise: 2 }).await
    }

    #[tokio::test]
    async fn a_listener_passes_and_a_closed_port_is_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = ask(address).await;
        assert_eq!((answer.grade, answer.what.as_str()), (Grade::Passed, "connected"));
        drop(listener);
        let answer = ask(address).await;
        assert_eq!((answer.grade, answer.reason().as_str()), (Grade::Failed, "connection refused"));
    }
}
