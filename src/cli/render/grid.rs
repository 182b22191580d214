//! Tables that fit: columns as wide as their content, the widest ones clipped when the line is full.

use super::text::{Palette, Tone, clip, columns, wrap};

/// A value in a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::new(Tone::Plain, text)
    }
}

/// A line of values, and the notes under it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    pub(super) notes: Vec<Cell>,
}

/// A table.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) headers: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
}

/// No column is clipped below this.
const NARROWEST: usize = 8;
const GAP: usize = 2;
/// Notes stand this much further in than their row.
const NOTE_INDENT: usize = 2;

impl Grid {
    /// The table's lines, each at most `width` columns with `indent` spaces before it.
    pub(super) fn lines(&self, indent: usize, width: usize, palette: Palette) -> Vec<String> {
        let widths = self.widths(width - indent);
        let header: Vec<Cell> = self.headers.iter().map(|header| Cell::new(Tone::Faint, *header)).collect();
        let mut lines = vec![line(&header, &widths, indent, palette)];
        for row in &self.rows {
            lines.push(line(&row.cells, &widths, indent, palette));
            for note in &row.notes {
                lines.extend(note_lines(note, indent + NOTE_INDENT, width, palette));
            }
        }
        lines
    }

    fn widths(&self, available: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = (0..self.headers.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.cells.get(column)).map(|cell| columns(&cell.text));
                cells.chain([columns(self.headers[column])]).max().unwrap_or_default()
            })
            .collect();
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > available {
            match widths.iter_mut().max() {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

/// A note, wrapped.
pub(super) fn note_lines(note: &Cell, indent: usize, width: usize, palette: Palette) -> Vec<String> {
    let pieces = wrap(&note.text, width - indent - 2);
    let place = |(number, piece): (usize, &String)| {
        let hanging = if number == 0 { 0 } else { 2 };
        format!("{}{}", " ".repeat(indent + hanging), palette.paint(note.tone, piece))
    };
    pieces.iter().enumerate().map(place).collect()
}

fn line(cells: &[Cell], widths: &[usize], indent: usize, palette: Palette) -> String {
    let mut line = " ".repeat(indent);
    for (number, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let shown = clip(&cell.text, *width);
        let padding = width - columns(&shown);
        line.push_str(&palette.paint(cell.tone, &shown));
        if number + 1 < cells.len() {
            line.push_str(&" ".repeat(padding + GAP));
        }
    }
    line.trim_end().to_owned()
}
