//! Lease messages, and what guard, worker and script runner say to each other.

use super::{Target, coded, encoded, sample};
use crate::{
    guard::clock_rates::ClockStamp,
    guard::protocol::{GroupOrder, MAX_FRAME_BYTES, Pkcs8, ToGuard, ToWorker},
    health::script::{MAX_REPORT_BYTES, MAX_RUN_BYTES, RunId, ScriptEnd, ScriptReport, ScriptRun, ScriptSubject},
    kernel::fence::Packets,
    model::{Fitness, Holding, NodeId, TimingProfile, VipGroup},
    vip::{LeaseMessage, RefusalReason, message::Standing},
};
use std::{sync::Arc, time::Duration};

/// As `guard::io::socket` takes them.
const MAX_MESSAGE_BYTES: usize = 8 << 10;

pub fn targets() -> Vec<Target> {
    vec![
        Target::new("vip-message", messages(), MAX_MESSAGE_BYTES, |bytes| {
            coded::<(ClockStamp, Vec<LeaseMessage>)>(bytes, MAX_MESSAGE_BYTES)
        }),
        Target::new("guard-to-guard-frame", to_guard(), MAX_FRAME_BYTES, |bytes| coded::<ToGuard>(bytes, MAX_FRAME_BYTES)),
        Target::new("guard-to-worker-frame", to_worker(), MAX_FRAME_BYTES, |bytes| coded::<ToWorker>(bytes, MAX_FRAME_BYTES)),
        Target::new("health-script-order", vec![order()], MAX_RUN_BYTES, |bytes| coded::<ScriptRun>(bytes, MAX_RUN_BYTES)),
        Target::new("health-script-report", reports(), MAX_REPORT_BYTES, |bytes| coded::<ScriptReport>(bytes, MAX_REPORT_BYTES)),
    ]
}

fn order() -> Vec<u8> {
    let address = sample::addr(21);
    let (timeout, args) = (Duration::from_millis(500), vec!["--user".to_owned(), "monitor".to_owned()]);
    let id = RunId { life: 1 << 60, number: 7 };
    let (script, service, server) = (sample::name("check-mysql"), sample::name("sql"), sample::name("r1"));
    encoded(&ScriptRun { id, script, args, timeout, subject: ScriptSubject::Server { address, service, server } })
}

fn reports() -> Vec<Vec<u8>> {
    let why = || "why".to_owned();
    let endings =
        [ScriptEnd::Exited(2), ScriptEnd::Killed(9), ScriptEnd::TimedOut, ScriptEnd::NotNow(why()), ScriptEnd::Unable(why())];
    let report = |ended| encoded(&ScriptReport { id: RunId { life: 1 << 60, number: 7 }, ended, line: why() });
    endings.map(report).to_vec()
}

fn messages() -> Vec<Vec<u8>> {
    let group = || sample::name("web");
    let second = Duration::from_secs(1);
    let reasons = [
        RefusalReason::Held { by: NodeId(2), remaining: second },
        RefusalReason::Quiet { remaining: second },
        RefusalReason::NewerMembership(sample::membership()),
        RefusalReason::NotCandidate,
        RefusalReason::OldRound { last: 1 << 40 },
        RefusalReason::TtlTooLong { max: second },
    ];
    let mut messages = vec![
        LeaseMessage::Ask {
            group: group(),
            round: 1 << 40,
            life: 9,
            membership: sample::membership().id,
            ttl: second,
            addresses: Arc::new([[192, 0, 2, 1].into(), [192, 0, 2, 2].into()].into()),
            dry: true,
            epoch: 3,
        },
        LeaseMessage::Grant { group: group(), round: 7, life: 9, lacking: [[192, 0, 2, 2].into()].into(), epoch: 3 },
        LeaseMessage::Release { group: group(), round: 7, life: 9 },
        LeaseMessage::HandOver { group: group(), first: Some(NodeId(2)) },
        LeaseMessage::Seek { group: group(), fitness: Fitness(1) },
        LeaseMessage::Offer { group: group(), fitness: Fitness::WELL },
        LeaseMessage::Advert { group: group(), standing: Standing::FallsBack, fitness: Fitness(1) },
    ];
    messages.extend(reasons.map(|why| LeaseMessage::Refuse { group: group(), round: 7, life: 9, why, epoch: 3 }));
    let stamp = ClockStamp { read_ns: 1 << 50, heard_ns: 1 << 40, heard_at_ns: 1 << 49 };
    let alone = messages.iter().map(|message| encoded(&(stamp, vec![message])));
    alone.chain([encoded(&(ClockStamp::default(), &messages))]).collect()
}

fn to_guard() -> Vec<Vec<u8>> {
    let group: VipGroup = sample::rules().vips.into_values().next().expect("the sample has a group");
    let node = sample::node();
    let said = [
        ToGuard::Hello {
            id: NodeId(3),
            cluster_id: "0123456789abcdef".to_owned(),
            timing: TimingProfile::Lan,
            node_key: Pkcs8(vec![1, 2, 3].into()),
        },
        ToGuard::PeerKeys { keyring: sample::keyring(), members: [(node.id, (node.guard_addr(), node.key))].into() },
        ToGuard::Membership(sample::membership()),
        ToGuard::Groups(vec![GroupOrder { group, candidates: vec![NodeId(1), NodeId(2)], packets: Packets::Linger }]),
        ToGuard::Ready(true),
        ToGuard::Fitness([(sample::name("web"), Fitness(333))].into()),
        ToGuard::Beat,
        ToGuard::Leave,
        ToGuard::Withdraw,
    ];
    said.iter().map(encoded).collect()
}

fn to_worker() -> Vec<Vec<u8>> {
    let held = [(sample::name("web"), Holding::Held { epoch: 3, since_unix_ms: 1 << 40 })];
    let said = [
        ToWorker::MembershipKnown(sample::membership().id),
        ToWorker::Ownership(
            held.into(),
            [(sample::name("db"), "no such device".to_owned())].into(),
            Some("no nftables".to_owned()),
        ),
        ToWorker::Released,
        ToWorker::Stop,
        ToWorker::Reload,
    ];
    said.iter().map(encoded).collect()
}
