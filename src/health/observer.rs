//! The state machine of one target that this node observes: when it is probed, and what is published. Pure.

use super::{
    assign::Assignment,
    hysteresis::{Grade, Hysteresis},
    schedule,
};
use crate::{
    clock::{BootInstant, BothClocks},
    rules::Target,
    verdict::Observation,
};
use std::time::Duration;

/// The result of a probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeResult {
    /// Whether it passed.
    pub grade: Grade,
    /// The result as a text without figures that differ from probe to probe: `200`, `connection refused`.
    pub what: String,
    /// How long the probe took.
    pub took: Duration,
}

impl ProbeResult {
    /// The result as a text for people: `200 in 1 ms`.
    pub fn reason(&self) -> String {
        match self.grade {
            Grade::Passed => format!("{} in {} ms", self.what, self.took.as_millis().max(1)),
            Grade::Failed | Grade::NotAsked | Grade::Unable => self.what.clone(),
        }
    }
}

/// What an observer is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObserverEvent {
    /// Its deadline has come.
    Due,
    /// The probe has ended.
    Answered(ProbeResult),
    /// Another observer finds the target suspect or down.
    Alarm,
}

/// What an observer wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObserverEffect {
    /// Start one probe. Its end is told with [`ObserverEvent::Answered`].
    Probe,
    /// Publish the observation. A different latency alone is not published.
    Publish(Observation),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ProbePhase {
    Waiting {
        until: BootInstant,
    },
    /// `again`: an alarm came after the probe had started, so the probe may have passed before the trouble began.
    Probing {
        again: bool,
    },
}

/// One target that this node observes.
#[derive(Clone, Debug)]
pub struct Observer {
    target: Target,
    assignment: Assignment,
    hysteresis: Hysteresis,
    phase: ProbePhase,
    /// When the last probe started; at first, when the observer was made.
    last: BootInstant,
    /// The observation that was published last, with the text of its probe result.
    told: Option<(Observation, String)>,
}

impl Observer {
    /// An observer that probes at once.
    pub fn new(target: Target, assignment: Assignment, now: BothClocks) -> Self {
        let phase = ProbePhase::Waiting { until: now.boot };
        Self { target, assignment, hysteresis: Hysteresis::default(), phase, last: now.boot, told: None }
    }

    /// The target, its check and this node's position among the observers.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// When [`ObserverEvent::Due`] is due; `None` while a probe is under way.
    pub fn deadline(&self) -> Option<BootInstant> {
        match self.phase {
            ProbePhase::Waiting { until } => Some(until),
            ProbePhase::Probing { .. } => None,
        }
    }

    /// Takes another interval or position, and keeps what it has found. For another address or kind of check make another observer.
    pub fn reassign(&mut self, assignment: Assignment, now: BothClocks) {
        let begun = self.told.is_some() || self.hysteresis != Hysteresis::Unknown;
        self.assignment = assignment;
        // Before the first result the first probe is due at once, whatever the position.
        if let ProbePhase::Waiting { .. } = self.phase
            && begun
        {
            self.phase = ProbePhase::Waiting { until: self.next(now, false) };
        }
    }

    /// Takes one event and returns what to do.
    pub fn step(&mut self, event: ObserverEvent, now: BothClocks) -> Vec<ObserverEffect> {
        match (event, self.phase) {
            (ObserverEvent::Due, ProbePhase::Waiting { until }) if until <= now.boot => {
                self.phase = ProbePhase::Probing { again: false };
                self.last = now.boot;
                vec![ObserverEffect::Probe]
            }
            (ObserverEvent::Answered(answer), ProbePhase::Probing { again }) => {
                let Assignment { check, .. } = &self.assignment;
                self.hysteresis = self.hysteresis.after(answer.grade, check.fall, check.rise);
                self.phase = ProbePhase::Waiting { until: self.next(now, again) };
                self.tell(&answer, now).map(ObserverEffect::Publish).into_iter().collect()
            }
            (ObserverEvent::Alarm, ProbePhase::Probing { .. }) => {
                self.phase = ProbePhase::Probing { again: self.can_be_alarmed() };
                Vec::new()
            }
            (ObserverEvent::Alarm, ProbePhase::Waiting { until }) if self.can_be_alarmed() => {
                self.phase = ProbePhase::Waiting { until: until.min(self.next(now, true)) };
                Vec::new()
            }
            // The deadline has not come, no probe is under way, or the observer finds the target down itself: nothing to do.
            (
                ObserverEvent::Due | ObserverEvent::Answered(_) | ObserverEvent::Alarm,
                ProbePhase::Waiting { .. } | ProbePhase::Probing { .. },
            ) => Vec::new(),
        }
    }

    fn can_be_alarmed(&self) -> bool {
        match self.hysteresis {
            Hysteresis::Unknown | Hysteresis::Doubtful(_) | Hysteresis::Up | Hysteresis::Suspect(_) => true,
            Hysteresis::Down(_) | Hysteresis::Unable => false,
        }
    }

    /// When to probe next. Even with `soon`, there is a shortest time since the last probe, so that many alarms do not make many probes.
    fn next(&self, now: BothClocks, soon: bool) -> BootInstant {
        let Assignment { check, .. } = &self.assignment;
        let next = if soon || self.hysteresis.in_a_hurry() {
            self.last + schedule::hurry(check.interval)
        } else {
            schedule::next_turn(self.last, now, check.interval, self.assignment.phase(&self.target))
        };
        next.max(now.boot)
    }

    fn tell(&mut self, answer: &ProbeResult, now: BothClocks) -> Option<Observation> {
        let seen = self.hysteresis.seen()?;
        let since_unix_ms = match &self.told {
            Some((told, what)) if told.seen == seen && (*what == answer.what || answer.grade == Grade::NotAsked) => return None,
            Some((told, _)) if told.seen == seen => told.since_unix_ms,
            Some(_) | None => u64::try_from(now.unix.as_millis()).unwrap_or(u64::MAX),
        };
        let fingerprint = self.assignment.fingerprint();
        let observation = Observation { seen, reason: answer.reason(), since_unix_ms, fingerprint };
        self.told = Some((observation.clone(), answer.what.clone()));
        Some(observation)
    }
}

#[cfg(test)]
mod tests;
