//! What a person reads who could not join.

use super::*;
use crate::{
    model::TimingProfile,
    rules::{SecurityRefusal, fixture::name},
};

#[test]
fn every_refusal_says_what_to_do_next() {
    let (addr, id) = ("192.0.2.7:7400".parse().unwrap(), NodeId(3));
    let token = TokenId([1; 8]);
    let text = || "words".to_owned();
    let refusals = [
        JoinRefusal::Timing { cluster: TimingProfile::Lan, asked: TimingProfile::Wan },
        JoinRefusal::NameTaken { name: name("r1"), addr },
        JoinRefusal::OtherCluster { theirs: text(), ours: text() },
        JoinRefusal::Forgotten { id },
        JoinRefusal::OtherKey { id },
        JoinRefusal::KeyTaken { name: name("r1"), addr },
        JoinRefusal::Roles { name: name("r1"), has: text(), asked: text() },
        JoinRefusal::NoToken { roles: text() },
        JoinRefusal::ForgedToken(token),
        JoinRefusal::Forged,
        JoinRefusal::OtherAuthority,
        JoinRefusal::Clock { s: 7 },
        JoinRefusal::NoCertificate,
        JoinRefusal::Certificate { has: text(), asked: text() },
        JoinRefusal::AskLeader(addr),
        JoinRefusal::Address(addr),
        JoinRefusal::Unreadable(text()),
        JoinRefusal::TooOften { wait_s: 3 },
        JoinRefusal::NoQuorum(text()),
        JoinRefusal::Refused(CommandRefusal::AddressTaken { addr: text(), owner: name("r1") }),
        JoinRefusal::Refused(CommandRefusal::VipIsNode { address: addr.ip(), node: name("r1") }),
        JoinRefusal::Refused(CommandRefusal::Barred(name("r1"))),
        JoinRefusal::Refused(CommandRefusal::OnlyDirector(name("d1"))),
        JoinRefusal::Refused(CommandRefusal::Replaces { name: name("d1"), has: text() }),
        JoinRefusal::Refused(SecurityRefusal::NoSuchToken(token).into()),
        JoinRefusal::Refused(SecurityRefusal::TokenExpired(token).into()),
        JoinRefusal::Refused(SecurityRefusal::TokenRoles { id: token, allowed: text(), asked: text() }.into()),
    ];
    for refusal in refusals {
        let words = refusal.to_string();
        let verbs = ["run", "set", "make", "give", "stop", "wait", "copy", "install", "remove", "have"];
        let next = words.split_once([':', ';']).map_or("", |(_, next)| next);
        assert!(next.split([' ', ',']).any(|word| verbs.contains(&word)), "{refusal:?} says: {words}");
    }
}
