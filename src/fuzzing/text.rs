//! What people and nodes write as text: configuration, the admin API's bodies, gossiped words, tokens, names and keys.

use super::{Outcome, Target, refused, sample};
use crate::{
    api::{self, MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, Status},
    config::{AgentConfig, Problems, cluster, cluster::MAX_FILE_BYTES, export},
    gossip::{
        Facts, KeyInventory, NodeState, NodeView,
        keys::{self, MAX_VALUE_BYTES},
        node_state::{self, Origin},
    },
    link::{node_key::NodeKey, token::JoinToken},
    model::{Access, Fingerprint, Fitness, Holding, KeyId, LessFit, NodeId, NodeName, NodeNetwork, PublicKey},
    verdict::{Finding, Observation},
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

pub fn targets() -> Vec<Target> {
    let mut targets = bodies();
    let mut cluster_file = Target::new("config-cluster-file", vec![sample::CLUSTER_FILE.into()], MAX_FILE_BYTES, cluster_file);
    // Every problem of a file is told, with its line.
    cluster_file.memory = (2000, 4 << 20);
    let mut agent_file = Target::new("config-agent-file", vec![sample::AGENT_FILE.into()], 1 << 20, |bytes| {
        text(bytes, |text| problems(AgentConfig::parse("agent.toml", text, "d1").map(drop)))
    });
    agent_file.memory = (2000, 4 << 20);
    targets.extend([
        cluster_file,
        agent_file,
        Target::new("gossip-word", vec![word()], 1 << 20, read_word),
        signature(),
        Target::new("link-token", vec![JoinToken::make(Fingerprint([9; 32])).text().as_bytes().to_vec()], 1 << 10, |bytes| {
            text(bytes, |text| parsed(text, |token: &JoinToken| token.text().to_string()))
        }),
        Target::new("model-name", vec![b"edge-1".to_vec()], 1 << 10, |bytes| {
            text(bytes, |text| parsed(text, NodeName::to_string))
        }),
        Target::new("model-key", vec!["0123456789abcdef".repeat(4).into_bytes()], 1 << 10, |bytes| {
            text(bytes, |text| parsed(text, |key: &PublicKey| String::from(*key)))
        }),
    ]);
    targets
}

fn text(bytes: &[u8], parse: impl FnOnce(&str) -> Outcome) -> Outcome {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(_) => refused("no text"),
    }
}

/// What was parsed can be written, and is the same when it is parsed again.
fn parsed<T: std::str::FromStr<Err: std::error::Error + 'static>>(text: &str, write: impl Fn(&T) -> String) -> Outcome {
    match text.parse::<T>() {
        Err(error) => Err::<(), _>(error).into(),
        Ok(value) => {
            let written = write(&value);
            let again = written.parse::<T>();
            assert_eq!(again.ok().map(|value| write(&value)), Some(written), "it reads as something else");
            Outcome::Taken
        }
    }
}

fn problems(result: Result<(), Problems>) -> Outcome {
    match result {
        Ok(()) => Outcome::Taken,
        Err(problems) => refused(problems.lines().first().map_or("", String::as_str)),
    }
}

/// A file that is right is the same after it was exported and read again.
fn cluster_file(bytes: &[u8]) -> Outcome {
    text(bytes, |text| match cluster::parse("cluster.toml", text) {
        Err(found) => problems(Err(found)),
        Ok(rules) => {
            let written = export::to_toml(&rules);
            let again = cluster::parse("export", &written);
            assert_eq!(again.map_err(|problems| problems.lines()), Ok(rules), "{written}");
            Outcome::Taken
        }
    })
}

fn json<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Outcome {
    let value: T = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => return Err::<(), _>(error).into(),
    };
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&again).expect("it was written before"), written, "it reads as another value");
    Outcome::Taken
}

fn body<T: Serialize + DeserializeOwned + 'static>(name: &'static str, seeds: &[T]) -> Target {
    let seeds = seeds.iter().map(|seed| serde_json::to_vec(seed).expect("bodies are plain data")).collect();
    Target::new(name, seeds, MAX_REQUEST_BYTES, json::<T>)
}

fn bodies() -> Vec<Target> {
    let (file_name, text) = ("cluster.toml".to_owned(), sample::CLUSTER_FILE.to_owned());
    let plan = api::PlanRequest { file_name: file_name.clone(), text: text.clone(), prune: false };
    let apply = api::ApplyRequest { file_name, text, base_revision: Some(7), prune: true, strict: true };
    let join = api::JoinOrder { seeds: vec![sample::addr(11)], token: Some("lvs1_ABC".to_owned().into()) };
    let token = api::TokenRequest { ttl_s: 3600, uses: 1, roles: sample::roles() };
    let identity = api::IdentityRequest { name: sample::name("alice"), access: Access::ReadOnly, ttl_s: 86_400 };
    let status = Status::outside(sample::name("d1"));
    let mut targets = vec![
        body("api-plan", &[plan]),
        body("api-apply", &[apply]),
        body("api-init", &[api::InitRequest {}]),
        body("api-join", &[join, api::JoinOrder::default()]),
        body("api-token", &[token]),
        body("api-roles", &[api::RolesRequest { roles: sample::roles() }]),
        body("api-identity", &[identity]),
        body("api-status", &[status]),
        body("api-error", &[api::ErrorBody { error: "no".to_owned(), details: vec!["why".to_owned()] }]),
    ];
    for target in &mut targets {
        target.max_bytes = if target.name == "api-status" { MAX_ANSWER_BYTES } else { MAX_REQUEST_BYTES };
    }
    targets
}

/// A node's entries, `KEY=VALUE` a line.
fn read_word(bytes: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(bytes);
    let heard = keys::read(text.lines().filter_map(|line| line.split_once('=')));
    assert!(heard.view.observations.values().all(|seen| !seen.reason.chars().any(char::is_control)), "not fit for a terminal");
    assert!(heard.view.obstacles.values().all(|why| !why.chars().any(char::is_control)), "not fit for a terminal");
    assert!(heard.view.less_fit.values().all(|less| !less.why.chars().any(char::is_control)), "not fit for a terminal");
    let NodeView { live: _, facts, observations, in_place, holding, obstacles, less_fit, network, revision, informed } =
        heard.view;
    let Some(facts) = facts else { return refused("no facts") };
    let word = NodeState { facts, observations, in_place, holding, obstacles, less_fit, network, revision, informed };
    let (entries, too_long) = keys::entries(&word);
    assert!(entries.values().all(|value| value.len() <= MAX_VALUE_BYTES));
    let again = keys::read(entries.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    assert!(again.junk.is_none(), "{:?}", again.junk);
    assert!(!too_long.is_empty() || again.view.observations == word.observations, "it reads as another word");
    match heard.junk {
        None => Outcome::Taken,
        Some(key) => refused(&key),
    }
}

/// The entry with which a word is signed.
fn signature() -> Target {
    const ENTRY: (&str, &str) = ("rev", "7");
    let (key, origin) = (NodeKey::generate(), Origin { cluster_id: "blue", node: NodeId(3), generation: 1 });
    let signed = node_state::sign(&key, origin, 9, [ENTRY].into_iter());
    Target::new("gossip-signature", vec![signed.clone().into_bytes()], MAX_VALUE_BYTES, move |bytes| {
        text(bytes, |text| match node_state::check(&key.public(), origin, [ENTRY, (keys::SIGNATURE, text)].into_iter()) {
            None => refused("not signed"),
            Some(9) => Outcome::Taken,
            Some(counter) => panic!("{counter} was never signed"),
        })
    })
}

fn word() -> Vec<u8> {
    let facts = Facts {
        roles: sample::roles(),
        addr: sample::addr(11),
        version: "0.1.0".to_owned(),
        kernel: vec!["ip_vs 1.2.1 4096".to_owned()],
        withdrawn: true,
        holds: KeyInventory {
            keys: [KeyId(1)].into(),
            authorities: [Fingerprint([1; 32])].into(),
            issuer: Some(Fingerprint([1; 32])),
            certificate_expires_unix_s: Some(1_800_000_000),
            signs: [Fingerprint([1; 32])].into(),
        },
    };
    let seen = Observation { seen: Finding::Up, reason: "200 OK".to_owned(), since_unix_ms: 1 << 40, fingerprint: 7 };
    let word = NodeState {
        facts,
        observations: BTreeMap::from([(sample::target(), seen)]),
        in_place: BTreeMap::from([(sample::name("web"), Ok(())), (sample::name("db"), Err("no lo".to_owned()))]),
        holding: BTreeMap::from([
            (sample::name("web"), Holding::Held { epoch: 3, since_unix_ms: 1 << 40 }),
            (sample::name("db"), Holding::NotHeld),
        ]),
        obstacles: BTreeMap::from([(sample::name("db"), "no interface eth9".to_owned())]),
        less_fit: BTreeMap::from([(
            sample::name("web"),
            LessFit { fitness: Fitness(333), why: "reaches 1 of 3 servers of http".to_owned() },
        )]),
        network: Some(NodeNetwork {
            interfaces: ["eth0".to_owned(), "lo".to_owned()].into(),
            addresses: [sample::addr(11).ip()].into(),
            ..NodeNetwork::default()
        }),
        revision: 7,
        informed: true,
    };
    let (entries, _) = keys::entries(&word);
    entries.iter().map(|(key, value)| format!("{key}={value}\n")).collect::<String>().into_bytes()
}
