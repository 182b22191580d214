//! What the tidy test checks in scenarios (pure): whoever takes long, or asks for long, says why.

/// A scenario that takes longer says why.
const SECONDS_MAX: u64 = 60;
/// The limit of a scenario that asks for none (`scripts/lab`).
const LIMIT: u64 = 300;

/// What follows ` -- ` in the line `# lab:`.
fn reason(lab: &str) -> Option<&str> {
    lab.split_once(" -- ").map(|(_, reason)| reason.trim()).filter(|reason| reason.split(' ').count() >= 3)
}

fn limit(lab: &str) -> Option<u64> {
    lab.split_once("--timeout ")?.1.split(' ').next()?.parse().ok()
}

/// Judges scenarios (name, text) with the file that says how many seconds each takes: lines `NAME SECONDS`.
pub fn judge(scenarios: &[(String, String)], seconds: &str) -> Vec<String> {
    let measured: Vec<(&str, u64)> = seconds
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, seconds)| Some((name, seconds.parse().ok()?)))
        .collect();
    let mut found: Vec<String> = measured
        .iter()
        .filter(|(name, _)| !scenarios.iter().any(|(known, _)| known == name))
        .map(|(name, _)| format!("seconds: there is no scenario {name}"))
        .collect();
    for (name, text) in scenarios {
        let lab = text.lines().find(|line| line.starts_with("# lab:")).unwrap_or("");
        let takes = measured.iter().find(|(known, _)| known == name).map(|&(_, seconds)| seconds);
        match takes {
            None => found.push(format!("seconds: {name} is missing (scripts/test --record {name})")),
            Some(takes) if takes > SECONDS_MAX && reason(lab).is_none() => {
                found.push(format!(
                    "{name}.sh: takes {takes} s; its line \"# lab:\" must end in \" -- \" and why, in three words or more"
                ));
            }
            Some(_) => {}
        }
        if limit(lab).is_some_and(|limit| limit > LIMIT) && reason(lab).is_none() {
            found.push(format!("{name}.sh: wants a limit above {LIMIT} s; its line \"# lab:\" must end in \" -- \" and why"));
        }
    }
    found
}

#[test]
fn the_slow_and_the_unmeasured_are_found() {
    let scenario = |name: &str, lab: &str| (name.to_owned(), format!("#!/bin/bash\n# proves it\n{lab}\n"));
    let judged = |lab: &str, seconds: &str| judge(&[scenario("a", lab)], seconds).len();
    assert_eq!(judged("", "a 60\n"), 0);
    assert_eq!(judged("", "a 61\n"), 1);
    assert_eq!(judged("# lab: --alone -- waits for two minutes", "a 61\n"), 0);
    assert_eq!(judged("# lab: --alone -- slow", "a 61\n"), 1);
    assert_eq!(judged("# lab: --timeout 900", "a 6\n"), 1);
    assert_eq!(judged("# lab: --timeout 200", "a 6\n"), 0);
    assert_eq!(judged("", ""), 1);
    assert_eq!(judged("", "a 6\nb 6\n"), 1);
}
