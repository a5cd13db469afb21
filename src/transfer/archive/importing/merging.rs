//! Walks a store and an archive side by side, both in the order of keys: to count the differences, or to import them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::import_options::ImportOptions;
use super::read::Take;
use crate::engine::digest::Stats;
use crate::engine::point::Scope;
use crate::engine::records::{FIRST_PAGE, KeyRange, Records, Row, next_page};
use crate::engine::schema::CollectionId;
use crate::engine::value::in_frame;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::recovery::diff::{ChangeKind, Counts};
use crate::recovery::points::names::names;
use crate::recovery::restore::finished::{Finished, KeptFinished};
use crate::state::assignments;
use crate::state::queue::Task;
use crate::transfer::archive::format::manifest::ArchiveManifest;
use crate::transfer::archive::format::progress::{Count, Progress};

/// The state to compare with an archive. In a transaction, the archive's content replaces it.
pub(super) trait Target {
    fn records(&self) -> &dyn Records;
    fn collection(&mut self, name: &str) -> Result<Option<CollectionId>>;
    fn put(&mut self, collection: CollectionId, key: &[u8], payload: &[u8]) -> Result<()>;
    fn remove(&mut self, collection: CollectionId, key: &[u8]) -> Result<()>;
    /// Compares the statistics of a collection with the expected ones.
    fn compare(&self, collection: CollectionId, expected: &Stats) -> Result<()>;
}

/// A plan only compares.
impl Target for View {
    fn records(&self) -> &dyn Records {
        self
    }

    fn collection(&mut self, name: &str) -> Result<Option<CollectionId>> {
        self.collection_id(name)
    }

    fn put(&mut self, _: CollectionId, _: &[u8], _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: CollectionId, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn compare(&self, _: CollectionId, _: &Stats) -> Result<()> {
        Ok(())
    }
}

impl Target for WriteTx<'_> {
    fn records(&self) -> &dyn Records {
        self
    }

    fn collection(&mut self, name: &str) -> Result<Option<CollectionId>> {
        match CollectionId::built_in(name) {
            Some(id) => Ok(Some(id)),
            None => self.user_collection(name).map(Some),
        }
    }

    fn put(&mut self, collection: CollectionId, key: &[u8], payload: &[u8]) -> Result<()> {
        WriteTx::put(self, collection, key, payload)
    }

    fn remove(&mut self, collection: CollectionId, key: &[u8]) -> Result<()> {
        WriteTx::remove(self, collection, key).map(drop)
    }

    fn compare(&self, collection: CollectionId, expected: &Stats) -> Result<()> {
        if self.stats(collection)? == *expected {
            return Ok(());
        }
        let name = names(self)?.of(collection);
        let message = "the imported state would differ from the archived one, so nothing was changed";
        Err(Error::damaged(format!("{message}; check the store: collection={name}")).with_hint(Hint::CheckStore))
    }
}

/// Walks a store and an archive side by side, both in the order of keys.
pub(super) struct Merging<'m, T> {
    target: &'m mut T,
    options: &'m ImportOptions,
    progress: Count<'m>,
    expected: BTreeMap<String, Stats>,
    complete: bool,
    pub(in crate::transfer::archive) scope: Scope,
    /// The keys of records that stay although the archive lacks them, by collection: the point is known to have lost
    /// them.
    spared: BTreeMap<String, BTreeSet<Vec<u8>>>,
    counts: BTreeMap<String, Counts>,
    name: String,
    /// The finished tasks that it meets, and those of them to keep.
    pub(in crate::transfer::archive) finished: Finished,
    kept: KeptFinished,
    /// For the current collection, when it is wanted: its number, if it has one, and its rows in the store.
    into: Option<(Option<CollectionId>, Ahead)>,
}

/// The records of a collection in the store, from the position of the archive.
struct Ahead {
    page: VecDeque<Row>,
    /// The range after the page, and the number of rows to fetch next.
    rest: Option<KeyRange>,
    limit: usize,
}

impl Ahead {
    /// From the first record.
    fn new() -> Self {
        Self { page: VecDeque::new(), rest: Some(KeyRange::all()), limit: FIRST_PAGE }
    }

    /// The next record.
    fn next(&mut self, records: &dyn Records, collection: CollectionId) -> Result<Option<&Row>> {
        if self.page.is_empty() {
            let fetch = |range: &KeyRange, limit| records.part(collection, range, limit);
            self.page = next_page(&mut self.rest, &mut self.limit, fetch)?.into();
        }
        Ok(self.page.front())
    }
}

impl<'m, T: Target> Merging<'m, T> {
    pub(in crate::transfer::archive) fn new(
        target: &'m mut T,
        options: &'m ImportOptions,
        progress: Progress<'m>,
    ) -> Self {
        Self {
            target,
            options,
            progress: Count::new(progress),
            expected: BTreeMap::new(),
            complete: false,
            scope: Scope::default(),
            spared: BTreeMap::new(),
            counts: BTreeMap::new(),
            name: String::new(),
            finished: Finished::new(options.restore.keep_finished),
            kept: KeptFinished::default(),
            into: None,
        }
    }

    /// The counts of changed records, by the names of collections.
    pub(in crate::transfer::archive) fn named(&mut self) -> BTreeMap<String, Counts> {
        let mut counts = std::mem::take(&mut self.counts);
        counts.retain(|_, counts| counts.total() > 0);
        self.finished.correct(&mut counts);
        counts
    }

    /// Call this once everything was read. Returns the finished tasks to keep.
    pub(super) fn leave_out(&mut self) -> KeptFinished {
        self.kept.left_out.extend(self.finished.left_out());
        std::mem::take(&mut self.kept)
    }

    /// Decides about a task that differs, by its value in the archive and its value here.
    fn see(&mut self, collection: CollectionId, key: &[u8], then: Option<&[u8]>, now: Option<&[u8]>) -> Result<()> {
        if collection == CollectionId::QUEUE {
            let fate = self.finished.see(self.target.records(), key, then, now)?;
            self.kept.note(fate, key, now);
        }
        Ok(())
    }

    fn count(&mut self, change: ChangeKind) {
        self.counts.entry(self.name.clone()).or_default().count(change);
    }

    /// Removes the store's records up to a key, or all remaining ones. Returns how the record with that key would
    /// change, if it would.
    fn catch_up(&mut self, key: Option<&[u8]>, payload: &[u8]) -> Result<Option<ChangeKind>> {
        let Some((collection, mut ahead)) = self.into.take() else { return Ok(None) };
        let mut change = Some(ChangeKind::Added);
        if let Some(id) = collection {
            while let Some((own, value)) = ahead.next(self.target.records(), id)? {
                match key.map(|key| own.as_slice().cmp(key)) {
                    Some(std::cmp::Ordering::Greater) => break,
                    Some(std::cmp::Ordering::Equal) => {
                        change = (value != payload).then_some(ChangeKind::Changed);
                        if let (Some((own, value)), true) = (ahead.page.pop_front(), change.is_some()) {
                            self.see(id, &own, Some(payload), Some(&value))?;
                        }
                        break;
                    }
                    Some(std::cmp::Ordering::Less) | None => {
                        if let Some((own, value)) = ahead.page.pop_front()
                            && !self.spare(id, &own, &value)?
                        {
                            self.see(id, &own, None, Some(&value))?;
                            self.target.remove(id, &own)?;
                            self.count(ChangeKind::Removed);
                        }
                    }
                }
            }
        }
        self.into = Some((collection, ahead));
        Ok(change)
    }

    /// Whether a record that the archive lacks stays, because the point is known to have lost it. A task keeps its
    /// assignment, which comes after it.
    fn spare(&mut self, id: CollectionId, key: &[u8], payload: &[u8]) -> Result<bool> {
        if !self.spared.get(&self.name).is_some_and(|keys| keys.contains(key)) {
            return Ok(false);
        }
        self.expected.entry(self.name.clone()).or_default().add(key, &in_frame(payload));
        if id == CollectionId::QUEUE
            && let Some(assignment) = assignments::key_of(&Task::from_record(key, payload)?)
            && let Some(name) = CollectionId::ASSIGNMENTS.built_in_name()
        {
            self.spared.entry(name.to_owned()).or_default().insert(assignment);
        }
        Ok(true)
    }

    fn begin_collection(&mut self, name: &str) -> Result<()> {
        name.clone_into(&mut self.name);
        self.into = match self.options.wants(name) {
            true => Some((self.target.collection(name)?, Ahead::new())),
            false => None,
        };
        Ok(())
    }

    /// Whether the archive defines the content of every collection.
    fn is_everything(&self) -> bool {
        self.complete
            && (self.options.restore.only.is_empty() || self.options.restore.only.iter().any(|only| only == "full"))
    }

    /// Empties collections that a complete archive does not contain.
    fn remove_others(&mut self) -> Result<()> {
        let known = names(self.target.records())?;
        for name in known.all().filter(|name| !name.starts_with('#')) {
            if self.expected.contains_key(name) {
                continue;
            }
            self.begin_collection(name)?;
            self.expected.insert(name.to_owned(), Stats::default());
            Take::collection_end(self)?;
        }
        Ok(())
    }
}

impl<T: Target> Take for Merging<'_, T> {
    fn begin(&mut self, manifest: &ArchiveManifest) -> Result<()> {
        self.options.refuse_missing(manifest)?;
        self.progress.begin(manifest);
        self.complete = manifest.complete;
        for collection in &manifest.collections {
            self.expected.insert(collection.name.clone(), collection.stats()?);
        }
        // A document with lost rows is put together from the remaining rows.
        for (name, loss) in manifest.point.lost.iter().filter(|(name, _)| *name != "documents") {
            self.spared.insert(name.clone(), loss.lost_keys()?.into_iter().collect());
        }
        Ok(())
    }

    fn collection(&mut self, name: &str) -> Result<()> {
        self.begin_collection(name)
    }

    fn record(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        self.progress.add(1);
        let Some(change) = self.catch_up(Some(key), payload)? else { return Ok(()) };
        self.count(change);
        let Some((Some(id), _)) = self.into else { return Ok(()) };
        if change == ChangeKind::Added {
            self.see(id, key, Some(payload), None)?;
        }
        self.target.put(id, key, payload)
    }

    fn collection_end(&mut self) -> Result<()> {
        self.catch_up(None, &[])?;
        let Some((Some(id), _)) = self.into.take() else { return Ok(()) };
        self.scope.collections.push(id);
        let expected = self.expected.get(&self.name).copied().unwrap_or_default();
        self.target.compare(id, &expected)
    }

    fn audit(&mut self, _: &[u8], _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.is_everything() {
            self.remove_others()?;
            self.scope = Scope::default();
        }
        self.scope.collections.sort_unstable();
        Ok(())
    }
}
