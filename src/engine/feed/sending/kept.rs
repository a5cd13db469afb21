//! The feed of a damaged file, as far as its rows are left: up to where a replica has the store, and the commits behind
//! that.

use crate::engine::feed::marks::row::{FeedRow, outbox_key};
use crate::engine::format::schema::Table;
use crate::engine::meta;

/// The feed of a damaged file.
#[derive(Clone, Debug)]
pub(in crate::engine) struct KeptFeed {
    row: FeedRow,
    /// The place of the store in its replica, in the replica's own form.
    pub(in crate::engine) position: Vec<u8>,
}

impl KeptFeed {
    /// From the stored rows `feed` and `feed position`; none when one of them is missing or damaged.
    pub(in crate::engine) fn read(feed: Option<&[u8]>, position: Option<&[u8]>) -> Option<Self> {
        let row = FeedRow::read(feed).ok().flatten()?;
        let position = meta::payload(Table::Meta, meta::FEED_POSITION, position?).ok()?;
        Some(Self { row, position })
    }

    /// Whether the commits behind the place were kept.
    pub(in crate::engine) fn is_kept(&self) -> bool {
        self.row.kept_from <= self.row.shipped
    }

    /// The key behind which the rows of these commits are.
    pub(in crate::engine) fn shipped_key(&self) -> Vec<u8> {
        outbox_key(self.row.shipped)
    }
}
