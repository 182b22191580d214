//! Shows plans and what an apply changed.

use super::text::{Palette, Tone, clean};
use crate::{
    api::{ApplyAnswer, PlanAnswer},
    rules::{Difference, Warning},
};

/// A plan, one line a change.
pub(in crate::cli) fn plan(plan: &PlanAnswer, palette: Palette) -> String {
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

/// What to look at, one line each.
pub(in crate::cli) fn warnings(warnings: &[Warning]) -> String {
    warnings.iter().map(|warning| format!("warning: {}\n", clean(&warning.to_string()))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::MissingInterface;

    #[test]
    fn each_warning_is_a_line_that_names_nodes_and_what_to_do() {
        let lacks = |node: &str| MissingInterface {
            node: node.parse().unwrap(),
            interface: "eth9".to_owned(),
            configured: false,
            has: vec!["eth0\u{1b}[2J".to_owned()],
        };
        let text = warnings(&[
            Warning::NoDirectorHasInterface {
                vip: "web".parse().unwrap(),
                holder: Some("d2".parse().unwrap()),
                directors: vec![lacks("d1"), lacks("d2")],
                unknown: Vec::new(),
            },
            Warning::VipIsAHostsAddress {
                vip: "web".parse().unwrap(),
                address: "10.0.0.21".parse().unwrap(),
                node: "r1".parse().unwrap(),
            },
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "warning: vip web: no director that is heard has its interface: d1 has no eth9, it has eth0?[2J; d2 has no eth9, it has eth0?[2J; \
                 d2 holds it now and gives it up, then nobody holds it; correct `interface`, or make that interface",
                "warning: vip web: 10.0.0.21 is the address of r1, which would lose its traffic to whoever holds the VIP; use an address that no machine has",
            ]
        );
    }
}
