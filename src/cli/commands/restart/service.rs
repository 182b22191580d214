//! The service manager: whether it is what runs this node's guard, and a restart by it.

use super::super::systemctl::{self, UNIT};
use crate::guard;
use std::{path::Path, time::Duration};

/// Questions are answered at once.
const ANSWER: Duration = Duration::from_secs(10);
/// Longer than stopping and starting may take by the unit file.
const RESTART: Duration = Duration::from_secs(90);

/// Whether systemd runs the guard that has this data directory.
///
/// # Errors
/// Why it is not known to, in words.
pub(super) async fn runs_the_guard(data_dir: &Path) -> Result<(), String> {
    let Some(guard) = guard::lock_holder(data_dir) else { return Err("it is not known which process is its guard".to_owned()) };
    let shown = systemctl::done(&["show", UNIT, "--property=ActiveState,MainPID"], ANSWER).await?;
    judge(guard, &shown)
}

fn judge(guard: u32, shown: &str) -> Result<(), String> {
    let property = |name| systemctl::property(shown, name);
    match (property("ActiveState"), property("MainPID").and_then(|pid| pid.trim().parse::<u32>().ok())) {
        (Some("active"), Some(main)) if main == guard => Ok(()),
        (Some("active"), Some(main)) => Err(format!("the guard is process {guard}, but systemd's {UNIT} is process {main}")),
        (state, _) => Err(format!("systemd's {UNIT} is {}, and the guard is process {guard}", state.unwrap_or("unknown"))),
    }
}

/// Has systemd restart it; returns when it is ready again.
///
/// # Errors
/// What systemctl said.
pub(super) async fn restart() -> Result<(), String> {
    systemctl::done(&["restart", UNIT], RESTART).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_guard_itself_counts_as_run_by_systemd() {
        assert_eq!(judge(7, "MainPID=7\nActiveState=active\n"), Ok(()));
        for (shown, said) in [
            ("MainPID=8\nActiveState=active\n", "the guard is process 7, but systemd's lvs-agent.service is process 8"),
            ("MainPID=0\nActiveState=inactive\n", "systemd's lvs-agent.service is inactive, and the guard is process 7"),
            ("", "systemd's lvs-agent.service is unknown, and the guard is process 7"),
        ] {
            assert_eq!(judge(7, shown).unwrap_err(), said);
        }
    }
}
