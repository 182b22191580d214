//! Explains why a node votes or does not, for `status`. Pure.

use super::{
    next_change::{DEAD_AFTER, MembershipInput, precedence, record, wanted_move},
    selection::{Move, Precedence, most_voters},
};
use crate::model::{NodeId, NodeName, NodeRecord, Role};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The texts of `status` that explain why each member votes or does not. The voters to aim at are worked out once for all of them.
pub fn reasons(input: &MembershipInput) -> BTreeMap<NodeName, String> {
    let voters: BTreeSet<NodeId> = input.members.voters.iter().flatten().copied().collect();
    let plan = wanted_move(input, &voters, true).unwrap_or_default();
    let why = |node: &NodeRecord| {
        if voters.contains(&node.id) { votes(input, &voters, node, &plan) } else { does_not_vote(input, &voters, node, &plan) }
    };
    input.nodes.values().map(|node| (node.name.clone(), why(node))).collect()
}

fn votes(input: &MembershipInput, voters: &BTreeSet<NodeId>, node: &NodeRecord, plan: &Move) -> String {
    let Some(silent) = silent_for(input, node) else {
        return format!("votes: {}", why_it_votes(input, voters, node, plan));
    };
    let text = format!("votes: not heard for {}", words(silent));
    match (silent < DEAD_AFTER, plan.out.contains(&node.id)) {
        (true, _) => {
            let left = words(DEAD_AFTER.saturating_sub(silent));
            match fate_when_dead(input, voters, node) {
                SilentVoter::Replaced => format!("{text}, will be replaced in {left}"),
                SilentVoter::Dropped => format!("{text}, will vote no more in {left}"),
                SilentVoter::Stays => text,
            }
        }
        (false, true) if plan.into.is_empty() => format!("{text}, stops voting now"),
        (false, true) => format!("{text}, is being replaced"),
        (false, false) => format!("{text}, and nobody can take its place"),
    }
}

/// What happens to a silent voter.
enum SilentVoter {
    Replaced,
    Dropped,
    Stays,
}

/// If it stays silent until it counts as dead, and nothing else happens.
fn fate_when_dead(input: &MembershipInput, voters: &BTreeSet<NodeId>, node: &NodeRecord) -> SilentVoter {
    let mut silent_for: BTreeMap<NodeName, Duration> = input.silent_for.clone();
    silent_for.insert(node.name.clone(), DEAD_AFTER);
    let then = wanted_move(&MembershipInput { silent_for: &silent_for, ..*input }, voters, true);
    match then.filter(|plan| plan.out.contains(&node.id)) {
        None => SilentVoter::Stays,
        Some(plan) if plan.into.is_empty() => SilentVoter::Dropped,
        Some(_) => SilentVoter::Replaced,
    }
}

fn why_it_votes(input: &MembershipInput, voters: &BTreeSet<NodeId>, node: &NodeRecord, plan: &Move) -> String {
    let role = role(node);
    if plan.out.contains(&node.id) {
        return match plan.into.first().and_then(|id| record(input, *id)) {
            Some(next) => format!("{role}, until {} takes its place", next.name),
            None => format!("{role}, soon no more: fewer voters are better now"),
        };
    }
    if node.roles.has(Role::Director) {
        return role.to_owned();
    }
    let alone_in_zone = node.zone.as_ref().filter(|_| {
        let others = voters.iter().filter(|id| **id != node.id).filter_map(|id| record(input, *id));
        !others.into_iter().any(|other| other.zone == node.zone)
    });
    let idle = |other: &NodeRecord| precedence(other) > precedence(node) && !voters.contains(&other.id);
    match (alone_in_zone, input.nodes.values().any(idle)) {
        (Some(zone), _) => format!("{role}, zone {zone} has no other voter"),
        (None, false) => format!("{role}, there are not enough directors"),
        (None, true) => role.to_owned(),
    }
}

fn does_not_vote(input: &MembershipInput, voters: &BTreeSet<NodeId>, node: &NodeRecord, plan: &Move) -> String {
    let why = if let Some(silent) = silent_for(input, node) {
        format!("not heard for {}", words(silent))
    } else if !input.members.addresses.contains_key(&node.id) || !input.caught_up.contains(&node.id) {
        "its log is not up to date yet".to_owned()
    } else if plan.into.contains(&node.id) {
        return "does not vote yet: it will in a moment".to_owned();
    } else {
        enough_others(input, voters, node)
    };
    format!("does not vote: {why}")
}

fn enough_others(input: &MembershipInput, voters: &BTreeSet<NodeId>, node: &NodeRecord) -> String {
    let others = match voters.len() {
        1 => "one other does".to_owned(),
        2 => "two others do".to_owned(),
        3 => "three others do".to_owned(),
        4 => "four others do".to_owned(),
        5 => "five others do".to_owned(),
        more => format!("{more} others do"),
    };
    let full = voters.len() >= most_voters(input.nodes.len());
    match (full, input.lately_back.contains(&node.name)) {
        (false, true) => format!("{others}, and it is back only lately"),
        (true, _) if voters.len() + 1 == input.nodes.len() => format!("{others}, and one more would survive no more failures"),
        (true, _) | (false, false) => others,
    }
}

fn silent_for(input: &MembershipInput, node: &NodeRecord) -> Option<Duration> {
    input.silent_for.get(&node.name).copied().filter(|_| node.id != input.me)
}

fn role(node: &NodeRecord) -> &'static str {
    match precedence(node) {
        Precedence::Director => "director",
        Precedence::RealServer => "real server",
        Precedence::Witness => "witness",
    }
}

fn words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
