//! The end of a standby: it becomes a store that is written to. Another future of its source may exist, in which
//! numbers were given out that this one does not know. So its own numbers leap. The same holds for a store that was
//! overtaken, and that somebody takes back.

use std::collections::BTreeSet;

use super::fence::FENCE;
use super::receive::Receiver;
use super::standby::STANDBY;
use crate::clock;
use crate::engine::commit::{Outcome, Size};
use crate::engine::feed::marks::row::{FeedRow, MOST};
use crate::engine::format::codec;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::records::{Records, scan_rows};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};

/// No other future of the source has given out so many numbers.
pub(crate) const LEAP: u64 = 1 << 32;
/// By chance a leap is longer, by less than this: two files of one ancestry may leap from the same number. JavaScript
/// reads a number below 2^53 exactly, so more than 8,000 take-overs of one file have room below that.
pub(crate) const LEAP_SPREAD: u64 = 1 << 40;

/// The counters of a store whose numbers leap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers<'n> {
    /// Those that leap although they have given out none yet: another future may have begun with 1. So do all others
    /// that have a row.
    pub(crate) leap: &'n [&'n str],
    /// Those whose numbers have no gaps. They stay.
    pub(crate) without_gaps: &'n [&'n str],
}

/// The replica of a store that was its standby: how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// The last commit that the replica has.
    pub(crate) sequence: u64,
    /// Its place in the replica, in the replica's own form.
    pub(crate) position: Vec<u8>,
}

impl Receiver {
    /// Makes the standby a store that is written to, in one commit with the changes of `settle`, by this handle of
    /// [its store](Receiver::store). The `numbers` leap, and so does the open epoch.
    ///
    /// # Errors
    ///
    /// `Conflict` when it is no standby; every error of `settle`; `Damaged` when a counter is exhausted; `Io`, `Full`.
    pub(crate) fn leave<R>(
        &self,
        store: &Store,
        replica: Option<Resumed>,
        numbers: Numbers<'_>,
        settle: impl FnOnce(&mut WriteTx<'_>) -> Result<R>,
    ) -> Result<R> {
        self.position()?;
        let leap = leap_by(clock::random_number());
        // Before: a transaction leaves its rows to a feed that has begun. Until the next one it is still a standby.
        self.store().alone_in_standby(Size::Large, |tx| {
            tx.resume_feed(replica, leap, FeedRow::resumed_at).map(Outcome::Commit)
        })?;
        store.alone_in_standby(Size::Large, |tx| {
            if !STANDBY.remove(tx)? {
                return Err(Error::conflict("the store is no copy of a replica any more"));
            }
            // R8: in the same transaction.
            tx.leap(numbers, leap)?;
            settle(tx).map(Outcome::Commit)
        })
    }
}

impl Store {
    /// Makes a store that was overtaken one that is written to, in one commit with the changes of `settle`. Numbers
    /// leap as those of a standby do. A replica gets all of it as a base, because commits that it does not have may be
    /// those of another future.
    ///
    /// # Errors
    ///
    /// `Conflict` when it was not overtaken; every error of `settle`; `Damaged` when a counter is exhausted; `Io`,
    /// `Full`.
    pub(crate) fn leave_fence<R>(
        &self,
        replica: Option<Resumed>,
        numbers: Numbers<'_>,
        settle: impl FnOnce(&mut WriteTx<'_>) -> Result<R>,
    ) -> Result<R> {
        let leap = leap_by(clock::random_number());
        self.alone_in_standby(Size::Large, |tx| {
            if !FENCE.remove(tx)? {
                return Err(Error::conflict("no other machine has the history of this store"));
            }
            // R2: the feed begins in this transaction, and says that it has nothing of what is before.
            tx.resume_feed(replica, leap, FeedRow::resumed_behind_a_gap)?;
            // R8: in the same transaction.
            tx.leap(numbers, leap)?;
            settle(tx).map(Outcome::Commit)
        })
    }
}

/// R8: the length of a leap, the same for all numbers of one take-over.
fn leap_by(chance: u64) -> u64 {
    LEAP + chance % LEAP_SPREAD
}

impl WriteTx<'_> {
    /// Begins the feed behind what the replica has. An earlier attempt may have done so.
    fn resume_feed(
        &mut self,
        replica: Option<Resumed>,
        leap: u64,
        row: impl FnOnce(u64, u64) -> FeedRow,
    ) -> Result<()> {
        let newest = FeedRow::of(self.stored())?.map_or(0, |feed| feed.sequence);
        self.end_feed()?;
        let Some(Resumed { sequence, position }) = replica else { return Ok(()) };
        self.refuse_older_programs()?;
        let next = sequence.max(newest).checked_add(leap).filter(|next| *next < MOST / 2);
        let next = next.ok_or_else(|| Error::damaged(format!("no commit gets so far: sequence={sequence}")))?;
        self.put_row(Table::Meta, meta::FEED, &codec::encode(&row(sequence, next))?)?;
        self.put_row(Table::Meta, meta::FEED_POSITION, &position)
    }

    /// Lets numbers leap by so much, so that none is one of another future.
    fn leap(&mut self, numbers: Numbers<'_>, leap: u64) -> Result<()> {
        // The numbers of collections have 32 bits, and no caller keeps one.
        let stay: BTreeSet<_> =
            [meta::COLLECTIONS].iter().chain(numbers.without_gaps).map(|name| meta::counter_key(name)).collect();
        let begun = scan_rows(&*self, Table::Meta, meta::counters()).map(|row| row.map(|(key, _)| key));
        let mut keys = begun.collect::<Result<BTreeSet<_>>>()?;
        keys.extend(numbers.leap.iter().map(|name| meta::counter_key(name)));
        for key in keys.difference(&stay) {
            let last = self.row(Table::Meta, key)?.map_or(Ok(0), |payload| meta::number(&payload))?;
            let next = last.checked_add(leap);
            let next =
                next.ok_or_else(|| Error::damaged(format!("a counter is exhausted: {}", Table::Meta.place(key))))?;
            self.put_row(Table::Meta, key, &next.to_be_bytes())?;
        }
        // S1: the rows of the open epoch stay those of a segment.
        if self.epochs().any_point() {
            self.turn_epoch()?;
        }
        let open = &mut self.batch.epochs.open;
        *open = Epoch(open.0.saturating_add(leap));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_is_longer_by_chance_and_thousands_of_them_stay_exact_in_javascript() {
        assert_eq!((leap_by(0), leap_by(7)), (LEAP, LEAP + 7));
        assert_eq!(leap_by(u64::MAX), LEAP + LEAP_SPREAD - 1);
        assert!(8_000 * leap_by(u64::MAX) < 1 << 53);
    }
}
