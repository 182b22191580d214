//! Observers by scripts of probes and alarms, on a clock of their own.

use super::*;
use crate::{
    model::{Check, CheckKind},
    verdict::Finding,
};
use proptest::prelude::*;

fn assignment(interval: Duration) -> Assignment {
    let check = Check { kind: CheckKind::Tcp, port: None, interval, timeout: Duration::from_millis(500), fall: 3, rise: 2 };
    Assignment { address: "10.0.0.1:80".parse().unwrap(), check, position: 1, of: 3 }
}

fn answer(grade: Grade, what: &str, took_ms: u64) -> ProbeResult {
    ProbeResult { grade, what: what.to_owned(), took: Duration::from_millis(took_ms) }
}

/// An observer and the time, in milliseconds.
struct Bench {
    observer: Observer,
    start: BothClocks,
    ms: u64,
}

impl Bench {
    fn new() -> Self {
        let start =
            BothClocks { boot: BootInstant::from_boot(Duration::from_secs(900)), unix: Duration::from_secs(1_800_000_000) };
        let target = Target { service: "web".parse().unwrap(), server: "r1".parse().unwrap() };
        Self { observer: Observer::new(target, assignment(Duration::from_secs(1)), start), start, ms: 0 }
    }

    fn now(&self) -> BothClocks {
        let passed = Duration::from_millis(self.ms);
        BothClocks { boot: self.start.boot + passed, unix: self.start.unix + passed }
    }

    fn wait_ms(&self) -> Option<u64> {
        Some(u64::try_from((self.observer.deadline()? - self.now().boot).as_nanos().div_ceil(1_000_000)).unwrap())
    }

    /// Waits for the next probe, answers it, and returns what is told, as `seen: reason`.
    fn probe(&mut self, answer: ProbeResult) -> Option<String> {
        self.ms += self.wait_ms().unwrap();
        assert_eq!(self.observer.step(ObserverEvent::Due, self.now()), [ObserverEffect::Probe]);
        self.answer(answer)
    }

    fn answer(&mut self, answer: ProbeResult) -> Option<String> {
        match &self.observer.step(ObserverEvent::Answered(answer), self.now())[..] {
            [] => None,
            [ObserverEffect::Publish(told)] => Some(format!("{:?}: {}", told.seen, told.reason)),
            other => panic!("{other:?}"),
        }
    }

    fn good(&mut self) -> Option<String> {
        self.probe(answer(Grade::Passed, "200", 1))
    }

    fn bad(&mut self) -> Option<String> {
        self.probe(answer(Grade::Failed, "connection refused", 0))
    }
}

#[test]
fn the_first_probe_is_at_once_and_one_good_answer_is_up() {
    let mut bench = Bench::new();
    assert_eq!(bench.wait_ms(), Some(0));
    assert_eq!(bench.good().as_deref(), Some("Up: 200 in 1 ms"));
    assert!((500..=1500).contains(&bench.wait_ms().unwrap()));
}

#[test]
fn a_server_that_is_down_at_the_start_is_told_in_a_hurry() {
    let mut bench = Bench::new();
    assert_eq!((bench.bad(), bench.bad()), (None, None));
    assert_eq!(bench.bad().as_deref(), Some("Down: connection refused"));
    assert_eq!(bench.ms, 200);
}

#[test]
fn a_failure_is_a_suspicion_at_once_and_down_a_fifth_of_a_second_later() {
    let mut bench = Bench::new();
    bench.good();
    assert_eq!(bench.bad().as_deref(), Some("Suspect: connection refused"));
    let suspected = bench.ms;
    assert_eq!(bench.bad(), None);
    assert_eq!(bench.bad().as_deref(), Some("Down: connection refused"));
    assert_eq!(bench.ms - suspected, 200);
    // Back in: `rise` probes at the usual pace.
    assert_eq!(bench.good(), Some("Down: 200 in 1 ms".to_owned()));
    assert!(bench.wait_ms().unwrap() >= 500);
    assert_eq!(bench.good().as_deref(), Some("Up: 200 in 1 ms"));
}

#[test]
fn only_another_reason_is_told_and_not_another_latency() {
    let mut bench = Bench::new();
    assert!(bench.probe(answer(Grade::Passed, "200", 1)).is_some());
    assert_eq!(bench.probe(answer(Grade::Passed, "200", 30)), None);
    assert_eq!(bench.probe(answer(Grade::NotAsked, "not asked: no file descriptors", 0)), None);
    assert_eq!(bench.probe(answer(Grade::Passed, "204", 30)).as_deref(), Some("Up: 204 in 30 ms"));
}

#[test]
fn who_cannot_ask_says_why_once_and_takes_its_word_back() {
    let mut bench = Bench::new();
    bench.good();
    let unable = || answer(Grade::Unable, "there is no /etc/lvs-agent/checks/x", 0);
    assert_eq!(bench.probe(unable()).as_deref(), Some("Unable: there is no /etc/lvs-agent/checks/x"));
    assert_eq!(bench.probe(unable()), None);
    bench.observer.step(ObserverEvent::Alarm, bench.now());
    assert!(bench.wait_ms().unwrap() >= 500);
    assert_eq!(bench.good().as_deref(), Some("Up: 200 in 1 ms"));
}

#[test]
fn since_is_when_the_finding_changed_not_the_reason() {
    let mut bench = Bench::new();
    let told = |bench: &Bench| bench.observer.told.as_ref().unwrap().0.clone();
    bench.good();
    let first = told(&bench);
    assert!(bench.probe(answer(Grade::Passed, "204", 1)).is_some());
    assert_eq!(told(&bench).since_unix_ms, first.since_unix_ms);
    bench.bad();
    assert_eq!(told(&bench).seen, Finding::Suspect);
    assert_eq!(told(&bench).since_unix_ms, first.since_unix_ms + bench.ms);
}

#[test]
fn an_alarm_brings_the_next_probe_forward_but_alarms_are_no_flood() {
    let mut bench = Bench::new();
    bench.good();
    bench.ms += 300;
    bench.observer.step(ObserverEvent::Alarm, bench.now());
    assert_eq!(bench.wait_ms(), Some(0));
    assert_eq!(bench.good(), None);
    for _ in 0..50 {
        bench.observer.step(ObserverEvent::Alarm, bench.now());
    }
    assert_eq!(bench.wait_ms(), Some(100));
}

#[test]
fn an_alarm_during_a_probe_asks_for_another_one() {
    let mut bench = Bench::new();
    bench.good();
    bench.ms += bench.wait_ms().unwrap();
    bench.observer.step(ObserverEvent::Due, bench.now());
    bench.observer.step(ObserverEvent::Alarm, bench.now());
    bench.ms += 30;
    bench.answer(answer(Grade::Passed, "200", 30));
    assert_eq!(bench.wait_ms(), Some(70));
}

#[test]
fn one_who_says_down_is_not_alarmed() {
    let mut bench = Bench::new();
    (0..3).for_each(|_| drop(bench.bad()));
    let before = bench.wait_ms();
    bench.observer.step(ObserverEvent::Alarm, bench.now());
    assert_eq!(bench.wait_ms(), before);
}

#[test]
fn a_probe_that_ran_into_its_timeout_is_repeated_without_a_pause() {
    let mut bench = Bench::new();
    bench.good();
    bench.ms += bench.wait_ms().unwrap();
    bench.observer.step(ObserverEvent::Due, bench.now());
    bench.ms += 500;
    bench.answer(answer(Grade::Failed, "timeout after 500 ms in connect", 500));
    assert_eq!(bench.wait_ms(), Some(0));
}

#[test]
fn another_position_among_the_observers_keeps_what_was_found() {
    let mut bench = Bench::new();
    bench.good();
    bench.bad();
    let moved = Assignment { position: 2, ..assignment(Duration::from_secs(1)) };
    bench.observer.reassign(moved, bench.now());
    assert_eq!(bench.wait_ms(), Some(100));
    bench.bad();
    assert_eq!(bench.bad().as_deref(), Some("Down: connection refused"));
}

proptest! {
    #[test]
    fn no_script_makes_an_observer_idle_or_a_flood(script in prop::collection::vec((0_u8..5, 0_u64..400), 1..80)) {
        let mut bench = Bench::new();
        let mut probes: Vec<u64> = Vec::new();
        for (what, ms) in script {
            bench.ms += ms.min(bench.wait_ms().unwrap_or(u64::MAX));
            let event = match what {
                0 => ObserverEvent::Alarm,
                1 => ObserverEvent::Answered(answer(Grade::Passed, "200", 1)),
                2 => ObserverEvent::Answered(answer(Grade::Failed, "refused", 1)),
                _ => ObserverEvent::Due,
            };
            if bench.observer.step(event, bench.now()).contains(&ObserverEffect::Probe) {
                probes.push(bench.ms);
            }
            if what == 4 {
                let place = Assignment { position: (ms % 3) as usize, ..assignment(Duration::from_secs(1)) };
                bench.observer.reassign(place, bench.now());
            }
            prop_assert!(bench.wait_ms().is_none_or(|wait| wait <= 1500));
        }
        prop_assert!(probes.windows(2).all(|pair| pair[1] - pair[0] >= 100), "{probes:?}");
    }
}
