//! Automatic archives: made when something has changed, read back, and kept by a policy. What was made last stands in the
//! store, so that of several processes one makes it, and that everybody can say how old it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::export::ExportOptions;
use super::import::ImportOptions;
use super::retain::{ArchivePolicy, name_of};
use crate::clock::{self, as_stored};
use crate::engine::codec::{self, Stored};
use crate::engine::commit::Outcome;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::files::{self, Rights};
use crate::recovery::auto_backup::changed_since_last_live_point;
use crate::recovery::events::EventKind;
use crate::recovery::points::{Point, PointRequest};
use crate::transfer::archives;

/// The row of `meta`.
const LAST: &[u8] = b"auto archive";
/// What has failed is tried again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How automatic archives are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSchedule {
    /// Between two of them.
    pub every: Duration,
    /// Where they go; made when it is not there.
    pub folder: PathBuf,
    /// Which are kept.
    pub keep: ArchivePolicy,
    /// Whether a restore point is made for one when there is none of that state. Where a scheduler makes them anyway, an
    /// archive is of the newest.
    pub make_points: bool,
}

/// The automatic archive that was made last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastArchive {
    /// The file, by its full path.
    pub file: String,
    /// When it was made.
    #[serde(with = "crate::clock::time")]
    pub at: Timestamp,
    /// The point that it is of.
    pub restore_id: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it was read back, to the end, and is what was written.
    pub verified: bool,
}

/// Whose turn it was last, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Turn {
    /// In microseconds since 1970; nobody makes one before `every` has passed.
    taken_at: i64,
    last: Option<LastArchive>,
}

impl Stored for Turn {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the last automatic archive";
}

impl LastArchive {
    /// Whether it is on the same file system as the store; none where that cannot be told, or it is gone.
    pub fn is_beside(&self, store: &Store) -> Option<bool> {
        archives::same_file_system(Path::new(&self.file), store.path())
    }
}

impl Store {
    /// The automatic archive that was made last, while its file is there.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn last_archive(&self) -> Result<Option<LastArchive>> {
        let last = turn(&self.view()?)?.last;
        Ok(last.filter(|last| Path::new(&last.file).is_file()))
    }

    /// Makes an automatic archive when it is due and something has changed, reads it back, and removes those that the
    /// policy does not keep. Of several processes on one store one makes it.
    ///
    /// # Errors
    ///
    /// As [`Store::export`] and [`Store::verify_archive`]. Then it is tried again a minute later.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{ArchivePolicy, ArchiveSchedule, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("hive.redb"))?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// let schedule = ArchiveSchedule {
    ///     every: std::time::Duration::from_secs(600),
    ///     folder: dir.path().join("archives"),
    ///     keep: ArchivePolicy::default(),
    ///     make_points: true,
    /// };
    /// assert!(store.auto_archive(&schedule)?.unwrap().verified);
    /// assert!(store.auto_archive(&schedule)?.is_none());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn auto_archive(&self, schedule: &ArchiveSchedule) -> Result<Option<LastArchive>> {
        let view = self.view()?;
        let before = turn(&view)?;
        if !before.is_due(view.now(), schedule.every) {
            return Ok(None);
        }
        drop(view);
        let Some(point) = self.point_for_archive(schedule)? else { return Ok(None) };
        let last = self.last_archive()?.filter(|last| last.verified);
        if last.as_ref().is_some_and(|last| self.is_same(&last.restore_id, &point)) {
            return Ok(None);
        }
        if !self.take_turn(&before)? {
            return Ok(None);
        }
        let made = self.make_archive(&point, schedule);
        if made.is_err() {
            let again = clock::before(clock::after(self.clock().now(), AGAIN_AFTER), schedule.every);
            self.note_turn(again, before.last)?;
        }
        let made = made?;
        self.remove_old_archives(schedule, &made)?;
        Ok(Some(made))
    }

    /// The newest point of live state; none while there is nothing to archive.
    fn point_for_archive(&self, schedule: &ArchiveSchedule) -> Result<Option<Point>> {
        // Asked before the transaction: this is looked at every second, and an idle store is not to be written to.
        if schedule.make_points && changed_since_last_live_point(&self.view()?)? {
            self.auto_backup(Duration::ZERO, PointRequest::new("automatic-archive").automatic(), false)?;
        }
        Ok(self.points()?.into_iter().next())
    }

    /// Whether the point that was archived last has the same records as this one.
    fn is_same(&self, archived: &str, point: &Point) -> bool {
        let archived = self.find_point(crate::recovery::selector::Selector::Id(archived.to_owned()));
        archived.ok().flatten().is_some_and(|archived| archived.collections == point.collections)
    }

    /// Whether it is this process's turn.
    fn take_turn(&self, before: &Turn) -> Result<bool> {
        self.alone(|tx| {
            if turn(tx)? != *before {
                return Ok(Outcome::Abort(false));
            }
            Turn::of(tx.now(), before.last.clone()).put(tx)?;
            Ok(Outcome::Commit(true))
        })
    }

    fn note_turn(&self, at: Timestamp, last: Option<LastArchive>) -> Result<()> {
        self.write(|tx| Turn::of(at, last).put(tx))
    }

    fn make_archive(&self, point: &Point, schedule: &ArchiveSchedule) -> Result<LastArchive> {
        let folder = std::path::absolute(&schedule.folder)?;
        files::create_folders(&folder, Rights::of_content(self.path()))?;
        files::remove_unfinished(&folder, |name| name.starts_with("state-"));
        let at = as_stored(self.clock().now());
        let file = folder.join(name_of(at));
        let report = self.export(&file, &ExportOptions::new().at(point).automatic(), &|_, _| ())?;
        let mut made = LastArchive {
            file: file.to_string_lossy().into_owned(),
            at,
            restore_id: point.to_string(),
            sha256: report.sha256,
            bytes: report.file_bytes,
            verified: false,
        };
        let finished = Finished(&file);
        // It was made of this store a moment ago, so it may be as long as that, with values of an earlier version.
        let any_length = ImportOptions::new().max_value_bytes(u64::MAX).max_bytes(u64::MAX);
        Self::verify_archive(&file, &any_length, &|_, _| ())?;
        finished.stays();
        made.verified = true;
        let details = json!({"file": made.file, "sha256": made.sha256, "bytes": made.bytes, "records": report.records});
        self.write(|tx| {
            Turn::of(at, Some(made.clone())).put(tx)?;
            tx.events().append(EventKind::ArchiveVerified, details)
        })?;
        Ok(made)
    }

    fn remove_old_archives(&self, schedule: &ArchiveSchedule, made: &LastArchive) -> Result<()> {
        let entries = fs::read_dir(&schedule.folder)?.flatten();
        let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let names: Vec<_> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let sound = Path::new(&made.file).file_name().map(|name| name.to_string_lossy().into_owned());
        let gone = schedule.keep.judge(&names, sound.as_deref());
        for name in &gone {
            files::remove(&schedule.folder.join(name)).map_err(|error| Error::from(error).context(name))?;
        }
        if gone.is_empty() {
            return Ok(());
        }
        let details = json!({"folder": schedule.folder.to_string_lossy(), "files": gone});
        self.write(|tx| tx.events().append(EventKind::ArchiveDeletedOld, details)).map(drop)
    }
}

/// An archive that has not been read back. One that cannot be is no copy, and every try would leave another: so it goes,
/// unless the process is killed before that.
struct Finished<'f>(&'f Path);

impl Finished<'_> {
    fn stays(self) {
        std::mem::forget(self);
    }
}

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        if let Err(error) = files::remove(self.0) {
            tracing::warn!(%error, file = %self.0.display(), "an archive that cannot be read back could not be removed");
        }
    }
}

impl Turn {
    fn of(at: Timestamp, last: Option<LastArchive>) -> Self {
        Self { taken_at: at.as_microsecond(), last }
    }

    fn put(&self, tx: &mut WriteTx<'_>) -> Result<()> {
        tx.put_row(Table::Meta, LAST, &codec::encode(self)?)
    }

    /// Whether the interval has passed; a turn in the future, after the clock was set back, counts as long ago.
    fn is_due(&self, now: Timestamp, every: Duration) -> bool {
        let Ok(taken) = Timestamp::from_microsecond(self.taken_at) else { return true };
        taken > now || clock::after(taken, every) <= now
    }
}

fn turn<R: Records>(records: &R) -> Result<Turn> {
    records.row(Table::Meta, LAST)?.map_or(Ok(Turn::default()), |bytes| codec::decode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::engine::schema::CollectionId;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    struct Hive {
        folder: tempfile::TempDir,
        clock: ManualClock,
        store: Store,
    }

    impl Hive {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
            let store = Store::options().clock(clock.clone()).open(folder.path().join("h.redb")).unwrap();
            Self { folder, clock, store }
        }

        fn schedule(&self) -> ArchiveSchedule {
            let folder = self.folder.path().join("archives");
            ArchiveSchedule { every: TEN_MINUTES, folder, keep: ArchivePolicy::default(), make_points: true }
        }

        fn change(&self, to: u32) {
            self.store.write(|tx| tx.config().put("limit", &json!(to))).unwrap();
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.schedule().folder).unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_bytes_of_the_row_are_fixed() {
        let last = LastArchive {
            file: "f".into(),
            at: Timestamp::from_microsecond(1).unwrap(),
            restore_id: "r".into(),
            sha256: "s".into(),
            bytes: 9,
            verified: true,
        };
        let turn = Turn { taken_at: 2, last: Some(last) };
        let golden = b"\x01\x04\x01\x01f\x02\x01r\x01s\x09\x01";
        assert_eq!(codec::encode(&turn).unwrap(), golden);
        assert_eq!(codec::decode::<Turn>(golden).unwrap(), turn);
    }

    #[test]
    fn one_is_made_each_interval_when_something_changed_and_says_so() {
        let hive = Hive::new();
        let make = || hive.store.auto_archive(&hive.schedule()).unwrap();
        assert_eq!(make(), None, "there is nothing to archive");
        hive.change(1);
        let first = make().unwrap();
        assert_eq!((first.verified, hive.names()), (true, vec!["state-2026-01-02-03-04-05.tar.gz".to_owned()]));
        assert_eq!(hive.store.last_archive().unwrap(), Some(first.clone()));
        hive.change(2);
        assert_eq!(make(), None, "it is not due");
        hive.clock.advance(TEN_MINUTES);
        assert!(make().is_some());
        hive.clock.advance(TEN_MINUTES);
        assert_eq!(make(), None, "nothing has changed");
        assert_eq!(hive.names().len(), 2);
        let events = hive.store.view().unwrap().events().list(crate::state::page::Page::newest(2)).unwrap();
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["archive_verified", "archive_created"]);
        fs::remove_file(hive.store.last_archive().unwrap().unwrap().file).unwrap();
        assert_eq!(hive.store.last_archive().unwrap(), None);
        assert!(make().is_some(), "the one that was there is gone");
    }

    #[test]
    fn a_store_in_which_nothing_changes_is_not_written_to() {
        let hive = Hive::new();
        hive.change(1);
        hive.store.auto_archive(&hive.schedule()).unwrap().unwrap();
        hive.clock.advance(TEN_MINUTES);
        let commits = hive.store.commits().count();
        assert_eq!(hive.store.auto_archive(&hive.schedule()).unwrap(), None);
        assert_eq!(hive.store.commits().count(), commits);
    }

    #[test]
    fn without_points_of_its_own_it_is_of_the_newest_there_is() {
        let hive = Hive::new();
        let schedule = ArchiveSchedule { make_points: false, ..hive.schedule() };
        hive.change(1);
        assert_eq!(hive.store.auto_archive(&schedule).unwrap(), None);
        let point = hive.store.restore_point("mine").unwrap();
        hive.change(2);
        let made = hive.store.auto_archive(&schedule).unwrap().unwrap();
        assert_eq!((made.restore_id, hive.store.points().unwrap().len()), (point.to_string(), 1));
    }

    #[test]
    fn of_two_processes_one_makes_it_and_what_failed_is_tried_again() {
        let hive = Hive::new();
        let other = Store::options().clock(hive.clock.clone()).open(hive.folder.path().join("h.redb")).unwrap();
        hive.change(1);
        fs::write(hive.schedule().folder, b"in the way").unwrap();
        assert!(hive.store.auto_archive(&hive.schedule()).is_err());
        assert_eq!(other.auto_archive(&hive.schedule()).unwrap(), None);
        fs::remove_file(hive.schedule().folder).unwrap();
        hive.clock.advance(AGAIN_AFTER);
        assert!(other.auto_archive(&hive.schedule()).unwrap().is_some());
        assert_eq!(hive.store.auto_archive(&hive.schedule()).unwrap(), None);
    }

    #[test]
    fn what_fails_leaves_no_file_and_the_one_before_counts() {
        let hive = Hive::new();
        hive.change(1);
        let first = hive.store.auto_archive(&hive.schedule()).unwrap();
        let put = |key: &str, payload: &[u8]| {
            hive.clock.advance(TEN_MINUTES);
            hive.store.write(|tx| tx.put(CollectionId::CONFIG, key.as_bytes(), payload)).unwrap();
        };
        put("damaged", b"{");
        assert!(hive.store.auto_archive(&hive.schedule()).is_err(), "it cannot be exported");
        assert!(
            hive.store.export(hive.schedule().folder.join("mine.tar.gz"), &ExportOptions::new(), &|_, _| ()).is_err()
        );
        assert_eq!(hive.names().len(), 1, "{:?}", hive.names());
        put("long", &[b"\"".to_vec(), vec![b'x'; 2 << 20], b"\"".to_vec()].concat());
        let error = hive.store.auto_archive(&hive.schedule()).unwrap_err();
        assert!(error.to_string().contains("entry "), "it is exported, and cannot be read back: {error}");
        assert_eq!((hive.names().len(), hive.store.last_archive().unwrap()), (1, first));
    }

    #[test]
    fn old_ones_go_and_other_files_stay() {
        let hive = Hive::new();
        let keep = ArchivePolicy { newest: 2, hourly: 0, daily: 0 };
        let schedule = ArchiveSchedule { keep, ..hive.schedule() };
        fs::create_dir(&schedule.folder).unwrap();
        fs::write(schedule.folder.join("mine.tar.gz"), b"").unwrap();
        for number in 0..4 {
            hive.change(number);
            hive.store.auto_archive(&schedule).unwrap().unwrap();
            hive.clock.advance(TEN_MINUTES);
        }
        assert_eq!(hive.names().len(), 3);
        assert_eq!(hive.names()[0], "mine.tar.gz");
    }
}
