//! The parts of a help text of the command line: paragraphs, examples, exit codes, files.

use anyhow::{Context, Result, bail};

/// A part of a help text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Sentences.
    Paragraph(String),
    /// Lines that stay as they are.
    Code(Vec<String>),
    /// Indented lines below a line with a title.
    Titled(String, Vec<String>),
}

/// A help text by where its parts go in a page.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Help {
    /// What it says, and code that belongs to it.
    pub description: Vec<Part>,
    /// Names and what is said of them: exit codes.
    pub exit_codes: Vec<(String, String)>,
    /// Files.
    pub files: Vec<(String, String)>,
    /// Commands in the order of a first use.
    pub first_steps: Vec<(String, String)>,
    /// Lines of a shell.
    pub examples: Vec<String>,
}

impl Help {
    /// Reads a help text; what cannot be told apart is an error.
    pub fn read(text: &str) -> Result<Self> {
        let mut help = Self::default();
        for part in parts(text)? {
            match part {
                Part::Titled(title, lines) => match title.as_str() {
                    "Example" | "Examples" => help.examples.extend(lines),
                    "Exit codes" => help.exit_codes.extend(columns(&lines)?),
                    "Files" => help.files.extend(columns(&lines)?),
                    "First steps" => help.first_steps.extend(columns(&lines)?),
                    _ => help.description.push(Part::Titled(title, lines)),
                },
                Part::Paragraph(text) => match text.strip_prefix("Exit codes: ") {
                    Some(codes) => help.exit_codes.extend(in_a_row(codes)?),
                    None => help.description.push(Part::Paragraph(text)),
                },
                code @ Part::Code(_) => help.description.push(code),
            }
        }
        Ok(help)
    }
}

/// The parts, between empty lines.
fn parts(text: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let lines: Vec<&str> = block.trim_matches('\n').lines().collect();
        let indented = |lines: &[&str]| lines.iter().all(|line| line.starts_with("  "));
        let shifted = |lines: &[&str]| lines.iter().map(|line| line[2..].to_owned()).collect();
        let title = lines[0].strip_suffix(':').filter(|title| !title.starts_with(' '));
        parts.push(match title {
            _ if indented(&lines) => Part::Code(shifted(&lines)),
            Some(title) if lines.len() > 1 && indented(&lines[1..]) => Part::Titled(title.to_owned(), shifted(&lines[1..])),
            _ if !lines.iter().any(|line| line.starts_with(' ')) => Part::Paragraph(lines.join(" ")),
            _ => bail!("this part of a help text is neither a paragraph nor a title with indented lines:\n{block}"),
        });
    }
    Ok(parts)
}

/// Lines of two columns, with two spaces or more between.
fn columns(lines: &[String]) -> Result<Vec<(String, String)>> {
    let split = |line: &String| {
        let (left, right) = line.split_once("  ").with_context(|| format!("no two columns in the help text's line `{line}`"))?;
        Ok((left.trim().to_owned(), right.trim().to_owned()))
    };
    lines.iter().map(split).collect()
}

/// Exit codes in one sentence: `0 left; 1 not left, as you answered; 2 …`.
fn in_a_row(text: &str) -> Result<Vec<(String, String)>> {
    let mut codes: Vec<(String, String)> = Vec::new();
    for piece in text.trim_end_matches('.').split("; ") {
        match piece.split_once(' ').filter(|(code, _)| code.parse::<u8>().is_ok()) {
            Some((code, what)) => codes.push((code.to_owned(), what.to_owned())),
            None => {
                let (_, what) = codes.last_mut().with_context(|| format!("no exit code at the begin of `{piece}`"))?;
                what.push_str("; ");
                what.push_str(piece);
            }
        }
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(left, right)| ((*left).to_owned(), (*right).to_owned())).collect()
    }

    #[test]
    fn a_help_text_comes_apart() {
        let text = "Says this.\nAnd that.\n\n  [api]\n  listen = 1\n\nExit codes:\n  0   done\n  10  there are  two\n\nFiles:\n  /a  this\n\nMinimal:\n  x\n    y\n\nExamples:\n  one\n  two  # 2";
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let wanted = Help {
            description: vec![
                Part::Paragraph("Says this. And that.".to_owned()),
                Part::Code(words(&["[api]", "listen = 1"])),
                Part::Titled("Minimal".to_owned(), words(&["x", "  y"])),
            ],
            exit_codes: pairs(&[("0", "done"), ("10", "there are  two")]),
            files: pairs(&[("/a", "this")]),
            first_steps: Vec::new(),
            examples: words(&["one", "two  # 2"]),
        };
        assert_eq!(Help::read(text).unwrap(), wanted);
    }

    #[test]
    fn exit_codes_may_stand_in_a_row() {
        let help = Help::read("Exit codes: 0 left; 1 not left: ask; or see; 5 refused, nothing\nwas changed.").unwrap();
        let wanted = pairs(&[("0", "left"), ("1", "not left: ask; or see"), ("5", "refused, nothing was changed")]);
        assert_eq!(help, Help { exit_codes: wanted, ..Help::default() });
    }

    #[test]
    fn what_cannot_be_told_apart_is_an_error() {
        assert!(Help::read("one\n  two").unwrap_err().to_string().contains("neither a paragraph"));
        assert!(Help::read("Files:\n  /a this").unwrap_err().to_string().contains("no two columns"));
    }
}
