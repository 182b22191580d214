//! The pages of section 5, made of docs/configuration.md: a table becomes a tagged list of its keys.

use super::markdown::{self, Block, Kind, Placed, Span};
use super::page::{Page, Stamp, fitting};
use super::references;
use anyhow::{Context, Result, bail, ensure};
use roff::{Inline, bold, italic, roman};
use std::path::Path;

/// Where the package puts documents.
const DOCUMENTS: &str = "/usr/share/doc/lvs-agent";
const SOURCE: &str = "docs/configuration.md";
const COLUMNS: [&str; 3] = ["key", "default", "what"];

/// A page of section 5.
struct Format {
    name: &'static str,
    about: &'static str,
    /// The heading in the document, below which it is described.
    heading: &'static str,
    /// Which file it is, if it has one place.
    file: Option<&'static str>,
    /// A file of the tree to show, where the document shows none.
    example: Option<&'static str>,
}

const FORMATS: [Format; 2] = [
    Format {
        name: "agent.toml",
        about: "configuration of one node of an lvs-agent cluster",
        heading: "agent.toml",
        file: Some(lvs_agent::config::agent::DEFAULT_FILE),
        example: None,
    },
    Format {
        name: "cluster.toml",
        about: "what an lvs-agent cluster serves: VIPs, services, servers, checks",
        heading: "The cluster file",
        file: None,
        example: Some("examples/cluster-small-web.toml"),
    },
];

/// All pages of section 5 with their file names. `tree` is the project's root, `commands` are those that have pages.
pub fn pages(tree: &Path, stamp: &Stamp, commands: &[String]) -> Result<Vec<(String, String)>> {
    let text = read(tree, SOURCE)?;
    FORMATS.iter().map(|format| Ok((format!("{}.5", format.name), page(tree, &text, format, stamp, commands)?))).collect()
}

fn read(tree: &Path, place: &str) -> Result<String> {
    std::fs::read_to_string(tree.join(place)).with_context(|| format!("cannot read {place}"))
}

fn page(tree: &Path, text: &str, format: &Format, stamp: &Stamp, commands: &[String]) -> Result<String> {
    let blocks = markdown::read(SOURCE, text)?;
    let mut page = Page::new(format.name, 5, stamp);
    page.section("NAME").paragraph(vec![roman(format!("{} - {}", format.name, format.about))]).section("DESCRIPTION");
    let mut writer = Writer { tree, page: &mut page, part: Part::Description, table_due: None, tables: 0 };
    let introduction = blocks.iter().skip(1).take_while(|block| !matches!(block.what, Block::Heading(..)));
    let section = section(&blocks, format.heading)?;
    for block in introduction.chain(section) {
        writer.block(block)?;
    }
    writer.finish(format.heading)?;
    if let Some(place) = format.example {
        let lines: Vec<String> = read(tree, place)?.lines().map(str::to_owned).collect();
        page.section("EXAMPLE").example(&fitting(&lines).with_context(|| format!("{place} does not fit a page"))?);
    }
    if let Some(file) = format.file {
        page.section("FILES").paragraph(vec![italic(file)]);
    }
    let source = page.finish();
    let words = source.replace("\\-", "-").replace('\n', " ");
    let mut others = references(&words, commands);
    others.extend(FORMATS.iter().map(|other| (5, other.name.to_owned())));
    others.retain(|(_, other)| other != format.name);
    others.push((8, "lvs-agent".to_owned()));
    if words.contains("ipvsadm(8)") {
        others.push((8, "ipvsadm".to_owned()));
    }
    page.see_also(others);
    Ok(page.finish())
}

/// What stands below a heading of the second level.
fn section<'a>(blocks: &'a [Placed<Block>], heading: &str) -> Result<impl Iterator<Item = &'a Placed<Block>>> {
    let begun = |block: &Placed<Block>| matches!(&block.what, Block::Heading(2, text) if text == heading);
    let at = blocks.iter().position(begun).with_context(|| format!("{SOURCE} has no section `## {heading}`"))?;
    Ok(blocks[at + 1..].iter().take_while(|block| !matches!(block.what, Block::Heading(1 | 2, _))))
}

/// Where in the page we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Description,
    Keys,
    Example,
    Notes,
}

struct Writer<'a> {
    tree: &'a Path,
    page: &'a mut Page,
    part: Part,
    /// The line of a TOML table's name, whose keys come next.
    table_due: Option<usize>,
    tables: usize,
}

impl Writer<'_> {
    fn block(&mut self, block: &Placed<Block>) -> Result<()> {
        let line = block.line;
        if let (Some(due), false) = (self.table_due, matches!(block.what, Block::Table(..) | Block::Paragraph(_))) {
            bail!("{SOURCE}:{due}: no table of keys follows");
        }
        match &block.what {
            Block::Heading(_, text) => {
                self.page.subsection(text);
            }
            Block::Paragraph(spans) => return self.paragraph(spans, line),
            Block::List(items) => {
                for item in items {
                    let text = self.inlines(item, line)?;
                    self.page.bullet(text);
                }
            }
            Block::Code(lines) => {
                self.turn_to(Part::Example, "EXAMPLE");
                self.page.example(&fitting(lines).with_context(|| format!("{SOURCE}:{line}: this does not fit a page"))?);
            }
            Block::Table(head, rows) => {
                ensure!(head == &COLUMNS, "{SOURCE}:{line}: the columns are not {}", COLUMNS.join(", "));
                self.turn_to(Part::Keys, "KEYS");
                (self.table_due, self.tables) = (None, self.tables + 1);
                for row in rows {
                    self.row(row)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&self, heading: &str) -> Result<()> {
        if let Some(due) = self.table_due {
            bail!("{SOURCE}:{due}: no table of keys follows");
        }
        ensure!(self.tables > 0, "{SOURCE}: the section `## {heading}` has no table");
        Ok(())
    }

    fn turn_to(&mut self, part: Part, title: &str) {
        if self.part != part {
            self.part = part;
            self.page.section(title);
        }
    }

    /// A paragraph that begins with **`[[name]]`** is the head of that TOML table; any other after the keys is a note.
    fn paragraph(&mut self, spans: &[Span], line: usize) -> Result<()> {
        let (head, rest) = match spans {
            [head, rest @ ..] if head.kind == Kind::StrongCode => (head, rest),
            _ => {
                ensure!(self.table_due.is_none(), "{SOURCE}:{line}: a table of keys is due here");
                if self.part != Part::Description {
                    self.turn_to(Part::Notes, "NOTES");
                }
                let text = self.inlines(spans, line)?;
                self.page.paragraph(text);
                return Ok(());
            }
        };
        ensure!(self.table_due.is_none(), "{SOURCE}:{line}: a table of keys is due here");
        self.turn_to(Part::Keys, "KEYS");
        self.page.subsection(&head.text);
        self.table_due = Some(line);
        let mut rest = rest.to_vec();
        if let Some(first) = rest.first_mut() {
            first.text = first.text.trim_start_matches([':', ' ']).to_owned();
        }
        if !rest.is_empty() {
            let text = self.inlines(&sentence(&rest), line)?;
            self.page.paragraph(text);
        }
        Ok(())
    }

    fn row(&mut self, row: &Placed<Vec<Vec<Span>>>) -> Result<()> {
        let line = row.line;
        let [key, default, what] = row.what.as_slice() else {
            bail!("{SOURCE}:{line}: a row has {} cells", row.what.len());
        };
        ensure!(key.iter().any(|span| span.kind == Kind::Code), "{SOURCE}:{line}: a row without a key");
        ensure!(!default.is_empty() && !what.is_empty(), "{SOURCE}:{line}: a row with an empty cell");
        let tag = self.inlines(key, line)?;
        let what = self.inlines(&sentence(what), line)?;
        let default = self.inlines(&sentence(&default_of(key, default)), line)?;
        self.page.tagged(tag, vec![what, default]);
        Ok(())
    }

    fn inlines(&self, spans: &[Span], line: usize) -> Result<Vec<Inline>> {
        let mut inlines = Vec::new();
        for span in spans {
            let text = span.text.as_str();
            match &span.kind {
                Kind::Plain => inlines.push(roman(text)),
                Kind::Code | Kind::Strong | Kind::StrongCode => inlines.push(bold(text)),
                Kind::Emphasis => inlines.push(italic(text)),
                Kind::Link(to) => inlines.extend(self.link(text, to).with_context(|| format!("{SOURCE}:{line}"))?),
            }
        }
        Ok(inlines)
    }

    /// A link as text: documents by where the package puts them, other places by their addresses.
    fn link(&self, text: &str, to: &str) -> Result<Vec<Inline>> {
        if to.contains("://") {
            return Ok(vec![roman(format!("{text} <{to}>"))]);
        }
        let (file, fragment) = to.split_once('#').unwrap_or((to, ""));
        if file.is_empty() {
            return Ok(vec![roman(text)]);
        }
        // Documents of docs/ lie in the package's folder, others below it as below the project's root; a folder is
        // named instead of its README.md.
        let (place, packaged) = match file.strip_prefix("../") {
            Some(outside) => {
                let packaged = outside.strip_suffix("/README.md").map_or(outside.to_owned(), |folder| format!("{folder}/"));
                (outside.to_owned(), format!("{DOCUMENTS}/{packaged}"))
            }
            None => (format!("docs/{file}"), format!("{DOCUMENTS}/{file}")),
        };
        ensure!(file.ends_with(".md"), "the link to {to} is to no document");
        let document = read(self.tree, &place)?;
        // `[security.md](security.md)` and `[examples](../examples/README.md)` say no more than the file's place does.
        let named = file.rsplit('/').take(2).any(|part| part == text);
        let mut inlines = if named { vec![] } else { vec![roman(format!("{text} ("))] };
        inlines.push(italic(packaged));
        if !fragment.is_empty() {
            let headings = markdown::headings(&document);
            let heading = headings.iter().find(|heading| markdown::anchor(heading) == fragment);
            let heading = heading.with_context(|| format!("{place} has no heading for #{fragment}"))?;
            inlines.push(roman(format!(", \"{heading}\"")));
        }
        if !named {
            inlines.push(roman(")"));
        }
        Ok(inlines)
    }
}

/// The default as a sentence, for each key by its own where the cell has one for each.
fn default_of(key: &[Span], default: &[Span]) -> Vec<Span> {
    let plain = |text: &str| Span { text: text.to_owned(), kind: Kind::Plain };
    let required = |spans: &[Span]| matches!(spans.first(), Some(span) if span.text.starts_with("required"));
    let (keys, defaults) = (listed(key), listed(default));
    if keys.len() < 2 || keys.len() != defaults.len() {
        let word = if required(default) { vec![] } else { vec![plain("Default: ")] };
        return [word, default.to_vec()].concat();
    }
    let mut spans = Vec::new();
    for (at, (key, default)) in keys.into_iter().zip(defaults).enumerate() {
        if at > 0 {
            spans.push(plain("; "));
        }
        let word = if required(&default) { "is " } else { "defaults to " };
        spans.extend(key);
        spans.push(plain(&format!(" {word}")));
        spans.extend(default);
    }
    spans
}

/// The things that a cell lists, between commas outside of code.
fn listed(cell: &[Span]) -> Vec<Vec<Span>> {
    let mut things = vec![Vec::new()];
    for span in cell {
        if span.kind != Kind::Plain {
            things.last_mut().expect("begun with one").push(span.clone());
            continue;
        }
        for (at, piece) in span.text.split(", ").enumerate() {
            if at > 0 {
                things.push(Vec::new());
            }
            if !piece.is_empty() {
                things.last_mut().expect("begun with one").push(Span { text: piece.to_owned(), kind: Kind::Plain });
            }
        }
    }
    things
}

/// Spans with a capital at their begin and a full stop at their end.
fn sentence(spans: &[Span]) -> Vec<Span> {
    let mut spans = spans.to_vec();
    if let Some(first) = spans.first_mut().filter(|first| matches!(first.kind, Kind::Plain | Kind::Strong)) {
        let mut letters = first.text.chars();
        first.text = letters.next().map_or(String::new(), |letter| letter.to_uppercase().chain(letters).collect());
    }
    if spans.last().is_some_and(|last| last.kind != Kind::Plain || !last.text.ends_with(['.', '!', '?'])) {
        spans.push(Span { text: ".".to_owned(), kind: Kind::Plain });
    }
    spans
}

#[cfg(test)]
mod tests;
