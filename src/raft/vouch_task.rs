//! Asks voters and directors who votes, when this node hears no leader and somebody speaks Raft to it who does not vote as far as it knows.

use super::{
    message::{Voters, WhoVotes},
    task::RaftNode,
    vouching::{directs, said_by_most},
};
use crate::{
    clock::{BootClock, Clock},
    model::{NodeId, Role},
};
use futures_util::{StreamExt, stream};
use openraft::async_runtime::WatchReceiver;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// One answer, with the connection that it needs.
const ANSWER: Duration = Duration::from_secs(2);
/// Nodes asked in one round: all that vote, all usual numbers of directors, some others.
const ASKED: usize = 32;
/// Of these at a time.
const AT_A_TIME: usize = 8;
/// Directors that were named in answers and asked besides.
const NAMED: usize = 16;

/// Asks in rounds, each when somebody was not heard since the last one, until `shutdown`.
pub async fn run(node: RaftNode, shutdown: CancellationToken) {
    loop {
        let round = async {
            node.doubts().notified().await;
            ask_around(&node).await;
            // Who is not heard tries many times a second.
            sleep(node.timing().election_max).await;
        };
        tokio::select! {
            // Cancel-safe: a round that is not ended is of no use any more.
            () = shutdown.cancelled() => return,
            () = round => {}
        }
    }
}

async fn ask_around(node: &RaftNode) {
    let known = whom(node);
    let answers = ask(node, known.clone()).await;
    let named: BTreeMap<NodeId, SocketAddr> =
        answers.iter().flat_map(|answer| answer.directors.iter().take(NAMED)).map(|(id, addr)| (*id, *addr)).collect();
    let said: Vec<BTreeSet<NodeId>> = answers.into_iter().map(|answer| answer.voters).collect();
    if has_no_log(node) {
        node.vouched().note(&said_by_most(&said, known.len()), BootClock.now());
    }
    let ids: BTreeSet<NodeId> = known.iter().map(|(id, _)| *id).collect();
    // Who names them need not be believed: that they are directors, their certificates say.
    let unknown = named.into_iter().filter(|(id, _)| *id != node.id() && !ids.contains(id)).take(NAMED);
    ask(node, unknown.collect()).await;
}

/// A newcomer, or one that has lost its disk. Who knows of voters believes these: it may be the only one that votes, and have one liar to ask.
fn has_no_log(node: &RaftNode) -> bool {
    let (published, metrics) = (node.published(), node.raft().metrics());
    let knows_voters = metrics.borrow_watched().membership_config.membership().voter_ids().next().is_some();
    let published = published.borrow();
    !knows_voters && published.voters.is_empty() && published.applied == 0
}

async fn ask(node: &RaftNode, whom: Vec<(NodeId, SocketAddr)>) -> Vec<Voters> {
    let answers = stream::iter(whom).map(|(id, addr)| ask_one(node, id, addr)).buffer_unordered(AT_A_TIME);
    answers.filter_map(std::future::ready).collect().await
}

/// What a member says. A voter or a director is believed at once.
async fn ask_one(node: &RaftNode, id: NodeId, addr: SocketAddr) -> Option<Voters> {
    let answer = node.peers().call_back(id, addr, &WhoVotes, ANSWER).await;
    let Ok((said, certificate)) = answer else { return None };
    let status = node.directory().status(&certificate, id).ok()?;
    if node.votes(id, &certificate) || directs(&status, &certificate) {
        node.vouched().note(&said.voters, BootClock.now());
    }
    Some(said)
}

/// Voters first, then directors, then other members, who may know directors that this node does not.
fn whom(node: &RaftNode) -> Vec<(NodeId, SocketAddr)> {
    let state = node.published().borrow().state.clone();
    let voters = node.view().borrow().voters.clone().into_iter().filter_map(|id| Some((id, node.address_of(id)?)));
    let (directors, others): (Vec<_>, Vec<_>) = state.nodes.values().partition(|record| record.roles.has(Role::Director));
    let members = directors.into_iter().chain(others).map(|record| (record.id, record.addr));
    let met = node.directory().met().iter().map(|met| (met.id, met.addr));
    let mut seen = BTreeSet::from([node.id()]);
    voters.chain(members).chain(met).filter(|(id, _)| seen.insert(*id)).take(ASKED).collect()
}
