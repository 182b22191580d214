//! The worker's life, told event by event.

use super::*;

fn at(millis: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_secs(100) + Duration::from_millis(millis))
}

/// Steps the supervisor to its next deadline.
fn wait(worker: &mut Supervisor) -> (u128, Vec<WorkerOrder>) {
    let now = worker.deadline().unwrap();
    ((now - at(0)).as_millis(), worker.step(WorkerEvent::Tick, now))
}

/// A worker that runs since 0.
fn running() -> Supervisor {
    let mut worker = Supervisor::new(at(0));
    assert_eq!(wait(&mut worker), (0, vec![WorkerOrder::Start]));
    worker.step(WorkerEvent::Started, at(0));
    worker.step(WorkerEvent::Heard, at(0));
    worker.step(WorkerEvent::Useful, at(0));
    worker
}

#[test]
fn pauses_double_up_to_five_seconds_and_start_over_after_a_healthy_life() {
    let mut worker = running();
    let mut now = at(0);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        worker.step(WorkerEvent::Exited, now);
        let due = worker.deadline().unwrap();
        pauses.push((due - now).as_millis());
        assert_eq!(worker.step(WorkerEvent::Tick, due), [WorkerOrder::Start]);
        worker.step(WorkerEvent::Started, due);
        worker.step(WorkerEvent::Useful, due);
        now = due;
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    now = now + HEALTHY_AFTER;
    worker.step(WorkerEvent::Exited, now);
    assert_eq!(worker.deadline(), Some(now + FIRST_PAUSE));
}

/// When a worker that ended at 1 s gives the VIPs away, if this becomes of every attempt to start another.
fn handed_over_if(every_start: &[WorkerEvent]) -> Vec<u128> {
    let mut worker = running();
    worker.step(WorkerEvent::Exited, at(1000));
    let mut handed_over = Vec::new();
    for _ in 0..20 {
        let (when, orders) = wait(&mut worker);
        if orders.contains(&WorkerOrder::BecomeLastResort) {
            handed_over.push(when);
        }
        if orders.contains(&WorkerOrder::Start) {
            let now = at(u64::try_from(when).unwrap());
            every_start.iter().for_each(|event| drop(worker.step(*event, now)));
        }
    }
    handed_over
}

#[test]
fn vips_are_handed_over_once_when_no_worker_comes_up_within_the_grace() {
    assert_eq!(handed_over_if(&[WorkerEvent::StartFailed]), [11_000]);
}

#[test]
fn a_worker_that_dies_at_every_start_does_not_keep_the_vips() {
    assert_eq!(handed_over_if(&[WorkerEvent::Started, WorkerEvent::Heard, WorkerEvent::Exited]), [11_000]);
}

#[test]
fn a_worker_that_is_back_in_time_keeps_the_vips() {
    let mut worker = running();
    worker.step(WorkerEvent::Exited, at(1000));
    assert_eq!(wait(&mut worker), (1100, vec![WorkerOrder::Start]));
    worker.step(WorkerEvent::Started, at(1100));
    worker.step(WorkerEvent::Heard, at(1500));
    worker.step(WorkerEvent::Useful, at(1500));
    assert_eq!(worker.deadline(), Some(at(1500) + WORKER_HUNG));
}

#[test]
fn a_silent_worker_is_killed_once_and_started_again_when_it_is_gone() {
    let mut worker = running();
    worker.step(WorkerEvent::Heard, at(500));
    assert_eq!(wait(&mut worker), (8500, vec![WorkerOrder::Kill("it hangs")]));
    assert_eq!(worker.step(WorkerEvent::Broke, at(8501)), []);
    worker.step(WorkerEvent::Exited, at(8510));
    assert_eq!(wait(&mut worker), (8610, vec![WorkerOrder::Start]));
}

#[test]
fn a_worker_that_cannot_be_started_is_tended_no_longer_than_hang_and_grace_and_one_that_speaks_is() {
    let limit = u64::try_from((WORKER_HUNG + WORKER_GRACE).as_millis()).unwrap();
    let mut worker = running();
    assert!(worker.has_served());
    worker.step(WorkerEvent::Exited, at(0));
    assert!(worker.is_tended(at(limit - 1)) && !worker.is_tended(at(limit)));
    worker.step(WorkerEvent::Tick, at(limit));
    worker.step(WorkerEvent::Started, at(limit));
    assert!(!worker.is_tended(at(limit)), "it has not spoken");
    worker.step(WorkerEvent::Heard, at(limit));
    assert!(worker.is_tended(at(limit)));
    worker.step(WorkerEvent::Stop, at(limit));
    assert!(worker.is_tended(at(10 * limit)), "the service manager has a limit of its own for stopping");
}

#[test]
fn stopping_asks_then_kills_then_is_gone() {
    let mut worker = running();
    assert_eq!(worker.step(WorkerEvent::Stop, at(0)), [WorkerOrder::AskToStop]);
    assert_eq!(wait(&mut worker), (3000, vec![WorkerOrder::Kill("it did not stop in time")]));
    assert!(!worker.is_gone());
    worker.step(WorkerEvent::Exited, at(3001));
    assert!(worker.is_gone());
    assert_eq!(worker.deadline(), None);
}

#[test]
fn a_worker_that_stops_when_asked_is_not_killed() {
    let mut worker = running();
    worker.step(WorkerEvent::Stop, at(0));
    worker.step(WorkerEvent::Exited, at(200));
    assert!(worker.is_gone());
}

#[test]
fn stopping_between_two_workers_starts_none() {
    let mut worker = running();
    worker.step(WorkerEvent::Exited, at(1000));
    assert_eq!(worker.step(WorkerEvent::Stop, at(1001)), []);
    assert!(worker.is_gone());
}
