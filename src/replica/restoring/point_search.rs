//! Finds the restore point that a moment names among the rows of commits.

use super::moment::ReplicaMoment;
use crate::engine::epoch::Epoch;
use crate::engine::row_change::changes;
use crate::engine::schema::Table;
use crate::error::Result;
use crate::replica::objects::commits::ShippedCommit;

/// The number of the first commit that made the restore point which is sought.
///
/// # Errors
///
/// `Damaged` for rows that no writer makes.
pub(crate) fn made_by(at: &ReplicaMoment, commits: &[ShippedCommit]) -> Result<Option<usize>> {
    for (number, commit) in commits.iter().enumerate() {
        if makes(at, &commit.rows)? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Whether rows have the restore point that is sought; no for a moment that is none.
///
/// # Errors
///
/// `Damaged` for rows that no writer makes.
pub(crate) fn makes(at: &ReplicaMoment, rows: &[u8]) -> Result<bool> {
    let is_sought = |table, key: &[u8]| match at {
        ReplicaMoment::Newest | ReplicaMoment::Time(_) | ReplicaMoment::Sequence(_) => false,
        ReplicaMoment::Point(name) => table == Table::PointIds && key == name.as_bytes(),
        ReplicaMoment::Epoch(epoch) => matches!(table, Table::Points | Table::Commits) && key == Epoch(*epoch).to_key(),
    };
    if !at.is_point() {
        return Ok(false);
    }
    for row in changes(rows) {
        let row = row?;
        if row.value.is_some() && is_sought(row.table, row.key) {
            return Ok(true);
        }
    }
    Ok(false)
}
