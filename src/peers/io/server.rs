//! Taking connections from other nodes: TLS, a hello, then one question at a time, each with a deadline. What is answered is told by [`Answers`].

use super::{
    directory::Directory,
    limits::{ConnectionLimits, ConnectionSlot, Whose},
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
        question::{MAX_FRAME_BYTES, MAX_STRANGERS_QUESTION_BYTES, Question, Reply, Topic},
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

/// Who connects has proved who it is and said hello within this time.
const HELLO_DEADLINE: Duration = Duration::from_secs(3);
/// Who is no member has come to ask something; a connection without a question for so long is closed.
const STRANGER_DEADLINE: Duration = Duration::from_secs(5);
/// …and all that it asks is asked and answered within this time.
const STRANGERS_TIME: Duration = Duration::from_secs(60);
/// So long a member that does not vote may have nothing to ask. Of these there may be hundreds, and they make a new connection in no time.
const MEMBER_DEADLINE: Duration = Duration::from_secs(10);
/// An answer is taken within this time, a snapshot's question sent.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(10);
/// An older connection is closed, so that what TLS found when it was made does not count for ever. Peers make new ones earlier.
const OLDEST: Duration = Duration::from_secs(15 * 60);
/// After a failed accept (no file descriptors), so that it is not repeated without end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is on the other side.
pub enum Asker {
    /// Not, or not now, a member. The certificate is its own PKI's, where it has shown one.
    Stranger {
        /// As TLS has found it good.
        certificate: Option<Certificate>,
    },
    /// One that was a member when it said hello.
    Member {
        /// Its number.
        id: NodeId,
        /// As TLS has found it good.
        certificate: Box<Certificate>,
    },
}

/// One connection, as its questions see it.
pub struct Caller {
    /// Who asks.
    pub asker: Asker,
    /// From where.
    pub from: SocketAddr,
    /// Where failures are counted.
    pub limits: ConnectionLimits,
}

/// One that votes, by the newest membership in this node's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Voter {
    /// Its number.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Where it hears Raft.
    pub addr: SocketAddr,
}

/// What the connections need of the rooms that know the cluster: who votes, and an answer to every question.
pub trait Answers: Send + Sync + 'static {
    /// Who votes, by the newest membership in this node's log, committed or not.
    fn voters(&self) -> Vec<Voter>;

    /// Answers one question. Each answer has a deadline of its own.
    fn answer<'a>(&'a self, caller: &'a Caller, question: Question) -> BoxFuture<'a, Reply>;
}

/// What one node's port serves. Clones serve the same.
#[derive(Clone)]
pub struct Port {
    /// This node.
    pub me: NodeId,
    /// Who belongs to the cluster.
    pub directory: Directory,
    /// What this node presents and trusts.
    pub credentials: Credentials,
    /// Who answers.
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
        // What a member's address sends is always looked at: else whoever can borrow it for a moment could shut that member out.
        let whose = whose(&port, from.ip());
        if limits.wait(from.ip()).is_some() && whose == Whose::Strangers {
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

fn whose(port: &Port, address: IpAddr) -> Whose {
    let here = |at: SocketAddr| at.ip().to_canonical() == address.to_canonical();
    // A voter may have moved since the membership was written.
    let is_there = |voter: &Voter| here(port.directory.address_of(voter.id).unwrap_or(voter.addr));
    if port.answers.voters().iter().any(is_there) {
        Whose::Voters
    } else if port.directory.is_members(address) {
        Whose::Members
    } else {
        Whose::Strangers
    }
}

async fn receive(stream: TcpStream, from: SocketAddr, port: &Port, limits: ConnectionLimits, mut slot: ConnectionSlot) {
    let since = Instant::now();
    let met = timeout(HELLO_DEADLINE, meet(stream, port)).await.unwrap_or(Err(Unmet::Reason("no hello in time".to_owned())));
    let (mut stream, asker) = match met {
        Ok(met) => met,
        Err(Unmet::Harmless) => return,
        Err(Unmet::Reason(why)) => {
            if limits.failed(from.ip()) {
                tracing::warn!(%from, why, "raft connection refused");
            }
            return;
        }
    };
    // What a voter is told about in time depends on its connections; they wait for an election, and stay.
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
    // A node that is no member yet can only ask to become one. Who has come, and asks nothing or does not end, takes others' slot.
    let conversation = converse(&mut stream, &caller, port, since, (MAX_STRANGERS_QUESTION_BYTES, STRANGER_DEADLINE));
    if timeout(STRANGERS_TIME, conversation).await.unwrap_or(0) == 0 && caller.limits.failed(from.ip()) {
        tracing::warn!(%from, "a stranger connected and asked nothing, or for too long");
    }
}

/// Answers until the other side ends, or is silent or slow for too long. Gives how many questions there were.
async fn converse(stream: &mut Stream, caller: &Caller, port: &Port, since: Instant, (limit, idle): (usize, Duration)) -> u64 {
    let mut asked = 0;
    while let Ok(Ok(Some(question))) = timeout(idle, read_frame::<Question>(stream, limit)).await {
        asked += 1;
        let reply = if is_stale(since, caller) {
            Reply::Refused(HelloRefusal::Stale)
        } else if is_for_members(caller, question.topic) {
            Reply::Refused(HelloRefusal::NoCertificate)
        } else {
            port.answers.answer(caller, question).await
        };
        let written = timeout(TRANSFER_DEADLINE, write_frame(stream, &reply, MAX_FRAME_BYTES)).await;
        if !matches!(written, Ok(Ok(()))) || matches!(reply, Reply::Refused(_)) {
            break;
        }
    }
    asked
}

/// Whether a stranger asks what only members may.
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

/// Why a connection came to nothing.
enum Unmet {
    /// Somebody did what it should not.
    Reason(String),
    /// It happens, for instance while a disk is replaced.
    Harmless,
}

async fn meet(stream: TcpStream, port: &Port) -> Result<(Stream, Asker), Unmet> {
    let reason = |error: &dyn std::fmt::Display| Unmet::Reason(error.to_string());
    let (mut stream, certificate) = stream::secure(stream, &port.credentials).await.map_err(|e| reason(&e))?;
    let hello = read_frame::<Hello>(&mut stream, MAX_HELLO_BYTES).await.map_err(|e| reason(&e))?;
    // Whoever only looks whether somebody is there does no harm.
    let hello = hello.ok_or(Unmet::Harmless)?;
    let met = refuse(&hello, port.directory.cluster_id(), port.me).map_or_else(|| who(&hello, certificate, port), Err);
    let welcome = met.as_ref().map_or_else(|refusal| Welcome::No(refusal.clone()), |_| Welcome::Welcome);
    write_frame(&mut stream, &welcome, MAX_HELLO_BYTES).await.map_err(|_| Unmet::Harmless)?;
    match met {
        Ok(asker) => Ok((stream, asker)),
        Err(HelloRefusal::SomebodyElse { .. }) => Err(Unmet::Harmless),
        Err(refusal) => Err(Unmet::Reason(refusal.to_string())),
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

/// Who says hello for a cluster must be a member of it, or vote still: what it asks is looked at then.
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

/// Whether `id` votes, and `certificate`, which may name no number, is of the same name.
fn votes(port: &Port, id: NodeId, certificate: &Certificate) -> bool {
    let Subject::Node { name, .. } = &certificate.subject else { return false };
    port.answers.voters().iter().any(|voter| voter.id == id && voter.name == *name)
}

/// One that was removed, and whose vote may still be needed.
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
