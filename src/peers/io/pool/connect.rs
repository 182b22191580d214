//! What makes a connection of use: after TLS (`io/stream.rs`), the check that the right node answers, and the hello.

use super::{CallError, LocalSide, Peers, PoolKey, broken};
use crate::{
    link::{
        certificate::{Certificate, Subject},
        frame::{read_frame, write_frame},
    },
    model::NodeId,
    peers::{
        hello::{Hello, MAX_HELLO_BYTES, PROTOCOL_VERSION, Welcome},
        io::stream::{self, NotConnected, OpenConnection, Stream},
    },
};
use std::net::SocketAddr;

impl Peers {
    /// Makes a connection that is ready for questions.
    pub(super) async fn connect(&self, (to, addr): PoolKey) -> Result<OpenConnection, CallError> {
        let credentials = self.inner.credentials.as_ref().ok_or(CallError::Closed { addr })?;
        let connected = stream::connect(addr, credentials).await;
        let mut connected = connected.map_err(|error| match error {
            NotConnected::Tcp(source) => CallError::Connect { addr, source },
            NotConnected::Tls(source) => {
                self.note_refusal(addr, &source.to_string());
                CallError::Tls { addr, source }
            }
        })?;
        self.check_server(to, addr, &connected.certificate)?;
        self.say_hello(to, addr, &mut connected.stream).await?;
        Ok(connected)
    }

    /// A certificate of our CA alone is not enough: a real server must not be taken for the leader.
    fn check_server(&self, to: Option<NodeId>, addr: SocketAddr, certificate: &Certificate) -> Result<(), CallError> {
        let somebody_else = |found: String| {
            let error = CallError::SomebodyElse { addr, found };
            self.note_refusal(addr, &error.why());
            Err(error)
        };
        let Subject::Node { name, id, .. } = &certificate.subject else { return somebody_else("no node".to_owned()) };
        let (expected_name, cluster_id) = match &self.inner.who {
            LocalSide::Stranger => (None, None),
            LocalSide::Member { directory, .. } => (to.and_then(|to| directory.name_of(to)), Some(directory.cluster_id())),
        };
        let is_meant = match (to, id) {
            (Some(to), Some(id)) => to == *id,
            // A certificate of an external CA has no number. The state knows the number of its name, if this node has the member's record already.
            (Some(_), None) => expected_name.is_none_or(|expected| expected == *name),
            (None, _) => true,
        };
        let is_ours = cluster_id.zip(certificate.cluster_id.as_deref()).is_none_or(|(ours, theirs)| ours == theirs);
        if is_meant && is_ours { Ok(()) } else { somebody_else(name.to_string()) }
    }

    async fn say_hello(&self, to: Option<NodeId>, addr: SocketAddr, stream: &mut Stream) -> Result<(), CallError> {
        let (cluster_id, from) = match &self.inner.who {
            LocalSide::Stranger => (None, None),
            LocalSide::Member { me, directory } => (Some(directory.cluster_id().to_owned()), Some(*me)),
        };
        let hello = Hello { version: PROTOCOL_VERSION, cluster_id, from, to };
        write_frame(stream, &hello, MAX_HELLO_BYTES).await.map_err(|error| broken(addr, error))?;
        // With TLS 1.3, only the first read shows whether the other side trusts this node's certificate.
        match read_frame(stream, MAX_HELLO_BYTES).await {
            Ok(Some(Welcome::Welcome)) => {
                self.refusals().remove(&addr);
                self.removal_reports().denied_by(addr);
                Ok(())
            }
            Ok(Some(Welcome::No(refusal))) => Err(self.refused(addr, refusal)),
            Ok(None) => Err(CallError::Closed { addr }),
            Err(error) => {
                let error = broken(addr, error);
                self.note_refusal(addr, &error.why());
                Err(error)
            }
        }
    }
}
