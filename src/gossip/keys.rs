//! How a node's word is written as gossip keys and values, and read again. Short texts, one line each; what is not understood is left out.
//!
//! | key | value |
//! |---|---|
//! | `facts` | JSON of [`Facts`] |
//! | `obs/SERVICE/SERVER` | `up\|suspect\|down\|unable QUESTION SINCE_UNIX_MS REASON` |
//! | `place/VIP` | `yes` or `no WHY` |
//! | `hold/VIP` | `held EPOCH SINCE_UNIX_MS`, `fallback SINCE_UNIX_MS`, `not-held` or `not-held WHY` |
//! | `fit/VIP` | `FITNESS WHY`, there when a director is less fit for the group than others may be |
//! | `net` | JSON of [`NodeNetwork`] |
//! | `rev` | the rules' revision |
//! | `informed` | there when a director knows of some server whether it takes traffic |
//! | `bye` | there when the node is stopping |
//! | `sig` | `COUNTER SIGNATURE`, see `word.rs`; the last to be written at each change |

use super::view::{Facts, NodeState, NodeView};
use crate::{
    model::{Fitness, Holding, LessFit, NodeNetwork, VipName},
    rules::Target,
    verdict::{Finding, Observation},
};
use std::collections::BTreeMap;

/// Longest value. chitchat sends a value in one datagram; one beyond 65 kB would block all later keys of its node.
pub const MAX_VALUE_BYTES: usize = 2048;
/// Most keys of one node that are read: a target each, and a few.
pub const MAX_KEYS: usize = 20_000;
/// Longest reason or obstacle, in characters.
pub const MAX_REASON_CHARS: usize = 160;

/// The key that says that its node is stopping and will be silent from now on.
pub const BYE: &str = "bye";
const INFORMED: &str = "informed";
/// The key of the signature over all others.
pub const SIGNATURE: &str = "sig";

/// A word as entries, and the keys whose values are too long to be published.
pub fn entries(word: &NodeState) -> (BTreeMap<String, String>, Vec<String>) {
    let facts = serde_json::to_string(&word.facts).expect("facts are strings, numbers and lists");
    let mut all = BTreeMap::from([("facts".to_owned(), facts), ("rev".to_owned(), word.revision.to_string())]);
    all.extend(word.informed.then(|| (INFORMED.to_owned(), String::new())));
    all.extend(word.observations.iter().map(|(target, seen)| (format!("obs/{target}"), observation_text(seen))));
    all.extend(word.in_place.iter().map(|(vip, state)| (format!("place/{vip}"), place_text(state))));
    let why = |vip| word.obstacles.get(vip).map(String::as_str);
    all.extend(word.holding.iter().map(|(vip, holding)| (format!("hold/{vip}"), hold_text(*holding, why(vip)))));
    all.extend(word.less_fit.iter().map(|(vip, less)| (format!("fit/{vip}"), fit_text(less))));
    all.extend(word.network.as_ref().map(|network| ("net".to_owned(), network_text(network))));
    let too_long: Vec<String> = all.iter().filter(|(_, v)| v.len() > MAX_VALUE_BYTES).map(|(key, _)| key.clone()).collect();
    all.retain(|_, value| value.len() <= MAX_VALUE_BYTES);
    (all, too_long)
}

/// What a node's entries say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// The word in them; `live` as the node itself knows it, so false only when it is stopping.
    pub view: NodeView,
    /// The first key that was not understood.
    pub junk: Option<String>,
}

/// Reads a node's entries.
pub fn read<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Heard {
    let mut heard = Heard { view: NodeView { live: true, ..NodeView::default() }, junk: None };
    for (key, value) in entries.take(MAX_KEYS) {
        let understood = value.len() <= MAX_VALUE_BYTES && read_entry(&mut heard.view, key, value).is_some();
        if !understood && heard.junk.is_none() {
            heard.junk = Some(key.chars().take(MAX_REASON_CHARS).collect());
        }
    }
    heard
}

fn read_entry(view: &mut NodeView, key: &str, value: &str) -> Option<()> {
    match key.split('/').collect::<Vec<_>>()[..] {
        ["facts"] => view.facts = Some(serde_json::from_str::<Facts>(value).ok()?),
        ["rev"] => view.revision = value.parse().ok()?,
        [BYE] => view.live = false,
        [INFORMED] => view.informed = true,
        // Checked before anything is read.
        [SIGNATURE] => {}
        ["obs", service, server] => {
            let target = Target { service: service.parse().ok()?, server: server.parse().ok()? };
            view.observations.insert(target, read_observation(value)?);
        }
        ["place", vip] => {
            view.in_place.insert(vip.parse::<VipName>().ok()?, read_place(value)?);
        }
        ["hold", vip] => {
            let (vip, (holding, why)) = (vip.parse::<VipName>().ok()?, read_hold(value)?);
            view.obstacles.extend(why.map(|why| (vip.clone(), why)));
            view.holding.insert(vip, holding);
        }
        ["fit", vip] => {
            view.less_fit.insert(vip.parse::<VipName>().ok()?, read_fit(value)?);
        }
        ["net"] => {
            view.network = Some(serde_json::from_str::<NodeNetwork>(value).ok().filter(NodeNetwork::may_be_told)?);
        }
        // A key of a later version.
        _ => return None,
    }
    Some(())
}

/// One line that a terminal can be shown, of bounded length.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON_CHARS).collect()
}

fn observation_text(observation: &Observation) -> String {
    let Observation { seen, reason, since_unix_ms, fingerprint } = observation;
    let seen = match seen {
        Finding::Up => "up",
        Finding::Suspect => "suspect",
        Finding::Down => "down",
        Finding::Unable => "unable",
    };
    format!("{seen} {fingerprint:08x} {since_unix_ms} {}", one_line(reason))
}

fn read_observation(text: &str) -> Option<Observation> {
    let mut words = text.splitn(4, ' ');
    let seen = match words.next()? {
        "up" => Finding::Up,
        "suspect" => Finding::Suspect,
        "down" => Finding::Down,
        "unable" => Finding::Unable,
        _ => return None,
    };
    let fingerprint = u32::from_str_radix(words.next()?, 16).ok()?;
    let since_unix_ms = words.next()?.parse().ok()?;
    Some(Observation { seen, reason: one_line(words.next()?), since_unix_ms, fingerprint })
}

fn place_text(state: &Result<(), String>) -> String {
    match state {
        Ok(()) => "yes".to_owned(),
        Err(why) => format!("no {}", one_line(why)),
    }
}

fn read_place(text: &str) -> Option<Result<(), String>> {
    match text.split_once(' ') {
        None if text == "yes" => Some(Ok(())),
        Some(("no", why)) => Some(Err(one_line(why))),
        None | Some(_) => None,
    }
}

fn hold_text(holding: Holding, why: Option<&str>) -> String {
    match (holding, why) {
        (Holding::Held { epoch, since_unix_ms }, _) => format!("held {epoch} {since_unix_ms}"),
        (Holding::Fallback { since_unix_ms }, _) => format!("fallback {since_unix_ms}"),
        (Holding::NotHeld, None) => "not-held".to_owned(),
        (Holding::NotHeld, Some(why)) => format!("not-held {}", one_line(why)),
    }
}

fn read_hold(text: &str) -> Option<(Holding, Option<String>)> {
    match text.split_once(' ') {
        None if text == "not-held" => Some((Holding::NotHeld, None)),
        Some(("not-held", why)) => Some((Holding::NotHeld, Some(one_line(why)))),
        Some(("fallback", since)) => Some((Holding::Fallback { since_unix_ms: since.parse().ok()? }, None)),
        Some(("held", rest)) => {
            let (epoch, since) = rest.split_once(' ')?;
            Some((Holding::Held { epoch: epoch.parse().ok()?, since_unix_ms: since.parse().ok()? }, None))
        }
        None | Some(_) => None,
    }
}

fn fit_text(LessFit { fitness, why }: &LessFit) -> String {
    format!("{fitness} {}", one_line(why))
}

fn read_fit(text: &str) -> Option<LessFit> {
    let (fitness, why) = text.split_once(' ')?;
    let fitness = Fitness(fitness.parse().ok()?);
    (fitness < Fitness::WELL).then(|| LessFit { fitness, why: one_line(why) })
}

fn network_text(network: &NodeNetwork) -> String {
    serde_json::to_string(network).expect("a network is strings, addresses and a flag")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Role, Roles};
    use proptest::prelude::*;

    fn facts() -> Facts {
        Facts {
            roles: Roles::new([Role::Director, Role::RealServer]).unwrap(),
            addr: "192.0.2.1:7400".parse().unwrap(),
            version: "0.1.0".to_owned(),
            holds: crate::gossip::KeyInventory::default(),
            withdrawn: false,
            kernel: vec!["ip_vs 1.2.1".to_owned()],
        }
    }

    prop_compose! {
        fn some_word()(
            observations in prop::collection::btree_map(
                ("[a-z][a-z0-9.-]{0,5}", "[a-z][a-z0-9.-]{0,5}"),
                (0..4, "[ -~é]{0,60}", any::<u64>(), any::<u32>()),
                0..6,
            ),
            places in prop::collection::btree_map("[a-z]{1,4}", prop::option::of("[ -~]{0,40}"), 0..4),
            held in prop::collection::btree_map("[a-z]{1,4}", prop::option::of((0..4_u64, any::<u64>())), 0..4),
            why in prop::option::of("[ -~é]{0,40}"),
            less_fit in prop::collection::btree_map("[a-z]{1,4}", (0..1000_u16, "[ -~é]{0,40}"), 0..3),
            interfaces in prop::option::of(prop::collection::btree_set("[!-.0-9;-~]{1,15}", 0..20)),
            revision: u64,
            informed: bool,
        ) -> NodeState {
            let seen = [Finding::Up, Finding::Suspect, Finding::Down, Finding::Unable];
            let target = |(service, server): (String, String)| Target { service: service.parse().unwrap(), server: server.parse().unwrap() };
            let holding = |held| match held {
                Some((0, since_unix_ms)) => Holding::Fallback { since_unix_ms },
                Some((epoch, since_unix_ms)) => Holding::Held { epoch, since_unix_ms },
                None => Holding::NotHeld,
            };
            let obstacle = |(vip, held): (&String, &Option<_>)| Some((vip.parse().unwrap(), why.clone().filter(|_| held.is_none())?));
            let obstacles = held.iter().filter_map(obstacle).collect();
            let less = |(fitness, why)| LessFit { fitness: Fitness(fitness), why };
            NodeState {
                obstacles,
                less_fit: less_fit.into_iter().map(|(vip, of)| (vip.parse().unwrap(), less(of))).collect(),
                network: interfaces.map(|interfaces| NodeNetwork { interfaces, ..NodeNetwork::default() }),
                facts: facts(),
                observations: observations.into_iter().map(|(on, (i, reason, since_unix_ms, fingerprint))| {
                    (target(on), Observation { seen: seen[i as usize], reason, since_unix_ms, fingerprint })
                }).collect(),
                in_place: places.into_iter().map(|(vip, why)| (vip.parse().unwrap(), why.map_or(Ok(()), Err))).collect(),
                holding: held.into_iter().map(|(vip, held)| (vip.parse().unwrap(), holding(held))).collect(),
                revision,
                informed,
            }
        }
    }

    fn read_all(entries: &BTreeMap<String, String>) -> Heard {
        read(entries.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }

    proptest! {
        #[test]
        fn a_word_is_heard_as_it_was_said(word in some_word()) {
            let (entries, too_long) = entries(&word);
            prop_assert!(too_long.is_empty());
            let NodeState { facts, observations, in_place, holding, obstacles, less_fit, network, revision, informed } = word;
            let view = NodeView { live: true, facts: Some(facts), observations, in_place, holding, obstacles, less_fit, network, revision, informed };
            prop_assert_eq!(read_all(&entries), Heard { view, junk: None });
        }

        #[test]
        fn junk_is_left_out_and_named(key in "[a-z/]{0,12}|obs/[a-z]/[a-z]|place/[a-z]|hold/[a-z]|fit/[a-z]|rev|net|facts", value in "\\PC{0,40}") {
            let heard = read([(key.as_str(), value.as_str()), ("rev", "7")].into_iter());
            prop_assert_eq!(heard.view.revision, 7);
            prop_assert!(heard.junk.is_none_or(|junk| junk == key));
        }
    }

    #[test]
    fn each_kind_of_junk_is_refused() {
        let long = format!("up 0 0 {}", "x".repeat(MAX_VALUE_BYTES));
        for (key, value) in [
            ("obs/web", "up 0 0 ok"),
            ("obs/web/r1/x", "up 0 0 ok"),
            ("obs/WEB/r1", "up 0 0 ok"),
            ("obs/web/r1", "fine 0 0 ok"),
            ("obs/web/r1", "up 0 -1 ok"),
            ("obs/web/r1", "up 0 0"),
            ("obs/web/r1", &long),
            ("place/front", "maybe"),
            ("hold/front", "held 1"),
            ("hold/front", "not-heldno"),
            ("fit/front", "333"),
            ("fit/front", "1000 well"),
            ("fit/front", "70000 well"),
            ("net", "{}"),
            ("net", "{\"interfaces\":[\"eth0\\n\"],\"addresses\":[]}"),
            ("rev", "-1"),
            ("facts", "{}"),
            ("news", "1"),
        ] {
            let heard = read([(key, value)].into_iter());
            assert_eq!(heard.junk.as_deref(), Some(key), "{value:.40}");
            assert_eq!(heard.view, NodeView { live: true, ..NodeView::default() });
        }
    }

    #[test]
    fn a_value_beyond_the_bound_is_not_published() {
        let mut word = NodeState {
            facts: facts(),
            observations: BTreeMap::new(),
            in_place: BTreeMap::new(),
            holding: BTreeMap::new(),
            obstacles: BTreeMap::new(),
            less_fit: BTreeMap::new(),
            network: None,
            revision: 3,
            informed: false,
        };
        word.facts.kernel = vec!["x".repeat(MAX_VALUE_BYTES)];
        let (entries, too_long) = entries(&word);
        assert_eq!(too_long, ["facts"]);
        assert_eq!(read_all(&entries).view.revision, 3);
    }

    #[test]
    fn a_reason_is_one_short_line_whatever_a_server_says() {
        let reason = format!("status \u{1b}[2J\n{}", "x".repeat(3000));
        let text = observation_text(&Observation { seen: Finding::Down, reason, since_unix_ms: 5, fingerprint: 6 });
        let read = read_observation(&text).unwrap();
        assert!(read.reason.starts_with("status  [2J xxx") && read.reason.chars().count() == MAX_REASON_CHARS);
    }

    #[test]
    fn a_node_that_says_goodbye_is_not_live() {
        assert!(!read([(BYE, "")].into_iter()).view.live);
    }
}
