//! The parts of an open store that every transaction needs.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::engine::buffered::Buffered;
#[cfg(any(test, feature = "replica"))]
use crate::engine::feed::Awaited;
use crate::engine::feed::{Told, WriteLease};
use crate::engine::format::index::IndexRule;
use crate::engine::format::schema::CollectionId;
use crate::engine::opening::named_file::NamedFile;
use crate::engine::opening::options::Durability;
use crate::engine::redb_file::{Handle, Transaction};
use crate::engine::session::views::Views;
use crate::engine::session::writer_line::{Streak, WriterLine};
use crate::engine::wal::LogNews;
use crate::error::Result;

/// The parts of an open store that every transaction needs.
pub(crate) struct Context {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) indexes: &'static [IndexRule],
    pub(crate) shared: bool,
    pub(crate) history: Option<Duration>,
    pub(crate) stale_mark: Option<Duration>,
    pub(crate) writer_line: WriterLine,
    pub(crate) place: NamedFile,
    pub(crate) lock_timeout: Duration,
    pub(crate) buffered: Buffered,
    /// How far the replica is, as this process was told.
    pub(crate) told: Told,
    /// The writes that wait for the replica.
    #[cfg(any(test, feature = "replica"))]
    pub(in crate::engine) awaited: Awaited,
    /// Until when this process may write.
    pub(in crate::engine) lease: WriteLease,
    /// Which views are open in this process.
    pub(crate) views: Arc<Views>,
    pub(in crate::engine) session: OnceLock<u64>,
    pub(in crate::engine) one_phase: bool,
    pub(in crate::engine) durability: Durability,
    /// Whether the store was a standby when it was opened; none if that could not be read.
    pub(in crate::engine) was_standby: OnceLock<bool>,
    /// Whether the store was overtaken when it was opened; none if that could not be read.
    pub(in crate::engine) was_overtaken: OnceLock<bool>,
    /// Whether the store is opened to be looked at only.
    pub(in crate::engine) only_looks: bool,
    /// The logs that were taken up or set aside, until it is written down.
    pub(in crate::engine) log_news: Mutex<LogNews>,
}

impl Context {
    /// The number of this process's session.
    pub(crate) fn session(&self) -> Option<u64> {
        self.session.get().copied()
    }

    /// Whether a look at the row is needed to know that this is no standby.
    pub(in crate::engine) fn may_be_standby(&self) -> bool {
        self.shared || self.was_standby.get() != Some(&false)
    }

    /// Whether a look at the row is needed to know that this store was not overtaken.
    pub(in crate::engine) fn may_be_overtaken(&self) -> bool {
        self.shared || self.was_overtaken.get() != Some(&false)
    }

    /// A write transaction in the mode that the store was opened in, unless another process has one.
    pub(crate) fn try_begin_write(&self, handle: &Handle) -> Result<Option<Transaction>> {
        Ok(handle.try_begin_write()?.map(|transaction| self.in_mode(transaction)))
    }

    /// The same when it is this process's turn, for a caller that has waited since `arrived`. Calls `shut_out` once if
    /// it has to wait for another process.
    pub(crate) fn begin_write(
        &self,
        handle: &Handle,
        arrived: Instant,
        streak: Streak,
        shut_out: &dyn Fn(),
    ) -> Result<Transaction> {
        let waiting = if self.shared { self.writer_line.wait_behind_others(streak) } else { self.writer_line.wait() };
        let transaction = handle.begin_write(arrived, self.lock_timeout, waiting, shut_out)?;
        Ok(self.in_mode(transaction))
    }

    fn in_mode(&self, mut transaction: Transaction) -> Transaction {
        if !self.shared && !self.one_phase {
            transaction.save_allocator_state();
        }
        transaction
    }

    /// How the index rows of a collection are derived, when it has any.
    pub(crate) fn index_rule(&self, collection: CollectionId) -> Option<&IndexRule> {
        self.indexes.iter().find(|rule| rule.collection == collection)
    }
}
