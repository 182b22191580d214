//! The source of a page made clean: what groff and mandoc would draw otherwise than it is meant, or warn of.

use std::fmt::Write;

/// Bytes of a line of text; mandoc remarks on those above 80.
const LINE_BYTES: usize = 76;

/// What the roff crate begins each document with; `clean` needs none.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// A document of the roff crate as a part of a page.
pub fn without_preamble(roff: &str) -> &str {
    roff.strip_prefix(PREAMBLE).unwrap_or(roff)
}

/// Makes the source of a page clean. Code in backticks becomes bold, each sentence begins a line, letters that nroff would replace by
/// typographical ones are named.
pub fn clean(source: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let (mut in_example, mut is_tag) = (false, false);
    for line in source.lines() {
        let control = line.starts_with('.');
        match line {
            ".EX" => in_example = true,
            ".EE" => in_example = false,
            _ => {}
        }
        if control {
            // clap_mangen breaks twice for an empty line, which mandoc does not want.
            if !(line == ".br" && lines.last().is_some_and(|last| last == ".br")) {
                lines.push(named_letters(line.trim_end()));
            }
        } else if in_example {
            lines.push(named_letters(&named_escapes(line)));
        } else if is_tag {
            lines.push(named_letters(&bold_code(&named_escapes(line.trim()))));
        } else if line.trim().is_empty() {
            if !lines.last().is_some_and(|last| last.starts_with('.')) {
                lines.push(".sp".to_owned());
            }
        } else {
            lines.extend(wrapped(&named_letters(&bold_code(&named_escapes(line.trim())))));
        }
        is_tag = line == ".TP";
    }
    lines.join("\n") + "\n"
}

/// Backslashes and apostrophes as groff and mandoc name them.
fn named_escapes(line: &str) -> String {
    let mut named = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        named += &rest[..at];
        let (name, length) = match &rest[at..] {
            escape if escape.starts_with("\\\\") => ("\\e", 2),
            escape if escape.starts_with("\\*(Aq") => ("\\(aq", 5),
            // Taken whole, so that the letter after it begins no escape.
            escape => {
                let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
                (&escape[..length], length)
            }
        };
        named += name;
        rest = &rest[at + length..];
    }
    named + rest
}

/// `code` in bold; a backtick without another stays one.
fn bold_code(line: &str) -> String {
    let mut parts: Vec<&str> = line.split('`').collect();
    let single = parts.len().is_multiple_of(2).then(|| parts.pop()).flatten();
    let mut text = String::new();
    for (at, part) in parts.into_iter().enumerate() {
        if at % 2 == 0 { text += part } else { text += &format!("\\fB{part}\\fR") }
    }
    if let Some(single) = single {
        text += "`";
        text += single;
    }
    text
}

/// Letters that are not ASCII, or that nroff draws as others.
fn named_letters(line: &str) -> String {
    let mut named = String::new();
    for letter in line.chars() {
        match letter {
            '`' => named += "\\(ga",
            '^' => named += "\\(ha",
            '~' => named += "\\(ti",
            '\u{a0}' => named += "\\ ",
            letter if letter.is_ascii() => named.push(letter),
            letter => write!(named, "\\[u{:04X}]", u32::from(letter)).expect("a String takes all"),
        }
    }
    named
}

/// A line of text as lines of the source: one for each sentence, so that the end of one is known as such, and none too long.
fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (at, word) in words(line).iter().enumerate() {
        let current = lines.last_mut().expect("begun with one");
        let ended = ends_sentence(current);
        if at == 0 {
            *current = (*word).to_owned();
        } else if ended && !word.starts_with(char::is_lowercase) || current.len() + 1 + word.len() > LINE_BYTES {
            if ended && word.starts_with(char::is_lowercase) {
                *current += "\\&";
            }
            let control = word.starts_with(['.', '\'']);
            lines.push(if control { format!("\\&{word}") } else { (*word).to_owned() });
        } else {
            *current += " ";
            *current += word;
        }
    }
    lines
}

/// Words, between spaces that are no part of an escape.
fn words(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut begin = 0;
    for (at, _) in line.match_indices(' ') {
        if !line[..at].ends_with('\\') {
            found.push(&line[begin..at]);
            begin = at + 1;
        }
    }
    found.push(&line[begin..]);
    found.retain(|word| !word.is_empty());
    found
}

fn ends_sentence(line: &str) -> bool {
    let bare = line.trim_end_matches("\\fR").trim_end_matches([')', ']', '"']);
    bare.ends_with(['.', '!', '?']) && !bare.ends_with("...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sentence_begins_a_line() {
        assert_eq!(clean("One. Two (2.) Three e.g. four.\n"), "One.\nTwo (2.)\nThree e.g. four.\n");
    }

    #[test]
    fn long_lines_are_broken_and_a_word_that_looks_like_a_request_is_none() {
        let text = format!("{} .toml files, etc. and so on", "word ".repeat(15).trim_end());
        assert_eq!(clean(&text), format!("{}\n\\&.toml files, etc. and so on\n", "word ".repeat(15).trim_end()));
    }

    #[test]
    fn letters_are_drawn_as_they_are_meant() {
        assert_eq!(clean("a `b` and ` \\\\ \\*(Aq ~^ –\n"), "a \\fBb\\fR and \\(ga \\e \\(aq \\(ti\\(ha \\[u2013]\n");
        assert_eq!(clean("\\\\\\-x\n"), "\\e\\-x\n");
        assert_eq!(clean("[\\-\\-token\u{a0}TOKEN]\n"), "[\\-\\-token\\ TOKEN]\n");
    }

    #[test]
    fn examples_and_tags_keep_their_lines() {
        let long = "x ".repeat(60);
        let source = format!(".EX\nA. B `c`\n\n.EE\n.TP\n{long}\ntext \n");
        assert_eq!(clean(&source), format!(".EX\nA. B \\(gac\\(ga\n\n.EE\n.TP\n{}\ntext\n", long.trim()));
    }

    #[test]
    fn empty_lines_of_text_are_spaces_and_breaks_are_not_doubled() {
        assert_eq!(clean("a\n\nb\n.br\n\n.br\nc\n"), "a\n.sp\nb\n.br\nc\n");
    }
}
