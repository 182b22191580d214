//! The longest gap between answers (pure).

use std::time::Duration;

/// Longest stretch without an answer, and when it began; both counted from the start of the probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// How long.
    pub length: Duration,
    /// When the last answer before it came.
    pub at: Duration,
}

/// Watches answers go by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outage {
    last: Duration,
    longest: Gap,
}

impl Outage {
    /// An answer came at `at`; answers are told in the order they came.
    pub fn answered(&mut self, at: Duration) {
        let length = at.saturating_sub(self.last);
        if length > self.longest.length {
            self.longest = Gap { length, at: self.last };
        }
        self.last = self.last.max(at);
    }

    /// The probe is over: what is missing up to `end` counts too.
    pub fn end(mut self, end: Duration) -> Gap {
        self.answered(end);
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_time_before_the_first_and_after_the_last_answer_counts() {
        assert_eq!(Outage::default().end(ms(900)), Gap { length: ms(900), at: ms(0) });
        let mut late = Outage::default();
        [ms(300), ms(310), ms(400)].into_iter().for_each(|at| late.answered(at));
        assert_eq!(late.end(ms(500)), Gap { length: ms(300), at: ms(0) });
        assert_eq!(late.end(ms(800)), Gap { length: ms(400), at: ms(400) });
    }

    #[test]
    fn the_longest_gap_in_the_middle_is_found() {
        let mut outage = Outage::default();
        [5, 10, 15, 165, 170].into_iter().for_each(|at| outage.answered(ms(at)));
        assert_eq!(outage.end(ms(175)), Gap { length: ms(150), at: ms(15) });
    }
}
