//! Decides when something that happens again and again is logged: at once, then once a minute with a count. Pure.

use crate::clock::BootInstant;
use std::{collections::BTreeMap, time::Duration};

/// Time between two equal lines in the log.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Most lines that are remembered. A line that was forgotten is logged again at once.
const MOST_LINES: usize = 64;

/// A line that may be logged again and again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Repeat {
    logged: Option<BootInstant>,
    since: u64,
}

impl Repeat {
    /// Counts one occurrence. If a line is due, returns the number of occurrences since the last line, this one included.
    pub fn due(&mut self, now: BootInstant) -> Option<u64> {
        self.since = self.since.saturating_add(1);
        if self.logged.is_some_and(|logged| now < logged + LINE_EVERY) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

/// Lines about things of one kind, for example about VIP groups. A different text about the same thing is another line.
#[derive(Clone, Debug)]
pub struct Repeats<K> {
    lines: BTreeMap<(K, String), Repeat>,
}

impl<K> Default for Repeats<K> {
    fn default() -> Self {
        Self { lines: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Repeats<K> {
    /// Counts one occurrence of a line. If it is due, returns the number of occurrences since it was due last.
    pub fn due(&mut self, about: &K, line: &str, now: BootInstant) -> Option<u64> {
        let key = (about.clone(), line.to_owned());
        if self.lines.len() >= MOST_LINES && !self.lines.contains_key(&key) {
            let oldest = self.lines.iter().min_by_key(|(_, repeat)| repeat.logged).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.lines.remove(&oldest));
        }
        self.lines.entry(key).or_default().due(now)
    }

    /// Forgets the lines about something that is well again, so that the next one is logged at once. Returns whether there was one.
    pub fn over(&mut self, about: &K) -> bool {
        let before = self.lines.len();
        self.lines.retain(|(of, _), _| of != about);
        self.lines.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(1000 + seconds))
    }

    #[test]
    fn the_same_is_said_at_once_and_then_once_a_minute_with_its_count() {
        let mut repeats = Repeats::default();
        let said: Vec<(u64, u64)> =
            (0..200).step_by(3).filter_map(|second| Some((second, repeats.due(&"web", "no eth9", at(second))?))).collect();
        assert_eq!(said, [(0, 1), (60, 20), (120, 20), (180, 20)]);
    }

    #[test]
    fn what_changes_is_said_at_once_and_what_alternates_is_not_said_at_each_turn() {
        let mut repeats = Repeats::default();
        let lines = ["no eth9", "no eth9", "refused", "no eth9", "refused"];
        let said: Vec<Option<u64>> = (0..).zip(lines).map(|(second, line)| repeats.due(&"web", line, at(second))).collect();
        assert_eq!(said, [Some(1), None, Some(1), None, None]);
        assert_eq!(repeats.due(&"db", "no eth9", at(5)), Some(1), "it is about another group");
    }

    #[test]
    fn what_was_over_is_news_when_it_comes_again() {
        let mut repeats = Repeats::default();
        assert!(!repeats.over(&"web"));
        repeats.due(&"web", "no eth9", at(0));
        repeats.due(&"db", "no eth9", at(0));
        assert!(repeats.over(&"web") && !repeats.over(&"web"));
        assert_eq!((repeats.due(&"web", "no eth9", at(1)), repeats.due(&"db", "no eth9", at(1))), (Some(1), None));
    }

    #[test]
    fn its_memory_is_bounded_and_what_was_said_longest_ago_is_forgotten() {
        let mut repeats = Repeats::default();
        for second in 0..1000 {
            repeats.due(&"web", &second.to_string(), at(second));
        }
        assert_eq!(repeats.lines.len(), MOST_LINES);
        assert_eq!((repeats.due(&"web", "999", at(1000)), repeats.due(&"web", "1", at(1000))), (None, Some(1)));
    }
}
