//! One man page in the making: sections, paragraphs, tagged lists and examples; its text is made clean at the end (`source.rs`).

use super::source;
use anyhow::{Context, Result};
use roff::{Inline, Roff, bold, roman};

/// Columns of an example on a terminal of 80: man(1) leaves two free, and indents by seven.
pub const EXAMPLE_COLUMNS: usize = 71;

/// What all pages of one run have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// When the version was released; empty if it was not.
    pub date: String,
    /// Version of lvs-agent.
    pub version: String,
}

/// A page of the manual.
#[derive(Debug)]
pub struct Page {
    source: String,
}

impl Page {
    /// Begins the page `name(section)` by its title line.
    pub fn new(name: &str, section: u8, stamp: &Stamp) -> Self {
        let manual = if section == 5 { "File Formats" } else { "System Administration" };
        let quoted = |text: &str| format!("\"{text}\"");
        let (date, version) = (quoted(&stamp.date), quoted(&format!("lvs\\-agent {}", stamp.version)));
        let title = name.to_uppercase().replace('-', "\\-");
        // Only here the arguments are quoted by us: roff drops an empty one. Lines are not stretched and words
        // not cut, not even after a macro that sets hyphenation again by HY.
        let source = format!(".TH {title} {section} {date} {version} {}\n.ad l\n.nh\n.nr HY 0\n", quoted(manual));
        Self { source }
    }

    /// Takes what clap_mangen or roff has made.
    pub fn add(&mut self, roff: &str) -> &mut Self {
        self.source += source::without_preamble(roff);
        self
    }

    fn roff(&mut self, fill: impl FnOnce(&mut Roff)) -> &mut Self {
        let mut roff = Roff::new();
        fill(&mut roff);
        self.add(&roff.render())
    }

    /// Begins a section.
    pub fn section(&mut self, name: &str) -> &mut Self {
        self.roff(|roff| {
            roff.control("SH", [name]);
        })
    }

    /// Begins a part of a section.
    pub fn subsection(&mut self, name: &str) -> &mut Self {
        self.roff(|roff| {
            roff.control("SS", [name.replace('-', "\\-").as_str()]);
        })
    }

    /// A paragraph; the first of a section is one without `.PP`, which nroff would skip with a warning.
    pub fn paragraph(&mut self, text: Vec<Inline>) -> &mut Self {
        let control = (!self.at_heading()).then_some("PP");
        self.roff(|roff| {
            if let Some(control) = control {
                roff.control(control, []);
            }
            roff.text(text);
        })
    }

    /// Lines below each other, as forms of a command are.
    pub fn lines(&mut self, lines: Vec<Vec<Inline>>) -> &mut Self {
        for (at, line) in lines.into_iter().enumerate() {
            if at == 0 {
                self.paragraph(line);
            } else {
                self.roff(|roff| {
                    roff.control("br", []).text(line);
                });
            }
        }
        self
    }

    /// A tag and what is told of it, in paragraphs that follow each other closely.
    pub fn tagged(&mut self, tag: Vec<Inline>, bodies: Vec<Vec<Inline>>) -> &mut Self {
        self.roff(|roff| {
            roff.control("TP", []).text(tag);
            for (at, body) in bodies.into_iter().enumerate() {
                if at > 0 {
                    roff.control("br", []);
                }
                roff.text(body);
            }
        })
    }

    /// One point of a list.
    pub fn bullet(&mut self, text: Vec<Inline>) -> &mut Self {
        self.roff(|roff| {
            roff.control("IP", ["\\(bu", "2"]).text(text);
        })
    }

    /// Lines that stay as they are.
    pub fn example(&mut self, lines: &[String]) -> &mut Self {
        let control = (!self.at_heading()).then_some("PP");
        self.roff(|roff| {
            if let Some(control) = control {
                roff.control(control, []);
            }
            roff.control("EX", []);
            for line in lines {
                roff.text([roman(line)]);
            }
            roff.control("EE", []);
        })
    }

    /// The pages that are named, in the order of man-pages(7).
    pub fn see_also(&mut self, mut pages: Vec<(u8, String)>) -> &mut Self {
        pages.sort();
        pages.dedup();
        let last = pages.len().saturating_sub(1);
        let refer = |(at, (section, name)): (usize, (u8, String))| {
            [bold(name), roman(format!("({section}){}", if at == last { "" } else { ", " }))]
        };
        let references = pages.into_iter().enumerate().flat_map(refer).collect();
        self.section("SEE ALSO").paragraph(references)
    }

    /// The page's source.
    pub fn finish(&self) -> String {
        source::clean(&self.source)
    }

    fn at_heading(&self) -> bool {
        let last = self.source.lines().next_back().unwrap_or("");
        last.starts_with(".SH") || last.starts_with(".SS")
    }
}

/// Text in which code stands in backticks.
pub fn prose(text: &str) -> Vec<Inline> {
    vec![roman(text)]
}

/// Reference to a page.
pub fn reference(name: &str, section: u8) -> Vec<Inline> {
    vec![bold(name), roman(format!("({section})"))]
}

/// Lines of shell or TOML as they fit on a terminal of 80 columns: where one is too long, remarks go on lines of their own, and commands go on after a `|`,
/// `&&` or `\`. The line breaks that were there stay.
pub fn fitting(lines: &[String]) -> Result<Vec<String>> {
    if lines.iter().all(|line| fits(line)) {
        return Ok(lines.to_vec());
    }
    let mut fitted = Vec::new();
    for line in lines {
        let (code, remark) = match line.find("  #") {
            Some(at) => (line[..at].trim_end(), Some(line[at..].trim_start())),
            None => (line.as_str(), None),
        };
        let indent = &code[..code.len() - code.trim_start().len()];
        if let Some(remark) = remark {
            fitted.extend(broken(&format!("{indent}{remark}"), &format!("{indent}# "), "")?);
        }
        let whole_remark = code.trim_start().starts_with('#');
        let (next, end) = if whole_remark { (format!("{indent}# "), "") } else { (format!("{indent}    "), " \\") };
        fitted.extend(broken(code, &next, end)?);
    }
    Ok(fitted)
}

fn fits(line: &str) -> bool {
    line.chars().count() <= EXAMPLE_COLUMNS
}

/// Breaks a line at its spaces; each line but the first begins with `next`, each but the last ends with `end`, which a shell's operator needs not.
fn broken(line: &str, next: &str, end: &str) -> Result<Vec<String>> {
    let (mut lines, mut rest) = (Vec::new(), line.to_owned());
    while !fits(&rest) {
        let begun = rest.len() - rest.trim_start_matches([' ', '#']).len();
        let room = EXAMPLE_COLUMNS - end.len();
        let spaces = || breakable(&rest).into_iter().filter(|at| *at > begun && rest[..*at].chars().count() <= room);
        let operator = |at: &usize| [" |", " &&", " ||"].iter().any(|word| rest[..*at].ends_with(word));
        let after_operator = if end.is_empty() { None } else { spaces().rfind(operator) };
        let at =
            after_operator.or_else(|| spaces().next_back()).with_context(|| format!("no place to break the line `{rest}`"))?;
        lines.push(rest[..at].to_owned() + if after_operator.is_some() { "" } else { end });
        rest = next.to_owned() + rest[at..].trim_start();
    }
    lines.push(rest);
    Ok(lines)
}

/// Where the spaces outside of quotation marks are; anywhere in a remark.
fn breakable(line: &str) -> Vec<usize> {
    let remark = line.trim_start().starts_with('#');
    let mut quote = None;
    let mut found = Vec::new();
    for (at, letter) in line.char_indices() {
        match (letter, quote) {
            ('\'' | '"', None) if !remark => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            (' ', None) => found.push(at),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(text: &str) -> String {
        fitting(&text.lines().map(str::to_owned).collect::<Vec<_>>()).unwrap().join("\n")
    }

    #[test]
    fn lines_that_fit_stay_as_they_are() {
        let text = "lvs-agent leave\nlvs-agent leave --yes          # without asking";
        assert_eq!(fitted(text), text);
    }

    #[test]
    fn remarks_go_before_their_lines_where_one_is_too_long() {
        let text = "a\nb          # short\nlvs-agent join --timeout 300                # the seeds of agent.toml; the node's keys were put back";
        let wanted = "a\n# short\nb\n# the seeds of agent.toml; the node's keys were put back\nlvs-agent join --timeout 300";
        assert_eq!(fitted(text), wanted);
    }

    #[test]
    fn a_long_command_goes_on_after_an_operator() {
        let text = "ssh d1 lvs-agent token create --json | jq -r .token | lvs-agent join 10.0.0.11 --token-file -";
        let wanted = "ssh d1 lvs-agent token create --json | jq -r .token |\n    lvs-agent join 10.0.0.11 --token-file -";
        assert_eq!(fitted(text), wanted);
    }

    #[test]
    fn a_long_command_without_operator_goes_on_after_a_backslash_and_keeps_its_quotes_whole() {
        let text = "lvs-agent one two three four five six seven eight --text 'several words that must stay one'";
        let wanted = "lvs-agent one two three four five six seven eight --text \\\n    'several words that must stay one'";
        assert_eq!(fitted(text), wanted);
        let endless = "x".repeat(EXAMPLE_COLUMNS + 1);
        assert!(fitting(&[endless]).unwrap_err().to_string().contains("no place to break"));
    }

    #[test]
    fn a_page_without_a_date_keeps_the_place_of_its_version() {
        let page = Page::new("lvs-agent", 8, &Stamp { date: String::new(), version: "1.2.3".to_owned() }).finish();
        let wanted = ".TH LVS\\-AGENT 8 \"\" \"lvs\\-agent 1.2.3\" \"System Administration\"\n";
        assert!(page.starts_with(wanted), "{page}");
    }
}
