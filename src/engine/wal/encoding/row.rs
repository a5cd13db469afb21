//! The row `wal` of `meta`: up to where redb has the log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::LogId;
use crate::clock::as_stored;
use crate::engine::format::codec::{self, Stored};
use crate::engine::format::schema::{LOGGED_FORMAT, SHARED_FORMAT, Table};
use crate::engine::meta;
use crate::engine::rows::WriteRows;
use crate::error::{Error, Result};

/// The row `wal` of `meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine::wal) struct Wal {
    /// Whether there may be entries that redb does not have.
    pub(in crate::engine::wal) in_use: bool,
    /// The log, or the last one that was in use.
    pub(in crate::engine::wal) id: LogId,
    /// Redb has everything up to the end of this section.
    pub(in crate::engine::wal) section: u64,
    /// The newest number that redb has.
    pub(in crate::engine::wal) number: u64,
    /// The CRC of the entry to which the next section is chained.
    pub(in crate::engine::wal) chain: u32,
    /// When the row was written.
    #[serde(with = "crate::clock::time")]
    at: Timestamp,
}

impl Stored for Wal {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the row of the log";
}

impl Wal {
    /// The row of a log that is in use from the next section on.
    pub(in crate::engine::wal) fn in_use(id: LogId, section: u64, number: u64, chain: u32, now: Timestamp) -> Self {
        Self { in_use: true, id, section, number, chain, at: as_stored(now) }
    }

    /// The same once redb has everything.
    pub(in crate::engine::wal) fn emptied(self, number: u64, now: Timestamp) -> Self {
        Self { in_use: false, number, at: as_stored(now), ..self }
    }

    /// When the row was written.
    pub(in crate::engine::wal) fn at(&self) -> Timestamp {
        self.at
    }

    /// The row as it is stored; none in a store that never had a log.
    pub(in crate::engine::wal) fn read(bytes: Option<&[u8]>) -> Result<Option<Self>> {
        let Some(bytes) = bytes else { return Ok(None) };
        let wal: Self = codec::decode(&meta::payload(Table::Meta, meta::WAL, bytes)?)?;
        // No writer gets so far, and everything behind it has a number.
        if wal.section.max(wal.number) > u64::MAX / 2 {
            return Err(Error::damaged(format!(
                "the row of the log has a number that no writer gives: number={}",
                wal.number
            )));
        }
        Ok(Some(wal))
    }

    pub(in crate::engine::wal) fn write(&self, rows: &mut WriteRows<'_>) -> Result<()> {
        meta::put(rows, meta::WAL, &codec::encode(self)?)
    }
}

/// Makes the file one that only programs which know of the log open.
pub(in crate::engine::wal) fn raise_format(rows: &mut WriteRows<'_>) -> Result<()> {
    meta::raise_format(rows, LOGGED_FORMAT)
}

/// Makes the file one that only programs which know of shared logs open; says whether it was not one before.
pub(in crate::engine::wal) fn raise_shared_format(rows: &mut WriteRows<'_>) -> Result<bool> {
    let before = rows.get(Table::Meta, meta::FORMAT)?;
    meta::raise_format(rows, SHARED_FORMAT)?;
    Ok(rows.get(Table::Meta, meta::FORMAT)? != before)
}

/// Writes that version in any case, so that the transaction has something to commit.
pub(in crate::engine::wal) fn write_shared_format(rows: &mut WriteRows<'_>) -> Result<()> {
    meta::put(rows, meta::FORMAT, &SHARED_FORMAT.to_be_bytes())
}

/// The newest number of the log that redb has, from its row; 0 where there never was one.
pub(crate) fn row_number(bytes: Option<&[u8]>) -> Result<u64> {
    Ok(Wal::read(bytes)?.map_or(0, |wal| wal.number))
}

/// Whether a log is in use, from the payload of its row.
#[cfg(feature = "transfer")]
pub(crate) fn log_is_in_use(payload: Option<&[u8]>) -> Result<bool> {
    Ok(payload.map(codec::decode::<Wal>).transpose()?.is_some_and(|wal| wal.in_use))
}

/// The error for sections that redb's row does not lead to.
pub(in crate::engine::wal) fn not_of_this_file(what: &str) -> Error {
    Error::damaged(format!("the log beside the file does not go on where the file ends; {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::epoch::Epoch;
    use crate::engine::format::frame::{self, State};

    #[test]
    fn the_bytes_of_the_row_of_the_log_stay_as_they_are() {
        let at = Timestamp::from_microsecond(5).unwrap();
        let wal = Wal::in_use(LogId([7; 16]), 300, 9, 0x0102_0304, at);
        let bytes = codec::encode(&wal).unwrap();
        assert_eq!(
            crate::engine::format::digest::hex(&bytes),
            "010107070707070707070707070707070707fb2c0109fc040302010a"
        );
        assert_eq!(codec::decode::<Wal>(&bytes).unwrap(), wal);
    }

    #[test]
    fn a_row_with_a_number_that_no_writer_gives_is_damage() {
        let payload = |section, number| {
            let wal = Wal::in_use(LogId([7; 16]), section, number, 0, Timestamp::UNIX_EPOCH);
            let mut bytes = Vec::new();
            let payload = codec::encode(&wal).unwrap();
            frame::encode(&mut bytes, Table::Meta.place(meta::WAL), Epoch(0), State::Present(&payload));
            Wal::read(Some(&bytes)).map(|read| read == Some(wal))
        };
        assert!(payload(u64::MAX / 2, u64::MAX / 2).unwrap());
        for (section, number) in [(u64::MAX, 1), (1, u64::MAX), (u64::MAX / 2 + 1, 1)] {
            assert_eq!(payload(section, number).unwrap_err().kind(), crate::error::ErrorKind::Damaged);
        }
    }
}
