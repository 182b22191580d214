//! When a node can be spared, what may be mixed, and when a node is back.

use super::*;
use crate::api::{
    Formats,
    status::{MissingVip, sample},
};

/// d1 (which answers and holds the VIP), d2, r1, r2, r3; all heard, with the rules; d2 could take the VIP.
fn well() -> Status {
    let mut status = sample::status();
    for node in &mut status.nodes {
        (node.reachable, node.revision) = (true, 7);
    }
    status.vips[0].missing.clear();
    status
}

fn of<'a>(status: &'a mut Status, name: &str) -> &'a mut NodeStatus {
    status.nodes.iter_mut().find(|node| node.name.as_str() == name).unwrap()
}

fn waits(status: &Status, watched: Duration) -> Vec<String> {
    match spared(status, watched) {
        Spared::NotYet(waits) => waits,
        Spared::Yes => Vec::new(),
        Spared::Never(why) => panic!("never: {why}"),
    }
}

#[test]
fn a_node_is_spared_while_all_is_well_and_outside_of_a_cluster() {
    assert_eq!(spared(&well(), Duration::ZERO), Spared::Yes);
    assert_eq!(spared(&Status::outside("d9".parse().unwrap()), Duration::ZERO), Spared::Yes);
}

#[test]
fn a_majority_of_all_voters_must_be_heard_without_it_however_long_that_takes() {
    let mut status = well();
    of(&mut status, "r1").reachable = false;
    assert_eq!(waits(&status, SETTLES), [""; 0], "three of five are");
    of(&mut status, "r3").reachable = false;
    assert_eq!(waits(&status, SETTLES), ["a majority of the voters without d1: r1, r3 is not heard"]);
    // One that does not vote takes no vote with it.
    status.cluster.as_mut().unwrap().voters = ["d2", "r1", "r2"].map(|name| name.parse().unwrap()).to_vec();
    assert_eq!(waits(&status, SETTLES), [""; 0]);
}

#[test]
fn the_only_voter_cannot_be_spared_unless_it_is_alone() {
    let mut status = well();
    status.cluster.as_mut().unwrap().voters = vec!["d1".parse().unwrap()];
    assert!(matches!(spared(&status, SETTLES), Spared::Never(why) if why.contains("only voter")));
    status.vips.clear();
    status.nodes.truncate(1);
    assert_eq!(spared(&status, Duration::ZERO), Spared::Yes);
}

#[test]
fn a_holder_waits_for_another_director_and_is_never_spared_where_there_is_none() {
    let mut status = well();
    status.vips[0].could_hold = Some(Vec::new());
    let waited = waits(&status, SETTLES);
    assert_eq!(waited, ["another director that can take VIP group web: d2 is not ready"]);
    of(&mut status, "d2").withdrawn = true;
    assert_eq!(waits(&status, SETTLES), ["another director that can take VIP group web: d2 is withdrawn"]);
    of(&mut status, "d2").reachable = false;
    assert_eq!(waits(&status, SETTLES), ["another director that can take VIP group web: d2 is not heard"]);
    // What holds nothing has nothing to give away.
    status.vips[0].holder = None;
    assert_eq!(waits(&status, SETTLES), [""; 0]);
    let mut alone = well();
    alone.nodes.retain(|node| node.name.as_str() != "d2");
    let voters = ["d1", "r1", "r2"].map(|name| name.parse().unwrap());
    alone.cluster.as_mut().unwrap().voters = voters.to_vec();
    assert!(matches!(spared(&alone, SETTLES), Spared::Never(why) if why.contains("no other node is a director")));
}

#[test]
fn an_older_agent_that_does_not_tell_who_could_hold_is_asked_who_is_heard() {
    let mut status = well();
    status.vips[0].could_hold = None;
    assert_eq!(waits(&status, Duration::ZERO), [""; 0]);
    of(&mut status, "d2").reachable = false;
    assert_eq!(waits(&status, SETTLES).len(), 1);
}

#[test]
fn nodes_that_may_be_restarting_are_waited_for_but_not_for_ever() {
    let mut status = well();
    of(&mut status, "r2").reachable = false;
    of(&mut status, "r3").revision = 0;
    let said = ["r2, which is not heard", "r3, which does not have the rules yet"];
    assert_eq!(waits(&status, Duration::ZERO), said);
    assert_eq!(waits(&status, SETTLES), [""; 0]);
    let mut status = well();
    status.vips[0].holder = Some("d3".parse().unwrap());
    status.vips[0].could_hold = Some(vec!["d1".parse().unwrap()]);
    assert_eq!(waits(&status, Duration::ZERO), ["d2, which cannot take VIP group web now"]);
    of(&mut status, "d2").withdrawn = true;
    assert_eq!(waits(&status, Duration::ZERO), [""; 0], "that one was taken out on purpose");
}

#[test]
fn versions_that_do_not_understand_each_other_are_refused_before_anything_stops() {
    let (this, status) = (Version::this(), well());
    assert_eq!(may_mix(&this, &this, &status), Ok(()));
    let formats = Formats::this();
    let other = |formats| Version { version: "0.0.9".to_owned(), formats, pid: Some(7) };
    let apart = other(Some(Formats { peers: formats.peers + 1, ..formats.clone() }));
    let why = may_mix(&this, &apart, &status).unwrap_err();
    for words in [VERSION, "0.0.9", "connections between nodes", "Stop the agents of all nodes", "--force"] {
        assert!(why.contains(words), "{words} is not in {why}");
    }
    assert!(may_mix(&this, &other(None), &status).unwrap_err().contains("does not tell which formats"));
    let mut alone = well();
    alone.nodes.truncate(1);
    assert_eq!(may_mix(&this, &apart, &alone), Ok(()), "there is nobody to misunderstand");
    // The channel between guard and worker is a matter of one node.
    let channel = other(Some(Formats { guard_channel: formats.guard_channel + 1, ..formats }));
    assert_eq!(may_mix(&this, &channel, &status), Ok(()));
    assert!(worker_first(&this, &channel).is_err() && worker_first(&this, &other(None)).is_err());
    assert_eq!(worker_first(&this, &this), Ok(()));
}

#[test]
fn a_node_is_back_when_it_has_what_it_had() {
    let before = well();
    assert_eq!(not_back(&before, &before, Duration::ZERO), None);
    let lacks = |change: &dyn Fn(&mut Status)| {
        let mut now = well();
        change(&mut now);
        not_back(&before, &now, Duration::ZERO).unwrap_or_default()
    };
    assert!(lacks(&|now| *now = Status::outside("d1".parse().unwrap())).contains("has not started"));
    assert!(lacks(&|now| now.nodes.clear()).contains("list of members"));
    assert!(lacks(&|now| now.cluster.as_mut().unwrap().quorum = false).contains("no quorum"));
    assert!(lacks(&|now| of(now, "d1").revision = 0).contains("revision 0 of the rules, not yet 7"));
    assert!(lacks(&|now| now.vips[0].holder = None).contains("not ready to take VIP group web"));
    let given_away = |now: &mut Status| {
        now.vips[0].holder = Some("d2".parse().unwrap());
        now.vips[0].could_hold = Some(vec!["d1".parse().unwrap()]);
    };
    assert_eq!(lacks(&given_away), "", "another holds it, and this one could");
    let missing = || MissingVip { node: "d1".parse().unwrap(), why: "not yet".to_owned() };
    assert!(lacks(&|now| now.vips[0].missing.push(missing())).contains("not in place on it: not yet"));
    assert_eq!(lacks(&|now| of(now, "r2").reachable = false), "it does not hear r2 yet");
    let mut gone = well();
    of(&mut gone, "r2").reachable = false;
    assert_eq!(not_back(&before, &gone, SETTLES), None, "r2 went meanwhile");
    // What it lacked before does not keep it from being back.
    let mut poor = well();
    poor.vips[0].missing.push(missing());
    poor.vips[0].holder = None;
    of(&mut poor, "d1").revision = 0;
    poor.cluster.as_mut().unwrap().quorum = false;
    assert_eq!(not_back(&poor, &poor, Duration::ZERO), None);
    assert_eq!(not_back(&Status::outside("d1".parse().unwrap()), &well(), Duration::ZERO), None, "it was no member");
}
