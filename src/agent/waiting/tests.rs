//! A member that cannot start: what is said, what is answered, when it is tried again.

use super::*;
use crate::{
    api::{AdminError, LeaveRequest},
    guard::{io::channel::GuardChannel as Channel, protocol::ToGuard},
    link::frame,
    tasks::Tasks,
};
use std::os::unix::net::UnixStream as StdUnixStream;
use tokio::{net::UnixStream, sync::oneshot};

fn config(node: &str, address: &str) -> AgentConfig {
    let text = format!("node = \"{node}\"\nroles = [\"director\"]\naddress = \"{address}\"\n");
    AgentConfig::parse("agent.toml", &text, "d1").unwrap()
}

fn renamed() -> NotStarted {
    NotStarted::Member(MemberError::Renamed { config: "d9".parse().unwrap(), identity: "d1".parse().unwrap() })
}

struct Fixture {
    config: AgentConfig,
    reread: Reread,
    stage: watch::Sender<Stage>,
    stop: CancellationToken,
    guard: GuardChannel,
    heard: UnixStream,
    orders: (mpsc::Sender<Order>, mpsc::Receiver<Order>),
}

/// A node of the name d9 whose file now says `file`.
fn fixture(file: Option<AgentConfig>) -> Fixture {
    let (worker, guard) = StdUnixStream::pair().unwrap();
    guard.set_nonblocking(true).unwrap();
    Fixture {
        config: config("d9", "10.0.0.11"),
        reread: Box::new(move || file.clone()),
        stage: watch::channel(Stage::Outside).0,
        stop: CancellationToken::new(),
        guard: Channel::serve(worker, &Tasks::default()).unwrap(),
        heard: UnixStream::from_std(guard).unwrap(),
        orders: mpsc::channel(1),
    }
}

/// What the guard is told next, beside beats.
async fn told(heard: &mut UnixStream) -> ToGuard {
    loop {
        match frame::read_frame(heard, crate::guard::protocol::MAX_FRAME_BYTES).await.unwrap().unwrap() {
            ToGuard::Beat => {}
            other => return other,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_reason_is_shown_at_once_orders_get_it_and_pauses_grow_to_five_seconds() {
    let mut fixture = fixture(None);
    let Fixture { config, reread, stage, stop, guard, heard, orders: (give, take) } = &mut fixture;
    let seen = stage.subscribe();
    let mut waiting = Waiting::new(config, reread, stage, stop);
    let (reply, answer) = oneshot::channel();
    give.send(Order::Leave { how: LeaveRequest { force: true, confirmed: true }, reply })
        .await
        .unwrap_or_else(|_| panic!("there is room"));
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let begun = Instant::now();
        assert_eq!(waiting.wait(renamed(), guard, take, &watch::channel(false).0).await.unwrap(), Next::Again);
        pauses.push(begun.elapsed().as_millis());
    }
    assert_eq!(pauses, [500, 1000, 2000, 4000, 5000, 5000]);
    let Stage::NotStarted(why) = seen.borrow().clone() else { panic!("it has not started") };
    assert!(why.contains("set `node = \"d1\"`"), "{why}");
    assert_eq!(answer.await.unwrap(), Err(AdminError::NotStarted(why.clone())));
    assert_eq!(told(heard).await, ToGuard::NotStarted(Some(why)));
    // The same reason is said once; another one again.
    let gone = NotStarted::Address("10.0.0.11".parse().unwrap());
    let text = gone.to_string();
    assert_eq!(waiting.wait(gone, guard, take, &watch::channel(false).0).await.unwrap(), Next::Again);
    assert_eq!(told(heard).await, ToGuard::NotStarted(Some(text)));
}

#[tokio::test(start_paused = true)]
async fn an_address_is_looked_for_at_an_even_pace() {
    let mut fixture = fixture(None);
    let Fixture { config, reread, stage, stop, guard, orders: (_give, take), .. } = &mut fixture;
    let mut waiting = Waiting::new(config, reread, stage, stop);
    let begun = Instant::now();
    for _ in 0..4 {
        let why = NotStarted::Address("10.0.0.11".parse().unwrap());
        assert_eq!(waiting.wait(why, guard, take, &watch::channel(false).0).await.unwrap(), Next::Again);
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_reload_tries_at_once_and_a_stop_ends_it() {
    let mut fixture = fixture(None);
    let Fixture { config, reread, stage, stop, guard, orders: (_give, take), .. } = &mut fixture;
    let mut waiting = Waiting::new(config, reread, stage, stop);
    let begun = Instant::now();
    guard.reload.notify_one();
    assert_eq!(waiting.wait(renamed(), guard, take, &watch::channel(false).0).await.unwrap(), Next::Again);
    stop.cancel();
    assert_eq!(waiting.wait(renamed(), guard, take, &watch::channel(false).0).await.unwrap(), Next::End);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_mended_file_ends_the_worker_and_another_address_is_the_guards_to_take() {
    for (file, next) in [
        (config("d1", "10.0.0.11"), Next::End),
        (config("d9", "10.0.0.11"), Next::Again),
        (config("d1", "10.0.0.12"), Next::Again),
    ] {
        let mut fixture = fixture(Some(file));
        let Fixture { config, reread, stage, stop, guard, orders: (_give, take), .. } = &mut fixture;
        assert_eq!(
            Waiting::new(config, reread, stage, stop).wait(renamed(), guard, take, &watch::channel(false).0).await.unwrap(),
            next
        );
    }
}

#[tokio::test]
async fn without_a_guard_there_is_nothing_to_wait_for() {
    let mut fixture = fixture(None);
    let Fixture { config, reread, stage, stop, guard, orders: (_give, take), .. } = &mut fixture;
    let gone = NotStarted::Member(MemberError::Guard(GuardGone));
    let error = Waiting::new(config, reread, stage, stop).wait(gone, guard, take, &watch::channel(false).0).await.unwrap_err();
    assert_eq!(error.to_string(), GuardGone.to_string());
}

#[tokio::test]
async fn a_node_that_has_not_started_is_withdrawn_for_later_and_its_kernel_is_put_back() {
    let mut fixture = fixture(None);
    let dir = crate::raft::Scratch::new();
    fixture.config.data_dir = dir.path().to_owned();
    let Fixture { config, reread, stage, stop, guard, heard, orders: (give, take) } = &mut fixture;
    let withdrawn = watch::channel(false).0;
    let (reply, answer) = oneshot::channel();
    give.send(Order::Withdraw { reply }).await.unwrap();
    let mut waiting = Waiting::new(config, reread, stage, stop);
    let talk = async {
        assert!(matches!(told(heard).await, ToGuard::NotStarted(Some(_))));
        assert_eq!(told(heard).await, ToGuard::Withdraw);
        let limit = crate::guard::protocol::MAX_FRAME_BYTES;
        frame::write_frame(heard, &crate::guard::protocol::ToWorker::Released, limit).await.unwrap();
        let answer = answer.await.unwrap().unwrap();
        assert!(answer.withdrawn && answer.changes == 0, "{answer:?}");
    };
    let (next, ()) = tokio::join!(waiting.wait(renamed(), guard, take, &withdrawn), talk);
    assert_eq!(next.unwrap(), Next::Again);
    assert!(*withdrawn.borrow(), "a member that starts later begins withdrawn");
}

#[tokio::test]
async fn a_worker_whose_member_cannot_start_ends_when_it_is_to_be_replaced() {
    let mut fixture = fixture(None);
    let Fixture { config, reread, stage, stop, guard, orders: (give, take), .. } = &mut fixture;
    let (reply, answer) = oneshot::channel();
    give.send(Order::RestartWorker(reply)).await.unwrap();
    let next = Waiting::new(config, reread, stage, stop).wait(renamed(), guard, take, &watch::channel(false).0).await;
    assert_eq!((next.unwrap(), answer.await.unwrap()), (Next::End, Ok(())));
}
