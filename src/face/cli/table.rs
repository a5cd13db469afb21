//! Aligned columns of text, at a terminal no wider than it.

use std::io::{self, Write};

use crate::face::cli::screen::{Cell, Screen, columns, cut};
use crate::text::printable;

/// Rows that are aligned together, so that a long table is written while it is still being read.
const STRETCH: usize = 500;
/// Longer cells push only their own row out of line.
const WIDTH_MAX: usize = 48;
/// No column is made narrower to fit a terminal.
const WIDTH_MIN: usize = 4;
/// What separates two columns.
const GAP: &str = "  ";

/// What has a row in a table of its kind.
pub(super) trait Columns {
    /// The titles of the columns.
    const HEAD: &'static [&'static str];

    /// One for each column.
    fn cells(&self) -> Vec<Cell>;
}

/// Rows that wait to be written.
pub(super) struct Table<'s> {
    screen: Option<&'s Screen>,
    /// The titles, until a row comes.
    head: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
    /// Which columns are not made narrower.
    whole: Vec<bool>,
}

impl<'s> Table<'s> {
    /// A table with these titles, which are left out when no row follows.
    pub(super) fn new(head: &[&str], screen: Option<&'s Screen>) -> Self {
        let widths = head.iter().map(|title| title.len()).collect();
        let titles = head.iter().map(|title| (*title).to_owned()).collect();
        Self { screen, head: Some(titles), rows: Vec::new(), widths, whole: vec![false; head.len()] }
    }

    /// Adds a row, and says whether it is time to write.
    pub(super) fn push(&mut self, cells: Vec<Cell>) -> bool {
        for (whole, cell) in self.whole.iter_mut().zip(&cells) {
            *whole |= cell.stays_whole();
        }
        let cells: Vec<_> = cells.iter().map(|cell| printable(&cell.shown(self.screen)).into_owned()).collect();
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(columns(cell).min(WIDTH_MAX));
        }
        self.rows.extend(self.head.take());
        self.rows.push(cells);
        self.rows.len() >= STRETCH
    }

    /// Writes the rows that wait. Columns never become narrower, so that stretches mostly stay in line.
    pub(super) fn write(&mut self, to: &mut impl Write) -> io::Result<()> {
        let widths = self.fitted();
        for row in std::mem::take(&mut self.rows) {
            let line = match self.screen {
                None => aligned(row.into_iter(), &widths),
                Some(screen) => {
                    let cells = row.iter().zip(&widths).map(|(cell, width)| cut(cell, *width));
                    cut(aligned(cells, &widths).trim_end(), screen.width())
                }
            };
            writeln!(to, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// The widths of the columns; at a terminal the widest are made narrower until a row fits.
    fn fitted(&self) -> Vec<usize> {
        let mut widths = self.widths.clone();
        let Some(screen) = self.screen else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > screen.width() {
            let narrower = widths.iter_mut().zip(&self.whole).filter(|(width, whole)| !**whole && **width > WIDTH_MIN);
            match narrower.map(|(width, _)| width).max() {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        widths
    }
}

fn aligned(cells: impl Iterator<Item = String>, widths: &[usize]) -> String {
    let pad = |(cell, width): (String, &usize)| {
        let room = width.saturating_sub(columns(&cell));
        format!("{cell}{:room$}", "")
    };
    cells.zip(widths).map(pad).collect::<Vec<_>>().join(GAP)
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
    use crate::face::cli::screen::tests::screen;

    fn table(screen: Option<&Screen>, rows: Vec<Vec<Cell>>) -> String {
        let mut table = Table::new(&["ID", "WHAT"], screen);
        for row in rows {
            table.push(row);
        }
        let mut bytes = Vec::new();
        table.write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn written(rows: &[&[&str]]) -> String {
        table(None, rows.iter().map(|row| row.iter().map(|cell| Cell::from(*cell)).collect()).collect())
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
        assert_eq!(written(&[&["a\u{1b}[2Jb", "x\ny"]]), "ID           WHAT\na\\u{1b}[2Jb  x\\ny\n");
    }

    #[test]
    fn at_a_terminal_a_row_is_no_wider_and_ids_stay_whole() {
        let screen = screen(20, &["67006b98-460f-425f-ac8d-c624ce4b9dc0"]);
        let id = Cell::Id("67006b98-460f-425f-ac8d-c624ce4b9dc0".to_owned());
        let out = table(Some(&screen), vec![vec![id.clone(), "a description that is long".into()]]);
        assert_eq!(out, "ID        WHAT\n67006b98  a descrip…\n");
        let time = Cell::Time("2026-01-02T03:02:00Z".parse().unwrap());
        assert_eq!(table(Some(&screen), vec![vec![id, time]]), "ID        WHAT\n67006b98  2m ago\n");
    }

    #[test]
    fn a_text_is_shortened_between_characters() {
        assert_eq!(shortened("größe", 3), "grö…");
        assert_eq!(shortened("größe", 5), "größe");
    }
}
