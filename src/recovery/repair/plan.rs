//! Repair: plan, then apply. The plan is the repaired store itself, under a temporary name. So every loss is known to
//! the byte, and everything is verified, before the file gets the requested name. The damaged file is only read.

use std::fmt;
use std::fs;
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::actor::Actor;
use crate::engine::codec;
use crate::engine::commit::Outcome;
use crate::engine::meta;
use crate::engine::records::{KeyRange, Records, Row, scan_rows};
use crate::engine::repair::{Elsewhere, LogIs, RepairReport, repair};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::files::{self, Replace, Rights};
use crate::recovery::backups::{Backup, backup_row};
use crate::recovery::events::event::{self, EventKind};
use crate::recovery::points::point::epoch_of;
use crate::recovery::repair::unfinished::Made;
use crate::recovery::sessions::session;
use crate::state::assignments::mend_assignments;
use crate::state::audit::mend_trail;
use crate::state::chat;
use crate::state::documents::mend_documents;
use crate::state::keys::lost::{keys_in_rows, keys_in_trail};
use crate::state::page::sequence_of;
use crate::state::queue::{mend_queue, numbers_of_tasks};
use crate::state::show::key_name;

/// If the highest numbers may be lost, a counter continues this far above the highest number that was found.
pub(crate) const LEAP: u64 = 1 << 20;

/// The cache of the new store, which is written and read in the order of its keys. The salvaged data has a cache too.
const CACHE: usize = 32 << 20;

/// A repaired store without a name. [`RepairPlan::apply`] gives it one; dropping it removes it.
#[derive(Debug)]
pub struct RepairPlan {
    made: Made,
    from: PathBuf,
    to: PathBuf,
    report: RepairReport,
    actor: Option<Actor>,
}

impl Store {
    /// Plans the repair of the damaged store at `from` into a new store at `to`. The file at `from` is only read.
    ///
    /// It keeps every record that verifies, now and at every point. A record whose newest version is damaged gets its
    /// newest sound one. A point with losses is kept and marked as partial.
    ///
    /// # Errors
    ///
    /// `Locked` while the store is in use; `Conflict` when there is a file at `to`; `NoStore`; `NotAStore` when nothing
    /// of a store is left; `NewerFormat`, `Io`, `Full`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::Store;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("hive.redb");
    /// # let store = Store::open(&path)?;
    /// # store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// # store.close()?;
    /// let repaired = dir.path().join("repaired.redb");
    /// let plan = Store::plan_repair(&path, &repaired)?;
    /// println!("{plan}");
    /// assert!(plan.apply()?.is_whole());
    /// assert_eq!(Store::open(&repaired)?.view()?.config().get("limit")?, Some(serde_json::json!(5)));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn plan_repair(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<RepairPlan> {
        Self::plan_repair_with(from.as_ref(), to.as_ref(), LogIs::Used, None)
    }

    /// The same without the store's log, for a log that is missing or not to be trusted: the store goes back to what
    /// its file has, and the report says since when acknowledged writes are lost.
    ///
    /// # Errors
    ///
    /// As [`plan_repair`](Self::plan_repair).
    pub fn plan_repair_without_log(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<RepairPlan> {
        Self::plan_repair_with(from.as_ref(), to.as_ref(), LogIs::LeftOut, None)
    }

    /// The same with what another place has in place of lost rows.
    ///
    /// # Errors
    ///
    /// As [`plan_repair`](Self::plan_repair), and those of the other place.
    pub(crate) fn plan_repair_with(
        from: &Path,
        to: &Path,
        log: LogIs,
        elsewhere: Option<&dyn Elsewhere>,
    ) -> Result<RepairPlan> {
        let to = to.to_path_buf();
        if fs::symlink_metadata(&to).is_ok() {
            return Err(exists(&to));
        }
        let mut made = Made::beside(&to);
        let store = Self::options().session(false).reserve(false).cache_bytes(CACHE).open(made.path())?;
        let mut report = repair(from, &store, log, elsewhere)?;
        store.alone(|tx| tx.mend(&mut report, log).map(Outcome::Commit))?;
        for lost in &mut report.lost {
            if let Some((collection, key)) = CollectionId::split_row_key(&lost.row) {
                lost.key = key_name(collection, key);
            }
        }
        store.refuse_unsound("the repaired store is not sound")?;
        store.close()?;
        files::give_rights(made.path(), Rights::beside(from)).map_err(|error| files::failed(made.path(), error))?;
        made.keep();
        Ok(RepairPlan { made, from: from.to_path_buf(), to, report, actor: None })
    }
}

impl RepairPlan {
    /// The kept and the lost records.
    pub fn report(&self) -> &RepairReport {
        &self.report
    }

    /// Repairs on behalf of that actor: the audit trail of the repaired store gets an entry.
    #[must_use]
    pub fn acting_as(self, actor: impl Into<Actor>) -> Self {
        Self { actor: Some(actor.into()), ..self }
    }

    /// Gives the repaired store its name.
    ///
    /// # Errors
    ///
    /// `Conflict` when a file has that name by now, `Io`.
    pub fn apply(self) -> Result<RepairReport> {
        if let Some(actor) = &self.actor {
            let store = Store::options().create(false).session(false).reserve(false).open(self.made.path())?;
            store.acting_as(actor.clone()).write(|tx| tx.note("repair", Some(&self.from.to_string_lossy())))?;
            store.close()?;
        }
        files::publish(self.made.path(), &self.to, Replace::No).map_err(|error| match error.kind() {
            IoKind::AlreadyExists => exists(&self.to),
            _ => files::failed(&self.to, error),
        })?;
        Ok(self.report)
    }
}

impl fmt::Display for RepairPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)
    }
}

fn exists(path: &Path) -> Error {
    let path = path.display();
    Error::conflict(format!("the file exists already; name a new file for the repaired store: to={path}"))
        .with_hint(Hint::NameRepaired)
}

impl WriteTx<'_> {
    /// Restores the rules between records after the loss of some.
    fn mend(&mut self, report: &mut RepairReport, log: LogIs) -> Result<()> {
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                report.notes.push(format!("{what}: {count}"));
            }
        };
        note(mend_trail(self)?, "audit entries were lost; the hash chain skips them");
        note(mend_queue(self)?, "tasks no longer wait for dependencies that are over");
        note(mend_assignments(self)?, "assignments were corrected to match their tasks");
        let documents = mend_documents(self)?;
        note(self.drop_backups_of_lost_points()?, "backups were lost with their points");
        note(self.drop_lost_backups()?, "backups of points were lost; these points no longer list them");
        report.notes.extend(documents);
        let leap = if report.counters_lost { LEAP } else { 0 };
        report.notes.extend(self.raise_numbers(leap)?);
        report.notes.extend(self.mend_keys(report, log)?);
        if !report.is_whole() || !report.healed.is_empty() {
            let details = json!({
                "records": report.records, "healed_rows": report.healed.values().sum::<u64>(), "lost": report.lost.len(), "partial_points": report.partial.len(),
                "damaged_rows": report.rows.len(), "damaged_pages": report.pages.len(),
            });
            self.events().append(EventKind::Repaired, details)?;
        }
        Ok(())
    }

    /// Keeps the keys that were lost as revoked ones, so that the service is not open to
    /// everybody. Returns a note for each.
    fn mend_keys(&mut self, report: &RepairReport, log: LogIs) -> Result<Vec<String>> {
        let is_without_log = matches!(log, LogIs::LeftOut) && !report.is_whole();
        if !report.counters_lost && !is_without_log {
            return Ok(Vec::new());
        }
        let names = keys_in_rows(&report.lost_meta).chain(keys_in_trail(self)?).collect();
        let lost = self.revoke_lost_keys(names)?;
        let mut notes: Vec<_> =
            lost.iter().map(|key| format!("a key is lost, and is revoked now; add it again: key={key}")).collect();
        if !self.keys().are_used()? {
            notes.push("keys may be lost, and no key is left; add one before you serve a store that had keys".into());
        } else if is_without_log {
            notes.push("keys are as they were before the log; revoke again those that were revoked since".into());
        }
        Ok(notes)
    }

    fn drop_backups_of_lost_points(&mut self) -> Result<u64> {
        let rows = scan_rows(&*self, Table::Backups, KeyRange::all()).collect::<Result<Vec<_>>>()?;
        let mut dropped = 0;
        for (key, payload) in rows {
            let epoch = codec::decode::<Backup>(&payload)?.epoch;
            if self.row(Table::Points, &epoch.to_key())?.is_none() {
                self.remove_row(Table::Backups, &key)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    fn drop_lost_backups(&mut self) -> Result<u64> {
        let rows = scan_rows(&*self, Table::Points, KeyRange::all()).map(|row| epoch_of(&row?.0));
        let mut dropped = 0;
        for epoch in rows.collect::<Result<Vec<_>>>()? {
            let mut manifest = self.manifest(epoch)?;
            let mut kept = Vec::new();
            for id in &manifest.backups {
                if backup_row(self, id)?.is_some() {
                    kept.push(id.clone());
                }
            }
            if kept.len() < manifest.backups.len() {
                dropped += (manifest.backups.len() - kept.len()) as u64;
                manifest.backups = kept;
                self.put_manifest(epoch, &manifest)?;
            }
        }
        Ok(dropped)
    }

    /// Raises counters, so that no number is assigned twice: every counter gets at least the highest number in use,
    /// plus `leap`. Returns a note for each counter that was raised.
    pub(crate) fn raise_numbers(&mut self, leap: u64) -> Result<Vec<String>> {
        let [token, task] = numbers_of_tasks(&*self)?;
        let others = numbers_in_use(self)?.map(|(counter, highest)| (meta::counter_key(counter), highest));
        let numbers = [token, task].into_iter().chain(others);
        let mut notes = Vec::new();
        for (key, highest) in numbers {
            let stored = self.row(Table::Meta, &key)?.map_or(Ok(0), |payload| meta::number(&payload))?;
            let next = highest.max(stored).saturating_add(leap);
            if next > stored {
                let name = key.escape_ascii();
                notes.push(format!(
                    "the highest number in use may be lost; the counter continues: key={name} from={next}"
                ));
                self.put_row(Table::Meta, &key, &next.to_be_bytes())?;
            }
        }
        Ok(notes)
    }
}

/// The counters of messages, sessions and events, with the highest number that each of them has in use.
pub(crate) fn numbers_in_use<R: Records + ?Sized>(records: &R) -> Result<[(&'static str, u64); 3]> {
    let newest = KeyRange::all().backward();
    let highest = |rows: Vec<Row>| rows.first().map_or(Ok(0), |(key, _)| sequence_of(key));
    Ok([
        (chat::COUNTER, highest(records.page(CollectionId::CHAT, &newest, 1)?)?),
        (session::COUNTER, highest(records.rows(Table::Sessions, &newest, 1)?)?),
        (event::COUNTER, highest(records.rows(Table::Events, &newest, 1)?)?),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::engine::repair::RepairOutcome as Fate;
    use crate::recovery::points::point::Point;

    /// The number of bytes in a piece of a long value.
    const PIECE: usize = 252 << 10;

    /// Each point, with its content.
    type Points = Vec<(Point, Vec<Option<Value>>)>;
    type Repaired = (tempfile::TempDir, Store, RepairReport, Points);

    struct Hive {
        folder: tempfile::TempDir,
        store: Store,
        points: Points,
    }

    /// A text of some pieces, each of one letter.
    fn text(pieces: &str) -> Value {
        Value::String(pieces.chars().map(|letter| letter.to_string().repeat(PIECE)).collect())
    }

    impl Hive {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::options().session(false).open(folder.path().join("h.redb")).unwrap();
            Self { folder, store, points: Vec::new() }
        }

        /// Puts or removes, and makes a point of the result.
        fn put(&mut self, key: &str, value: Option<Value>) {
            let put = |tx: &mut WriteTx<'_>| match &value {
                Some(value) => tx.config().put(key, value),
                None => tx.config().remove(key).map(drop),
            };
            self.store.write(put).unwrap();
            let point = self.store.restore_point("a point").unwrap();
            let there = read(&self.store.at(&point).unwrap());
            self.points.push((point, there));
        }

        /// A store that is repaired after its file was edited.
        fn repaired(self, edit: impl FnOnce(&mut [u8])) -> Repaired {
            let to = self.folder.path().join("repaired.redb");
            self.store.close().unwrap();
            let path = self.folder.path().join("h.redb");
            let mut bytes = fs::read(&path).unwrap();
            edit(&mut bytes);
            fs::write(&path, bytes).unwrap();
            let report = Store::plan_repair(&path, &to).unwrap().apply().unwrap();
            (self.folder, Store::open(&to).unwrap(), report, self.points)
        }
    }

    /// The middles of the pages with the piece of a letter, in use or stale.
    fn middles(bytes: &mut [u8], letter: u8) -> impl Iterator<Item = &mut [u8]> {
        let middles = bytes.chunks_mut(4096).filter_map(|page| page.get_mut(2000..2040));
        middles.filter(move |middle| middle.iter().all(|byte| *byte == letter))
    }

    fn without(letter: u8) -> impl FnOnce(&mut [u8]) {
        move |bytes| middles(bytes, letter).for_each(|middle| middle.fill(b'!'))
    }

    fn read(view: &crate::View) -> Vec<Option<Value>> {
        ["heavy", "long"].map(|key| view.config().get(key).unwrap()).into()
    }

    #[test]
    fn every_version_of_heavy_and_long_values_is_kept_at_every_point() {
        let mut hive = Hive::new();
        for version in ["abc", "abd", "x", "efg", "hij"] {
            hive.put("heavy", Some(text(version)));
        }
        for version in ["abcde", "abxde", "abxdefg", "a", "abcde"] {
            hive.put("long", Some(text(version)));
        }
        hive.put("long", None);
        hive.put("long", Some(text("vwxyz")));
        let now = read(&hive.store.view().unwrap());
        let (_folder, store, report, points) = hive.repaired(|_| ());
        assert!(report.is_whole(), "{report}");
        assert!(read(&store.view().unwrap()) == now);
        for (point, there) in &points {
            assert!(read(&store.at(point).unwrap()) == *there, "{}", point.epoch);
        }
    }

    #[test]
    fn a_flipped_bit_of_a_piece_is_corrected() {
        let mut hive = Hive::new();
        hive.put("long", Some(text("abcde")));
        let (_folder, store, report, _) = hive.repaired(|bytes| {
            for letter in b"abcde" {
                middles(bytes, *letter).nth(20).unwrap()[7] ^= 4;
            }
        });
        assert!(report.is_whole(), "{report}");
        assert_eq!(report.pages.iter().map(|page| page.mended).collect::<Vec<_>>(), [true; 5]);
        assert!(read(&store.view().unwrap())[1] == Some(text("abcde")));
    }

    #[test]
    fn a_long_value_with_a_damaged_piece_gets_its_last_whole_version() {
        let mut hive = Hive::new();
        hive.put("long", Some(text("abcde")));
        hive.put("long", Some(text("abxde")));
        let (_folder, store, report, points) = hive.repaired(without(b'x'));
        let fates: Vec<_> = report.lost.iter().map(|lost| (lost.key.as_str(), lost.outcome)).collect();
        assert_eq!(fates, [("long", Fate::WentBack)]);
        assert_eq!(report.partial.iter().map(|point| point.epoch).collect::<Vec<_>>(), [points[1].0.epoch]);
        for view in [store.view().unwrap(), store.at(&points[0].0).unwrap(), store.at(&points[1].0).unwrap()] {
            assert!(read(&view)[1] == Some(text("abcde")));
        }
    }

    #[test]
    fn a_long_value_loses_its_past_with_one_piece_and_everything_with_a_piece_that_all_versions_share() {
        let mut hive = Hive::new();
        hive.put("long", Some(text("abcde")));
        hive.put("long", Some(text("abxde")));
        let (_folder, store, report, points) = hive.repaired(without(b'c'));
        assert_eq!(report.lost.iter().map(|lost| lost.outcome).collect::<Vec<_>>(), [Fate::PastLost]);
        assert!(read(&store.view().unwrap())[1] == Some(text("abxde")));
        assert_eq!(read(&store.at(&points[0].0).unwrap()), [None, None]);

        let mut hive = Hive::new();
        hive.put("long", Some(text("abcde")));
        hive.put("long", Some(text("abxde")));
        let (_folder, store, report, _) = hive.repaired(without(b'a'));
        assert_eq!(report.lost.iter().map(|lost| lost.outcome).collect::<Vec<_>>(), [Fate::Lost]);
        assert_eq!(read(&store.view().unwrap()), [None, None]);
        assert_eq!(report.collections.len(), 2);
    }

    #[test]
    fn a_repaired_store_replaces_no_other_file_that_existed_or_was_created_meanwhile() {
        let mut hive = Hive::new();
        hive.put("key", Some(Value::from(1)));
        hive.store.close().unwrap();
        let [from, to] = ["h.redb", "to.redb"].map(|name| hive.folder.path().join(name));
        fs::write(&to, b"mine").unwrap();
        let refused = Store::plan_repair(&from, &to).unwrap_err();
        assert_eq!(refused.kind(), crate::ErrorKind::Conflict);
        fs::remove_file(&to).unwrap();
        let plan = Store::plan_repair(&from, &to).unwrap();
        assert!(plan.report().is_whole());
        assert_eq!(plan.to_string(), plan.report().to_string());
        fs::write(&to, b"mine").unwrap();
        assert_eq!(plan.apply().unwrap_err().kind(), crate::ErrorKind::Conflict);
        assert_eq!(fs::read(&to).unwrap(), b"mine");
        let files = fs::read_dir(hive.folder.path()).unwrap().count();
        let left = ["h.redb", "h.redb.reserve", "to.redb"].iter().filter(|name| hive.folder.path().join(name).exists());
        assert_eq!(files, left.count(), "something half-made was left behind");
    }
}
