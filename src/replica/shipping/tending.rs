//! The work beside shipping: the newest object is read back, old ones are collected, and what killed processes left is
//! removed. A store that is idle costs one request a minute, which tells whether another machine has taken over, and
//! whether the bucket answers at all: an idle store sends nothing that would fail.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::collect::{CollectStep, Collector, Retention};
use super::ship::Shipper;
use crate::error::{ErrorKind, Result};
use crate::replica::objects::name::ObjectName;

/// The slot behind the last object is looked at this often, and a new last object is read back.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Behind a look that failed, the next one comes this much later.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The same object is read back this often: a bucket that is gone shows an empty slot like any other.
const READ_AGAIN: Duration = Duration::from_secs(60 * 60);
/// Old objects are looked for this often.
const COLLECT_EVERY: Duration = Duration::from_secs(60 * 60);
/// The files that killed processes left are looked for this often.
const TIDY_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The first look comes soon, and not while a process may only run for a moment.
const FIRST_TIDY: Duration = Duration::from_secs(5 * 60);

/// The work of a process beside shipping.
pub(super) struct Tending {
    begun: Instant,
    look_at: Instant,
    /// The object that was read back last, and when.
    was_read: Option<(ObjectName, Instant)>,
    collector: Collector,
    collect_at: Instant,
    /// The newest base behind which nothing was left to collect. Only a later one makes any object old.
    rested_at: Option<Timestamp>,
    tidy_at: Instant,
}

/// The end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tended {
    Done,
    /// Another process writes the history now.
    Fenced,
    /// A later term was claimed and given up. Behind such a claim nothing is collected any more, and a term that begins
    /// now makes it void.
    Blocked,
}

impl Tending {
    /// The work beside a process that begins to ship at that time.
    ///
    /// It announces no collection before it has lived for as long as it would have to wait for the decision. So a
    /// process that lives for less leaves no announcement, which would cost every reader of the floors two requests.
    pub(super) fn begin(shipper: &Shipper, retention: Retention, begun: Instant) -> Self {
        Self {
            begun,
            look_at: begun + LOOK_EVERY,
            was_read: None,
            collector: shipper.collector(retention),
            collect_at: begun + FIRST_TIDY.max(retention.grace),
            rested_at: None,
            tidy_at: begun + FIRST_TIDY,
        }
    }

    /// Does what is due at that time. Tells `looked` whether the bucket has answered, and `read_back` of an object that
    /// was read back: whether it is there, as it was written.
    pub(super) async fn step(
        &mut self,
        shipper: &mut Shipper,
        now: Instant,
        looked: impl FnOnce(Result<()>),
        read_back: impl FnOnce(Result<()>),
    ) -> Tended {
        if now >= self.look_at && shipper.has_time() {
            let is_overtaken = shipper.is_overtaken().await;
            if let Ok(true) = is_overtaken {
                return Tended::Fenced;
            }
            let is_there = is_overtaken.is_ok();
            self.look_at = now + if is_there { LOOK_EVERY } else { LOOK_AGAIN };
            let read = if is_there { self.read_back(shipper, now, read_back).await } else { Ok(()) };
            looked(is_overtaken.and(read));
        }
        if now >= self.tidy_at {
            self.tidy_at = now + TIDY_EVERY;
            match shipper.tidy().await {
                Ok(Some(())) => {}
                Ok(None) => return Tended::Fenced,
                Err(error) => tracing::warn!(%error, "objects left in the replica could not be removed"),
            }
            match shipper.note_overdue(&mut self.collector).await {
                Ok(Some(())) => {}
                Ok(None) => return Tended::Fenced,
                Err(error) => tracing::warn!(%error, "old objects of the replica could not be looked for"),
            }
        }
        if now >= self.collect_at { self.collect(shipper, now).await } else { Tended::Done }
    }

    /// Whether objects that were old enough long ago are still there.
    pub(super) fn is_collection_overdue(&self) -> bool {
        self.collector.is_overdue()
    }

    /// Reads the last object back, unless that was done, and tells whether it is there. An error of the bucket says
    /// nothing of the object.
    async fn read_back(&mut self, shipper: &Shipper, now: Instant, tell: impl FnOnce(Result<()>)) -> Result<()> {
        let last = shipper.last_object();
        let is_known = self.was_read.is_some_and(|(name, at)| Some(name) == last && now < at + READ_AGAIN);
        if last.is_none() || is_known {
            return Ok(());
        }
        let found = shipper.read_back().await;
        self.was_read = last.filter(|_| found.is_ok()).map(|name| (name, now));
        match found {
            Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
            found => tell(found),
        }
        Ok(())
    }

    async fn collect(&mut self, shipper: &mut Shipper, now: Instant) -> Tended {
        self.collect_at = now + COLLECT_EVERY;
        // A clock that is behind the newest base makes more objects old as it goes on.
        let base = shipper.base_made().filter(|base| *base <= shipper.now());
        if base.is_some() && base == self.rested_at {
            return Tended::Done;
        }
        let was_idle = self.collector.is_idle();
        let step = shipper.collect(&mut self.collector, now.saturating_duration_since(self.begun)).await;
        self.rested_at = None;
        match step {
            Ok(None) => return Tended::Fenced,
            Ok(Some(CollectStep::Blocked)) => return Tended::Blocked,
            Ok(Some(CollectStep::Decided | CollectStep::Deleted(_))) => self.collect_at = now,
            Ok(Some(CollectStep::Nothing)) if was_idle && self.collector.is_idle() => self.rested_at = base,
            Ok(Some(_)) => {}
            // The commits are safe, so this is no failure of shipping.
            Err(error) => tracing::warn!(%error, "old objects of the replica could not be collected"),
        }
        Tended::Done
    }
}
