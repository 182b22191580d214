//! Serves connections of other nodes: TLS, a hello, then one question at a time, each with a deadline. [`Answers`] gives the answers.

use super::{
    directory::Directory,
    limits::{AddressClass, ConnectionLimits, ConnectionSlot},
    stream::{self, Stream},
};
use crate::{
    clock::{BootClock, Clock},
    link::{
        certificate::{Certificate, Subject},
        frame::{read_frame, write_frame},
        tls::Credentials,
    },
    model::{NodeId, NodeName},
    peers::{
        hello::{Hello, HelloRefusal, MAX_HELLO_BYTES, PROTOCOL_VERSION, Welcome},
        question::{AnswerFrame, MAX_FRAME_BYTES, MAX_STRANGERS_QUESTION_BYTES, QuestionFrame, Topic},
    },
};
use futures_util::future::BoxFuture;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Deadline of the handshake and the hello of a new connection.
const HELLO_DEADLINE: Duration = Duration::from_secs(3);
/// A stranger's connection without a question is closed after this time.
const STRANGER_DEADLINE: Duration = Duration::from_secs(5);
/// Deadline of all questions of a stranger's connection, with their answers.
const STRANGERS_TIME: Duration = Duration::from_secs(60);
/// An idle connection of a member that does not vote is closed after this time. There may be hundreds of them, and a new connection is made quickly.
const MEMBER_DEADLINE: Duration = Duration::from_secs(10);
/// Deadline for sending one answer.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(10);
/// An older connection is closed, so that what TLS found when it was made does not count for ever. Peers make new ones earlier.
const OLDEST: Duration = Duration::from_secs(15 * 60);
/// After a failed accept (no file descriptors), so that it is not repeated without end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The other side of a connection.
pub enum Asker {
    /// A node that is no member now. With an external CA it may have shown a certificate.
    Stranger {
        /// As TLS has found it good.
        certificate: Option<Certificate>,
    },
    /// A node that was a member when it said hello.
    Member {
        /// Its number.
        id: NodeId,
        /// As TLS has found it good.
        certificate: Box<Certificate>,
    },
}

/// One connection, as its questions see it.
pub struct Caller {
    /// The node that asks.
    pub asker: Asker,
    /// Its address.
    pub from: SocketAddr,
    /// The limits that count its failures.
    pub limits: ConnectionLimits,
}

/// A voter of the newest membership in this node's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VotingPeer {
    /// Its number.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its Raft address.
    pub addr: SocketAddr,
}

impl VotingPeer {
    /// Whether it is `id`, and `certificate`, which may name no number, is of the same name.
    pub fn is(&self, id: NodeId, certificate: &Certificate) -> bool {
        self.id == id && matches!(&certificate.subject, Subject::Node { name, .. } if *name == self.name)
    }
}

/// The part that the rooms below implement: the voters, and an answer to every question.
pub trait Answers: Send + Sync + 'static {
    /// The voters of the newest membership in this node's log, committed or not.
    fn voters(&self) -> Vec<VotingPeer>;

    /// Answers one question. Each answer has a deadline of its own.
    fn answer<'a>(&'a self, caller: &'a Caller, question: QuestionFrame) -> BoxFuture<'a, AnswerFrame>;
}

/// The parts of one node's port. Clones serve the same.
#[derive(Clone)]
pub struct Port {
    /// This node.
    pub me: NodeId,
    /// The members of the cluster.
    pub directory: Directory,
    /// The certificate that this node presents and the CAs that it trusts.
    pub credentials: Credentials,
    /// The implementation that answers.
    pub answers: Arc<dyn Answers>,
}

/// Takes connections until `shutdown`.
pub async fn serve(listener: TcpListener, port: Port, shutdown: CancellationToken) {
    let limits = ConnectionLimits::default();
    loop {
        let accepted = tokio::select! {
            // Cancel-safe, both.
            () = shutdown.cancelled() => return,
            accepted = stream::accept(&listener) => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "raft connection not accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Connections from a member's address are never refused for failures: otherwise a machine that borrows the address for a moment could shut
        // the member out.
        let whose = whose(&port, from.ip());
        if limits.wait(from.ip()).is_some() && whose == AddressClass::Strangers {
            continue;
        }
        let Some(slot) = limits.enter(from.ip(), whose) else { continue };
        let (port, limits, shutdown) = (port.clone(), limits.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                // The connection goes with its future.
                () = shutdown.cancelled() => {}
                () = receive(stream, from, &port, limits, slot) => {}
            }
        });
    }
}

fn whose(port: &Port, address: IpAddr) -> AddressClass {
    let here = |at: SocketAddr| at.ip().to_canonical() == address.to_canonical();
    // A voter may have moved since the membership was written.
    let is_there = |voter: &VotingPeer| here(port.directory.address_of(voter.id).unwrap_or(voter.addr));
    if port.answers.voters().iter().any(is_there) {
        AddressClass::Voters
    } else if port.directory.is_members(address) {
        AddressClass::Members
    } else {
        AddressClass::Strangers
    }
}

async fn receive(stream: TcpStream, from: SocketAddr, port: &Port, limits: ConnectionLimits, mut slot: ConnectionSlot) {
    let since = Instant::now();
    let met =
        timeout(HELLO_DEADLINE, meet(stream, port)).await.unwrap_or(Err(NoConversation::Reason("no hello in time".to_owned())));
    let (mut stream, asker) = match met {
        Ok(met) => met,
        Err(NoConversation::Harmless) => return,
        Err(NoConversation::Reason(why)) => {
            if limits.failed(from.ip()) {
                tracing::warn!(%from, why, "raft connection refused");
            }
            return;
        }
    };
    // Voters need their connections for elections, so these stay open while they are idle.
    let votes = match &asker {
        Asker::Member { id, certificate } => Some(votes(port, *id, certificate)),
        Asker::Stranger { .. } => None,
    };
    if votes.is_some_and(|votes| !slot.prove(votes)) {
        return;
    }
    let caller = Caller { asker, from, limits };
    if let Some(votes) = votes {
        let idle = if votes { OLDEST } else { MEMBER_DEADLINE };
        converse(&mut stream, &caller, port, since, (MAX_FRAME_BYTES, idle)).await;
        return;
    }
    // A stranger can only ask to join or for a certificate. A stranger's connection without questions, or without end, would hold a slot of others.
    let conversation = converse(&mut stream, &caller, port, since, (MAX_STRANGERS_QUESTION_BYTES, STRANGER_DEADLINE));
    if timeout(STRANGERS_TIME, conversation).await.unwrap_or(0) == 0 && caller.limits.failed(from.ip()) {
        tracing::warn!(%from, "a stranger's connection without a question, or with too many, was closed");
    }
}

/// Answers until the other side ends, or is silent or slow for too long. Gives how many questions there were.
async fn converse(stream: &mut Stream, caller: &Caller, port: &Port, since: Instant, (limit, idle): (usize, Duration)) -> u64 {
    let mut asked = 0;
    while let Ok(Ok(Some(question))) = timeout(idle, read_frame::<QuestionFrame>(stream, limit)).await {
        asked += 1;
        let reply = if is_stale(since, caller) {
            AnswerFrame::Refused(HelloRefusal::Stale)
        } else if is_for_members(caller, question.topic) {
            AnswerFrame::Refused(HelloRefusal::NoCertificate)
        } else {
            port.answers.answer(caller, question).await
        };
        let written = timeout(TRANSFER_DEADLINE, write_frame(stream, &reply, MAX_FRAME_BYTES)).await;
        if !matches!(written, Ok(Ok(()))) || matches!(reply, AnswerFrame::Refused(_)) {
            break;
        }
    }
    asked
}

/// Whether a stranger asks a question that only members may ask.
fn is_for_members(caller: &Caller, topic: Topic) -> bool {
    matches!(caller.asker, Asker::Stranger { .. }) && !topic.is_for_strangers()
}

fn is_stale(since: Instant, caller: &Caller) -> bool {
    let has_ended = match &caller.asker {
        Asker::Member { certificate, .. } => certificate.not_after_unix_s <= BootClock.unix_now().as_secs(),
        Asker::Stranger { .. } => false,
    };
    has_ended || since.elapsed() > OLDEST
}

/// Why a connection ended before its first question.
enum NoConversation {
    /// The other side did something wrong.
    Reason(String),
    /// A harmless end, for instance while a disk is replaced.
    Harmless,
}

async fn meet(stream: TcpStream, port: &Port) -> Result<(Stream, Asker), NoConversation> {
    let reason = |error: &dyn std::fmt::Display| NoConversation::Reason(error.to_string());
    let (mut stream, certificate) = stream::secure(stream, &port.credentials).await.map_err(|e| reason(&e))?;
    let hello = read_frame::<Hello>(&mut stream, MAX_HELLO_BYTES).await.map_err(|e| reason(&e))?;
    // A client that only tests whether the port is open does no harm.
    let hello = hello.ok_or(NoConversation::Harmless)?;
    let met = refuse(&hello, port.directory.cluster_id(), port.me).map_or_else(|| who(&hello, certificate, port), Err);
    let welcome = met.as_ref().map_or_else(|refusal| Welcome::No(refusal.clone()), |_| Welcome::Welcome);
    write_frame(&mut stream, &welcome, MAX_HELLO_BYTES).await.map_err(|_| NoConversation::Harmless)?;
    match met {
        Ok(asker) => Ok((stream, asker)),
        Err(HelloRefusal::SomebodyElse { .. }) => Err(NoConversation::Harmless),
        Err(refusal) => Err(NoConversation::Reason(refusal.to_string())),
    }
}

fn refuse(hello: &Hello, cluster_id: &str, me: NodeId) -> Option<HelloRefusal> {
    if hello.version != PROTOCOL_VERSION {
        return Some(HelloRefusal::WrongVersion { theirs: PROTOCOL_VERSION });
    }
    if hello.cluster_id.as_deref().is_some_and(|theirs| theirs != cluster_id) {
        return Some(HelloRefusal::WrongCluster { theirs: cluster_id.to_owned() });
    }
    hello.to.filter(|to| *to != me).map(|_| HelloRefusal::SomebodyElse { theirs: me })
}

/// A node that says hello for a cluster must be a member of it, or still vote: its questions are then checked one by one.
fn who(hello: &Hello, certificate: Option<Certificate>, port: &Port) -> Result<Asker, HelloRefusal> {
    if hello.cluster_id.is_none() {
        return Ok(Asker::Stranger { certificate });
    }
    let certificate = certificate.ok_or(HelloRefusal::NoCertificate)?;
    let id = hello.from.ok_or(HelloRefusal::NoCertificate)?;
    match port.directory.status(&certificate, id) {
        Err(refusal @ HelloRefusal::Removed { .. }) if !still_votes(port, id) => Err(refusal),
        Ok(_) | Err(HelloRefusal::Removed { .. }) => Ok(Asker::Member { id, certificate: Box::new(certificate) }),
        Err(refusal) => Err(refusal),
    }
}

/// Whether `id` votes and has shown its own certificate.
fn votes(port: &Port, id: NodeId, certificate: &Certificate) -> bool {
    port.answers.voters().iter().any(|voter| voter.is(id, certificate))
}

/// Whether a removed node's vote may still be needed.
fn still_votes(port: &Port, id: NodeId) -> bool {
    port.answers.voters().iter().any(|voter| voter.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello { version: PROTOCOL_VERSION, cluster_id: Some("a".to_owned()), from: Some(NodeId(2)), to: Some(NodeId(1)) }
    }

    #[test]
    fn members_of_this_cluster_and_strangers_are_heard() {
        assert_eq!(refuse(&hello(), "a", NodeId(1)), None);
        assert_eq!(refuse(&Hello { cluster_id: None, from: None, to: None, ..hello() }, "a", NodeId(1)), None);
    }

    #[test]
    fn other_versions_other_clusters_and_words_for_a_former_number_are_refused() {
        let newer = Hello { version: PROTOCOL_VERSION + 1, ..hello() };
        assert_eq!(refuse(&newer, "a", NodeId(1)), Some(HelloRefusal::WrongVersion { theirs: PROTOCOL_VERSION }));
        assert_eq!(refuse(&hello(), "b", NodeId(1)), Some(HelloRefusal::WrongCluster { theirs: "b".to_owned() }));
        assert_eq!(refuse(&hello(), "a", NodeId(7)), Some(HelloRefusal::SomebodyElse { theirs: NodeId(7) }));
    }
}
