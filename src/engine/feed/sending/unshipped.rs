//! The commits that wait for a replica.

use jiff::Timestamp;

use crate::engine::feed::marks::row::FeedRow;
use crate::engine::feed::receiving::known_place::KnownPlace;
use crate::engine::format::codec;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;

/// The commits that wait for a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unshipped {
    /// The newest commit that the replica has, as far as that was written down.
    pub(crate) shipped: u64,
    /// The time of the object that brought it there, as far as that was written down.
    pub(crate) shipped_at: Option<Timestamp>,
    /// The bytes of the commits behind it that are kept.
    pub(crate) kept_bytes: u64,
    /// Whether a process ships the store now.
    pub(crate) is_shipped: bool,
}

impl Store {
    /// The commits that wait for a replica; none of a store that has none.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(crate) fn waiting_for_replica(&self, view: &View) -> Result<Option<Unshipped>> {
        let Some(row) = view.row(Table::Meta, meta::FEED)? else { return Ok(None) };
        let FeedRow { shipped, bytes: kept_bytes, .. } = codec::decode(&row)?;
        let place = view.row(Table::Meta, meta::FEED_POSITION)?;
        let shipped_at = place.and_then(|bytes| KnownPlace::of_bytes(&bytes)).map(|place| place.time);
        Ok(Some(Unshipped { shipped, shipped_at, kept_bytes, is_shipped: self.is_shipped()? }))
    }
}
