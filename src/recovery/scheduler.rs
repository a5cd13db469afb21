//! What has to be done from time to time: automatic backups, retention, expired leases, old audit entries, crashes of
//! other processes. By a thread of its own, or by a caller with a loop of their own.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::engine::codec::{self, Stored};
use crate::engine::commit::Outcome;
use crate::engine::digest::Stats;
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::recovery::events::EventKind;
use crate::recovery::points::{Point, PointRequest};
use crate::recovery::retention::Policy;

/// The row of `meta` with the time of the last automatic backup.
const LAST: &[u8] = b"auto backup";
/// How often the thread looks what is due.
const TICK: Duration = Duration::from_secs(1);
/// Audit entries are kept this long.
const KEEP_AUDIT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// A session is noted to be alive this often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Expired claims taken back in one transaction.
const EXPIRED_AT_ONCE: usize = 256;

/// What the scheduler does, and how often.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Between automatic backups; 10 minutes unless set, none for no backups.
    pub backup_interval: Option<Duration>,
    /// Whether a backup is made although nothing has changed since the last one. It is not, unless this says so.
    pub backup_unchanged: bool,
    /// What is kept; none for everything.
    pub retention: Option<Policy>,
}

impl Default for Schedule {
    fn default() -> Self {
        let backup_interval = Some(Duration::from_secs(10 * 60));
        Self { backup_interval, backup_unchanged: false, retention: Some(Policy::default()) }
    }
}

/// How the scheduler's work has gone: each part has its own health, so that a failed retention does not hide behind a
/// successful backup.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Health {
    /// What went wrong with the last automatic backup, if anything did.
    pub backup_error: Option<String>,
    /// What went wrong with the last retention.
    pub retention_error: Option<String>,
    /// What went wrong with the last upkeep: leases, audit trail, sessions.
    pub upkeep_error: Option<String>,
}

/// A running thread that does what is due. It stops when it is dropped.
#[derive(Debug)]
pub struct Scheduler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    health: Mutex<Health>,
    stop: Mutex<bool>,
    stopped: Condvar,
}

/// When the last automatic backup was made, or found needless.
#[derive(Serialize, Deserialize)]
struct Last {
    #[serde(with = "clock::time")]
    at: Timestamp,
}

impl Stored for Last {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the time of the last automatic backup";
}

impl Store {
    /// Makes an automatic restore point if `interval` has passed since the last one, and something has changed since.
    /// Of several processes on one store only one makes it; what was missed is caught up once.
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

    /// The same for a point of the caller's wording, or of documents; `unchanged` makes it although nothing has changed.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn auto_backup(&self, interval: Duration, request: PointRequest, unchanged: bool) -> Result<Option<Point>> {
        if !is_due(&self.view()?, interval)? {
            return Ok(None);
        }
        self.alone(|tx| {
            // Another process may have made it since.
            if !is_due(tx, interval)? {
                return Ok(Outcome::Abort(None));
            }
            let at = tx.now();
            tx.put_row(Table::Meta, LAST, &codec::encode(&Last { at })?)?;
            let needed = unchanged || request.has_documents() || tx.changed_since_last_live_point()?;
            let point = if needed { Some(tx.make_point(request)?) } else { None };
            Ok(Outcome::Commit(point))
        })
    }

    /// When the next automatic backup is due: now when it is overdue.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn next_backup_at(&self, interval: Duration) -> Result<Timestamp> {
        let view = self.view()?;
        let now = Records::now(&view);
        Ok(last(&view)?.map_or(now, |last| clock::after(last, interval).max(now)))
    }

    /// Takes back what is due to be taken back: expired claims, crashed sessions' claims, audit entries over 90 days.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn upkeep(&self) -> Result<()> {
        self.notice_crashes()?;
        while self.write(|tx| tx.queue().expire(EXPIRED_AT_ONCE))? == EXPIRED_AT_ONCE {}
        let old = clock::before(self.clock().now(), KEEP_AUDIT);
        while self.write(|tx| tx.audit().purge(old))? > 0 {}
        self.finish_merging()
    }
}

impl WriteTx<'_> {
    /// Whether the records differ from those at the newest live point; compared by digests, at any size.
    fn changed_since_last_live_point(&self) -> Result<bool> {
        let mut range = KeyRange::all().backward();
        loop {
            let page = self.rows(Table::Points, &range, 16)?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last);
            for (_, bytes) in &page {
                let manifest: crate::engine::point::Manifest = codec::decode(bytes)?;
                if manifest.origin.is_selectable() {
                    return Ok(live_only(manifest.collections) != live_only(self.all_stats()?));
                }
            }
        }
        Ok(self.all_stats()?.iter().any(|(collection, _)| *collection != CollectionId::DOCUMENTS))
    }
}

/// Documents are backed up by those who hand them over.
fn live_only(mut collections: Vec<(CollectionId, Stats)>) -> Vec<(CollectionId, Stats)> {
    collections.retain(|(collection, _)| *collection != CollectionId::DOCUMENTS);
    collections
}

fn last<R: Records>(records: &R) -> Result<Option<Timestamp>> {
    let row = records.row(Table::Meta, LAST)?;
    row.map(|bytes| codec::decode::<Last>(&bytes).map(|last| last.at)).transpose()
}

/// Whether the interval has passed; a last time in the future, after the clock was set back, counts as long ago.
fn is_due<R: Records>(records: &R, interval: Duration) -> Result<bool> {
    let now = records.now();
    Ok(last(records)?.is_none_or(|last| last > now || clock::after(last, interval) <= now))
}

impl Scheduler {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub fn start(store: Store, schedule: Schedule) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("hivekeep-scheduler".into());
        let thread = thread.spawn(move || run(&store, &schedule, &own))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// How its work has gone.
    pub fn health(&self) -> Health {
        self.shared.health.lock().clone()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        *self.shared.stop.lock() = true;
        self.shared.stopped.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was its own end; there is nobody left to tell.
            let _ended = thread.join();
        }
    }
}

fn run(store: &Store, schedule: &Schedule, shared: &Shared) {
    let mut alive_at = store.clock().now();
    loop {
        let backup = back_up(store, schedule);
        let retention = match (&backup, &schedule.retention) {
            (Ok(true), Some(policy)) => Some(store.retain(policy).map(drop)),
            _ => None,
        };
        let mut upkeep = store.upkeep();
        if clock::after(alive_at, KEEP_ALIVE) <= store.clock().now() {
            alive_at = store.clock().now();
            if let Some(session) = store.session() {
                upkeep = upkeep.and(store.write(|tx| tx.keep_alive(session)));
            }
        }
        if matches!(&upkeep, Err(error) if error.kind() == ErrorKind::Reopen) {
            return;
        }
        note(store, shared, backup, retention, upkeep);
        let mut stop = shared.stop.lock();
        if !*stop {
            shared.stopped.wait_for(&mut stop, TICK);
        }
        if *stop {
            return;
        }
    }
}

/// Makes the automatic backup when it is due; says whether it did.
fn back_up(store: &Store, schedule: &Schedule) -> Result<bool> {
    let Some(interval) = schedule.backup_interval else { return Ok(false) };
    let request = PointRequest::new("automatic-backup").automatic();
    Ok(store.auto_backup(interval, request, schedule.backup_unchanged)?.is_some())
}

fn note(store: &Store, shared: &Shared, backup: Result<bool>, retention: Option<Result<()>>, upkeep: Result<()>) {
    let mut health = shared.health.lock();
    let new = backup.err().map(|error| error.to_string());
    if new.is_some() && new != health.backup_error {
        tracing::error!(error = new.as_deref(), "the automatic backup failed");
        let details = serde_json::json!({"error": new});
        // When the disk is full the event cannot be written either; the log and the health say it all the same.
        let _written = store.write(|tx| tx.events().append(EventKind::BackupFailed, details));
    }
    health.backup_error = new;
    if let Some(retention) = retention {
        health.retention_error = retention.err().map(|error| error.to_string());
        if let Some(error) = &health.retention_error {
            tracing::error!(error, "retention failed");
        }
    }
    health.upkeep_error = upkeep.err().map(|error| error.to_string());
    if let Some(error) = &health.upkeep_error {
        tracing::error!(error, "upkeep failed");
    }
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
    fn a_backup_is_made_once_an_interval_and_what_was_missed_is_caught_up_once() {
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
    fn unchanged_state_makes_no_new_point_unless_asked() {
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
    fn of_two_openers_one_makes_the_backup_and_a_clock_set_back_does_not_stop_them() {
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
