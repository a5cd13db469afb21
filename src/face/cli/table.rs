//! Aligned columns of text.

use std::io::{self, Write};

use crate::text::printable;

/// Rows that are aligned together, so that a long table is written while it is still being read.
const STRETCH: usize = 500;
/// Longer cells push only their own row out of line.
const WIDTH_MAX: usize = 48;
/// What separates two columns.
const GAP: &str = "  ";

/// What has a row in a table of its kind.
pub(super) trait Columns {
    /// The titles of the columns.
    const HEAD: &'static [&'static str];

    /// One text for each column.
    fn cells(&self) -> Vec<String>;
}

/// Rows that wait to be written.
pub(super) struct Table {
    /// The titles, until a row comes.
    head: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl Table {
    /// A table with these titles, which are left out when no row follows.
    pub(super) fn new(head: &[&str]) -> Self {
        let widths = head.iter().map(|title| title.len()).collect();
        Self { head: Some(head.iter().map(|title| (*title).to_owned()).collect()), rows: Vec::new(), widths }
    }

    /// Adds a row, and says whether it is time to write.
    pub(super) fn push(&mut self, cells: Vec<String>) -> bool {
        let cells: Vec<_> = cells.iter().map(|cell| printable(cell).into_owned()).collect();
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count().min(WIDTH_MAX));
        }
        self.rows.extend(self.head.take());
        self.rows.push(cells);
        self.rows.len() >= STRETCH
    }

    /// Writes the rows that wait. Columns never become narrower, so that stretches mostly stay in line.
    pub(super) fn write(&mut self, to: &mut impl Write) -> io::Result<()> {
        for row in std::mem::take(&mut self.rows) {
            writeln!(to, "{}", self.aligned(&row).trim_end())?;
        }
        Ok(())
    }

    fn aligned(&self, row: &[String]) -> String {
        let cells = row.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join(GAP)
    }
}

/// The first `most` characters of a text, with `…` where more was.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(rows: &[&[&str]]) -> String {
        let mut table = Table::new(&["ID", "WHAT"]);
        for row in rows {
            table.push(row.iter().map(|cell| (*cell).to_owned()).collect());
        }
        let mut bytes = Vec::new();
        table.write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_lines_end_where_their_text_does() {
        assert_eq!(written(&[&["a", "one"], &["größe", ""]]), "ID     WHAT\na      one\ngröße\n");
    }

    #[test]
    fn a_table_without_rows_has_no_titles() {
        assert_eq!(written(&[]), "");
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_as_an_escape() {
        assert_eq!(written(&[&["a\u{1b}[2Jb", "x\ny"]]), "ID             WHAT\na\\u{1b}[2Jb  x\\ny\n");
    }

    #[test]
    fn a_text_is_shortened_between_characters() {
        assert_eq!(shortened("größe", 3), "grö…");
        assert_eq!(shortened("größe", 5), "größe");
    }
}
