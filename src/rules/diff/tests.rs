//! What a plan says: every property that can change, and nothing when nothing changes.

use super::*;
use crate::{
    model::{CheckKind, Protocol, Scheduler, StatusRange, Weight},
    rules::fixture::{host, http, name, server, server_of, service, some_rules, vip, web},
};
use proptest::prelude::*;
use std::time::Duration;

/// The plan that leads from [`web`] to what `edit` makes of it, as it is shown.
fn plan(edit: impl FnOnce(&mut RuleSet)) -> Vec<String> {
    let mut rules = web();
    edit(&mut rules);
    diff(&web(), &rules).iter().map(ToString::to_string).collect()
}

const CHECK: &str = "check tcp every 1s, timeout 500ms, fall 2, rise 2";

#[test]
fn everything_is_added_to_nothing_and_removed_from_it() {
    let lines = |old: &RuleSet, new: &RuleSet| diff(old, new).iter().map(ToString::to_string).collect::<Vec<_>>();
    let none = RuleSet::default();
    assert_eq!(
        lines(&none, &web()),
        [
            "+ vip front: 192.0.2.100 on eth0".to_owned(),
            format!("+ service http: tcp port 80 on vip front, wlc, dr, {CHECK}"),
            "+ server http/r1: 192.0.2.21:80 weight 1".to_owned(),
            "+ server http/r2: 192.0.2.22:80 weight 1".to_owned(),
        ]
    );
    assert_eq!(lines(&web(), &none), ["- vip front", "- service http", "- server http/r1", "- server http/r2"]);
    assert_eq!(lines(&none, &none), [""; 0]);
}

#[test]
fn a_server_comes_goes_and_changes_in_one_line_each() {
    let lines = plan(|rules| {
        service(rules).servers.insert(name("r3"), server(3));
        service(rules).servers.remove(&name("r2"));
        let r1 = server_of(rules, "r1");
        (r1.weight, r1.agentless) = (Weight(0), true);
    });
    assert_eq!(
        lines,
        [
            "- server http/r2",
            "~ server http/r1: 192.0.2.21:80 weight 1 -> 192.0.2.21:80 weight 0, agentless",
            "+ server http/r3: 192.0.2.23:80 weight 1",
        ]
    );
}

#[test]
fn a_check_that_goes_is_told() {
    let before = format!("tcp port 80 on vip front, wlc, dr, {CHECK}");
    assert_eq!(
        plan(|rules| service(rules).check = None),
        [format!("~ service http: {before} -> tcp port 80 on vip front, wlc, dr, no check")]
    );
}

#[test]
fn every_property_that_can_change_is_told_in_one_line() {
    type Edit = fn(&mut RuleSet);
    fn check(rules: &mut RuleSet) -> &mut crate::model::Check {
        service(rules).check.as_mut().unwrap()
    }
    fn front(rules: &mut RuleSet) -> &mut VipGroup {
        rules.vips.get_mut(&name("front")).unwrap()
    }
    let edits: [(&str, &[Edit]); 3] = [
        (
            "~ vip front: ",
            &[
                |rules| front(rules).interface = "eth1".to_owned(),
                |rules| front(rules).on_quorum_loss = OnQuorumLoss::Release,
                |rules| {
                    front(rules).addresses.insert(host(101));
                },
            ],
        ),
        (
            "~ service http: ",
            &[
                |rules| service(rules).vip = name("back"),
                |rules| service(rules).protocol = Protocol::Udp,
                |rules| service(rules).port = 81,
                |rules| service(rules).scheduler = Scheduler::Rr,
                |rules| check(rules).kind = http("/"),
                |rules| check(rules).port = Some(80),
                |rules| check(rules).interval = Duration::from_secs(2),
                |rules| check(rules).timeout = Duration::from_millis(501),
                |rules| check(rules).fall = 3,
                |rules| check(rules).rise = 3,
            ],
        ),
        (
            "~ server http/r1: ",
            &[
                |rules| server_of(rules, "r1").address = host(29),
                |rules| server_of(rules, "r1").port = 81,
                |rules| server_of(rules, "r1").weight = Weight(2),
                |rules| server_of(rules, "r1").agentless = true,
            ],
        ),
    ];
    for (head, edits) in edits {
        for (at, edit) in edits.iter().enumerate() {
            let lines = plan(edit);
            assert!(lines.len() == 1 && lines[0].starts_with(head), "edit {at} of `{head}` gives {lines:?}");
        }
    }
}

#[test]
fn two_checks_that_ask_differently_are_told_apart() {
    let asks = |path: &str, host: Option<&str>, ranges: &[(u16, u16)]| CheckKind::Http {
        path: path.to_owned(),
        host: host.map(str::to_owned),
        status: ranges.iter().map(|(first, last)| StatusRange { first: *first, last: *last }).collect(),
    };
    let runs = |script: &str, args: &[&str]| CheckKind::Script {
        script: name(script),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
    };
    let kinds = [
        runs("up", &[]),
        runs("down", &[]),
        runs("up", &[""]),
        runs("up", &["a b"]),
        runs("up", &["a", "b"]),
        runs("up", &["\"a b\""]),
        asks("/", None, &[(200, 299)]),
        asks("/up", None, &[(200, 299)]),
        asks("/", Some("www"), &[(200, 299)]),
        asks("/", None, &[(200, 200), (299, 299)]),
        asks("/", None, &[(200, 200)]),
    ];
    let rules = kinds.map(|kind| {
        let mut rules = web();
        service(&mut rules).check.as_mut().unwrap().kind = kind;
        rules
    });
    for (i, old) in rules.iter().enumerate() {
        for (j, new) in rules.iter().enumerate() {
            assert_eq!(diff(old, new).len(), usize::from(i != j), "{i} and {j}");
        }
    }
}

#[test]
fn vips_come_first_then_services_then_servers() {
    let lines = plan(|rules| {
        server_of(rules, "r1").weight = Weight(2);
        service(rules).port = 81;
        rules.vips.insert(name("back"), vip("back", 101));
    });
    let whats: Vec<&str> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(whats, ["+ vip back", "~ service http", "~ server http/r1"]);
}

/// The same line on the way back; an addition's details are not told when it is taken back.
fn mirrored(line: &Difference) -> (String, Option<(String, String)>, i8) {
    match line {
        Difference::Add { what, .. } => (what.clone(), None, -1),
        Difference::Remove { what } => (what.clone(), None, 1),
        Difference::Change { what, from, to } => (what.clone(), Some((to.clone(), from.clone())), 0),
    }
}

fn straight(line: &Difference) -> (String, Option<(String, String)>, i8) {
    let (what, change, sign) = mirrored(line);
    (what, change.map(|(to, from)| (from, to)), -sign)
}

proptest! {
    #[test]
    fn a_plan_is_empty_exactly_when_nothing_changes(old in some_rules(), new in some_rules()) {
        prop_assert_eq!(diff(&old, &new).is_empty(), old == new);
        prop_assert_eq!(diff(&old, &old), []);
    }

    #[test]
    fn the_way_back_is_the_mirror(old in some_rules(), new in some_rules()) {
        let sorted = |mut lines: Vec<_>| { lines.sort(); lines };
        let there = sorted(diff(&old, &new).iter().map(mirrored).collect());
        let back = sorted(diff(&new, &old).iter().map(straight).collect());
        prop_assert_eq!(there, back);
    }
}
