//! One observer of one target: when it probes, what it concludes, what it tells others. Pure.

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

/// What a probe brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeResult {
    /// Good or bad.
    pub grade: Grade,
    /// In words, without figures that differ from probe to probe: `200`, `connection refused`.
    pub what: String,
    /// How long a probe that passed took.
    pub took: Duration,
}

impl ProbeResult {
    /// In words for people: `200 in 1 ms`.
    pub fn reason(&self) -> String {
        match self.grade {
            Grade::Passed => format!("{} in {} ms", self.what, self.took.as_millis().max(1)),
            Grade::Failed | Grade::NotAsked | Grade::Unable => self.what.clone(),
        }
    }
}

/// What happens to an observer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObserverEvent {
    /// Its deadline has come.
    Due,
    /// The probe it asked for has ended.
    Answered(ProbeResult),
    /// Another observer has bad news of the target.
    Alarm,
}

/// What an observer wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObserverEffect {
    /// Start one probe. The next event about it is [`ObserverEvent::Answered`].
    Probe,
    /// Tell others. Not asked for when only the latency differs.
    Publish(Observation),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ProbePhase {
    Waiting {
        until: BootInstant,
    },
    /// `again`: an alarm came after the probe had started, so that its answer may be from before the trouble.
    Probing {
        again: bool,
    },
}

/// One target as this node sees it.
#[derive(Clone, Debug)]
pub struct Observer {
    target: Target,
    assignment: Assignment,
    hysteresis: Hysteresis,
    phase: ProbePhase,
    /// When the last probe started; at first, when the observer was made.
    last: BootInstant,
    /// What was told, and the last answer's words in it.
    told: Option<(Observation, String)>,
}

impl Observer {
    /// An observer that probes at once.
    pub fn new(target: Target, assignment: Assignment, now: BothClocks) -> Self {
        let phase = ProbePhase::Waiting { until: now.boot };
        Self { target, assignment, hysteresis: Hysteresis::default(), phase, last: now.boot, told: None }
    }

    /// What it observes.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// When it wants [`ObserverEvent::Due`]; `None` while it waits for an answer.
    pub fn deadline(&self) -> Option<BootInstant> {
        match self.phase {
            ProbePhase::Waiting { until } => Some(until),
            ProbePhase::Probing { .. } => None,
        }
    }

    /// Takes another rhythm or place among the observers and keeps its judgement. For another question make another observer.
    pub fn reassign(&mut self, assignment: Assignment, now: BothClocks) {
        let begun = self.told.is_some() || self.hysteresis != Hysteresis::Unknown;
        self.assignment = assignment;
        // Before the first answer the first probe is due at once, whoever else observes.
        if let ProbePhase::Waiting { .. } = self.phase
            && begun
        {
            self.phase = ProbePhase::Waiting { until: self.next(now, false) };
        }
    }

    /// One event.
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
            // Not yet due, an answer nobody asked for, news that it is down to one who says so: nothing to do.
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

    /// When to probe next. `soon` still keeps the distance of a hurry from the last probe, so that no number of alarms is a flood.
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
