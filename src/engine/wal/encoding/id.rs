//! Which log an entry is of.

use serde::{Deserialize, Serialize};

/// Tells the entries of one log from those of every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogId(pub(crate) [u8; 16]);

impl LogId {
    /// One that no other log has.
    pub(in crate::engine::wal) fn fresh() -> Self {
        Self(*crate::clock::new_id().as_bytes())
    }

    /// The CRC to which the first entry is chained.
    pub(in crate::engine::wal) fn first_chain(self) -> u32 {
        crc32fast::hash(&self.0)
    }
}
