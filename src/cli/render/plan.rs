//! Shows plans and what an apply changed.

use super::text::{Palette, Tone};
use crate::{
    api::{ApplyAnswer, Plan},
    rules::Difference,
};

/// A plan, one line a change.
pub(in crate::cli) fn plan(plan: &Plan, palette: Palette) -> String {
    if plan.changes.is_empty() {
        return format!("no changes: the cluster is at revision {}\n", plan.revision);
    }
    let count = plan.changes.len();
    let plural = if count == 1 { "" } else { "s" };
    format!("{}{count} change{plural} to revision {}\n", lines(&plan.changes, palette), plan.revision)
}

/// What an apply changed.
pub(in crate::cli) fn applied(answer: &ApplyAnswer, palette: Palette) -> String {
    if !answer.changed {
        return format!("no changes: the cluster is at revision {}\n", answer.revision);
    }
    format!("{}applied: the cluster is at revision {}\n", lines(&answer.changes, palette), answer.revision)
}

fn lines(changes: &[Difference], palette: Palette) -> String {
    let line = |change: &Difference| {
        let tone = match change {
            Difference::Add { .. } => Tone::Good,
            Difference::Remove { .. } => Tone::Bad,
            Difference::Change { .. } => Tone::Warn,
        };
        format!("{}\n", palette.paint(tone, &change.to_string()))
    };
    changes.iter().map(line).collect()
}
