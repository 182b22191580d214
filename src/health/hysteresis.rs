//! Hysteresis: after `fall` failures in a row an observer finds a target down, after `rise` successes in a row up again.

use crate::verdict::Finding;

/// The result of one probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grade {
    /// The server answered as it should.
    Passed,
    /// The server did not answer as it should.
    Failed,
    /// This node could not probe just now, for example for want of descriptors or ports. That says nothing of the server.
    NotAsked,
    /// This node cannot probe until an operator changes something on it: the observer has no finding on the server any more.
    Unable,
}

/// Where an observer is between up and down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hysteresis {
    /// No finding yet.
    #[default]
    Unknown,
    /// No finding yet; so many probes failed in a row.
    Doubtful(u8),
    /// Up.
    Up,
    /// Up so far; so many probes failed in a row.
    Suspect(u8),
    /// Down; so many probes passed in a row since.
    Down(u8),
    /// This node cannot probe.
    Unable,
}

impl Hysteresis {
    /// The state after one more probe. At the start one probe that passes is enough for up, so that a cluster that starts does not wait for `rise`.
    #[must_use]
    pub fn after(self, grade: Grade, fall: u8, rise: u8) -> Self {
        match (self, grade) {
            (unchanged, Grade::NotAsked) => unchanged,
            (_, Grade::Unable) => Hysteresis::Unable,
            (
                Hysteresis::Unknown | Hysteresis::Unable | Hysteresis::Doubtful(_) | Hysteresis::Up | Hysteresis::Suspect(_),
                Grade::Passed,
            ) => Hysteresis::Up,
            (Hysteresis::Unknown | Hysteresis::Unable, Grade::Failed) => fallen(1, fall, Hysteresis::Doubtful),
            (Hysteresis::Doubtful(failed), Grade::Failed) => fallen(failed.saturating_add(1), fall, Hysteresis::Doubtful),
            (Hysteresis::Up, Grade::Failed) => fallen(1, fall, Hysteresis::Suspect),
            (Hysteresis::Suspect(failed), Grade::Failed) => fallen(failed.saturating_add(1), fall, Hysteresis::Suspect),
            (Hysteresis::Down(passed), Grade::Passed) if passed.saturating_add(1) >= rise => Hysteresis::Up,
            (Hysteresis::Down(passed), Grade::Passed) => Hysteresis::Down(passed.saturating_add(1)),
            (Hysteresis::Down(_), Grade::Failed) => Hysteresis::Down(0),
        }
    }

    /// The finding that is published; `None` before the first one.
    pub const fn seen(self) -> Option<Finding> {
        match self {
            Hysteresis::Unknown | Hysteresis::Doubtful(_) => None,
            Hysteresis::Up => Some(Finding::Up),
            Hysteresis::Suspect(_) => Some(Finding::Suspect),
            Hysteresis::Down(_) => Some(Finding::Down),
            Hysteresis::Unable => Some(Finding::Unable),
        }
    }

    /// Whether the next probe does not wait for its turn, because a finding depends on it.
    pub const fn in_a_hurry(self) -> bool {
        match self {
            Hysteresis::Doubtful(_) | Hysteresis::Suspect(_) => true,
            Hysteresis::Unknown | Hysteresis::Up | Hysteresis::Down(_) | Hysteresis::Unable => false,
        }
    }
}

fn fallen(failed: u8, fall: u8, not_yet: fn(u8) -> Hysteresis) -> Hysteresis {
    if failed >= fall { Hysteresis::Down(0) } else { not_yet(failed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One letter a probe: `+` passed, `-` failed, `x` unable, `.` not asked.
    fn grade(letter: char) -> Grade {
        match letter {
            '+' => Grade::Passed,
            '-' => Grade::Failed,
            'x' => Grade::Unable,
            _ => Grade::NotAsked,
        }
    }

    fn after(probes: &str, fall: u8, rise: u8) -> Hysteresis {
        probes.chars().fold(Hysteresis::default(), |state, letter| state.after(grade(letter), fall, rise))
    }

    #[test]
    fn rows_of_probes_are_judged() {
        use Finding::{Down, Suspect, Unable, Up};
        for (probes, fall, rise, seen) in [
            ("", 3, 2, None),
            (".", 3, 2, None),
            ("+", 3, 2, Some(Up)),
            ("--", 3, 2, None),
            ("---", 3, 2, Some(Down)),
            ("--+", 3, 2, Some(Up)),
            ("+-", 3, 2, Some(Suspect)),
            ("+-+-+-", 3, 2, Some(Suspect)),
            ("+---", 3, 2, Some(Down)),
            ("+-.-.-", 3, 2, Some(Down)),
            ("---+", 3, 2, Some(Down)),
            ("---+-+", 3, 2, Some(Down)),
            ("---++", 3, 2, Some(Up)),
            ("---+.+", 3, 2, Some(Up)),
            ("+-", 1, 1, Some(Down)),
            ("+-+", 1, 1, Some(Up)),
            ("x", 3, 2, Some(Unable)),
            ("+x", 3, 2, Some(Unable)),
            ("---x.", 3, 2, Some(Unable)),
            ("x+", 3, 2, Some(Up)),
            ("---x+", 3, 2, Some(Up)),
            ("x--", 3, 2, None),
            ("+x---", 3, 2, Some(Down)),
        ] {
            assert_eq!(after(probes, fall, rise).seen(), seen, "{probes}");
        }
    }

    /// Looks at the whole row each time: up or down is whichever row was completed last. Nothing before an `x` counts.
    fn twin(probes: &str, fall: usize, rise: usize) -> Option<Finding> {
        let asked: Vec<char> = probes.rsplit('x').next().unwrap_or("").chars().filter(|letter| *letter != '.').collect();
        if probes.contains('x') && asked.is_empty() {
            return Some(Finding::Unable);
        }
        let mut says = None;
        for end in 1..=asked.len() {
            let row = asked[..end].iter().rev().take_while(|letter| **letter == asked[end - 1]).count();
            let enough = if says.is_none() { 1 } else { rise };
            says = match asked[end - 1] {
                '-' if row >= fall => Some(Finding::Down),
                '+' if row >= enough || says != Some(Finding::Down) => Some(Finding::Up),
                '-' if matches!(says, Some(Finding::Up | Finding::Suspect)) => Some(Finding::Suspect),
                _ => says,
            };
        }
        says
    }

    proptest! {
        #[test]
        fn findings_are_those_of_the_dumb_twin(probes in "[+.x-]{0,20}", fall in 1_u8..5, rise in 1_u8..5) {
            prop_assert_eq!(after(&probes, fall, rise).seen(), twin(&probes, fall.into(), rise.into()));
        }
    }
}
