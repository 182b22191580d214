//! What follows from the bounds of rates: of one other clock, and of all of them for this node's.

/// What a lease allows clocks to differ by: 1%.
const TOLERATED_PPM: i64 = 10_000;

/// How much faster another clock runs, at least and at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    pub least_ppm: i64,
    pub most_ppm: i64,
}

/// How another clock runs beside this node's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rate {
    /// It has not been compared with, or not lately.
    Unknown,
    /// The rates differ by no more than the leases allow for.
    Within,
    /// It surely runs faster than that.
    Fast {
        /// By about so many millionths.
        ppm: i64,
    },
    /// It surely runs slower than that.
    Slow {
        /// By about so many millionths.
        ppm: i64,
    },
}

impl Rate {
    /// What all windows say alike; `None`: nothing.
    pub(super) fn of(windows: [Bounds; 2]) -> Option<Self> {
        let last = windows[1];
        let ppm = (last.least_ppm / 2 + last.most_ppm / 2).abs();
        if windows.iter().all(|window| window.least_ppm > TOLERATED_PPM) {
            Some(Rate::Fast { ppm })
        } else if windows.iter().all(|window| window.most_ppm < -TOLERATED_PPM) {
            Some(Rate::Slow { ppm })
        } else {
            let is_within = |window: &Bounds| window.least_ppm >= -TOLERATED_PPM && window.most_ppm <= TOLERATED_PPM;
            windows.iter().all(is_within).then_some(Rate::Within)
        }
    }

    /// Whether both say the same, whatever the numbers.
    pub fn is_alike(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// What other clocks say of this node's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnClock {
    /// Nothing bad.
    Good,
    /// It runs slower than most. A lease that it counts lasts too long.
    Slow {
        /// By about so many millionths.
        ppm: i64,
    },
    /// It runs faster than most. A promise that it counts ends too early.
    Fast {
        /// By about so many millionths.
        ppm: i64,
    },
    /// There is one other voter, whose clock runs faster. Nobody knows which of them is wrong, and a lease that the slower one counts lasts too long for the other.
    SlowerOfTwo {
        /// By about so many millionths.
        ppm: i64,
    },
}

impl OwnClock {
    /// `others`: every other voter. It is wrong only if those that differ in the same direction are a majority of the clocks that were compared, this one
    /// included. So one that lies cannot do that alone, and of two halves neither does it to the other.
    pub(super) fn among(others: &[Rate]) -> Self {
        let compared = 1 + others.iter().filter(|rate| **rate != Rate::Unknown).count();
        let (mut faster, mut slower) = (Vec::new(), Vec::new());
        for rate in others {
            match rate {
                Rate::Fast { ppm } => faster.push(*ppm),
                Rate::Slow { ppm } => slower.push(*ppm),
                Rate::Unknown | Rate::Within => (),
            }
        }
        match (median(&mut faster), median(&mut slower)) {
            (Some(ppm), _) if 2 * faster.len() > compared => OwnClock::Slow { ppm },
            (_, Some(ppm)) if 2 * slower.len() > compared => OwnClock::Fast { ppm },
            (Some(ppm), _) if others.len() == 1 => OwnClock::SlowerOfTwo { ppm },
            _ => OwnClock::Good,
        }
    }

    /// Whether a lease may be counted with it.
    pub fn may_hold(self) -> bool {
        self == OwnClock::Good
    }

    /// Whether a promise may be counted with it: one that a fast clock counts ends too early, one that a slow clock counts only too late.
    pub fn may_grant(self) -> bool {
        !matches!(self, OwnClock::Fast { .. })
    }

    /// Whether both say the same, whatever the numbers.
    pub fn is_alike(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// In words; `None`: it is good.
    pub fn trouble(self) -> Option<String> {
        match self {
            OwnClock::Good => None,
            OwnClock::Slow { ppm } => Some(format!("its clock runs {} slower than those of most voters", percent(ppm))),
            OwnClock::Fast { ppm } => Some(format!("its clock runs {} faster than those of most voters", percent(ppm))),
            OwnClock::SlowerOfTwo { ppm } => {
                Some(format!("its clock runs {} slower than that of the only other voter", percent(ppm)))
            }
        }
    }
}

fn median(values: &mut [i64]) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// For people: `3.1%`.
pub fn percent(ppm: i64) -> String {
    format!("{}.{}%", ppm / 10_000, ppm % 10_000 / 1_000)
}
