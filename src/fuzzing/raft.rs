//! Raft's frames, and what lies on its disk.

use super::{Outcome, Target, coded, encoded, sample};
use crate::{
    link::node_key::Signature,
    model::{Fingerprint, NodeId, TimingProfile, TokenId},
    raft::{
        Identity,
        io::state_machine,
        joining::{JoinAccepted, JoinRefusal, JoinRequest, MAX_REQUEST_BYTES, SignedJoin},
        message::{
            Hello, HelloRefusal, MAX_ENTRY_BYTES, MAX_FRAME_BYTES, MAX_HELLO_BYTES, MAX_SNAPSHOT_BYTES, PROTOCOL_VERSION,
            Proposed, Request, Response, Voters, Welcome,
        },
        peer::Met,
        record,
        types::{Applied, Entry, Node, TypeConfig, Vote},
    },
    rules::{ClusterState, Joining, Refusal, RuleChange},
};
use openraft::{
    EntryPayload, Membership,
    raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse},
    testing::{blank_ent, log_id},
};
use std::collections::BTreeMap;

const PLACE: &str = "entry 7";

/// A mutation seldom guesses a checksum: what it covers is a target of its own.
pub fn targets() -> Vec<Target> {
    let entries = entries();
    let records = entries.iter().map(|entry| record::seal(PLACE, entry, MAX_ENTRY_BYTES).expect("the sample is short")).collect();
    vec![
        Target::new("raft-hello", hellos(), MAX_HELLO_BYTES, |bytes| coded::<Hello>(bytes, MAX_HELLO_BYTES)),
        Target::new("raft-welcome", welcomes(), MAX_HELLO_BYTES, |bytes| coded::<Welcome>(bytes, MAX_HELLO_BYTES)),
        Target::new("raft-request", requests(&entries), MAX_FRAME_BYTES, |bytes| coded::<Request>(bytes, MAX_FRAME_BYTES)),
        Target::new("raft-response", responses(), MAX_FRAME_BYTES, |bytes| coded::<Response>(bytes, MAX_FRAME_BYTES)),
        Target::new("raft-join-request", vec![encoded(&join_request())], MAX_REQUEST_BYTES, |bytes| {
            coded::<JoinRequest>(bytes, MAX_REQUEST_BYTES)
        }),
        Target::new("raft-record", records, MAX_ENTRY_BYTES, |bytes| record::open::<Entry>(PLACE, bytes, MAX_ENTRY_BYTES).into()),
        Target::new("raft-entry", entries.iter().map(encoded).collect(), MAX_ENTRY_BYTES, |bytes| {
            coded::<Entry>(bytes, MAX_ENTRY_BYTES)
        }),
        Target::new("raft-snapshot", vec![encoded(&(state_machine::VERSION, sample::state()))], MAX_SNAPSHOT_BYTES, |bytes| {
            match state_machine::is_readable(bytes) {
                true => Outcome::Taken,
                false => super::refused("no snapshot"),
            }
        }),
        Target::new("raft-state", vec![encoded(&sample::state())], MAX_SNAPSHOT_BYTES, |bytes| {
            coded::<ClusterState>(bytes, MAX_SNAPSHOT_BYTES)
        }),
        Target::new("raft-identity-file", vec![identity_file()], 4096, |bytes| serde_json::from_slice::<Identity>(bytes).into()),
    ]
}

fn hellos() -> Vec<Vec<u8>> {
    let member = Hello {
        version: PROTOCOL_VERSION,
        cluster_id: Some("0123456789abcdef".to_owned()),
        from: Some(NodeId(1)),
        to: Some(NodeId(2)),
    };
    let stranger = Hello { cluster_id: None, from: None, to: None, ..member.clone() };
    vec![encoded(&member), encoded(&stranger)]
}

fn welcomes() -> Vec<Vec<u8>> {
    let refusals = [
        HelloRefusal::WrongVersion { theirs: 7 },
        HelloRefusal::WrongCluster { theirs: "blue".to_owned() },
        HelloRefusal::SomebodyElse { theirs: NodeId(9) },
    ];
    refusals.map(Welcome::No).into_iter().chain([Welcome::Welcome]).map(|welcome| encoded(&welcome)).collect()
}

fn entries() -> Vec<Entry> {
    let entry = |index, payload| Entry { payload, ..blank_ent::<TypeConfig>(2, 1, index) };
    let nodes: BTreeMap<u64, Node> =
        (1..4).map(|n| (n, Node { name: sample::name(&format!("d{n}")), addr: sample::addr(n as u8) })).collect();
    let voters = vec![[1, 2, 3].into(), [1, 2].into()];
    let membership = Membership::new(voters, nodes).expect("every voter is a node");
    let mut entries = vec![blank_ent::<TypeConfig>(2, 1, 6), entry(7, EntryPayload::Membership(membership))];
    entries.extend(sample::changes().into_iter().zip(8..).map(|(change, index)| entry(index, EntryPayload::Normal(change))));
    entries
}

fn requests(entries: &[Entry]) -> Vec<Vec<u8>> {
    let vote = || Vote::new(2, 1);
    let ask = || VoteRequest::new(vote(), Some(log_id::<TypeConfig>(2, 1, 6)));
    let append = |entries: &[Entry]| {
        Request::Append(AppendEntriesRequest {
            vote: vote(),
            prev_log_id: Some(log_id::<TypeConfig>(2, 1, 5)),
            entries: entries.to_vec(),
            leader_commit: Some(log_id::<TypeConfig>(2, 1, 5)),
        })
    };
    let mut requests = vec![append(&[]), append(entries), Request::Vote(ask()), Request::PreVote(ask())];
    requests.extend(sample::changes().into_iter().map(Request::Propose));
    requests.push(Request::Propose(RuleChange::NodeLeft(sample::name("d1"))));
    requests.push(Request::Join(join()));
    requests.push(Request::Certify { csr: vec![0x30, 3, 2, 1, 0] });
    requests.push(Request::AuthorityKey(Fingerprint([1; 32])));
    requests.push(Request::Voters);
    requests.push(Request::Parcel { session: 7, body: vec![0x53, 0xb0, 0, 3] });
    requests.iter().map(encoded).collect()
}

fn join_request() -> JoinRequest {
    let Joining { name, roles, addr, zone, key, .. } = sample::joining();
    JoinRequest {
        name,
        roles,
        addr,
        zone,
        key,
        version: "0.1.0".to_owned(),
        timing: None,
        known: Some(("0123456789abcdef".to_owned(), NodeId(3))),
        authority: Some(Fingerprint([1; 32])),
        at_unix_s: 1_800_000_000,
    }
}

fn join() -> SignedJoin {
    let signature = || Signature(vec![1; 64]);
    let by_token = Some((TokenId([1; 8]), signature()));
    SignedJoin { request: encoded(&join_request()), by_node: signature(), by_token }
}

fn applied(result: Result<Option<NodeId>, Refusal>) -> Applied {
    Applied { index: 6, revision: 2, changed: false, result }
}

fn responses() -> Vec<Vec<u8>> {
    let vote = Vote::new(2, 1);
    let accepted = JoinAccepted {
        cluster_id: "0123456789abcdef".to_owned(),
        id: NodeId(3),
        timing: TimingProfile::Lan,
        nodes: vec![sample::node()],
        authorities: vec![vec![0x30, 0]],
    };
    let responses = [
        Response::Append(AppendEntriesResponse::Success),
        Response::Append(AppendEntriesResponse::Conflict),
        Response::Vote(VoteResponse::new(vote, Some(log_id::<TypeConfig>(2, 1, 6)), true)),
        Response::Proposed(Proposed::Done(applied(Ok(Some(NodeId(3)))))),
        Response::Proposed(Proposed::Done(applied(Err(Refusal::Initialised)))),
        Response::Proposed(Proposed::NotLeader { leader: Some(NodeId(1)) }),
        Response::Voters(Voters { voters: [NodeId(1), NodeId(2)].into(), directors: [(NodeId(1), sample::addr(11))].into() }),
        Response::Joined(Ok(accepted)),
        Response::Joined(Err(JoinRefusal::NameTaken { name: sample::name("d1"), addr: sample::addr(11) })),
        Response::Failed("it went wrong".to_owned()),
        Response::Taken,
    ];
    responses.iter().map(encoded).collect()
}

fn identity_file() -> Vec<u8> {
    let identity = Identity {
        cluster_id: "0123456789abcdef".to_owned(),
        node_id: NodeId(3),
        name: sample::name("d1"),
        timing: TimingProfile::Lan,
        met: vec![Met { id: NodeId(1), name: sample::name("d1"), addr: sample::addr(11) }],
    };
    serde_json::to_vec_pretty(&identity).expect("an identity is plain data")
}
