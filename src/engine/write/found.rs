//! The row of a record as a change has found it, so that the steps of the change read it, and compare its checksum,
//! once.

use crate::engine::format::frame::{self, Frame, State};
use crate::engine::format::schema::{Place, Table};
use crate::engine::rows::WriteRows;
use crate::error::Result;

/// The row of a record before it is changed. It holds for as long as nothing of the transaction changes that row.
pub(crate) struct Found {
    row: Option<Vec<u8>>,
}

impl Found {
    /// Reads the row under `key` of `live`.
    ///
    /// # Errors
    ///
    /// `Damaged` when its checksum does not match.
    pub(super) fn read(rows: &WriteRows<'_>, key: &[u8]) -> Result<Self> {
        let row = rows.get(Table::Live, key)?;
        // F1: it is compared here, and never again in the change.
        row.as_deref().map(|bytes| frame::decode(Place::of_record(key), bytes)).transpose()?;
        Ok(Self { row })
    }

    /// The bytes of the row; none when there was none.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.row.as_deref()
    }

    /// The state of the record.
    pub(super) fn state(&self, key: &[u8]) -> Result<State<'_>> {
        let frame = self.bytes().map(|bytes| frame::decode_compared(Place::of_record(key), bytes)).transpose()?;
        Ok(frame.map_or(State::Absent, |frame| frame.state))
    }

    /// Leaves the bytes of the row in `out`, and gives their frame.
    pub(super) fn into_frame<'b>(self, key: &[u8], out: &'b mut Vec<u8>) -> Result<Option<Frame<'b>>> {
        let Some(row) = self.row else { return Ok(None) };
        *out = row;
        frame::decode_compared(Place::of_record(key), out).map(Some)
    }
}
