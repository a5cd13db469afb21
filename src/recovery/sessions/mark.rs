//! The mark of a clean shutdown, which a client of the replaced service leaves before it stops.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::engine::codec::Stored;
use crate::engine::meta_row::MetaRow;

/// The row in `meta` with the time at which a client marked a clean shutdown.
pub(super) const MARK: MetaRow<Mark> = MetaRow::new(b"clean mark");

/// The time at which a client marked a clean shutdown.
#[derive(Serialize, Deserialize)]
pub(super) struct Mark {
    #[serde(with = "clock::time")]
    pub(super) at: Timestamp,
}

impl Stored for Mark {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the mark of a clean shutdown";
}
