//! What the guard's loop does with what the kernel says of interfaces and addresses: it tells the leases, and takes off what somebody else has put on.

use super::EventLoop;
use crate::{
    base::errors::with_sources,
    clock::{BootClock, BootInstant, Clock},
    guard::{
        clock_report::Clocks,
        leases::LeaseEvent,
        protocol::{GroupOrder, ToWorker},
        strays::{Stray, Strays},
    },
    model::Obstacles,
};

impl EventLoop {
    /// Judges what is on interfaces now, and acts on it. Does nothing before all that the kernel has said is known, nor where that is nothing new, as after each
    /// renewal of an address.
    pub(super) async fn look(&mut self) {
        let now = BootClock.now();
        if !self.watch.catch_up(now) || !self.watch.sightings.has_news(now) {
            return;
        }
        self.stirred = true;
        let Some(leases) = &self.leases else { return };
        let judgement = self.watch.sightings.judge(&leases.claims(), now);
        if *leases.barred() != judgement.barred {
            log_links(leases.barred(), &judgement.barred);
            self.lease_event(LeaseEvent::Links(judgement.barred)).await;
        }
        for group in judgement.disturbed {
            self.lease_event(LeaseEvent::Disturbed(group)).await;
        }
        for stray in judgement.strays {
            self.take_off(&stray).await;
        }
    }

    /// When the watch is due, the same.
    pub(super) async fn look_when_due(&mut self, now: BootInstant) {
        if self.watch.deadline().is_some_and(|deadline| deadline <= now) {
            self.look().await;
        }
    }

    /// The rules name these groups: before the leases take them up, since their first act would take a stray off without a word.
    pub(super) async fn watch_for(&mut self, orders: &[GroupOrder]) {
        let Some(identity) = &self.identity else { return };
        self.watch.sightings.set_groups(orders, identity.id);
        self.look().await;
    }

    async fn take_off(&mut self, stray: &Stray) {
        let Stray { group, address, interface } = stray;
        let result = self.executor.take_off_stray(interface, *address).await.map_err(|error| with_sources(&error));
        let attempts = self.watch.sightings.taken_off(stray, result.clone(), BootClock.now());
        let is_contest = Strays::is_contest(attempts);
        match result {
            Err(why) => {
                tracing::error!(vip = %group, %address, interface, error = why, attempts, "somebody else has put the vip on an interface of this node, and it cannot be taken off, trying again");
            }
            Ok(()) if is_contest => {
                tracing::error!(vip = %group, %address, interface, attempts, "something else on this machine puts the vip on an interface again and again, taken off, from now on at times only");
            }
            Ok(()) => {
                tracing::warn!(vip = %group, %address, interface, attempts, "somebody else has put the vip on an interface of this node, taken off");
            }
        }
    }

    /// At each change, and after hello.
    pub(super) fn tell_problems(&mut self) {
        let clocks = self.clocks.as_ref().map(Clocks::problems).unwrap_or_default();
        let problems: Vec<String> = clocks.into_iter().chain(self.watch.sightings.problems()).collect();
        if self.greeted && self.watch.told.as_ref() != Some(&problems) {
            self.watch.told = Some(problems.clone());
            self.tell(ToWorker::Problems(problems));
        }
    }
}

fn log_links(before: &Obstacles, now: &Obstacles) {
    for (group, why) in now.iter().filter(|(group, why)| before.get(*group) != Some(why)) {
        tracing::warn!(vip = %group, why, "this node leaves the vip to other directors");
    }
    for group in before.keys().filter(|group| !now.contains_key(*group)) {
        tracing::info!(vip = %group, "the vip's interface can carry it again");
    }
}
