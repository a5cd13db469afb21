//! The time at which a session was last alive, in a row of its own that stays in the file.
//!
//! It changes every ten seconds and tells of a process, not of the state: a store in which nothing else happens has
//! nothing to send to its replica.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::engine::codec::{self, Stored};
use crate::engine::meta::alive_key;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::state::ids::SessionId;

#[derive(Serialize, Deserialize)]
struct Alive {
    #[serde(with = "clock::time")]
    at: Timestamp,
}

impl Stored for Alive {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the time at which a session was alive";
}

impl WriteTx<'_> {
    pub(super) fn put_alive(&mut self, id: SessionId, at: Timestamp) -> Result<()> {
        self.put_row(Table::Meta, &alive_key(id.0), &codec::encode(&Alive { at })?)
    }

    pub(super) fn remove_alive(&mut self, id: SessionId) -> Result<()> {
        self.remove_row(Table::Meta, &alive_key(id.0)).map(drop)
    }
}

/// When a session was alive; none if no row tells. Damage in the row keeps nobody from the sessions.
pub(super) fn alive_at<R: Records>(records: &R, id: SessionId) -> Result<Option<Timestamp>> {
    let row = records.row(Table::Meta, &alive_key(id.0));
    match row.and_then(|row| row.map(|bytes| codec::decode::<Alive>(&bytes)).transpose()) {
        Err(error) if error.kind() == ErrorKind::Damaged => Ok(None),
        read => Ok(read?.map(|alive| alive.at)),
    }
}
