//! A candidate that no majority answers asks without wanting promises, until one answers.

use super::*;

/// It has asked round 101 at 1000, has got one grant, and after ttl/4 its turn comes again.
fn unanswered() -> Holder {
    let mut holder = asking();
    holder.step(grant(2, 101), at(1001));
    assert_eq!(holder.step(HolderEvent::Tick, at(1075))[..3], releases(&[1, 2, 3], 101));
    holder
}

#[test]
fn it_takes_no_promises_of_the_few_that_it_hears() {
    let mut holder = unanswered();
    let asked_again = holder.deadline().unwrap();
    assert_eq!(holder.step(HolderEvent::Tick, asked_again), questions(&[1, 2, 3], 102, 5, 4));
    holder.step(grant(2, 102), asked_again);
    let timed_out = holder.deadline().unwrap();
    assert_eq!(holder.step(HolderEvent::Tick, timed_out), vec![], "there is nothing to release");
    let next = holder.deadline().unwrap();
    assert_eq!(holder.step(HolderEvent::Tick, next), questions(&[1, 2, 3], 103, 5, 4));
}

#[test]
fn it_asks_in_earnest_as_soon_as_a_majority_would_grant() {
    let mut holder = unanswered();
    let now = holder.deadline().unwrap();
    holder.step(HolderEvent::Tick, now);
    assert_eq!(holder.step(grant(2, 102), now), vec![]);
    assert_eq!(holder.step(grant(1, 102), now), asks(&[1, 2, 3], 103, 5, 4));
    assert_eq!(holder.step(grant(3, 102), now), vec![], "once");
    assert_eq!(holder.state(), HolderState::Asking);
    holder.step(grant(1, 103), now);
    assert_eq!(holder.step(grant(3, 103), now).len(), 1, "only now it holds");
}

#[test]
fn once_a_majority_has_refused_it_asks_in_earnest() {
    let mut holder = unanswered();
    let now = holder.deadline().unwrap();
    holder.step(HolderEvent::Tick, now);
    holder.step(refuse(1, 102, held(3, 10)), now);
    holder.step(refuse(3, 102, held(3, 10)), now);
    let next = holder.deadline().unwrap();
    assert_eq!(holder.step(HolderEvent::Tick, next), asks(&[1, 2, 3], 103, 5, 4));
}
