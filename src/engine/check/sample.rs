//! A part of the store: so many rows from where the last part ended, through every table in turn and from the first one
//! again. What only all rows together can tell, digests above all, is left to a whole check.

use super::{BATCH, CheckReport, Sums};
use crate::engine::records::KeyRange;
use crate::engine::schema::Table;
use crate::engine::view::{Members, View};
use crate::error::Result;

/// Where a part ended: the last row that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
}

/// Verifies a fraction of all rows, behind `after`, and says where it ended; none when there are no rows.
pub(crate) fn check_sample(
    view: &View,
    fraction: f64,
    after: Option<Place>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(CheckReport, Option<Place>)> {
    let members = view.members()?;
    let rows = Table::ALL.iter().map(|table| view.count_rows(*table)).sum::<Result<u64>>()?;
    let total = part_of(rows, fraction);
    let mut sums = Sums::default();
    let mut place = after;
    let mut done = 0;
    let mut empty_in_turn = 0;
    while done < total && empty_in_turn <= Table::COUNT {
        let (table, range) = match &place {
            None => (Table::Live, KeyRange::all()),
            Some(Place { table, key }) => (*table, KeyRange::all().after(key)),
        };
        let limit = usize::try_from(total - done).unwrap_or(BATCH).min(BATCH);
        // A table that cannot be read is a finding, and the next one is gone on with.
        let mut page = Vec::new();
        sums.stage(table, |_| view.raw_page(table, &range, limit).map(|rows| page = rows))?;
        for (key, bytes) in &page {
            sums.one_row(view, members, table, key, bytes)?;
        }
        done += page.len() as u64;
        progress(done, total);
        match page.pop() {
            Some((key, _)) => (place, empty_in_turn) = (Some(Place { table, key }), 0),
            None => (place, empty_in_turn) = (Some(Place { table: next(table), key: Vec::new() }), empty_in_turn + 1),
        }
    }
    sums.report.findings.sort();
    Ok((sums.report, place))
}

impl Sums {
    fn one_row(&mut self, view: &View, members: &Members, table: Table, key: &[u8], bytes: &[u8]) -> Result<()> {
        match table {
            Table::Live | Table::Tombstones => self.row(view, members, table, key, bytes),
            Table::Undo => self.pre_image(view, members, key, bytes),
            table => {
                self.unversioned(view, table, key, bytes);
                Ok(())
            }
        }
    }
}

fn next(table: Table) -> Table {
    let at = Table::ALL.iter().position(|other| *other == table).unwrap_or_default();
    Table::ALL.get(at + 1).copied().unwrap_or(Table::Live)
}

/// At least one row of those that there are.
fn part_of(rows: u64, fraction: f64) -> u64 {
    ((rows as f64 * fraction.clamp(0.0, 1.0)).ceil() as u64).clamp(1, rows.max(1))
}
