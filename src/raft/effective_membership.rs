//! The effective membership of this node: the last one in its log, else its snapshot's.

use super::types::{LogId, StoredMembership};
use std::collections::BTreeMap;

/// The memberships that this node stores.
#[derive(Clone, Debug, Default)]
pub struct StoredMemberships {
    in_log: BTreeMap<u64, StoredMembership>,
    in_snapshot: StoredMembership,
    snapshot_end: Option<LogId>,
    told: Option<StoredMembership>,
}

impl StoredMemberships {
    /// An entry with a membership is appended.
    pub fn append(&mut self, index: u64, membership: StoredMembership) {
        self.in_log.insert(index, membership);
    }

    /// Every entry from `first` on is removed.
    pub fn truncate_from(&mut self, first: u64) {
        self.in_log.split_off(&first);
    }

    /// A snapshot of everything up to `end` takes the place of the former one.
    pub fn snapshot(&mut self, end: Option<LogId>, membership: StoredMembership) {
        self.in_snapshot = membership;
        self.snapshot_end = end;
    }

    /// Every entry up to `last` is removed; a snapshot has them.
    pub fn purge_to(&mut self, last: u64) {
        self.in_log = self.in_log.split_off(&last.saturating_add(1));
    }

    /// The effective membership, if the guard has not been told it yet.
    pub fn untold(&self) -> Option<StoredMembership> {
        let effective = self.effective();
        (self.told.as_ref() != Some(effective)).then(|| effective.clone())
    }

    /// Notes that the guard was told `membership` as the effective one.
    pub fn told(&mut self, membership: StoredMembership) {
        self.told = Some(membership);
    }

    /// The effective membership. For indexes that a snapshot covers, the snapshot's counts: an entry there may be one that was never committed.
    pub fn effective(&self) -> &StoredMembership {
        let after_snapshot = self.snapshot_end.as_ref().map_or(0, |end| end.index.saturating_add(1));
        self.in_log.range(after_snapshot..).next_back().map_or(&self.in_snapshot, |(_, membership)| membership)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::{Membership, testing::log_id};

    fn stored(index: u64, voters: &[u64]) -> StoredMembership {
        let voters = voters.iter().copied().collect();
        StoredMembership::new(Some(id(index)), Membership::new_with_defaults(vec![voters], []))
    }

    fn id(index: u64) -> LogId {
        log_id::<super::super::types::TypeConfig>(1, 1, index)
    }

    #[test]
    fn the_last_one_in_the_log_counts_and_goes_back_when_it_is_truncated() {
        let mut memberships = StoredMemberships::default();
        assert_eq!(memberships.effective(), &StoredMembership::default());
        memberships.append(3, stored(3, &[1]));
        memberships.append(5, stored(5, &[1, 2]));
        assert_eq!(memberships.effective(), &stored(5, &[1, 2]));
        memberships.truncate_from(5);
        assert_eq!(memberships.effective(), &stored(3, &[1]));
        memberships.truncate_from(0);
        assert_eq!(memberships.effective(), &StoredMembership::default());
    }

    #[test]
    fn a_snapshot_counts_until_the_log_goes_beyond_it() {
        let mut memberships = StoredMemberships::default();
        memberships.append(5, stored(5, &[1, 9]));
        memberships.snapshot(Some(id(10)), stored(7, &[1, 2, 3]));
        assert_eq!(memberships.effective(), &stored(7, &[1, 2, 3]), "an entry that the snapshot covers does not count");
        memberships.append(11, stored(11, &[1, 2]));
        assert_eq!(memberships.effective(), &stored(11, &[1, 2]));
        memberships.truncate_from(11);
        assert_eq!(memberships.effective(), &stored(7, &[1, 2, 3]));
    }

    #[test]
    fn purging_what_a_snapshot_has_changes_nothing() {
        let mut memberships = StoredMemberships::default();
        memberships.append(5, stored(5, &[1, 2]));
        memberships.snapshot(Some(id(6)), stored(5, &[1, 2]));
        memberships.append(8, stored(8, &[1]));
        memberships.purge_to(6);
        assert_eq!(memberships.effective(), &stored(8, &[1]));
    }
}
