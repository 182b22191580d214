//! How fit a director is to hold a VIP group.

use super::name::VipName;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// How fit a director is to hold a VIP group, in thousandths: [`Fitness::WELL`] at most, lower is less fit. Directors are compared by it: a holder that is
/// less fit than another director that could hold the group hands it over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Fitness(pub u16);

impl Fitness {
    /// Nothing speaks against it.
    pub const WELL: Fitness = Fitness(1000);
    /// It holds the group only where no other director is fitter.
    pub const LAST_RESORT: Fitness = Fitness(1);
    /// It never holds the group.
    pub const NONE: Fitness = Fitness(0);

    /// As much of [`Fitness::WELL`] as `part` is of `whole`, and never [`Fitness::NONE`]: where all directors are equally bad, one of them still holds.
    pub fn share(part: usize, whole: usize) -> Self {
        let thousandths =
            (part.saturating_mul(usize::from(Self::WELL.0))).checked_div(whole).unwrap_or(usize::from(Self::WELL.0));
        Self(u16::try_from(thousandths).unwrap_or(u16::MAX)).clamp(Self::LAST_RESORT, Self::WELL)
    }
}

/// A director that is less fit for a group than [`Fitness::WELL`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LessFit {
    /// How fit it is.
    pub fitness: Fitness,
    /// The reasons, in one line.
    pub why: String,
}

/// The groups for which a director is less fit than [`Fitness::WELL`].
pub type LessFitGroups = BTreeMap<VipName, LessFit>;

impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_in_proportion_and_a_director_that_reaches_nothing_is_a_last_resort() {
        let shares = [(0, 3), (1, 3), (3, 3), (5, 3), (0, 0), (1, 1_000_000)].map(|(part, whole)| Fitness::share(part, whole));
        assert_eq!(shares.map(|share| share.0), [1, 333, 1000, 1000, 1000, 1]);
        assert!(Fitness::NONE < Fitness::LAST_RESORT && Fitness::LAST_RESORT < Fitness::WELL);
    }
}
