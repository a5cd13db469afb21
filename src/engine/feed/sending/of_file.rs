//! The feed of a file that is only looked at: the last commits of a store that was overtaken, whether or not its disk
//! has all of them.

use super::of_store::{Fed, FeedStatus, commits_after, feed_of, has_not_begun, position_of, sequence_of};
use crate::engine::feed::marks::row::FeedRow;
use crate::engine::rows::ReadRows;
use crate::engine::store::Store;
use crate::error::Result;

impl Store {
    /// As [`Store::feed_status`], as the file has it.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(crate) fn feed_status_of_file(&self) -> Result<Option<FeedStatus>> {
        self.fed_by_file(|rows, feed| {
            let (sequence, position) = (sequence_of(rows, &feed), position_of(rows)?);
            Ok(FeedStatus { id: feed.id, sequence, shipped: feed.shipped, position, kept_bytes: feed.bytes })
        })
    }

    /// As [`Store::feed_after`].
    ///
    /// # Errors
    ///
    /// As a view; `Conflict` when the feed has not begun.
    pub(crate) fn feed_after_of_file(&self, sequence: u64, most_bytes: usize) -> Result<Fed> {
        let fed = self.fed_by_file(|rows, feed| commits_after(rows, &feed, sequence, most_bytes))?;
        fed.ok_or_else(has_not_begun)
    }

    fn fed_by_file<R>(&self, read: impl FnOnce(&ReadRows, FeedRow) -> Result<R>) -> Result<Option<R>> {
        let rows = self.inner.slot.with(|handle| self.rows_of_now(handle))?;
        feed_of(&rows)?.map(|feed| read(&rows, feed)).transpose()
    }
}
