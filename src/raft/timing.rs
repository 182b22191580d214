//! How fast Raft is in each timing profile, and which of openraft's settings are ours.

use crate::model::TimingProfile;
use openraft::{Config, SnapshotPolicy};
use std::time::Duration;

/// Entries between two snapshots.
const SNAPSHOT_EVERY: u64 = 500;
/// Entries kept behind a snapshot, so that a follower that was away for a moment needs none.
const KEEP_ENTRIES: u64 = 100;

/// Every so many heartbeats one goes to members that do not vote, too: all that it tells them is that there is a leader.
pub const BEATS_TO_LEARNERS: u32 = 4;

/// The rhythm of one profile. A new leader comes `election_max` + random(`election_min`, `election_max`) after the old one died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RaftTiming {
    /// Time between two heartbeats of a leader to a voter. What is proposed and what is committed do not wait for it. Several fit into the shortest
    /// silence after which anybody asks for votes (`election_max` + `election_min`).
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
            TimingProfile::Fast => (50, 25, 100, 200),
            TimingProfile::Lan => (250, 50, 300, 600),
            TimingProfile::Wan => (500, 200, 1000, 2000),
        };
        Self {
            heartbeat: Duration::from_millis(heartbeat),
            pause: Duration::from_millis(pause),
            election_min: Duration::from_millis(min),
            election_max: Duration::from_millis(max),
        }
    }

    /// Whoever was heard last so long ago is gone: a leader, as a follower that `votes` or does not hears it. A heartbeat may be a little late when all is well.
    pub fn longest_silence(self, votes: bool) -> Duration {
        let awaited = if votes { Duration::ZERO } else { self.heartbeat * BEATS_TO_LEARNERS };
        awaited + self.election_max + self.pause
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

    #[test]
    fn three_heartbeats_may_be_lost_before_anybody_asks_for_votes() {
        for profile in [TimingProfile::Fast, TimingProfile::Lan, TimingProfile::Wan] {
            let timing = RaftTiming::of(profile);
            assert!(timing.heartbeat * 3 < timing.election_max + timing.election_min, "{profile}");
            // openraft's clock is switched on at the end of that silence, and ticks five times in a heartbeat's time.
            assert!(timing.longest_silence(true) + timing.heartbeat / 4 < timing.election_max + timing.election_min, "{profile}");
            assert!(timing.longest_silence(false) > timing.heartbeat * BEATS_TO_LEARNERS + timing.election_max, "{profile}");
        }
    }
}
