//! How fast Raft is in each timing profile, and which of openraft's settings are ours.

use crate::model::TimingProfile;
use openraft::{Config, SnapshotPolicy};
use std::time::Duration;

/// Entries between two snapshots.
const SNAPSHOT_EVERY: u64 = 500;
/// Entries kept behind a snapshot, so that a follower that was away for a moment needs none.
const KEEP_ENTRIES: u64 = 100;

/// The rhythm of one profile. A new leader comes `election_max` + random(`election_min`, `election_max`) after the old one died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RaftTiming {
    /// Time between two heartbeats of a leader. openraft's clock ticks five times in that, on every voter; what is proposed and what is committed wait
    /// for neither. Several fit into the shortest silence after which anybody asks for votes (`election_max` + `election_min`).
    pub heartbeat: Duration,
    /// How long what did not succeed waits before it is tried again, and how much later than expected a heartbeat may be.
    pub pause: Duration,
    /// Shortest silence after which a follower asks for votes.
    pub election_min: Duration,
    /// Longest, and how long a leader that was heard is trusted.
    pub election_max: Duration,
}

impl RaftTiming {
    /// The rhythm of `profile`.
    pub const fn of(profile: TimingProfile) -> Self {
        let (heartbeat, pause, min, max) = match profile {
            TimingProfile::Fast => (25, 25, 75, 150),
            TimingProfile::Lan => (100, 50, 150, 300),
            TimingProfile::Wan => (200, 200, 1000, 2000),
        };
        Self {
            heartbeat: Duration::from_millis(heartbeat),
            pause: Duration::from_millis(pause),
            election_min: Duration::from_millis(min),
            election_max: Duration::from_millis(max),
        }
    }

    /// openraft's configuration.
    pub fn config(self, cluster_id: &str) -> Config {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        // A peer that came back is tried again that soon; the default waits 200 ms and more.
        let retry = ms(self.pause).div_ceil(2);
        Config {
            cluster_name: cluster_id.to_owned(),
            heartbeat_interval: ms(self.heartbeat),
            election_timeout_min: ms(self.election_min),
            election_timeout_max: ms(self.election_max),
            enable_pre_vote: Some(true),
            // A leader that hears nobody goes silent, so that those who hear it, but are not heard, may elect another.
            quorum_loss_probe_interval: Some(2 * ms(self.election_max)),
            // A leader that was restarted asks for votes like anybody else: what it last knew as committed may be old.
            enable_leader_restore: Some(false),
            backoff: format!("{retry}ms {retry}ms {retry}ms"),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
            max_in_snapshot_log_to_keep: KEEP_ENTRIES,
            replication_lag_threshold: 2 * SNAPSHOT_EVERY,
            install_snapshot_timeout: 50 * ms(self.pause),
            ..Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_valid_to_openraft() {
        for profile in [TimingProfile::Fast, TimingProfile::Lan, TimingProfile::Wan] {
            assert!(RaftTiming::of(profile).config("c").validate().is_ok(), "{profile}");
        }
    }
}
