//! A member that nobody trusts any more, nor it them, because the CA was replaced while it was away: a join token proves the new CA to it, its
//! registered key proves it to a director. It keeps its data, and needs no leader for that.

use super::{certify_task::believed, message::CertifyRequest, request::CertifyRefusal, task::ClusterMember};
use crate::{
    link::{
        authority,
        certificate::{Certificate, Subject},
        fingerprint::fingerprint,
        io::files::{self, FileError},
        tls::{Credentials, TlsError, Trust},
        token::JoinToken,
    },
    model::{NodeId, NodeName, PublicKey, Role},
    peers::{CallError, Peers},
};
use std::{
    collections::{BTreeSet, VecDeque},
    io::ErrorKind,
    net::SocketAddr,
    time::Duration,
};
use tokio::time::sleep;

/// One answer.
const ANSWER: Duration = Duration::from_secs(8);
/// So long the door of one that was knocked at too often stays shut.
const SHUT: Duration = Duration::from_secs(3);
/// Who has failed too often by no fault of its own is told to wait; so often it does.
const WAITS: u32 = 5;

/// Why a member's trust was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RejoinError {
    /// The token's cluster does not know this node.
    #[error(
        "this node is in cluster {ours}, and the cluster that the token is for has no member with this node's key: if that is another cluster, run `lvs-agent leave` here; if it is this one, which has removed the node or was founded anew, `lvs-agent leave --force`; then the same `lvs-agent join` again"
    )]
    NoMember {
        /// This node's cluster.
        ours: String,
    },
    /// It is another one.
    #[error(
        "the token is for cluster {theirs}, this node is in {ours}: run `lvs-agent leave` here first if it shall join the other one, or `lvs-agent leave --force` if {ours} is no more"
    )]
    OtherCluster {
        /// The token's.
        theirs: String,
        /// This node's.
        ours: String,
    },
    /// The CA was replaced after the token was made.
    #[error("the cluster's ca was replaced since the token was made: make another with `lvs-agent token create` on a director")]
    OldToken,
    /// Nobody did it.
    #[error("nobody has signed a certificate for this node: {0}; name a director as SEED, and make the token on it")]
    Tried(String),
    /// This node's key.
    #[error(transparent)]
    Keys(#[from] FileError),
    /// Nobody can be asked.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What came of one question.
enum Answer {
    Chain(Vec<Vec<u8>>),
    Others(Vec<NodeName>),
    Wait(Duration),
    NoMember,
    Failed(String),
}

impl ClusterMember {
    /// Has a certificate signed for this member by whichever director of the token's cluster is found, beginning with `seeds`. Gives it with the
    /// CA that the token names after it (DER). Nothing is written.
    ///
    /// # Errors
    /// Nobody does it, or not for this node.
    pub async fn rejoin(&self, seeds: &[SocketAddr], token: &JoinToken) -> Result<Vec<Vec<u8>>, RejoinError> {
        let key = files::node_key(self.data_dir())?;
        let peers = Peers::of_stranger(Credentials::new(None, Trust::Pinned(token.pin()))?);
        let csr = authority::request(&key);
        let mut queue: VecDeque<SocketAddr> = seeds.iter().copied().collect();
        let mut asked: BTreeSet<SocketAddr> = BTreeSet::new();
        let (mut tried, mut is_no_member, mut waits) = (Vec::new(), false, 0);
        while let Some(addr) = queue.pop_front() {
            let why = match ask(&peers, addr, &csr).await {
                Answer::Chain(chain) => return self.check(chain, key.public(), token),
                Answer::Wait(pause) if waits < WAITS => {
                    waits += 1;
                    sleep(pause).await;
                    queue.push_front(addr);
                    continue;
                }
                Answer::Wait(pause) => format!("it wants {} s of silence first", pause.as_secs()),
                Answer::Others(names) => {
                    asked.insert(addr);
                    queue.extend(self.addresses_of(&names).into_iter().filter(|at| asked.insert(*at)));
                    "it is no director that can sign".to_owned()
                }
                Answer::NoMember => {
                    // A director that is behind may say so, too.
                    is_no_member = true;
                    "it knows no such member".to_owned()
                }
                Answer::Failed(why) => why,
            };
            tried.push(format!("{addr}: {why}"));
        }
        let ours = self.raft().cluster_id().to_owned();
        Err(if is_no_member { RejoinError::NoMember { ours } } else { RejoinError::Tried(tried.join("; ")) })
    }

    /// A seed may be any member, and a member may lie: what counts is what the token's CA has signed.
    fn check(&self, chain: Vec<Vec<u8>>, key: PublicKey, token: &JoinToken) -> Result<Vec<Vec<u8>>, RejoinError> {
        let pinned: Vec<Vec<u8>> = chain.iter().skip(1).filter(|der| token.is_for(&fingerprint(der))).cloned().collect();
        if pinned.is_empty() {
            return Err(RejoinError::OldToken);
        }
        let leaf: Certificate = believed(&chain, key, &pinned).map_err(RejoinError::Tried)?;
        let ours = self.raft().cluster_id().to_owned();
        if let Some(theirs) = leaf.cluster_id.filter(|theirs| *theirs != ours) {
            return Err(RejoinError::OtherCluster { theirs, ours });
        }
        let me = (&self.identity().name, Some(self.raft().id()));
        match &leaf.subject {
            Subject::Node { name, id, .. } if (name, *id) == me => Ok(chain),
            // It has joined again under another number, from another disk.
            Subject::Node { .. } | Subject::Identity { .. } => Err(RejoinError::NoMember { ours }),
        }
    }

    /// Where these directors are, or were; all of them, if none is named.
    fn addresses_of(&self, names: &[NodeName]) -> Vec<SocketAddr> {
        let state = self.raft().published().borrow().state.clone();
        let met = self.identity().met.iter().map(|met| (met.id, &met.name, met.addr));
        let directors = state.nodes.values().filter(|node| node.roles.has(Role::Director) || names.contains(&node.name));
        let known = directors.map(|node| (node.id, &node.name, node.addr)).chain(met);
        let wanted = |(id, name, _): &(NodeId, &NodeName, SocketAddr)| {
            *id != self.raft().id() && (names.is_empty() || names.contains(name))
        };
        known.filter(wanted).map(|(.., addr)| addr).collect()
    }
}

async fn ask(peers: &Peers, addr: SocketAddr, csr: &[u8]) -> Answer {
    match peers.call(None, addr, &CertifyRequest { csr: csr.to_vec() }, ANSWER).await {
        Ok(Ok(chain)) => Answer::Chain(chain),
        Ok(Err(CertifyRefusal::NotHere { directors })) => Answer::Others(directors),
        Ok(Err(CertifyRefusal::NoMember)) => Answer::NoMember,
        Ok(Err(CertifyRefusal::TooOften { wait_s })) => Answer::Wait(Duration::from_secs(wait_s)),
        Ok(Err(refusal)) => Answer::Failed(refusal.to_string()),
        Err(CallError::Failed { why, .. }) => Answer::Failed(why),
        // Cut off before TLS: it has been knocked at too often.
        Err(CallError::Tls { source, .. }) if matches!(source.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            Answer::Wait(SHUT)
        }
        Err(error @ CallError::Tls { .. }) => {
            Answer::Failed(format!("{}, so the token is not of its cluster, or older than its ca", error.why()))
        }
        Err(error) => Answer::Failed(error.why()),
    }
}
