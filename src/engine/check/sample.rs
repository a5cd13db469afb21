//! A part of the store: a number of rows from where the last part ended, through every table in turn and from the first
//! one again. Checks that need all rows, digests above all, are left to a whole check.

use super::whole::{BATCH, CheckReport, Sums};
use crate::engine::format::digest::hex;
use crate::engine::format::schema::Table;
use crate::engine::history::members::Members;
use crate::engine::records::KeyRange;
use crate::engine::view::View;
use crate::error::Result;

/// Where a part ended: the last row that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
}

impl Position {
    /// The table and the key in hexadecimal.
    pub(crate) fn to_text(&self) -> String {
        format!("{} {}\n", self.table.name(), hex(&self.key))
    }

    /// The place that a text names; none when it names none.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let (name, digits) = text.trim_end_matches('\n').split_once(' ')?;
        let table = Table::ALL.into_iter().find(|table| table.name() == name)?;
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let key = pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?;
        rest.is_empty().then_some(Self { table, key })
    }
}

/// Verifies a fraction of all rows, behind `after`, and says where it ended; none when there are no rows.
pub(crate) fn check_sample(
    view: &View,
    fraction: f64,
    after: Option<Position>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(CheckReport, Option<Position>)> {
    let members = view.members()?;
    let rows = Table::ALL.iter().map(|table| view.stored().count(*table)).sum::<Result<u64>>()?;
    let total = part_of(rows, fraction);
    let mut sums = Sums::default();
    let mut place = after;
    let mut done = 0;
    let mut empty_in_turn = 0;
    while done < total && empty_in_turn <= Table::COUNT {
        let (table, range) = match &place {
            None => (Table::Live, KeyRange::all()),
            Some(Position { table, key }) => (*table, KeyRange::all().after(key)),
        };
        let limit = usize::try_from(total - done).unwrap_or(BATCH).min(BATCH);
        // A table that cannot be read is a finding, and the check continues with the next one.
        let mut page = Vec::new();
        sums.stage(table, |_| view.stored().page(table, &range, limit).map(|rows| page = rows))?;
        for (key, bytes) in &page {
            sums.one_row(view, members, table, key, bytes)?;
        }
        done += page.len() as u64;
        progress(done, total);
        match page.pop() {
            Some((key, _)) => (place, empty_in_turn) = (Some(Position { table, key }), 0),
            None => {
                (place, empty_in_turn) = (Some(Position { table: next(table), key: Vec::new() }), empty_in_turn + 1)
            }
        }
    }
    sums.report.findings.sort();
    Ok((sums.report, place))
}

impl Sums {
    fn one_row(&mut self, view: &View, members: &Members, table: Table, key: &[u8], bytes: &[u8]) -> Result<()> {
        match table {
            Table::Live | Table::Tombstones => self.row(view, members, table, key, bytes),
            Table::PreImages => self.pre_image(view, members, key, bytes),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::commit::Outcome;
    use crate::engine::format::schema::CollectionId;
    use crate::engine::store::Store;

    #[test]
    fn parts_in_turn_meet_every_row_of_every_table() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        store.load(|tx| (0..900u32).try_for_each(|i| tx.put(CollectionId::CONFIG, &i.to_be_bytes(), b"v"))).unwrap();
        let key = CollectionId::CONFIG.row_key(&700u32.to_be_bytes());
        let damage = |tx: &mut crate::engine::write::WriteTx<'_>| {
            tx.insert(Table::Live, &key, b"not a frame")?;
            tx.insert(Table::Events, b"also", b"not a frame")?;
            Ok(Outcome::Commit(()))
        };
        store.alone(damage).unwrap();
        let view = store.view().unwrap();
        let (mut place, mut found) = (None, Vec::new());
        for _ in 0..10 {
            let (report, ended) = check_sample(&view, 0.1, place, &|_, _| ()).unwrap();
            assert!(report.records <= 91);
            found.extend(report.findings.into_iter().map(|finding| finding.table));
            place = ended.map(|ended| Position::from_text(&ended.to_text()).unwrap());
        }
        assert_eq!(found, ["live", "events"]);
        assert_eq!(Position::from_text("live 0"), None);
        assert_eq!(Position::from_text("nothing 00"), None);
    }
}
