//! Holds the conventions of the tree: file heads, file length, the order of the rooms, where time and I/O may appear, what documents point to.

#[path = "tidy/checks.rs"]
mod checks;
#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/scenarios.rs"]
mod scenarios;

use checks::{Source, Violation, first_names};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member lies in its workspace").to_owned()
}

/// Every file below a folder, leaving out what is built, hidden or somebody else's.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let skipped =
            [".git", "target", ".patches"].iter().any(|skip| name == *skip) || name.to_string_lossy().ends_with(".lock");
        let path = entry.path();
        if skipped {
            continue;
        }
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Runs a check over every file of the tree that `wanted` picks and fails with all it found.
fn hold(wanted: impl Fn(&str) -> bool, check: impl Fn(&Source<'_>) -> Vec<Violation>) {
    let (root, mut paths) = (root(), Vec::new());
    files(&root, &mut paths);
    let mut seen = 0;
    let mut found = Vec::new();
    for path in paths {
        let place = path.strip_prefix(&root).expect("found below it").to_string_lossy().into_owned();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        if wanted(&place) {
            seen += 1;
            found.extend(check(&Source { place: &place, text: &text }));
        }
    }
    assert!(seen > 0, "found nothing to check below {}", root.display());
    let list: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "\n{}", list.join("\n"));
}

#[test]
fn every_rust_file_keeps_the_conventions() {
    hold(|place| place.ends_with(".rs"), |source| source.rust());
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    hold(|_| true, |source| source.machine_paths());
}

#[test]
fn no_binary_is_kept_in_the_tree() {
    let (root, mut paths) = (root(), Vec::new());
    files(&root, &mut paths);
    let elf = |path: &PathBuf| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
    let found: Vec<PathBuf> = paths.into_iter().filter(elf).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_scenario_that_takes_long_says_why() {
    let folder = root().join("cluster-tests/scenarios");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file of the tree");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("there are scenarios").flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = file.strip_suffix(".sh").filter(|name| *name != "lib") {
            all.push((name.to_owned(), read(&file)));
        }
    }
    let found = scenarios::judge(&all, &read("seconds"));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_files_of_a_room_import_each_other_in_a_circle() {
    let (root, mut paths) = (root(), Vec::new());
    files(&root.join("src"), &mut paths);
    let read = |path: PathBuf| {
        let place = path.strip_prefix(&root).expect("found below it").to_string_lossy().into_owned();
        std::fs::read_to_string(&path).ok().map(|text| (place, text))
    };
    let all: Vec<(String, String)> = paths.into_iter().filter_map(read).collect();
    assert!(all.len() > 100, "found {} files below src", all.len());
    let found: Vec<String> = circles::circles(&all).into_iter().map(|circle| circle.join("\n")).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n\n"));
}

#[test]
fn what_documents_point_to_is_there() {
    let (root, mut paths) = (root(), Vec::new());
    files(&root, &mut paths);
    let (mut texts, mut code) = (Vec::new(), String::new());
    for path in paths {
        let place = path.strip_prefix(&root).expect("found below it").to_string_lossy().into_owned();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("md") => texts.push((place, std::fs::read_to_string(&path).expect("documents are text"))),
            Some("rs" | "sh") => code += &std::fs::read_to_string(&path).expect("code is text"),
            _ => {}
        }
    }
    assert!(texts.iter().any(|(place, _)| place == "docs/decisions/README.md"), "found no decisions");
    let exists = |place: &str| root.join(place).exists();
    let found = documents::judge(&documents::Tree { documents: &texts, exists: &exists, code: &code });
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn whats(place: &str, text: &str) -> Vec<String> {
    Source { place, text }.rust().into_iter().map(|violation| violation.to_string()).collect()
}

#[test]
fn the_checks_find_what_they_are_for() {
    assert!(whats("src/model/a.rs", "use std::fmt;\n")[0].contains("src/model/a.rs:1: the first line"));
    assert!(whats("src/model/a.rs", &("//! a\n".to_owned() + &"\n".repeat(400)))[0].contains("401 lines"));
    assert!(whats("src/kitchen/a.rs", "//! a\n")[0].contains("no such room: kitchen"));
    assert!(whats("src/vip/fsm.rs", "//! a\nfn f() { x().await }\n")[0].contains("fsm.rs:2: .await"));
    assert!(whats("src/vip/fsm.rs", "//! a\nuse tokio::time;\n")[0].contains("tokio::"));
    assert!(whats("src/guard/leases.rs", "//! a\nfn f() { x().await }\n")[0].contains("leases.rs:2: .await"));
    assert!(whats("src/agent/projections.rs", "//! a\nfn f() { x().await }\n")[0].contains("projections.rs:2: .await"));
    assert!(whats("src/clock.rs", "//! a\n#[cfg(test)]\nmod tests { let t = Instant::now(); }\n")[0].contains("::now()"));
    assert!(whats("src/rules/a.rs", "//! a\nfn f() { println!(\"x\") }\n")[0].contains("printing"));
    assert!(whats("cluster-tests/src/lab/a.rs", "//! a\nfn f() { eprintln!(\"x\") }\n")[0].contains("printing"));
    assert!(
        whats("src/agent/a_task.rs", "//! a\nfn f() { tokio::spawn(judge()); }\n")[0]
            .contains("a_task.rs:2: start it by tasks::Tasks")
    );
    let bad = Source { place: "README.md", text: concat!("see\n/ho", "me/me/x\n") };
    assert_eq!(bad.machine_paths()[0].line, 2);
}

#[test]
fn a_room_may_import_only_rooms_above_it() {
    let found = whats(
        "src/rules/apply.rs",
        "//! a\nuse crate::model::Vip;\nuse crate::{\n    clock::Clock,\n    gossip::{View, keys},\n};\n",
    );
    assert_eq!(found, ["src/rules/apply.rs:3: rules imports gossip, which is below it"]);
    assert_eq!(whats("src/model.rs", "//! a\n#[cfg(test)]\nmod tests { use crate::raft::X; }\n").len(), 1);
    assert_eq!(whats("src/agent.rs", "//! a\nuse crate::{raft::X, api, model::{vip, a::{b}}, gossip};\n"), Vec::<String>::new());
    assert_eq!(whats("src/rules/a.rs", "//! a\n// see crate::raft::X\nuse crate::rules::b;\n"), Vec::<String>::new());
}

#[test]
fn files_that_are_for_waiting_may_wait() {
    for place in [
        "src/health/task.rs",
        "src/vip/lease_task.rs",
        "src/kernel/io/ipvs.rs",
        "src/api/serve.rs",
        "src/agent/wires.rs",
        "src/main.rs",
    ] {
        assert_eq!(
            whats(place, "//! a\nasync fn f() { tokio::time::sleep(x).await; let _ = I::now(); }\n"),
            Vec::<String>::new(),
            "{place}"
        );
    }
    assert_eq!(
        whats("src/kernel/fake.rs", "//! a\n#[cfg(test)]\nmod tests { async fn f() { x().await } }\n"),
        Vec::<String>::new()
    );
}

#[test]
fn a_group_of_imports_is_taken_apart() {
    assert_eq!(first_names("model::Vip;"), ["model"]);
    assert_eq!(first_names("{model::{a, raft}, clock, rules::b}; use crate::x"), ["model", "clock", "rules"]);
}
