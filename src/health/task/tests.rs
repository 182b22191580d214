//! Whole observers in virtual time: three nodes, one server, and gossip as late as it may be.

use super::*;
use crate::{
    health::{Assignment, hysteresis::Grade, peer_alarms},
    model::{CheckKind, NodeName},
    verdict::{Finding, ObserverReport},
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// tokio's clock, which a paused runtime moves, and a Unix time that is off by so much.
struct TestClock {
    start: Instant,
    unix_error: Duration,
}

impl Clock for TestClock {
    fn now(&self) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(1000) + self.start.elapsed())
    }

    fn unix_now(&self) -> Duration {
        Duration::from_secs(1_800_000_000) + self.unix_error + self.start.elapsed()
    }
}

/// A server that answers within a millisecond, or refuses.
#[derive(Clone, Default)]
struct Server {
    crashed: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Prober for Server {
    async fn probe(&self, _: &Target, _: SocketAddr, _: &Check) -> ProbeResult {
        self.asked.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(1)).await;
        match self.crashed.load(Ordering::Relaxed) {
            false => ProbeResult { grade: Grade::Passed, what: "200".to_owned(), took: Duration::from_millis(1) },
            true => ProbeResult { grade: Grade::Failed, what: "connection refused".to_owned(), took: Duration::ZERO },
        }
    }
}

fn target(server: &str) -> Target {
    Target { service: "web".parse().unwrap(), server: server.parse().unwrap() }
}

fn assignment(position: usize) -> Assignment {
    let check = Check {
        kind: CheckKind::Tcp,
        port: None,
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        fall: 3,
        rise: 2,
    };
    Assignment { address: "10.0.0.1:80".parse().unwrap(), check, position, of: 3 }
}

fn inputs(targets: &[(&str, usize)]) -> HealthInputs {
    let assignments = targets.iter().map(|(server, position)| (target(server), assignment(*position))).collect();
    HealthInputs { assignments: Arc::new(assignments), peer_alarms: BTreeMap::new() }
}

type Said = Arc<BTreeMap<Target, Observation>>;

struct Node {
    inputs: watch::Sender<HealthInputs>,
    said: watch::Receiver<Said>,
    shutdown: CancellationToken,
}

impl Node {
    fn start<P: Prober>(server: P, first: HealthInputs, start: Instant, unix_error: Duration) -> Self {
        let (inputs, inputs_rx) = watch::channel(first);
        let (out, said) = watch::channel(Arc::default());
        let shutdown = CancellationToken::new();
        let clock = Arc::new(TestClock { start, unix_error });
        tokio::spawn(run_with(server, inputs_rx, out, clock, shutdown.clone()));
        Self { inputs, said, shutdown }
    }

    fn seen(&self, server: &str) -> Option<Finding> {
        self.said.borrow().get(&target(server)).map(|observation| observation.seen)
    }
}

/// Three observers of one server. What one says reaches the others after `gossip`, or never.
fn three_observers(server: &Server, gossip: Option<Duration>, unix_errors: [Duration; 3]) -> Vec<Node> {
    let start = Instant::now();
    let nodes: Vec<Node> = (0..3).map(|i| Node::start(server.clone(), inputs(&[("r1", i)]), start, unix_errors[i])).collect();
    let heard: Arc<Mutex<Vec<Said>>> = Arc::new(Mutex::new(vec![Said::default(); 3]));
    let names: [NodeName; 3] = ["o0", "o1", "o2"].map(|name| name.parse().unwrap());
    for (from, node) in nodes.iter().enumerate() {
        let Some(delay) = gossip else { continue };
        let (mut said, heard, names) = (node.said.clone(), heard.clone(), names.clone());
        let all: Vec<_> = nodes.iter().map(|node| node.inputs.clone()).collect();
        tokio::spawn(async move {
            while said.changed().await.is_ok() {
                let word = said.borrow_and_update().clone();
                let (heard, names, all) = (heard.clone(), names.clone(), all.clone());
                tokio::spawn(async move {
                    sleep(delay).await;
                    let mut heard = heard.lock().unwrap();
                    heard[from] = word;
                    let words = names.iter().zip(heard.iter());
                    let words = words.map(|(name, word)| (name, ObserverReport { live: true, observations: word })).collect();
                    for (i, inputs) in all.iter().enumerate() {
                        inputs.send_modify(|inputs| inputs.peer_alarms = peer_alarms(&names[i], &words, &inputs.assignments));
                    }
                });
            }
        });
    }
    nodes
}

/// How long after a crash at `phase` of the interval two of three observers say down.
async fn noticed_after(phase: Duration, gossip: Option<Duration>, unix_errors: [Duration; 3]) -> Duration {
    let server = Server::default();
    let nodes = three_observers(&server, gossip, unix_errors);
    sleep(Duration::from_secs(5) + phase).await;
    assert!(nodes.iter().all(|node| node.seen("r1") == Some(Finding::Up)));
    server.crashed.store(true, Ordering::Relaxed);
    let crash = Instant::now();
    while nodes.iter().filter(|node| node.seen("r1") == Some(Finding::Down)).count() < 2 {
        sleep(Duration::from_millis(1)).await;
    }
    let took = crash.elapsed();
    nodes.iter().for_each(|node| node.shutdown.cancel());
    took
}

async fn mean_and_worst(gossip: Option<Duration>, unix_errors: [Duration; 3]) -> (Duration, Duration) {
    let mut all = Vec::new();
    for step in 0..50 {
        all.push(noticed_after(Duration::from_millis(step * 20), gossip, unix_errors).await);
    }
    (all.iter().sum::<Duration>() / 50, all.into_iter().max().unwrap())
}

/// Interval T = 1 s, three observers, `fall` 3, quick probes 100 ms apart. Somebody's turn comes within T/3 of the crash, T/6 on average;
/// the suspicion takes g to reach the others, which probe at once; two more failures take 200 ms:
/// T/6 + g + 0.2 s on average, T/3 + g + 0.2 s at worst. With gossip as slow as two rounds of 100 ms that is 567 and 733 ms.
#[tokio::test(start_paused = true)]
async fn a_majority_notices_a_crash_in_half_a_second_on_average() {
    let (mean, worst) = mean_and_worst(Some(Duration::from_millis(200)), [Duration::ZERO; 3]).await;
    assert!(mean < Duration::from_millis(580), "mean {mean:?}");
    assert!(worst < Duration::from_millis(760), "worst {worst:?}");
    // As gossip mostly is: a change is told at once.
    let (mean, worst) = mean_and_worst(Some(Duration::from_millis(10)), [Duration::ZERO; 3]).await;
    assert!(mean < Duration::from_millis(400), "mean {mean:?}");
    assert!(worst < Duration::from_millis(570), "worst {worst:?}");
}

/// Without any alarm the second turn comes within 2T/3, and 200 ms later there is a majority.
#[tokio::test(start_paused = true)]
async fn a_crash_is_noticed_within_a_second_without_gossip_of_suspicions() {
    let (_, worst) = mean_and_worst(None, [Duration::ZERO; 3]).await;
    assert!(worst < Duration::from_millis(890), "worst {worst:?}");
}

/// Clocks that disagree so that all take their turn at once: within T, and 200 ms.
#[tokio::test(start_paused = true)]
async fn clocks_that_disagree_cost_the_turns_and_nothing_else() {
    let same_turn = [0, 333, 667].map(Duration::from_millis);
    let (mean, worst) = mean_and_worst(Some(Duration::from_millis(10)), same_turn).await;
    assert!(mean > Duration::from_millis(550), "mean {mean:?}: the turns were not spoilt");
    assert!(worst < Duration::from_millis(1230), "worst {worst:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recovery_takes_rise_probes_and_is_told() {
    let server = Server::default();
    server.crashed.store(true, Ordering::Relaxed);
    let node = Node::start(server.clone(), inputs(&[("r1", 0)]), Instant::now(), Duration::ZERO);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(node.seen("r1"), Some(Finding::Down));
    server.crashed.store(false, Ordering::Relaxed);
    sleep(Duration::from_millis(2_600)).await;
    assert_eq!(node.seen("r1"), Some(Finding::Up));
}

#[tokio::test(start_paused = true)]
async fn an_up_server_is_asked_once_an_interval_and_told_once() {
    let server = Server::default();
    let mut node = Node::start(server.clone(), inputs(&[("r1", 0)]), Instant::now(), Duration::ZERO);
    sleep(Duration::from_secs(100)).await;
    let asked = server.asked.load(Ordering::Relaxed);
    assert!((100..=102).contains(&asked), "{asked}");
    assert!(node.said.has_changed().unwrap());
    node.said.mark_unchanged();
    sleep(Duration::from_secs(100)).await;
    assert!(!node.said.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn removed_targets_stop_changed_ones_start_anew_and_others_keep_what_they_know() {
    let server = Server::default();
    let node = Node::start(server.clone(), inputs(&[("r1", 0), ("r2", 0), ("r3", 0)]), Instant::now(), Duration::ZERO);
    sleep(Duration::from_secs(2)).await;
    let since = |server: &str| node.said.borrow().get(&target(server)).map(|seen| (seen.since_unix_ms, seen.fingerprint));
    let (before, kept) = (since("r2").unwrap(), since("r3"));
    let mut changed = inputs(&[("r2", 0), ("r3", 1)]);
    Arc::make_mut(&mut changed.assignments).get_mut(&target("r2")).unwrap().address = "10.0.0.9:80".parse().unwrap();
    node.inputs.send_replace(changed);
    sleep(Duration::from_secs(2)).await;
    assert_eq!((node.seen("r1"), since("r3")), (None, kept));
    let after = since("r2").unwrap();
    assert!(after.0 > before.0 && after.1 != before.1);
    node.inputs.send_replace(inputs(&[]));
    sleep(Duration::from_secs(1)).await;
    assert!(node.said.borrow().is_empty());
    let asked = server.asked.load(Ordering::Relaxed);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(server.asked.load(Ordering::Relaxed), asked);
}

/// Answers only after the timeout of half a second.
#[derive(Clone, Default)]
struct Silent(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl Prober for Silent {
    async fn probe(&self, _: &Target, _: SocketAddr, check: &Check) -> ProbeResult {
        let now = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        self.1.fetch_max(now, Ordering::Relaxed);
        sleep(check.timeout).await;
        self.0.fetch_sub(1, Ordering::Relaxed);
        ProbeResult { grade: Grade::Failed, what: "timeout".to_owned(), took: check.timeout }
    }
}

#[tokio::test(start_paused = true)]
async fn many_silent_servers_are_all_judged_with_a_bounded_number_of_probes_at_a_time() {
    let names: Vec<String> = (0..600).map(|i| format!("s{i}")).collect();
    let targets: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 0)).collect();
    let server = Silent::default();
    let node = Node::start(server.clone(), inputs(&targets), Instant::now(), Duration::ZERO);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(node.said.borrow().values().filter(|seen| seen.seen == Finding::Down).count(), 600);
    assert_eq!(server.1.load(Ordering::Relaxed), MAX_PROBES);
}
