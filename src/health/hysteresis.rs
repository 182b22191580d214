//! What an observer makes of a row of probes: `fall` failures in a row are down, `rise` successes in a row are up again.

use crate::verdict::Finding;

/// What one probe brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grade {
    /// The server answered as it should.
    Passed,
    /// It did not.
    Failed,
    /// The question was never put, for a lack on this node (no descriptors, no ports): says nothing of the server.
    NotAsked,
    /// It cannot be put on this node until somebody changes something there: the observer has no word on the server any more.
    Unable,
}

/// An observer's judgement of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hysteresis {
    /// Nothing is said yet.
    #[default]
    Unknown,
    /// Nothing is said yet, but so many probes failed in a row.
    Doubtful(u8),
    /// Up.
    Up,
    /// Up so far, but so many probes failed in a row.
    Suspect(u8),
    /// Down; so many probes passed in a row since.
    Down(u8),
    /// Nothing can be said.
    Unable,
}

impl Hysteresis {
    /// The judgement after one more probe. At the start one good probe is enough for up: a cluster that starts is not to wait for `rise`.
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

    /// What is told to others; `None` before the first judgement.
    pub const fn seen(self) -> Option<Finding> {
        match self {
            Hysteresis::Unknown | Hysteresis::Doubtful(_) => None,
            Hysteresis::Up => Some(Finding::Up),
            Hysteresis::Suspect(_) => Some(Finding::Suspect),
            Hysteresis::Down(_) => Some(Finding::Down),
            Hysteresis::Unable => Some(Finding::Unable),
        }
    }

    /// The next probe is not to wait for its turn: a judgement hangs on it.
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

    fn judged(probes: &str, fall: u8, rise: u8) -> Hysteresis {
        probes.chars().fold(Hysteresis::default(), |judgement, letter| judgement.after(grade(letter), fall, rise))
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
            assert_eq!(judged(probes, fall, rise).seen(), seen, "{probes}");
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
        fn judgements_are_those_of_the_dumb_twin(probes in "[+.x-]{0,20}", fall in 1_u8..5, rise in 1_u8..5) {
            prop_assert_eq!(judged(&probes, fall, rise).seen(), twin(&probes, fall.into(), rise.into()));
        }
    }
}
