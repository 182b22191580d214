//! What the tidy test checks in one file (pure).

use std::fmt;

/// The rooms of `src/`, in dependency order: a room imports only rooms above it.
const ROOMS: [&str; 24] = [
    "model",
    "clock",
    "base",
    "repeats",
    "tasks",
    "rules",
    "config",
    "link",
    "verdict",
    "kernel",
    "reconcile",
    "health",
    "gossip",
    "vip",
    "guard",
    "peers",
    "raft",
    "members",
    "api",
    "status",
    "cli",
    "agent",
    "fuzzing",
    "main",
];

/// Rooms that wait and look at the clock as their job.
const WAITING_ROOMS: [&str; 4] = ["tasks", "cli", "api", "main"];

/// Files of other rooms that wait, or look at the clock, though their name does not say so, and why.
const WAITING_FILES: [(&str, &str); 14] = [
    ("src/agent.rs", "the worker from start to stop"),
    ("src/agent/admin.rs", "requests of the API"),
    ("src/agent/answering.rs", "asks by ARP"),
    ("src/agent/authorisation.rs", "reads a watch"),
    ("src/agent/member.rs", "starts a member"),
    ("src/agent/orders.rs", "founds and joins"),
    ("src/agent/running.rs", "a member from start to stop"),
    ("src/agent/security.rs", "requests of the API"),
    ("src/agent/waiting", "waits for what keeps a member from starting"),
    ("src/agent/wires.rs", "makes the channels"),
    ("src/guard/event_loop", "the guard's one loop"),
    ("src/guard/executor.rs", "carries out what is decided"),
    ("src/guard/mod.rs", "the guard from start to stop"),
    ("src/kernel/fake.rs", "a kernel whose look takes time"),
];

/// Where a task is started without `tasks::Tasks`, which makes a fault of its end, and why its end is seen all the same.
const SPAWNING: [(&str, &str); 9] = [
    ("src/tasks.rs", "what makes the fault"),
    ("src/kernel/io/address.rs", "a netlink socket whose task is gone is replaced at the next request"),
    ("src/raft/task/start.rs", "what stops raft runs after it was told to, and says when it has ended"),
    ("src/peers/io/server.rs", "one connection"),
    ("src/peers/io/pool.rs", "one connection; who waits for it is told when it is gone"),
    ("src/agent/orders.rs", "one answer, with a deadline"),
    ("src/api/routes.rs", "one request; its answer says when it panicked"),
    ("src/api/client/connect.rs", "one request of the command line"),
    ("src/guard/io/worker.rs", "the guard's, not the worker's: the end of one is the end of the channel, which the guard sees"),
];

const LINES_MAX: usize = 400;

/// Paths of somebody's machine. Put together here so that this file passes its own test.
const MACHINE_PATHS: [&str; 4] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/tmp/", "wt"), concat!("/wo", "rk/")];

#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    pub place: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place, self.line, self.what)
    }
}

/// A file of the tree, by its path from the root.
pub struct Source<'a> {
    pub place: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { place: self.place.to_owned(), line, what: what.into() }
    }

    /// Lines with their numbers, comments cut off.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line.split_once("//").map_or(line, |(code, _)| code)))
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
        if whole { 1 } else { marked.map_or(usize::MAX, |at| at + 1) }
    }

    fn head(&self) -> Option<Violation> {
        (!self.text.starts_with("//!")).then(|| self.violation(1, "the first line does not say the file's job (//! …)"))
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
            return vec![
                self.violation(1, format!("no such room: {room} (add it to ROOMS in its place, and to ARCHITECTURE.md)")),
            ];
        };
        let code: String = self.code().map(|(_, line)| line.to_owned() + "\n").collect();
        let mut found = Vec::new();
        for (at, _) in code.match_indices("crate::") {
            let named_here =
                code[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != '$');
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
        let listed = WAITING_FILES.iter().any(|(place, _)| self.place.starts_with(place));
        if listed
            || WAITING_ROOMS.contains(&room)
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
                    found.push(
                        self.violation(
                            number,
                            format!("{word} belongs in task.rs, io/ or the rooms {}", WAITING_ROOMS.join(", ")),
                        ),
                    );
                }
            }
        }
        found
    }

    /// Tasks whose end nobody would see.
    fn spawning(&self) -> Vec<Violation> {
        let listed = SPAWNING.iter().any(|(place, _)| self.place.starts_with(place));
        if self.room().is_none() || listed {
            return Vec::new();
        }
        let tests = self.tests_begin();
        let code = self.code().filter(|(number, _)| *number < tests);
        code.filter(|(_, line)| ["tokio::spawn(", "task::spawn(", "TaskTracker"].iter().any(|word| line.contains(word)))
            .map(|(number, _)| self.violation(number, "start it by tasks::Tasks: its end would be seen by nobody"))
            .collect()
    }

    fn printing(&self) -> Vec<Violation> {
        if self.room().is_some_and(|room| room == "cli" || room == "main") {
            return Vec::new();
        }
        let tests = self.tests_begin();
        self.code()
            .filter(|(number, _)| *number < tests)
            .filter(|(_, line)| ["println!(", "print!(", "dbg!("].iter().any(|word| line.contains(word)))
            .map(|(number, _)| self.violation(number, "printing belongs in cli/ and main.rs"))
            .collect()
    }

    pub fn machine_paths(&self) -> Vec<Violation> {
        let lines = self.text.lines().enumerate();
        let named = |line: &str| MACHINE_PATHS.iter().find(|path| line.contains(**path));
        lines
            .filter_map(|(at, line)| named(line).map(|path| self.violation(at + 1, format!("{path} is a path of one machine"))))
            .collect()
    }

    pub fn rust(&self) -> Vec<Violation> {
        let mut found = self.imports();
        found.extend(self.head());
        found.extend(self.length());
        found.extend(self.waiting());
        found.extend(self.printing());
        found.extend(self.spawning());
        found
    }
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|&known| known == room)
}

/// What stands directly behind `crate::`: one name, or the first name of each branch of a group.
pub fn first_names(path: &str) -> Vec<&str> {
    let name = |text: &'_ str| text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
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
