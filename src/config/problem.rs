//! The problems of a file with their places: all at once, in the file's order.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// All that is wrong in one file; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems {
    /// The file's name as the user gave it.
    pub file: String,
    /// In the order of the file.
    pub list: Vec<Problem>,
}

/// How many problems are shown; a file with more of them has one cause for most.
const SHOWN: usize = 100;

impl Problems {
    /// One line a problem, `file:line:column: message`, and a last line that says how many were left off.
    pub fn lines(&self) -> Vec<String> {
        let place = |p: &Problem| format!("{}:{}:{}: {}", self.file, p.line, p.column, p.message);
        let mut lines: Vec<String> = self.list.iter().take(SHOWN).map(place).collect();
        if self.list.len() > SHOWN {
            lines.push(format!("{}: … and {} more problems", self.file, self.list.len() - SHOWN));
        }
        lines
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Collects problems by byte offset while a file is read.
pub(super) struct ProblemCollector<'s> {
    file: &'s str,
    text: &'s str,
    line_starts: Vec<usize>,
    found: Vec<(usize, String)>,
}

impl<'s> ProblemCollector<'s> {
    pub(super) fn new(file: &'s str, text: &'s str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, line_starts, found: Vec::new() }
    }

    pub(super) fn add(&mut self, at: usize, message: impl Into<String>) {
        self.found.push((at, message.into()));
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// The line, from 1, in which the byte `at` stands.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let line = self.line_of(at);
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..at).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }

    /// What was found, if anything was.
    pub(super) fn into_problems(mut self) -> Option<Problems> {
        self.found.sort();
        self.found.dedup();
        let list: Vec<Problem> = self
            .found
            .iter()
            .map(|(at, message)| {
                let (line, column) = self.place(*at);
                Problem { line, column, message: message.clone() }
            })
            .collect();
        (!list.is_empty()).then(|| Problems { file: self.file.to_owned(), list })
    }
}
