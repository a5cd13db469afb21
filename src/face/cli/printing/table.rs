//! Aligned columns of text, on a terminal no wider than it.

use std::io::{self, Write};

use crate::face::cli::printing::screen::{Cell, Fit, Screen, columns, cut, cut_at_front, cut_between_words};
use crate::text::printable;

/// The number of rows that are aligned together. A long table is written while it is still being read.
const STRETCH: usize = 500;
/// Longer cells push only their own row out of line.
const WIDTH_MAX: usize = 48;
/// The minimum width of a column on a terminal.
const WIDTH_MIN: usize = 4;
/// The separator of two columns.
const GAP: &str = "  ";

/// A record that is shown as a row.
pub(in crate::face::cli) trait Columns {
    /// The column titles.
    const HEAD: &'static [&'static str];

    /// One cell for each column.
    fn cells(&self) -> Vec<Cell>;
}

/// Rows that are not written yet.
pub(in crate::face::cli) struct Table<'s> {
    screen: Option<&'s Screen>,
    /// The titles, until the first row arrives.
    head: Option<Vec<Fitted>>,
    rows: Vec<Vec<Fitted>>,
    widths: Vec<usize>,
    /// The minimum width of each column.
    least: Vec<usize>,
}

/// The text of a cell, and how it is fitted.
type Fitted = (String, Fit);

impl<'s> Table<'s> {
    /// A table with these titles. Without rows the titles are not written either.
    pub(in crate::face::cli) fn new(head: &[&str], screen: Option<&'s Screen>) -> Self {
        let widths = head.iter().map(|title| title.len()).collect();
        let titles = head.iter().map(|title| ((*title).to_owned(), Fit::Cut)).collect();
        Self { screen, head: Some(titles), rows: Vec::new(), widths, least: vec![WIDTH_MIN; head.len()] }
    }

    /// Adds a row. Returns whether the batch is full.
    pub(in crate::face::cli) fn push(&mut self, cells: Vec<Cell>) -> bool {
        let fitted = |cell: &Cell| (printable(&cell.shown(self.screen)).into_owned(), cell.fit());
        let cells: Vec<_> = cells.iter().map(fitted).collect();
        for (((text, fit), width), least) in cells.iter().zip(&mut self.widths).zip(&mut self.least) {
            let wide = columns(text).min(WIDTH_MAX);
            *width = (*width).max(wide);
            if *fit == Fit::Whole {
                *least = (*least).max(wide);
            }
        }
        self.rows.extend(self.head.take());
        self.rows.push(cells);
        self.rows.len() >= STRETCH
    }

    /// Writes the batch. Columns never become narrower, so consecutive batches usually stay aligned.
    pub(in crate::face::cli) fn write(&mut self, to: &mut impl Write) -> io::Result<()> {
        let widths = self.fitted();
        for row in std::mem::take(&mut self.rows) {
            let line = match self.screen {
                None => aligned(row.into_iter().map(|(text, _)| text), &widths),
                Some(screen) => in_width(&row, &widths, screen.width()),
            };
            writeln!(to, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// The column widths. On a terminal the widest columns are narrowed until a row fits.
    fn fitted(&self) -> Vec<usize> {
        let mut widths = self.widths.clone();
        let Some(screen) = self.screen else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > screen.width() {
            let narrower = widths.iter_mut().zip(&self.least).filter(|(width, least)| **width > **least);
            match narrower.map(|(width, _)| width).max() {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        widths
    }
}

/// A row that fits the terminal, unless cells that stay whole are wider.
fn in_width(row: &[Fitted], widths: &[usize], width: usize) -> String {
    let fitted = row.iter().zip(widths).map(|((text, fit), width)| match fit {
        Fit::Cut => cut(text, *width),
        Fit::CutBetweenWords => cut_between_words(text, *width),
        Fit::CutAtFront => cut_at_front(text, *width),
        Fit::Whole => text.clone(),
    });
    let cells: Vec<_> = fitted.collect();
    let whole = row.iter().rposition(|(_, fit)| *fit == Fit::Whole).map_or(0, |last| last + 1);
    let least = aligned(cells.iter().take(whole).cloned(), widths);
    if columns(least.trim_end()) >= width { least } else { cut(aligned(cells.into_iter(), widths).trim_end(), width) }
}

fn aligned(cells: impl Iterator<Item = String>, widths: &[usize]) -> String {
    let pad = |(cell, width): (String, &usize)| {
        let room = width.saturating_sub(columns(&cell));
        format!("{cell}{:room$}", "")
    };
    cells.zip(widths).map(pad).collect::<Vec<_>>().join(GAP)
}

/// The first `most` characters of a text, with `…` if something is missing.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::cli::printing::screen::tests::screen;

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
    fn columns_are_aligned_and_lines_have_no_trailing_spaces() {
        assert_eq!(written(&[&["a", "one"], &["größe", ""]]), "ID     WHAT\na      one\ngröße\n");
    }

    #[test]
    fn a_table_without_rows_has_no_titles() {
        assert_eq!(written(&[]), "");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(written(&[&["a\u{1b}[2Jb", "x\ny"]]), "ID           WHAT\na\\u{1b}[2Jb  x\\ny\n");
    }

    #[test]
    fn on_a_terminal_a_row_fits_and_ids_stay_whole() {
        let screen = screen(20, &["67006b98-460f-425f-ac8d-c624ce4b9dc0"]);
        let id = Cell::Id("67006b98-460f-425f-ac8d-c624ce4b9dc0".to_owned());
        let out = table(Some(&screen), vec![vec![id.clone(), "a description that is long".into()]]);
        assert_eq!(out, "ID        WHAT\n67006b98  a descrip…\n");
        let time = Cell::Time("2026-01-02T03:02:00Z".parse().unwrap());
        assert_eq!(table(Some(&screen), vec![vec![id, time]]), "ID        WHAT\n67006b98  2m ago\n");
    }

    #[test]
    fn a_name_stays_whole_on_a_terminal_that_is_too_narrow() {
        let screen = screen(20, &[]);
        let name = |length| Cell::Name("n".repeat(length));
        let rows = vec![vec![name(18), "words".into()], vec![name(60), "words".into()]];
        let out = table(Some(&screen), rows);
        let names: Vec<_> = out.lines().skip(1).map(|line| line.split(' ').next().unwrap().len()).collect();
        assert_eq!(names, [18, 60], "{out}");
        let out = table(Some(&screen), vec![vec!["a long text before".into(), name(15)]]);
        assert_eq!(out.lines().last().unwrap(), format!("a l…  {}", "n".repeat(15)));
    }

    #[test]
    fn a_text_is_shortened_between_characters() {
        assert_eq!(shortened("größe", 3), "grö…");
        assert_eq!(shortened("größe", 5), "größe");
    }
}
