//! The position of a schedule: up to where its due times are handled. It is a row of `meta`, which is not
//! versioned, so no restore moves it back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::ScheduleName;
use crate::engine::codec::{self, Stored};
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::state::ids::TaskId;

/// Rows of positions, by the name of the schedule.
const PREFIX: &[u8] = b"schedule/";

/// The position of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The BLAKE3 of the definition for which it holds. Another definition begins at the next look.
    pub(super) of: [u8; 32],
    /// Due times up to this one are handled.
    #[serde(with = "crate::clock::time")]
    pub(super) through: Timestamp,
    /// The last due time that became a task.
    #[serde(with = "crate::clock::time::option")]
    pub(super) last_due: Option<Timestamp>,
    /// The last task of the schedule.
    pub(super) last_task: Option<TaskId>,
}

impl Stored for Position {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the position of a schedule";
}

impl Position {
    /// The position of a definition that begins at that moment, after the one of an earlier definition.
    pub(super) fn begin(definition: &[u8], now: Timestamp, earlier: Option<Self>) -> Self {
        let of = hash(definition);
        match earlier {
            Some(earlier) => Self { of, through: earlier.through.max(now), ..earlier },
            None => Self { of, through: now, last_due: None, last_task: None },
        }
    }

    /// Whether it holds for that definition.
    pub(super) fn is_of(&self, definition: &[u8]) -> bool {
        self.of == hash(definition)
    }

    pub(super) fn read<R: Records>(records: &R, name: &ScheduleName) -> Result<Option<Self>> {
        let payload = records.row(Table::Meta, &key(name))?;
        payload.map(|payload| codec::decode(&payload)).transpose()
    }

    pub(super) fn put(&self, tx: &mut WriteTx<'_>, name: &ScheduleName) -> Result<()> {
        tx.put_row(Table::Meta, &key(name), &codec::encode(self)?)
    }

    pub(super) fn remove(tx: &mut WriteTx<'_>, name: &ScheduleName) -> Result<bool> {
        tx.remove_row(Table::Meta, &key(name))
    }

    /// The names that have a position.
    pub(super) fn names<R: Records>(records: &R) -> Result<Vec<ScheduleName>> {
        let name = |key: &[u8]| {
            let name = key.strip_prefix(PREFIX).and_then(|name| str::from_utf8(name).ok());
            let name = name.and_then(|name| name.parse().ok());
            name.ok_or_else(|| Error::damaged(format!("a schedule's name is damaged: key={}", key.escape_ascii())))
        };
        scan_rows(records, Table::Meta, KeyRange::prefix(PREFIX)).map(|row| name(&row?.0)).collect()
    }
}

fn hash(definition: &[u8]) -> [u8; 32] {
    *blake3::hash(definition).as_bytes()
}

fn key(name: &ScheduleName) -> Vec<u8> {
    [PREFIX, name.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_position_are_fixed_and_read_back() {
        let position = Position {
            of: [7; 32],
            through: Timestamp::from_microsecond(1).unwrap(),
            last_due: Some(Timestamp::from_microsecond(-1).unwrap()),
            last_task: Some(TaskId::new("t").unwrap()),
        };
        let bytes = codec::encode(&position).unwrap();
        assert_eq!(bytes, [&[1][..], &[7; 32], &[2, 1, 1, 1, 1, b't']].concat());
        assert_eq!(codec::decode::<Position>(&bytes).unwrap(), position);
    }
}
