//! What nodes ask each other over TCP, and what lies on Raft's disk.

use super::{Outcome, Target, coded, encoded, sample};
use crate::{
    link::node_key::Signature,
    members::{
        AuthorityKeyOf, CertifyRequest, NodeIdentity,
        request::{JoinAccepted, JoinRefusal, JoinRequest, MAX_REQUEST_BYTES, SignedJoin},
    },
    model::{Fingerprint, NodeId, TimingProfile, TokenId},
    peers::{
        AnswerFrame, Ask, BootstrapPeer, HelloRefusal, ParcelBody, QuestionFrame,
        hello::{Hello, MAX_HELLO_BYTES, PROTOCOL_VERSION, Welcome},
        question::MAX_FRAME_BYTES,
    },
    raft::{
        io::state_machine,
        message::{MAX_ENTRY_BYTES, MAX_SNAPSHOT_BYTES, Propose, Proposed, RaftAnswer, RaftRequest, Voters, WhoVotes},
        record,
        types::{AppliedEntry, Entry, RaftMember, TypeConfig, Vote},
    },
    rules::{ClusterState, Command, CommandRefusal, Joining},
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
        Target::new("peer-hello", hellos(), MAX_HELLO_BYTES, |bytes| coded::<Hello>(bytes, MAX_HELLO_BYTES)),
        Target::new("peer-welcome", welcomes(), MAX_HELLO_BYTES, |bytes| coded::<Welcome>(bytes, MAX_HELLO_BYTES)),
        Target::new("peer-question", questions(&entries), MAX_FRAME_BYTES, |bytes| {
            coded::<QuestionFrame>(bytes, MAX_FRAME_BYTES)
        }),
        Target::new("peer-reply", replies(), MAX_FRAME_BYTES, |bytes| coded::<AnswerFrame>(bytes, MAX_FRAME_BYTES)),
        Target::new("raft-request", raft_requests(&entries).iter().map(encoded).collect(), MAX_FRAME_BYTES, |bytes| {
            coded::<RaftRequest>(bytes, MAX_FRAME_BYTES)
        }),
        Target::new("raft-propose", proposals().iter().map(encoded).collect(), MAX_FRAME_BYTES, |bytes| {
            coded::<Propose>(bytes, MAX_FRAME_BYTES)
        }),
        Target::new("member-join", vec![encoded(&join())], MAX_FRAME_BYTES, |bytes| coded::<SignedJoin>(bytes, MAX_FRAME_BYTES)),
        Target::new("member-joined", joined(), MAX_FRAME_BYTES, |bytes| {
            coded::<<SignedJoin as Ask>::Answer>(bytes, MAX_FRAME_BYTES)
        }),
        Target::new("raft-answer", raft_answers(), MAX_FRAME_BYTES, |bytes| coded::<RaftAnswer>(bytes, MAX_FRAME_BYTES)),
        Target::new("raft-proposed", proposed(), MAX_FRAME_BYTES, |bytes| coded::<Proposed>(bytes, MAX_FRAME_BYTES)),
        Target::new("member-join-request", vec![encoded(&join_request())], MAX_REQUEST_BYTES, |bytes| {
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
        Target::new("member-identity-file", vec![identity_file()], 4096, |bytes| {
            serde_json::from_slice::<NodeIdentity>(bytes).into()
        }),
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
    let nodes: BTreeMap<u64, RaftMember> =
        (1..4).map(|n| (n, RaftMember { name: sample::name(&format!("d{n}")), addr: sample::addr(n as u8) })).collect();
    let voters = vec![[1, 2, 3].into(), [1, 2].into()];
    let membership = Membership::new(voters, nodes).expect("every voter is a node");
    let mut entries = vec![blank_ent::<TypeConfig>(2, 1, 6), entry(7, EntryPayload::Membership(membership))];
    entries.extend(sample::changes().into_iter().zip(8..).map(|(change, index)| entry(index, EntryPayload::Normal(change))));
    entries
}

fn raft_requests(entries: &[Entry]) -> Vec<RaftRequest> {
    let vote = || Vote::new(2, 1);
    let ask = || VoteRequest::new(vote(), Some(log_id::<TypeConfig>(2, 1, 6)));
    let append = |entries: &[Entry]| {
        RaftRequest::Append(AppendEntriesRequest {
            vote: vote(),
            prev_log_id: Some(log_id::<TypeConfig>(2, 1, 5)),
            entries: entries.to_vec(),
            leader_commit: Some(log_id::<TypeConfig>(2, 1, 5)),
        })
    };
    vec![append(&[]), append(entries), RaftRequest::Vote(ask()), RaftRequest::PreVote(ask())]
}

fn proposals() -> Vec<Propose> {
    let left = Command::NodeLeft(sample::name("d1"));
    sample::changes().into_iter().chain([left]).map(Propose).collect()
}

fn question(asked: &impl Ask) -> Vec<u8> {
    encoded(&QuestionFrame::of(asked).expect("the sample is short"))
}

fn questions(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut questions: Vec<Vec<u8>> = raft_requests(entries).iter().map(question).collect();
    questions.extend(proposals().iter().map(question));
    questions.push(question(&join()));
    questions.push(question(&CertifyRequest { csr: vec![0x30, 3, 2, 1, 0] }));
    questions.push(question(&AuthorityKeyOf(Fingerprint([1; 32]))));
    questions.push(question(&WhoVotes));
    questions.push(question(&ParcelBody { session: 7, body: vec![0x53, 0xb0, 0, 3] }));
    questions
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

fn applied(result: Result<Option<NodeId>, CommandRefusal>) -> AppliedEntry {
    AppliedEntry { index: 6, revision: 2, changed: false, result }
}

fn raft_answers() -> Vec<Vec<u8>> {
    let vote = VoteResponse::new(Vote::new(2, 1), Some(log_id::<TypeConfig>(2, 1, 6)), true);
    let answers = [
        RaftAnswer::Append(AppendEntriesResponse::Success),
        RaftAnswer::Append(AppendEntriesResponse::Conflict),
        RaftAnswer::Vote(vote),
    ];
    answers.iter().map(encoded).collect()
}

fn proposed() -> Vec<Vec<u8>> {
    let answers = [
        Proposed::Done(applied(Ok(Some(NodeId(3))))),
        Proposed::Done(applied(Err(CommandRefusal::Initialised))),
        Proposed::NotLeader { leader: Some(NodeId(1)) },
    ];
    answers.iter().map(encoded).collect()
}

fn joined() -> Vec<Vec<u8>> {
    let accepted = JoinAccepted {
        cluster_id: "0123456789abcdef".to_owned(),
        id: NodeId(3),
        timing: TimingProfile::Lan,
        nodes: vec![sample::node()],
        authorities: vec![vec![0x30, 0]],
    };
    let refusal = JoinRefusal::NameTaken { name: sample::name("d1"), addr: sample::addr(11) };
    let answers: [<SignedJoin as Ask>::Answer; 2] = [Ok(accepted), Err(refusal)];
    answers.iter().map(encoded).collect()
}

fn replies() -> Vec<Vec<u8>> {
    let voters = Voters { voters: [NodeId(1), NodeId(2)].into(), directors: [(NodeId(1), sample::addr(11))].into() };
    let replies = [
        AnswerFrame::to::<WhoVotes>(&voters),
        AnswerFrame::to::<ParcelBody>(&()),
        AnswerFrame::Refused(HelloRefusal::SomebodyElse { theirs: NodeId(9) }),
        AnswerFrame::Failed("it went wrong".to_owned()),
    ];
    replies.iter().map(encoded).collect()
}

fn identity_file() -> Vec<u8> {
    let identity = NodeIdentity {
        cluster_id: "0123456789abcdef".to_owned(),
        node_id: NodeId(3),
        name: sample::name("d1"),
        timing: TimingProfile::Lan,
        bootstrap_peers: vec![BootstrapPeer { id: NodeId(1), name: sample::name("d1"), addr: sample::addr(11) }],
    };
    serde_json::to_vec_pretty(&identity).expect("an identity is plain data")
}
