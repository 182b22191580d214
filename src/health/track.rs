//! What the looks at a node's tracks come to: which fail, and what that leaves of its fitness. Pure.

use super::hysteresis::{Grade, Hysteresis};
use crate::model::{Fitness, Track, TrackName, VipName};
use std::collections::BTreeMap;

/// The result of one look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Look {
    /// It is as it should be.
    Passed,
    /// It is not, and why.
    Failed(String),
    /// A file holds this number.
    Number(i64),
    /// It could not be looked at just now.
    NotAsked,
}

/// Whether a track passes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrackFinding {
    /// It does.
    Passes,
    /// It does not.
    Fails {
        /// What the fitness loses; `None`: all but the last resort.
        cost: Option<u64>,
        /// The reason.
        why: String,
    },
}

/// What is known of each track; one that is absent has not been looked at often enough.
pub type TrackFindings = BTreeMap<TrackName, TrackFinding>;

/// Follows one track.
#[derive(Clone, Debug)]
pub struct Tracker {
    track: Track,
    hysteresis: Hysteresis,
    /// What the last look that failed said.
    failed: (Option<u64>, String),
}

impl Tracker {
    /// Nothing is known of it yet.
    pub fn new(track: Track) -> Self {
        Self { track, hysteresis: Hysteresis::default(), failed: (None, String::new()) }
    }

    /// Takes the result of one more look.
    pub fn step(&mut self, look: Look) {
        let weight = self.track.weight;
        let cost = weight.map(|weight| u64::from(weight.unsigned_abs()));
        let grade = match look {
            Look::Passed => Grade::Passed,
            Look::NotAsked => Grade::NotAsked,
            Look::Failed(why) => self.fails(cost, why),
            Look::Number(number) => match weight.map(|weight| number.saturating_mul(weight.into())) {
                None if number != 0 => self.fails(None, format!("its number is {number}")),
                Some(added) if added < 0 => self.fails(Some(added.unsigned_abs()), format!("its number is {number}")),
                None | Some(_) => Grade::Passed,
            },
        };
        self.hysteresis = self.hysteresis.after(grade, self.track.fall, self.track.rise);
    }

    fn fails(&mut self, cost: Option<u64>, why: String) -> Grade {
        self.failed = (cost, why);
        Grade::Failed
    }

    /// What is known of it; `None` before it is known.
    pub fn finding(&self) -> Option<TrackFinding> {
        match self.hysteresis {
            Hysteresis::Unknown | Hysteresis::Doubtful(_) => None,
            Hysteresis::Up | Hysteresis::Suspect(_) => Some(TrackFinding::Passes),
            Hysteresis::Down(_) | Hysteresis::Unable => {
                let (cost, why) = self.failed.clone();
                Some(TrackFinding::Fails { cost, why })
            }
        }
    }
}

/// For each of the groups that tracks speak against: what they leave of the fitness, and the reasons.
pub fn tracked<'a>(
    tracks: &[Track],
    findings: &TrackFindings,
    groups: impl Iterator<Item = &'a VipName>,
) -> Vec<(VipName, Fitness, String)> {
    let failing = tracks.iter().filter_map(|track| match findings.get(&track.name)? {
        TrackFinding::Passes => None,
        TrackFinding::Fails { cost, why } => Some((track, cost, why)),
    });
    let failing: Vec<_> = failing.collect();
    let of_group = |group: &VipName| {
        let concerned = || failing.iter().filter(|(track, ..)| track.vips.is_empty() || track.vips.contains(group));
        let reasons: Vec<String> = concerned().map(|(track, _, why)| format!("track {} fails: {why}", track.name)).collect();
        let lost = concerned().map(|(_, cost, _)| cost.unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
        let left = u64::from(Fitness::WELL.0).saturating_sub(lost);
        let fitness = u16::try_from(left).map_or(Fitness::WELL, Fitness).max(Fitness::LAST_RESORT);
        (!reasons.is_empty()).then(|| (group.clone(), fitness, reasons.join("; ")))
    };
    groups.filter_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FileExpectation, TrackKind};
    use std::time::Duration;

    fn track(name: &str, weight: Option<i16>, vips: &[&str]) -> Track {
        Track {
            name: name.parse().unwrap(),
            kind: TrackKind::File { path: "/x".into(), expects: FileExpectation::Number },
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            fall: 2,
            rise: 2,
            weight,
            vips: vips.iter().map(|vip| vip.parse().unwrap()).collect(),
        }
    }

    fn after(weight: Option<i16>, looks: &[Look]) -> Option<TrackFinding> {
        let mut tracker = Tracker::new(track("a", weight, &[]));
        looks.iter().for_each(|look| tracker.step(look.clone()));
        tracker.finding()
    }

    fn fails(cost: Option<u64>, why: &str) -> Option<TrackFinding> {
        Some(TrackFinding::Fails { cost, why: why.to_owned() })
    }

    #[test]
    fn a_track_fails_after_fall_and_passes_after_rise() {
        let (passed, failed) = (Look::Passed, Look::Failed("exit 2".to_owned()));
        let looks = [&passed, &failed, &failed, &passed, &Look::NotAsked, &passed].map(Look::clone);
        let findings: Vec<_> = (0..=looks.len()).map(|count| after(Some(-20), &looks[..count])).collect();
        let (passes, down) = (Some(TrackFinding::Passes), fails(Some(20), "exit 2"));
        assert_eq!(findings, [None, passes.clone(), passes.clone(), down.clone(), down.clone(), down, passes]);
        assert_eq!(after(None, std::slice::from_ref(&failed)), None);
        assert_eq!(after(Some(20), &[failed.clone(), failed]), fails(Some(20), "exit 2"), "the sign makes no difference");
    }

    #[test]
    fn a_number_is_multiplied_by_the_weight_and_fails_where_that_is_below_nothing() {
        let number = |weight, number| after(weight, &[Look::Number(number), Look::Number(number)]);
        let passes = Some(TrackFinding::Passes);
        assert_eq!((number(None, 0), number(Some(5), 7), number(Some(-5), 0)), (passes.clone(), passes.clone(), passes));
        assert_eq!(number(None, 3), fails(None, "its number is 3"));
        assert_eq!(number(Some(-5), 7), fails(Some(35), "its number is 7"));
        assert_eq!(number(Some(5), -7), fails(Some(35), "its number is -7"));
        assert_eq!(number(Some(-999), i64::MAX), fails(Some(1 << 63), "its number is 9223372036854775807"));
    }

    #[test]
    fn costs_add_up_for_the_groups_that_they_concern_and_leave_the_last_resort() {
        let tracks =
            [track("a", Some(-200), &[]), track("b", Some(-300), &["web"]), track("c", None, &["db"]), track("d", None, &[])];
        let finding = |cost, why: &str| TrackFinding::Fails { cost, why: why.to_owned() };
        let findings: TrackFindings = [
            ("a", finding(Some(200), "x")),
            ("b", finding(Some(300), "y")),
            ("c", finding(None, "z")),
            ("d", TrackFinding::Passes),
        ]
        .map(|(name, finding)| (name.parse().unwrap(), finding))
        .into();
        let groups = ["db", "mail", "web"].map(|name| name.parse::<VipName>().unwrap());
        let told: Vec<_> = tracked(&tracks, &findings, groups.iter());
        let expected = [
            ("db", 1, "track a fails: x; track c fails: z"),
            ("mail", 800, "track a fails: x"),
            ("web", 500, "track a fails: x; track b fails: y"),
        ];
        assert_eq!(told, expected.map(|(group, left, why)| (group.parse().unwrap(), Fitness(left), why.to_owned())));
        assert_eq!(tracked(&tracks, &TrackFindings::new(), groups.iter()), []);
    }
}
