//! Looks at this node's tracks, each at its interval, and publishes which fail.

use super::{
    io::{script::ScriptRunner, track::Looker},
    track::{TrackFinding, TrackFindings, Tracker},
};
use crate::model::Track;
use futures_util::future::join_all;
use std::sync::Arc;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Looks until `shutdown`.
pub async fn run(
    tracks: Arc<Vec<Track>>,
    scripts: ScriptRunner,
    out: watch::Sender<Arc<TrackFindings>>,
    shutdown: CancellationToken,
) {
    let followed = tracks.iter().map(|track| follow(track, scripts.clone(), &out));
    // A look changes nothing, so it may be stopped anywhere. Without tracks there is nothing to do until then.
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = async { join_all(followed).await; std::future::pending().await } => {}
    }
}

async fn follow(track: &Track, scripts: ScriptRunner, out: &watch::Sender<Arc<TrackFindings>>) {
    let (mut looker, mut tracker) = (Looker::new(scripts), Tracker::new(track.clone()));
    let mut due = interval(track.interval);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        tracker.step(looker.look(track).await);
        let Some(finding) = tracker.finding() else { continue };
        out.send_if_modified(|findings| {
            let before = findings.get(&track.name);
            if before == Some(&finding) {
                return false;
            }
            match (&finding, before) {
                (TrackFinding::Fails { why, .. }, _) => tracing::warn!(track = %track.name, why, "track fails"),
                (TrackFinding::Passes, Some(_)) => tracing::info!(track = %track.name, "track passes again"),
                (TrackFinding::Passes, None) => tracing::info!(track = %track.name, "track passes"),
            }
            Arc::make_mut(findings).insert(track.name.clone(), finding.clone());
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FileExpectation, TrackKind};
    use std::time::Duration;

    #[tokio::test]
    async fn a_file_that_comes_and_goes_is_told() {
        let path = std::env::temp_dir().join(format!("lvs-track-task-{}", std::process::id()));
        let kind = TrackKind::File { path: path.clone(), expects: FileExpectation::Absent };
        let (every, vips) = (Duration::from_millis(10), Default::default());
        let limit = Duration::from_secs(10);
        let track = Track {
            name: "drain".parse().unwrap(),
            kind,
            interval: every,
            timeout: limit,
            fall: 2,
            rise: 2,
            weight: Some(-5),
            vips,
        };
        let (out, mut findings) = watch::channel(Arc::default());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(Arc::new(vec![track.clone()]), ScriptRunner::off(), out, shutdown.clone()));
        let passes = |findings: &Arc<TrackFindings>| findings.get(&track.name) == Some(&TrackFinding::Passes);
        tokio::time::timeout(limit, findings.wait_for(passes)).await.unwrap().unwrap();
        std::fs::write(&path, "").unwrap();
        let fails = TrackFinding::Fails { cost: Some(5), why: format!("{} is there", path.display()) };
        tokio::time::timeout(limit, findings.wait_for(|found| found.get(&track.name) == Some(&fails))).await.unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        tokio::time::timeout(limit, findings.wait_for(passes)).await.unwrap().unwrap();
        shutdown.cancel();
        task.await.unwrap();
    }
}
