//! The rows that elsewhere has in the place of damaged ones.

use std::collections::BTreeMap;

use super::find::Damage;
use crate::engine::feed::Fed;
use crate::engine::format::frame;
use crate::engine::format::row_change::{RowChange, changes};
use crate::engine::format::schema::Table;
use crate::engine::repair::TakesChanges;
use crate::engine::store::Store;
use crate::error::{Error, Result};

/// The rows that are kept in memory. With more damage than this, a repair is the shorter way.
const MOST_BYTES: usize = 64 << 20;
/// So many bytes of commits are read at a time.
const READ_BYTES: usize = 8 << 20;

/// The newest change of a row that is known.
pub(super) enum Newest {
    /// None has come.
    Unknown,
    Gone,
    Is(Vec<u8>),
}

/// The newest change of each damaged row, as far as it is known.
pub(crate) struct Remedies {
    pub(super) rows: BTreeMap<(Table, Vec<u8>), Newest>,
    bytes: usize,
}

impl Remedies {
    /// For the damage of a store.
    pub(crate) fn of(damage: &Damage) -> Self {
        let rows = damage.rows.keys().map(|row| (row.clone(), Newest::Unknown)).collect();
        Self { rows, bytes: 0 }
    }

    /// The changes that the store itself keeps behind a commit, up to a later one; none if it does not keep all.
    ///
    /// # Errors
    ///
    /// As a view; as [`TakesChanges::take_change`].
    pub(crate) fn kept(damage: &Damage, store: &Store, mut after: u64, last: u64) -> Result<Option<Self>> {
        let mut kept = Self::of(damage);
        loop {
            let Fed::Commits(commits) = store.feed_after(after, READ_BYTES)? else { return Ok(None) };
            for commit in &commits {
                changes(&commit.rows).try_for_each(|change| kept.take_change(&change?))?;
            }
            match commits.last() {
                Some(commit) if commit.sequence < last => after = commit.sequence,
                _ => return Ok(Some(kept)),
            }
        }
    }

    /// Goes on with the changes that came behind these.
    pub(crate) fn followed_by(mut self, later: Self) -> Self {
        let changed = later.rows.into_iter().filter(|(_, newest)| !matches!(newest, Newest::Unknown));
        changed.for_each(|(row, newest)| drop(self.rows.insert(row, newest)));
        self
    }
}

impl TakesChanges for Remedies {
    fn begin(&mut self) -> Result<()> {
        self.rows.values_mut().for_each(|row| *row = Newest::Unknown);
        self.bytes = 0;
        Ok(())
    }

    fn take_change(&mut self, change: &RowChange<'_>) -> Result<()> {
        let RowChange { table, key, value, .. } = *change;
        // Without the copy of each key: few are sought.
        let sought =
            self.rows.range_mut((table, key.to_vec())..).next().filter(|((of, row), _)| *of == table && row == key);
        let Some((_, row)) = sought else { return Ok(()) };
        value.map_or(Ok(()), |value| frame::decode(table.place(key), value).map(drop))?;
        let before = if let Newest::Is(bytes) = row { bytes.len() } else { 0 };
        self.bytes = self.bytes.saturating_sub(before) + value.map_or(0, <[u8]>::len);
        if self.bytes > MOST_BYTES {
            let message = "too much is damaged to be healed row by row; repair the store";
            return Err(Error::damaged(format!("{message}: bytes={} most={MOST_BYTES}", self.bytes)));
        }
        *row = value.map_or(Newest::Gone, |value| Newest::Is(value.to_vec()));
        Ok(())
    }
}
