//! Until when a director that a majority answers again leaves the lease to the one that holds the group by fallback.

use super::times::Times;
use crate::clock::BootInstant;

/// See the file's first line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deference {
    since: Option<BootInstant>,
}

impl Deference {
    /// A majority answers again, or a fallback holder was heard.
    pub fn begin(&mut self, now: BootInstant) {
        self.since.get_or_insert(now);
    }

    /// As long as one is heard, and at the longest for the time that is set for it.
    pub fn until(&self, heard: Option<BootInstant>, times: &Times) -> BootInstant {
        let Some(since) = self.since else { return BootInstant::default() };
        let last = heard.map_or(since, |heard| heard.max(since));
        (last + times.deference).min(since + times.longest_deference)
    }

    /// Over, when none has been heard for long enough. While one is heard it does not begin anew.
    pub fn look(&mut self, heard: Option<BootInstant>, times: &Times, now: BootInstant) {
        let Some(since) = self.since else { return };
        let last = heard.map_or(since, |heard| heard.max(since));
        if now >= last + times.deference {
            self.since = None;
        }
    }
}
