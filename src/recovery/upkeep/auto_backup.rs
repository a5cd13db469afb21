//! Automatic backups. The time of the last one is in the store, so one of several processes makes the next. Unchanged
//! state needs none.
//!
//! Backups of live state and of documents count separately. Otherwise a punctual scheduler of one kind would never
//! leave a turn to a caller of the other.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::engine::codec::{self, Stored};
use crate::engine::commit::Outcome;
use crate::engine::digest::Stats;
use crate::engine::meta;
use crate::engine::meta_row::MetaRow;
use crate::engine::point::Manifest;
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::error::Result;
use crate::recovery::points::make::PointRequest;
use crate::recovery::points::point::Point;

/// The row in `meta` with the time of the last automatic backup of the live state.
const LAST: MetaRow<Last> = MetaRow::new(b"auto backup");
/// The same for documents.
const LAST_OF_DOCUMENTS: MetaRow<Last> = MetaRow::new(b"auto backup/documents");

/// The time when the last automatic backup was made, or found unnecessary.
#[derive(Serialize, Deserialize)]
struct Last {
    #[serde(with = "clock::time")]
    at: Timestamp,
}

impl Stored for Last {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the time of the last automatic backup";
}

/// The result of an automatic backup.
#[derive(Debug)]
pub(crate) enum AutoBackup {
    /// A point was made.
    Made(Box<Point>),
    /// The interval since the last one has not passed.
    NotDue {
        /// When it will have passed.
        #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "only a service tells it"))]
        until: Timestamp,
    },
    /// Nothing has changed since the newest point.
    Unchanged,
}

#[cfg(feature = "cli")]
impl AutoBackup {
    /// The point, or the reason that none was made.
    pub(crate) fn or_reason(self) -> Result<Point, String> {
        match self {
            Self::Made(point) => Ok(*point),
            Self::NotDue { until } => Err(format!("the next automatic backup is due at {}", clock::show_time(until))),
            Self::Unchanged => Err("nothing has changed since the newest restore point".to_owned()),
        }
    }
}

impl Store {
    /// Makes an automatic restore point if `interval` has passed since the last one, and the state has changed since.
    /// Only one of several processes on a store makes it. Missed backups are made up for once.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let ten_minutes = Duration::from_secs(600);
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// assert!(store.auto_backup_if_needed(ten_minutes)?.is_some());
    /// assert!(store.auto_backup_if_needed(ten_minutes)?.is_none());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn auto_backup_if_needed(&self, interval: Duration) -> Result<Option<Point>> {
        self.auto_backup(interval, PointRequest::new("automatic-backup").automatic(), false)
    }

    /// The same for a point as `request` describes it, of live state or of documents. `unchanged` makes it even if
    /// nothing has changed.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn auto_backup(&self, interval: Duration, request: PointRequest, unchanged: bool) -> Result<Option<Point>> {
        Ok(match self.try_auto_backup(interval, request, unchanged)? {
            AutoBackup::Made(point) => Some(*point),
            AutoBackup::NotDue { .. } | AutoBackup::Unchanged => None,
        })
    }

    /// The same, with the reason if no point is made.
    pub(crate) fn try_auto_backup(
        &self,
        interval: Duration,
        request: PointRequest,
        unchanged: bool,
    ) -> Result<AutoBackup> {
        let timer = timer_of(&request);
        let not_due = |until| AutoBackup::NotDue { until };
        if let Some(until) = not_due_until(&self.view()?, timer, interval)? {
            return Ok(not_due(until));
        }
        self.alone(|tx| {
            // Another process may have made it in the meantime.
            if let Some(until) = not_due_until(tx, timer, interval)? {
                return Ok(Outcome::Abort(not_due(until)));
            }
            let at = tx.now();
            timer.put(tx, &Last { at })?;
            let needed = unchanged || request.has_documents() || changed_since_last_live_point(tx)?;
            if !needed {
                return Ok(Outcome::Commit(AutoBackup::Unchanged));
            }
            let point = tx.make_point(request)?;
            tx.note("point_create", Some(&point.to_string()))?;
            Ok(Outcome::Commit(AutoBackup::Made(Box::new(point))))
        })
    }

    /// The time when the next automatic backup is due: now if it is overdue, or if the clock was set back to
    /// before the last one.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn next_backup_at(&self, interval: Duration) -> Result<Timestamp> {
        let view = self.view()?;
        due_at(&view, &LAST, interval, Records::now(&view))
    }
}

/// Whether the records differ from those at the newest live point. It compares digests, so the cost does not depend on
/// size.
pub(crate) fn changed_since_last_live_point<R: Records>(records: &R) -> Result<bool> {
    let mut range = KeyRange::all().backward();
    loop {
        let page = records.rows(Table::Points, &range, 16)?;
        let Some((last, _)) = page.last() else { break };
        range = range.after(last);
        for (_, bytes) in &page {
            let manifest: Manifest = codec::decode(bytes)?;
            if manifest.origin.is_selectable() {
                return Ok(live_only(manifest.collections) != live_only(meta::all_stats(records)?));
            }
        }
    }
    Ok(!live_only(meta::all_stats(records)?).is_empty())
}

/// Documents are backed up by the callers that provide them.
fn live_only(mut collections: Vec<(CollectionId, Stats)>) -> Vec<(CollectionId, Stats)> {
    collections.retain(|(collection, stats)| *collection != CollectionId::DOCUMENTS && *stats != Stats::default());
    collections
}

fn timer_of(request: &PointRequest) -> &'static MetaRow<Last> {
    if request.has_documents() { &LAST_OF_DOCUMENTS } else { &LAST }
}

/// The time when the next backup is due, or now if it is overdue. A last time in the future, after the clock was set
/// back, counts as long ago.
fn due_at<R: Records>(records: &R, timer: &MetaRow<Last>, interval: Duration, now: Timestamp) -> Result<Timestamp> {
    let Some(Last { at: last }) = timer.read(records)? else { return Ok(now) };
    Ok(if last > now { now } else { clock::after(last, interval).max(now) })
}

/// The time when the next backup is due, unless that is now.
fn not_due_until<R: Records>(records: &R, timer: &MetaRow<Last>, interval: Duration) -> Result<Option<Timestamp>> {
    let now = records.now();
    Ok(Some(due_at(records, timer, interval, now)?).filter(|due| *due != now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    fn hive() -> (tempfile::TempDir, ManualClock, Store) {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let store = Store::options().clock(clock.clone()).open(folder.path().join("h.redb")).unwrap();
        (folder, clock, store)
    }

    fn change(store: &Store, to: u32) {
        store.write(|tx| tx.config().put("limit", &serde_json::json!(to))).unwrap();
    }

    #[test]
    fn the_bytes_of_the_last_time_are_fixed() {
        let last = Last { at: Timestamp::from_microsecond(1).unwrap() };
        assert_eq!(codec::encode(&last).unwrap(), [1, 2]);
    }

    #[test]
    fn a_backup_is_made_once_an_interval_and_missed_ones_are_made_up_for_once() {
        let (_folder, clock, store) = hive();
        change(&store, 1);
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_some());
        change(&store, 2);
        clock.advance(TEN_MINUTES - Duration::from_secs(1));
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_none());
        clock.advance(Duration::from_secs(3600));
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_some());
        change(&store, 3);
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_none());
    }

    #[test]
    fn unchanged_state_makes_no_new_point_unless_requested() {
        let (_folder, clock, store) = hive();
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_none(), "an empty store has nothing to back up");
        change(&store, 1);
        clock.advance(TEN_MINUTES);
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_some());
        clock.advance(TEN_MINUTES);
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_none());
        clock.advance(TEN_MINUTES);
        let asked = PointRequest::new("all the same").automatic();
        assert!(store.auto_backup(TEN_MINUTES, asked, true).unwrap().is_some());
    }

    #[test]
    fn documents_have_an_interval_of_their_own() {
        let (_folder, _clock, store) = hive();
        change(&store, 1);
        let registry = || {
            let registry = serde_json::json!({"BOT-1": {}});
            PointRequest::new("automatic-backup")
                .automatic()
                .document(crate::recovery::backups::Kind::Registry, registry)
        };
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_some());
        assert!(store.auto_backup(TEN_MINUTES, registry(), false).unwrap().is_some());
        assert!(store.auto_backup(TEN_MINUTES, registry(), false).unwrap().is_none());
    }

    #[test]
    fn one_of_two_processes_makes_the_backup_and_a_clock_that_is_set_back_does_not_stop_them() {
        let (folder, clock, store) = hive();
        let other = Store::options().clock(clock.clone()).open(folder.path().join("h.redb")).unwrap();
        change(&store, 1);
        assert!(other.auto_backup_if_needed(TEN_MINUTES).unwrap().is_some());
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_none());
        change(&store, 2);
        clock.set("2020-01-01T00:00:00Z".parse().unwrap());
        assert!(store.auto_backup_if_needed(TEN_MINUTES).unwrap().is_some());
    }
}
