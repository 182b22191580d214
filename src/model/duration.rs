//! Durations as people write them: `500ms`, `1s`, `5m`, `1h`.

use std::{fmt, str::FromStr, time::Duration};

/// A duration that is read and shown as one whole number with its unit. Whole milliseconds only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DurationText(pub Duration);

/// The units, longest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for DurationText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("`{text}` is not a duration: write a whole number and its unit (ms, s, m or h), for example 500ms or 2s");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits);
        let (_, unit_ms) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let number: u64 = number.parse().map_err(|_| bad())?;
        number.checked_mul(unit_ms).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(bad)
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, unit_ms) = UNITS.into_iter().find(|(_, unit_ms)| ms > 0 && ms % unit_ms == 0).unwrap_or(("ms", 1));
        f.pad(&format!("{}{unit}", ms / unit_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_needs_a_whole_number_and_a_unit() {
        assert_eq!("500ms".parse(), Ok(DurationText(Duration::from_millis(500))));
        assert_eq!("2m".parse(), Ok(DurationText(Duration::from_secs(120))));
        for bad in ["", "5", "ms", "-1s", "1.5s", "1 s", "1d", "99999999999999999999h", "18446744073709551615h"] {
            assert!(bad.parse::<DurationText>().is_err(), "{bad:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 0u64..10_000_000_000) {
            let duration = DurationText(Duration::from_millis(ms));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
