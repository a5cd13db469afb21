//! Automatic archives: an archive of the present state when one is due. It is read back, and a policy decides which
//! archives are kept. One of several processes makes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use super::last::{LastAndNext, LastArchive, hash, last_and_next, state};
use super::retention::{ArchivePolicy, name_of};
use crate::clock::{self, as_stored, show_time};
use crate::engine::commit::Outcome;
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::engine::view::{View, gone};
use crate::error::{Error, Result};
use crate::files;
use crate::recovery::events::event::EventKind;
use crate::recovery::points::make::PointRequest;
use crate::recovery::points::point::Point;
use crate::transfer::archive::exporting::export::ExportOptions;
use crate::transfer::archive::format::hashed::sha256_of;
use crate::transfer::archive::importing::import_options::ImportOptions;

/// A failed archive is retried after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// A point of this age or younger counts as the present state. Otherwise, if a scheduler makes points in the same
/// rhythm, each archive would add another point.
const AS_GOOD_AS_NOW: Duration = Duration::from_secs(5);
/// An archive is started this long before it is due, plus the duration of the last one, so that it is complete in time.
const AHEAD: Duration = Duration::from_secs(10);
/// The most archives of one second.
const NUMBERED: u32 = 1000;

/// The settings of automatic archives.
#[derive(Clone, Debug)]
pub struct ArchiveSchedule {
    /// The most that the state in the newest archive may be out of date after a change, while the folder is writable.
    pub every: Duration,
    /// The folder, which is created if necessary.
    pub folder: PathBuf,
    /// Whether the folder must exist already, because it may be on a disk that is not mounted.
    pub must_exist: bool,
    /// The policy that decides which archives are kept.
    pub keep: ArchivePolicy,
    /// The recipients of encryption. Its other fields are ignored.
    pub sealed: ExportOptions,
}

/// The state to archive.
struct Moment {
    point: Point,
    /// The time at which the store had this state.
    at: Timestamp,
    hash: [u8; 32],
}

impl Store {
    /// Makes an automatic archive of the present state, if one is due and something has changed; reads it back, and
    /// removes those that the policy does not keep. One of several processes on a store makes it.
    ///
    /// An archive that is encrypted for others cannot be opened here. Then only its bytes are compared, and
    /// [`LastArchive::opened`] is false.
    ///
    /// # Errors
    ///
    /// As [`Store::export`] and [`Store::verify_archive`]. The archive is retried a minute later.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{ArchivePolicy, ArchiveSchedule, ExportOptions, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("hive.redb"))?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// let schedule = ArchiveSchedule {
    ///     every: std::time::Duration::from_secs(600),
    ///     folder: dir.path().join("archives"),
    ///     must_exist: false,
    ///     keep: ArchivePolicy::default(),
    ///     sealed: ExportOptions::new(),
    /// };
    /// assert!(store.auto_archive(&schedule)?.unwrap().verified);
    /// assert!(store.auto_archive(&schedule)?.is_none());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn auto_archive(&self, schedule: &ArchiveSchedule) -> Result<Option<LastArchive>> {
        let view = self.view()?;
        let before = last_and_next(&view)?;
        if !before.is_due(view.now(), schedule.every) {
            return Ok(None);
        }
        // Asked before any transaction: this runs every second, and an idle store must not be written to.
        let now = state(&view)?;
        let last = self.last_archive()?.filter(|last| last.verified);
        if now == hash(&[]) || (last.is_some() && now == before.state) {
            return Ok(None);
        }
        drop(view);
        if !self.claim_archive(&before, schedule)? {
            return Ok(None);
        }
        let made = self.moment().and_then(|moment| self.make_archive(&moment, schedule));
        if made.is_err() {
            let again = clock::after(self.clock().now(), AGAIN_AFTER);
            self.write(|tx| before.due(again).put(tx))?;
        }
        let made = made?;
        self.remove_old_archives(schedule, &made)?;
        Ok(Some(made))
    }

    /// The newest point, if its state is the present one or hardly older; otherwise a new point.
    fn moment(&self) -> Result<Moment> {
        let view = self.view()?;
        if let Some(point) = self.points()?.into_iter().find(|point| !point.partial) {
            let (hash, now) = (state(&view)?, as_stored(view.now()));
            let own = view.hash_of(&point)?;
            let is_young = now <= clock::after(point.sealed_at, AS_GOOD_AS_NOW) && now >= point.sealed_at;
            if own == hash || is_young {
                let at = if own == hash { now } else { point.sealed_at };
                return Ok(Moment { point, at, hash: own });
            }
        }
        drop(view);
        let request = PointRequest::new("automatic-archive").automatic();
        let made = self.auto_backup(Duration::ZERO, request, true)?;
        let point = made.ok_or_else(|| Error::conflict("another process makes a restore point; try again"))?;
        let hash = self.view()?.hash_of(&point)?;
        Ok(Moment { at: point.sealed_at, point, hash })
    }

    /// Whether this process makes the archive.
    fn claim_archive(&self, before: &LastAndNext, schedule: &ArchiveSchedule) -> Result<bool> {
        self.alone(|tx| {
            if last_and_next(tx)? != *before {
                return Ok(Outcome::Abort(false));
            }
            before.due(clock::after(tx.now(), schedule.every)).put(tx)?;
            Ok(Outcome::Commit(true))
        })
    }

    fn make_archive(&self, moment: &Moment, schedule: &ArchiveSchedule) -> Result<LastArchive> {
        let begun = Instant::now();
        let folder = schedule.folder(self)?;
        files::remove_unfinished(&folder, |name| name.starts_with("state-"));
        let at = as_stored(self.clock().now());
        let file = free_name(&folder, at, schedule.sealed.encrypts())?;
        let report = self.export(&file, &schedule.sealed.clone().at(&moment.point).automatic())?;
        let mut made = LastArchive {
            file: file.to_string_lossy().into_owned(),
            at,
            restore_id: moment.point.to_string(),
            sha256: report.sha256,
            bytes: report.file_bytes,
            verified: false,
            state_at: moment.at,
            encrypted: report.encrypted,
            opened: false,
        };
        let finished = Finished(&file);
        made.opened = read_back(&file, &made.sha256, &schedule.sealed)?;
        finished.stays();
        made.verified = true;
        let details = json!({
            "file": made.file, "sha256": made.sha256, "bytes": made.bytes, "records": report.records,
            "state_at": show_time(made.state_at), "opened": made.opened,
        });
        self.write(|tx| {
            LastAndNext::new(schedule.next(moment.at, begun.elapsed()), Some(made.clone()), moment.hash).put(tx)?;
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

/// An archive that has not been read back. One that cannot be is not a backup, and each retry would leave another. So
/// it is removed, unless the process is killed before that.
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

impl View {
    fn hash_of(&self, point: &Point) -> Result<[u8; 32]> {
        let manifest = self.manifest(point.epoch)?.ok_or_else(|| gone(point.epoch))?;
        Ok(hash(&manifest.collections))
    }
}

/// A free name in the folder. While a clock stands still, or after it went back, several archives can have the same
/// second.
fn free_name(folder: &Path, at: Timestamp, encrypted: bool) -> Result<PathBuf> {
    let mut names = (1..=NUMBERED).map(|number| folder.join(name_of(at, number, encrypted)));
    names.find(|name| fs::symlink_metadata(name).is_err()).ok_or_else(|| {
        let message = "every name for an archive of this second is in use; check that the clock runs";
        Error::conflict(format!("{message}: folder={}", folder.display()))
    })
}

impl ArchiveSchedule {
    /// The time to start the next archive, so that it is complete before the state in the last one is too old.
    fn next(&self, state_at: Timestamp, took: Duration) -> Timestamp {
        let wait = self.every.saturating_sub(took).saturating_sub(AHEAD).max(self.every / 2);
        clock::after(state_at, wait)
    }
}

/// Reads an archive to its end. Returns whether its records were read too. Without its key, the bytes are compared.
fn read_back(file: &Path, sha256: &str, sealed: &ExportOptions) -> Result<bool> {
    if let Some(keys) = sealed.keys() {
        // It was made from this store a moment ago, so it may be as large as the store, with values of an earlier
        // version.
        let any_length = ImportOptions::new().max_value_bytes(u64::MAX).max_bytes(u64::MAX);
        Store::verify_archive(file, &ImportOptions { keys, ..any_length })?;
        return Ok(true);
    }
    if sha256_of(file)? == sha256 {
        return Ok(false);
    }
    let message = "the archive differs from the written bytes; its disk may be failing";
    Err(Error::damaged(format!("{message}: file={}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock};
    use crate::engine::schema::CollectionId;

    /// A key made for this test.
    #[cfg(feature = "age")]
    const SECRET: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    #[cfg(feature = "age")]
    const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
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
            let (keep, sealed) = (ArchivePolicy::default(), ExportOptions::new());
            ArchiveSchedule { every: TEN_MINUTES, folder, must_exist: false, keep, sealed }
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
    fn one_is_made_each_interval_if_something_changed_with_its_events() {
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
    fn archives_of_one_second_have_numbered_names_that_the_policy_knows() {
        let hive = Hive::new();
        let schedule = ArchiveSchedule { every: Duration::ZERO, ..hive.schedule() };
        for number in 1..=3 {
            hive.change(number);
            hive.store.auto_archive(&schedule).unwrap().unwrap();
        }
        let first = "state-2026-01-02-03-04-05";
        let named = |suffix: &str| format!("{first}{suffix}.tar.gz");
        assert_eq!(hive.names(), [named("-2"), named("-3"), named("")]);
        hive.change(4);
        let keep = ArchivePolicy { newest: 2, hourly: 0, daily: 0 };
        hive.store.auto_archive(&ArchiveSchedule { keep, ..schedule }).unwrap().unwrap();
        assert_eq!(hive.names(), [named("-3"), named("-4")], "the oldest go first");
    }

    #[test]
    fn an_unchanged_store_is_not_written_to() {
        let hive = Hive::new();
        hive.change(1);
        hive.store.auto_archive(&hive.schedule()).unwrap().unwrap();
        hive.clock.advance(TEN_MINUTES);
        let commits = hive.store.commits().count();
        assert_eq!(hive.store.auto_archive(&hive.schedule()).unwrap(), None);
        assert_eq!(hive.store.commits().count(), commits);
    }

    #[test]
    fn it_contains_the_present_state_and_not_that_of_the_newest_point() {
        let hive = Hive::new();
        hive.change(1);
        hive.store.restore_point("mine").unwrap();
        hive.clock.advance(Duration::from_secs(300));
        hive.change(2);
        let made = hive.store.auto_archive(&hive.schedule()).unwrap().unwrap();
        let copy = hive.folder.path().join("copy.redb");
        Store::import_new(&made.file, &copy, &ImportOptions::new()).unwrap();
        assert_eq!(Store::open(&copy).unwrap().view().unwrap().config().get("limit").unwrap(), Some(json!(2)));
        assert_eq!(made.state_at, hive.clock.now());
        let outside = || hive.store.outside().unwrap().unwrap();
        hive.clock.advance(Duration::from_secs(60));
        assert_eq!((outside().changed_since, outside().lag(hive.clock.now())), (false, Duration::ZERO));
        hive.change(3);
        assert_eq!((outside().changed_since, outside().lag(hive.clock.now())), (true, Duration::from_secs(60)));
    }

    #[test]
    fn a_document_is_archived_even_if_nothing_else_has_changed() {
        let hive = Hive::new();
        hive.change(1);
        hive.store.auto_archive(&hive.schedule()).unwrap().unwrap();
        hive.clock.advance(TEN_MINUTES);
        let document = PointRequest::new("d").document(crate::recovery::backups::Kind::Registry, json!({"BOT-1": {}}));
        hive.store.make_point(document).unwrap();
        assert!(hive.store.auto_archive(&hive.schedule()).unwrap().is_some());
    }

    #[test]
    fn the_next_one_starts_early_enough_to_be_complete_when_it_is_due() {
        let hive = Hive::new();
        let (at, schedule) = (hive.clock.now(), hive.schedule());
        let wait = |took: u64| schedule.next(at, Duration::from_secs(took)).duration_since(at).as_secs();
        assert_eq!((wait(0), wait(60), wait(500)), (590, 530, 300));
    }

    #[test]
    fn if_a_scheduler_has_just_made_a_point_no_other_is_made_for_the_archive() {
        let hive = Hive::new();
        hive.change(1);
        let point = hive.store.restore_point("mine").unwrap();
        hive.clock.advance(Duration::from_secs(2));
        hive.change(2);
        let made = hive.store.auto_archive(&hive.schedule()).unwrap().unwrap();
        assert_eq!((made.restore_id, made.state_at), (point.to_string(), point.sealed_at));
        assert!(hive.store.outside().unwrap().unwrap().changed_since);
    }

    #[test]
    fn a_folder_that_must_exist_is_not_created_and_one_that_is_not_writable_is_found_at_once() {
        let hive = Hive::new();
        hive.change(1);
        let schedule = ArchiveSchedule { must_exist: true, ..hive.schedule() };
        let missing = schedule.try_folder(&hive.store).unwrap_err().to_string();
        assert!(missing.contains("is its disk mounted?"), "{missing}");
        assert!(hive.store.auto_archive(&schedule).is_err() && !schedule.folder.exists());
        fs::create_dir(&schedule.folder).unwrap();
        schedule.try_folder(&hive.store).unwrap();
        assert!(hive.names().is_empty());
        hive.clock.advance(AGAIN_AFTER);
        assert!(hive.store.auto_archive(&schedule).unwrap().is_some());
        let in_the_way = ArchiveSchedule { folder: hive.folder.path().join("h.redb"), ..hive.schedule() };
        let refused = in_the_way.try_folder(&hive.store).unwrap_err();
        assert_eq!(refused.hint(), Some(&crate::error::Hint::NameArchiveFolder));
        assert!(refused.to_string().contains("ReadWritePaths="), "{refused}");
    }

    #[cfg(feature = "age")]
    #[test]
    fn an_encrypted_one_is_read_back_as_far_as_possible_without_its_key() {
        let hive = Hive::new();
        let sealed = ExportOptions::new().recipient(RECIPIENT).unwrap();
        let schedule = ArchiveSchedule { sealed, ..hive.schedule() };
        hive.change(1);
        let made = hive.store.auto_archive(&schedule).unwrap().unwrap();
        assert_eq!((made.encrypted, made.verified, made.opened), (true, true, false));
        assert_eq!(hive.names(), ["state-2026-01-02-03-04-05.tar.gz.age"]);
        let with_key = ImportOptions::new().identities(SECRET).unwrap();
        assert_eq!(Store::verify_archive(&made.file, &with_key).unwrap().records(), 1);
        let mut bytes = fs::read(&made.file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&made.file, bytes).unwrap();
        assert!(read_back(Path::new(&made.file), &made.sha256, &schedule.sealed).is_err());
    }

    #[test]
    fn one_of_two_processes_makes_it_and_a_failed_one_is_retried() {
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
    fn a_failed_one_leaves_no_file_and_the_one_before_counts() {
        let hive = Hive::new();
        hive.change(1);
        let first = hive.store.auto_archive(&hive.schedule()).unwrap();
        let put = |key: &str, payload: &[u8]| {
            hive.clock.advance(TEN_MINUTES);
            hive.store.write(|tx| tx.put(CollectionId::CONFIG, key.as_bytes(), payload)).unwrap();
        };
        put("damaged", b"{");
        assert!(hive.store.auto_archive(&hive.schedule()).is_err(), "it cannot be exported");
        assert!(hive.store.export(hive.schedule().folder.join("mine.tar.gz"), &ExportOptions::new()).is_err());
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
