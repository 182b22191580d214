//! One observer of one target: when it probes, what it concludes, what it tells others. Pure.

use super::{
    assign::Assignment,
    hysteresis::{Grade, Judgement},
    schedule::{self, Moment},
};
use crate::{clock::BootInstant, rules::Target, verdict::Observation};
use std::time::Duration;

/// What a probe brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Good or bad.
    pub grade: Grade,
    /// In words, without figures that differ from probe to probe: `200`, `connection refused`.
    pub what: String,
    /// How long a probe that passed took.
    pub took: Duration,
}

impl Answer {
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
pub enum Event {
    /// Its deadline has come.
    Due,
    /// The probe it asked for has ended.
    Answered(Answer),
    /// Another observer has bad news of the target.
    Alarm,
}

/// What an observer wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Start one probe. The next event about it is [`Event::Answered`].
    Probe,
    /// Tell others. Not asked for when only the latency differs.
    Publish(Observation),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
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
    judgement: Judgement,
    phase: Phase,
    /// When the last probe started; at first, when the observer was made.
    last: BootInstant,
    /// What was told, and the last answer's words in it.
    told: Option<(Observation, String)>,
}

impl Observer {
    /// An observer that probes at once.
    pub fn new(target: Target, assignment: Assignment, now: Moment) -> Self {
        let phase = Phase::Waiting { until: now.boot };
        Self { target, assignment, judgement: Judgement::default(), phase, last: now.boot, told: None }
    }

    /// What it observes.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// When it wants [`Event::Due`]; `None` while it waits for an answer.
    pub fn deadline(&self) -> Option<BootInstant> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Probing { .. } => None,
        }
    }

    /// Takes another rhythm or place among the observers and keeps its judgement. For another question make another observer.
    pub fn reassign(&mut self, assignment: Assignment, now: Moment) {
        let begun = self.told.is_some() || self.judgement != Judgement::Unknown;
        self.assignment = assignment;
        // Before the first answer the first probe is due at once, whoever else observes.
        if let Phase::Waiting { .. } = self.phase
            && begun
        {
            self.phase = Phase::Waiting { until: self.next(now, false) };
        }
    }

    /// One event.
    pub fn step(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        match (event, self.phase) {
            (Event::Due, Phase::Waiting { until }) if until <= now.boot => {
                self.phase = Phase::Probing { again: false };
                self.last = now.boot;
                vec![Effect::Probe]
            }
            (Event::Answered(answer), Phase::Probing { again }) => {
                let Assignment { check, .. } = &self.assignment;
                self.judgement = self.judgement.after(answer.grade, check.fall, check.rise);
                self.phase = Phase::Waiting { until: self.next(now, again) };
                self.tell(&answer, now).map(Effect::Publish).into_iter().collect()
            }
            (Event::Alarm, Phase::Probing { .. }) => {
                self.phase = Phase::Probing { again: self.can_be_alarmed() };
                Vec::new()
            }
            (Event::Alarm, Phase::Waiting { until }) if self.can_be_alarmed() => {
                self.phase = Phase::Waiting { until: until.min(self.next(now, true)) };
                Vec::new()
            }
            // Not yet due, an answer nobody asked for, news that it is down to one who says so: nothing to do.
            (Event::Due | Event::Answered(_) | Event::Alarm, Phase::Waiting { .. } | Phase::Probing { .. }) => Vec::new(),
        }
    }

    fn can_be_alarmed(&self) -> bool {
        match self.judgement {
            Judgement::Unknown | Judgement::Doubtful(_) | Judgement::Up | Judgement::Suspect(_) => true,
            Judgement::Down(_) | Judgement::Unable => false,
        }
    }

    /// When to probe next. `soon` still keeps the distance of a hurry from the last probe, so that no number of alarms is a flood.
    fn next(&self, now: Moment, soon: bool) -> BootInstant {
        let Assignment { check, .. } = &self.assignment;
        let next = if soon || self.judgement.in_a_hurry() {
            self.last + schedule::hurry(check.interval)
        } else {
            schedule::next_turn(self.last, now, check.interval, self.assignment.phase(&self.target))
        };
        next.max(now.boot)
    }

    fn tell(&mut self, answer: &Answer, now: Moment) -> Option<Observation> {
        let seen = self.judgement.seen()?;
        let since_unix_ms = match &self.told {
            Some((told, what)) if told.seen == seen && (*what == answer.what || answer.grade == Grade::NotAsked) => return None,
            Some((told, _)) if told.seen == seen => told.since_unix_ms,
            Some(_) | None => u64::try_from(now.unix.as_millis()).unwrap_or(u64::MAX),
        };
        let question = self.assignment.question();
        let observation = Observation { seen, reason: answer.reason(), since_unix_ms, question };
        self.told = Some((observation.clone(), answer.what.clone()));
        Some(observation)
    }
}

#[cfg(test)]
mod tests;
