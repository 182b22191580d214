//! Markdown as blocks and spans: what our documents use, and an error with its line for all else.

use anyhow::{Context, Result, bail};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::ops::Range;

/// A block and its line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed<T> {
    /// Counted from 1.
    pub line: usize,
    /// What stands there.
    pub what: T,
}

/// A part of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Block {
    /// A heading and its level.
    Heading(usize, String),
    /// Sentences.
    Paragraph(Vec<Span>),
    /// Rows below the names of their columns.
    Table(Vec<String>, Vec<Placed<Vec<Vec<Span>>>>),
    /// Lines that stay as they are.
    Code(Vec<String>),
    /// Points of a list.
    List(Vec<Vec<Span>>),
}

/// Text of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The text, without marks.
    pub text: String,
    /// How it is set.
    pub kind: Kind,
}

/// How text is set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// As the rest.
    Plain,
    /// `code`
    Code,
    /// **strong**
    Strong,
    /// **`code`**
    StrongCode,
    /// *emphasis*
    Emphasis,
    /// Points to a place.
    Link(String),
}

/// Reads a document; `name` is for errors.
pub fn read(name: &str, text: &str) -> Result<Vec<Placed<Block>>> {
    let mut reader = Reader { name, text, events: parse(text) };
    let mut blocks = Vec::new();
    while let Some((event, range)) = reader.events.next() {
        let line = reader.line(&range);
        blocks.push(Placed { line, what: reader.block(event, line)? });
    }
    Ok(blocks)
}

/// The headings of a document of any kind.
pub fn headings(text: &str) -> Vec<String> {
    let (mut found, mut inside) = (Vec::<String>::new(), false);
    for (event, _) in parse(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                inside = true;
                found.push(String::new());
            }
            Event::End(TagEnd::Heading(_)) => inside = false,
            Event::Text(text) | Event::Code(text) if inside => found.last_mut().expect("just begun").push_str(&text),
            _ => {}
        }
    }
    found
}

/// Where a link to a heading points.
pub fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
}

fn parse(text: &str) -> Box<dyn Iterator<Item = (Event<'_>, Range<usize>)> + '_> {
    Box::new(Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter())
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    events: Box<dyn Iterator<Item = (Event<'a>, Range<usize>)> + 'a>,
}

impl<'a> Reader<'a> {
    fn line(&self, range: &Range<usize>) -> usize {
        1 + self.text[..range.start].matches('\n').count()
    }

    /// The next event and its line.
    fn next(&mut self) -> Result<(Event<'a>, usize)> {
        let (event, range) = self.events.next().with_context(|| format!("{}: ends within an element", self.name))?;
        Ok((event, self.line(&range)))
    }

    fn unknown<T>(&self, event: &Event<'_>, line: usize) -> Result<T> {
        bail!("{}:{line}: the generator of man pages does not know this Markdown: {event:?}", self.name)
    }

    fn block(&mut self, event: Event<'a>, line: usize) -> Result<Block> {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let spans = self.spans(TagEnd::Heading(level))?;
                Ok(Block::Heading(level as usize, spans.into_iter().map(|span| span.text).collect()))
            }
            Event::Start(Tag::Paragraph) => Ok(Block::Paragraph(self.spans(TagEnd::Paragraph)?)),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => self.code(),
            Event::Start(Tag::List(None)) => self.list(),
            Event::Start(Tag::Table(_)) => self.table(),
            event => self.unknown(&event, line),
        }
    }

    fn code(&mut self) -> Result<Block> {
        let mut text = String::new();
        loop {
            match self.next()? {
                (Event::Text(more), _) => text += &more,
                (Event::End(TagEnd::CodeBlock), _) => break,
                (event, line) => return self.unknown(&event, line),
            }
        }
        Ok(Block::Code(text.lines().map(str::to_owned).collect()))
    }

    fn list(&mut self) -> Result<Block> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::Start(Tag::Item), _) => items.push(self.spans(TagEnd::Item)?),
                (Event::End(TagEnd::List(_)), _) => return Ok(Block::List(items)),
                (event, line) => return self.unknown(&event, line),
            }
        }
    }

    fn table(&mut self) -> Result<Block> {
        let (mut head, mut rows) = (Vec::new(), Vec::new());
        loop {
            match self.next()? {
                (Event::Start(Tag::TableHead), _) => {
                    for cell in self.cells(TagEnd::TableHead)? {
                        head.push(cell.into_iter().map(|span| span.text).collect());
                    }
                }
                (Event::Start(Tag::TableRow), line) => rows.push(Placed { line, what: self.cells(TagEnd::TableRow)? }),
                (Event::End(TagEnd::Table), _) => return Ok(Block::Table(head, rows)),
                (event, line) => return self.unknown(&event, line),
            }
        }
    }

    fn cells(&mut self, end: TagEnd) -> Result<Vec<Vec<Span>>> {
        let mut cells = Vec::new();
        loop {
            match self.next()? {
                (Event::Start(Tag::TableCell), _) => cells.push(self.spans(TagEnd::TableCell)?),
                (Event::End(ended), _) if ended == end => return Ok(cells),
                (event, line) => return self.unknown(&event, line),
            }
        }
    }

    /// Text up to the end of what it stands in.
    fn spans(&mut self, end: TagEnd) -> Result<Vec<Span>> {
        let mut spans: Vec<Span> = Vec::new();
        let (mut strong, mut emphasis) = (false, false);
        let mut paragraphs = 0;
        loop {
            let (text, kind) = match self.next()? {
                (Event::End(ended), _) if ended == end => return Ok(spans),
                (Event::Text(text), _) if strong => (text.into_string(), Kind::Strong),
                (Event::Text(text), _) if emphasis => (text.into_string(), Kind::Emphasis),
                (Event::Text(text), _) => (text.into_string(), Kind::Plain),
                (Event::Code(text), _) => (text.into_string(), if strong { Kind::StrongCode } else { Kind::Code }),
                (Event::SoftBreak, _) => (" ".to_owned(), if strong { Kind::Strong } else { Kind::Plain }),
                (Event::Start(Tag::Link { dest_url, .. }), _) => {
                    let inner = self.spans(TagEnd::Link)?;
                    (inner.into_iter().map(|span| span.text).collect(), Kind::Link(dest_url.into_string()))
                }
                (event @ (Event::Start(Tag::Strong) | Event::End(TagEnd::Strong)), _) => {
                    strong = matches!(event, Event::Start(_));
                    continue;
                }
                (event @ (Event::Start(Tag::Emphasis) | Event::End(TagEnd::Emphasis)), _) => {
                    emphasis = matches!(event, Event::Start(_));
                    continue;
                }
                // A point of a list whose points have empty lines between.
                (Event::Start(Tag::Paragraph), _) if end == TagEnd::Item && paragraphs == 0 => {
                    paragraphs = 1;
                    continue;
                }
                (Event::End(TagEnd::Paragraph), _) if end == TagEnd::Item => continue,
                (event, line) => return self.unknown(&event, line),
            };
            match spans.last_mut() {
                Some(last) if last.kind == kind && matches!(kind, Kind::Plain | Kind::Strong | Kind::Emphasis) => {
                    last.text += &text
                }
                _ => spans.push(Span { text, kind }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str, kind: Kind) -> Span {
        Span { text: text.to_owned(), kind }
    }

    #[test]
    fn blocks_are_read_with_their_lines() {
        let text = "## A `b`\none\ntwo **three `four`** [five](six.md#x)\n\n| key | what |\n|---|---|\n| `a` | *b* [c] |\n\n```toml\nx\n\ny\n```\n\n- p\n- q\n  r\n";
        let blocks = read("a.md", text).unwrap();
        let lines: Vec<usize> = blocks.iter().map(|block| block.line).collect();
        assert_eq!(lines, [1, 2, 5, 9, 15]);
        let wanted = [
            Block::Heading(2, "A b".to_owned()),
            Block::Paragraph(vec![
                span("one two ", Kind::Plain),
                span("three ", Kind::Strong),
                span("four", Kind::StrongCode),
                span(" ", Kind::Plain),
                span("five", Kind::Link("six.md#x".to_owned())),
            ]),
            Block::Table(
                vec!["key".to_owned(), "what".to_owned()],
                vec![Placed {
                    line: 7,
                    what: vec![vec![span("a", Kind::Code)], vec![span("b", Kind::Emphasis), span(" [c]", Kind::Plain)]],
                }],
            ),
            Block::Code(vec!["x".to_owned(), String::new(), "y".to_owned()]),
            Block::List(vec![vec![span("p", Kind::Plain)], vec![span("q r", Kind::Plain)]]),
        ];
        for (block, wanted) in blocks.iter().zip(&wanted) {
            assert_eq!(&block.what, wanted);
        }
        assert_eq!(blocks.len(), wanted.len());
    }

    #[test]
    fn what_is_not_known_fails_with_its_line() {
        let unknown = [
            "x\n\n> quoted\n",
            "x\n\n1. first\n",
            "x\n\n![image](a.png)\n",
            "x\n\n- a\n  - b\n",
            "x\n\n- a\n\n  b\n",
            "x\n\n<br>\n",
            "x\n\n---\n",
        ];
        for text in unknown {
            let error = read("a.md", text).expect_err(text).to_string();
            let lines = 3..=5;
            let said: usize = error.split(':').nth(1).unwrap().parse().unwrap();
            assert!(error.starts_with("a.md:") && lines.contains(&said), "{text}: {error}");
        }
    }

    #[test]
    fn headings_are_found_by_their_anchors() {
        let found = headings("# One\n## Your own `PKI`\n> quoted\n");
        assert_eq!(found, ["One", "Your own PKI"]);
        assert_eq!(anchor(&found[1]), "your-own-pki");
        assert_eq!(anchor("What it's for: X"), "what-its-for-x");
    }
}
