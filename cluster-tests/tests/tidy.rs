//! Holds the conventions of the tree: file heads, file length, the order of the rooms, where time and I/O may appear.

use std::fmt;
use std::path::{Path, PathBuf};

/// The rooms of `src/`, in dependency order: a room imports only rooms above it.
const ROOMS: [&str; 18] = [
    "model",
    "clock",
    "config",
    "link",
    "verdict",
    "rules",
    "import",
    "kernel",
    "reconcile",
    "health",
    "gossip",
    "vip",
    "guard",
    "raft",
    "api",
    "cli",
    "agent",
    "main",
];

/// Rooms that wait and look at the clock as their job.
const WAITING_ROOMS: [&str; 5] = ["cli", "api", "guard", "agent", "main"];

const LINES_MAX: usize = 400;

/// Paths of somebody's machine. Put together here so that this file passes its own test.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "wt"),
    concat!("/wo", "rk/"),
];

#[derive(Debug, PartialEq, Eq)]
struct Violation {
    place: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place, self.line, self.what)
    }
}

/// A file of the tree, by its path from the root.
struct Source<'a> {
    place: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation {
            place: self.place.to_owned(),
            line,
            what: what.into(),
        }
    }

    /// Lines with their numbers, comments cut off.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.split_once("//").map_or(line, |(code, _)| code)))
    }

    /// The room of a file of the agent's `src/`; none for lib.rs.
    fn room(&self) -> Option<&str> {
        let inside = self.place.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first)).filter(|&room| room != "lib")
    }

    /// First line of the tests at the file's end, and beyond.
    fn tests_begin(&self) -> usize {
        let whole = self.place.ends_with("tests.rs") || self.place.contains("/tests/");
        let marked = self.text.lines().position(|line| line.trim() == "#[cfg(test)]");
        if whole {
            1
        } else {
            marked.map_or(usize::MAX, |at| at + 1)
        }
    }

    fn head(&self) -> Option<Violation> {
        (!self.text.starts_with("//!"))
            .then(|| self.violation(1, "the first line does not say the file's job (//! …)"))
    }

    fn length(&self) -> Option<Violation> {
        let lines = self.text.lines().count();
        (lines > LINES_MAX).then(|| self.violation(lines, format!("{lines} lines, more than {LINES_MAX}")))
    }

    /// Imports against the order of the rooms, in tests too.
    fn imports(&self) -> Vec<Violation> {
        let Some(room) = self.room() else {
            return Vec::new();
        };
        let Some(own) = rank(room) else {
            return vec![self.violation(
                1,
                format!("no such room: {room} (add it to ROOMS in its place, and to ARCHITECTURE.md)"),
            )];
        };
        let code: String = self.code().map(|(_, line)| line.to_owned() + "\n").collect();
        let mut found = Vec::new();
        for (at, _) in code.match_indices("crate::") {
            let named_here = code[..at]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != '$');
            if !named_here {
                continue;
            }
            for target in first_names(&code[at + "crate::".len()..]) {
                if rank(target).is_some_and(|rank| rank > own) {
                    let line = code[..at].lines().count().max(1);
                    found.push(self.violation(line, format!("{room} imports {target}, which is below it")));
                }
            }
        }
        found
    }

    /// Waiting and clocks outside the files that are for them.
    fn waiting(&self) -> Vec<Violation> {
        let Some(room) = self.room() else {
            return Vec::new();
        };
        let name = self.place.rsplit('/').next().unwrap_or("");
        let inside = |folder: &str| self.place.contains(&format!("/{folder}/"));
        if WAITING_ROOMS.contains(&room)
            || name == "task.rs"
            || name.ends_with("_task.rs")
            || inside("io")
            || inside("task")
        {
            return Vec::new();
        }
        let tests = self.tests_begin();
        let mut found = Vec::new();
        for (number, line) in self.code() {
            for word in [".await", "tokio::", "::now()"] {
                let allowed = number >= tests && word != "::now()";
                if line.contains(word) && !allowed {
                    found.push(self.violation(
                        number,
                        format!(
                            "{word} belongs in task.rs, io/ or the rooms {}",
                            WAITING_ROOMS.join(", ")
                        ),
                    ));
                }
            }
        }
        found
    }

    fn printing(&self) -> Vec<Violation> {
        if self.room().is_some_and(|room| room == "cli" || room == "main") {
            return Vec::new();
        }
        let tests = self.tests_begin();
        self.code()
            .filter(|(number, _)| *number < tests)
            .filter(|(_, line)| {
                ["println!(", "print!(", "dbg!("]
                    .iter()
                    .any(|word| line.contains(word))
            })
            .map(|(number, _)| self.violation(number, "printing belongs in cli/ and main.rs"))
            .collect()
    }

    fn machine_paths(&self) -> Vec<Violation> {
        let lines = self.text.lines().enumerate();
        let named = |line: &str| MACHINE_PATHS.iter().find(|path| line.contains(**path));
        lines
            .filter_map(|(at, line)| {
                named(line).map(|path| self.violation(at + 1, format!("{path} is a path of one machine")))
            })
            .collect()
    }

    fn rust(&self) -> Vec<Violation> {
        let mut found = self.imports();
        found.extend(self.head());
        found.extend(self.length());
        found.extend(self.waiting());
        found.extend(self.printing());
        found
    }
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|&known| known == room)
}

/// What stands directly behind `crate::`: one name, or the first name of each branch of a group.
fn first_names(path: &str) -> Vec<&str> {
    let name = |text: &'_ str| {
        text.find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(text.len())
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![&path[..name(path)]];
    };
    let mut names = Vec::new();
    let (mut depth, mut fresh) = (0, true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && depth == 0 && !letter.is_whitespace() => {
                names.push(&group[at..at + name(&group[at..])]);
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a member lies in its workspace")
        .to_owned()
}

/// Every file below a folder, leaving out what is built or hidden.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let skipped =
            [".git", "target"].iter().any(|skip| name == *skip) || name.to_string_lossy().ends_with(".lock");
        let path = entry.path();
        if skipped {
            continue;
        }
        if path.is_dir() {
            files(&path, found)
        } else {
            found.push(path)
        }
    }
}

/// Runs a check over every file of the tree that `wanted` picks and fails with all it found.
fn hold(wanted: impl Fn(&str) -> bool, check: impl Fn(&Source<'_>) -> Vec<Violation>) {
    let (root, mut paths) = (root(), Vec::new());
    files(&root, &mut paths);
    let mut seen = 0;
    let mut found = Vec::new();
    for path in paths {
        let place = path
            .strip_prefix(&root)
            .expect("found below it")
            .to_string_lossy()
            .into_owned();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        if wanted(&place) {
            seen += 1;
            found.extend(check(&Source {
                place: &place,
                text: &text,
            }));
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

fn whats(place: &str, text: &str) -> Vec<String> {
    Source { place, text }
        .rust()
        .into_iter()
        .map(|violation| violation.to_string())
        .collect()
}

#[test]
fn the_checks_find_what_they_are_for() {
    assert!(whats("src/model/a.rs", "use std::fmt;\n")[0].contains("src/model/a.rs:1: the first line"));
    assert!(whats("src/model/a.rs", &("//! a\n".to_owned() + &"\n".repeat(400)))[0].contains("401 lines"));
    assert!(whats("src/kitchen/a.rs", "//! a\n")[0].contains("no such room: kitchen"));
    assert!(whats("src/vip/fsm.rs", "//! a\nfn f() { x().await }\n")[0].contains("fsm.rs:2: .await"));
    assert!(whats("src/vip/fsm.rs", "//! a\nuse tokio::time;\n")[0].contains("tokio::"));
    assert!(
        whats(
            "src/clock.rs",
            "//! a\n#[cfg(test)]\nmod tests { let t = Instant::now(); }\n"
        )[0]
        .contains("::now()")
    );
    assert!(whats("src/rules/a.rs", "//! a\nfn f() { println!(\"x\") }\n")[0].contains("printing"));
    assert!(
        whats(
            "cluster-tests/src/lab/a.rs",
            "//! a\nfn f() { eprintln!(\"x\") }\n"
        )[0]
        .contains("printing")
    );
    let bad = Source {
        place: "README.md",
        text: concat!("see\n/ho", "me/me/x\n"),
    };
    assert_eq!(bad.machine_paths()[0].line, 2);
}

#[test]
fn a_room_may_import_only_rooms_above_it() {
    let found = whats(
        "src/rules/apply.rs",
        "//! a\nuse crate::model::Vip;\nuse crate::{\n    clock::Clock,\n    gossip::{View, keys},\n};\n",
    );
    assert_eq!(
        found,
        ["src/rules/apply.rs:3: rules imports gossip, which is below it"]
    );
    assert_eq!(
        whats(
            "src/model.rs",
            "//! a\n#[cfg(test)]\nmod tests { use crate::raft::X; }\n"
        )
        .len(),
        1
    );
    assert_eq!(
        whats(
            "src/agent.rs",
            "//! a\nuse crate::{raft::X, api, model::{vip, a::{b}}, gossip};\n"
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        whats(
            "src/rules/a.rs",
            "//! a\n// see crate::raft::X\nuse crate::rules::b;\n"
        ),
        Vec::<String>::new()
    );
}

#[test]
fn files_that_are_for_waiting_may_wait() {
    for place in [
        "src/health/task.rs",
        "src/vip/lease_task.rs",
        "src/kernel/io/ipvs.rs",
        "src/api/serve.rs",
        "src/agent/wire.rs",
        "src/main.rs",
    ] {
        assert_eq!(
            whats(
                place,
                "//! a\nasync fn f() { tokio::time::sleep(x).await; let _ = I::now(); }\n"
            ),
            Vec::<String>::new(),
            "{place}"
        );
    }
    assert_eq!(
        whats(
            "src/kernel/fake.rs",
            "//! a\n#[cfg(test)]\nmod tests { async fn f() { x().await } }\n"
        ),
        Vec::<String>::new()
    );
}

#[test]
fn a_group_of_imports_is_taken_apart() {
    assert_eq!(first_names("model::Vip;"), ["model"]);
    assert_eq!(
        first_names("{model::{a, raft}, clock, rules::b}; use crate::x"),
        ["model", "clock", "rules"]
    );
}
