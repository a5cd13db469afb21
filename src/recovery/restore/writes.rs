//! The writes of a restore, inside of its one transaction: the earlier values of records, and the changes that follow.

use std::collections::BTreeMap;

use crate::engine::epoch::Epoch;
use crate::engine::frame::{self, State};
use crate::engine::keys::PreImageKey;
use crate::engine::meta;
use crate::engine::point::{Manifest, Scope};
use crate::engine::records::Records;
use crate::engine::schema::{CollectionId, Place, Table};
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::recovery::diff::{Counts, kind};
use crate::recovery::points::lost::Spared;
use crate::recovery::points::names::{Names, names};
use crate::recovery::points::point::Point;
use crate::recovery::restore::finished::{Finished, KeptFinished};
use crate::recovery::restore::touched::Touched;
use crate::state::documents::mend_documents_within;
use crate::state::ids::TaskId;
use crate::state::queue::{Task, is_finished};
use crate::state::restored_together;

/// A restore in progress.
pub(crate) struct RestoreWrites<'p> {
    pub(crate) from: Epoch,
    pub(crate) scope: &'p Scope,
    /// The part of the scope that stays as it is.
    spared: &'p Spared,
    /// The finished tasks that it met, once everything has its state at the point.
    pub(crate) finished: Finished,
    touched: Touched,
    /// The keys of the pre-images of pieces of long values. They are written last, once no whole value is read any
    /// more.
    pieces: Vec<Vec<u8>>,
    /// The long values whose index rows are still missing.
    long: Vec<(CollectionId, Vec<u8>)>,
    /// The tasks that differed and were finished or absent, with their values before the restore.
    tasks: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl<'p> RestoreWrites<'p> {
    /// Reverts to the point `from`.
    pub(crate) fn new(from: Epoch, scope: &'p Scope, spared: &'p Spared, keep_finished: bool) -> Self {
        let (finished, touched) = (Finished::new(keep_finished), Touched::default());
        Self { from, scope, spared, finished, touched, pieces: Vec::new(), long: Vec::new(), tasks: Vec::new() }
    }

    /// Writes the earlier values of the records in scope, up to the safety point that was just sealed.
    ///
    /// For each key that changed, exactly one pre-image has a birth at or before the point; it is the key's state there
    /// (S2).
    pub(crate) fn run(&mut self, tx: &mut WriteTx<'_>, safety: Epoch) -> Result<()> {
        tx.each_pre_image_to_change(self.from, safety, |tx, key, bytes| {
            let place = Place::of_record(key.row);
            let before = frame::decode(place, bytes)?;
            // S3: a frame that was born after the point is not the key's state there; an earlier segment has that.
            if before.birth > self.from || !self.scope.contains(key.row) || self.spared.contains(key.row) {
                return Ok(());
            }
            // V1: while points are being merged, a piece may come before the head of its value, which is still read.
            if place.collection == CollectionId::CHUNKS {
                self.pieces.push(key.to_bytes());
                return Ok(());
            }
            self.row(tx, key.row, before.state)
        })?;
        for key in std::mem::take(&mut self.pieces) {
            let row = PreImageKey::read(&key)?.row;
            let bytes = tx.stored().get(Table::PreImages, &key)?.unwrap_or_default();
            self.row(tx, row, frame::decode(Place::of_record(row), &bytes)?.state)?;
        }
        self.index_long_values(tx)
    }

    fn row(&mut self, tx: &mut WriteTx<'_>, row: &[u8], then: State<'_>) -> Result<()> {
        let place @ Place { collection, key, .. } = Place::of_record(row);
        let current = tx.stored().get(Table::Live, row)?;
        let now = match &current {
            Some(bytes) => frame::decode(place, bytes)?.state,
            None => State::Absent,
        };
        // It was changed and changed back: writing it would give it a new birth.
        if now == then {
            return Ok(());
        }
        // A finished task may run again after the restore, unless the caller keeps it finished.
        if collection == CollectionId::QUEUE {
            let task = tx.whole_value(collection, key, now)?;
            if task.as_ref().map_or(Ok(true), |task| is_finished(key, task))? {
                self.tasks.push((key.to_vec(), task));
            }
        }
        // X1: the index follows from the records.
        self.index(tx, collection, key, now, then)?;
        // S1 and D1: both keep the pre-image for the safety point, and count the digest.
        match then {
            State::Absent => drop(tx.remove_state(collection, key)?),
            then => drop(tx.put_state(collection, key, then)?),
        }
        self.touched.count(collection, kind(now != State::Absent, then != State::Absent));
        Ok(())
    }

    /// Updates the index. The rows of a long value are derived at the end, because its pieces are written after its
    /// head.
    fn index(
        &mut self,
        tx: &mut WriteTx<'_>,
        collection: CollectionId,
        key: &[u8],
        now: State<'_>,
        then: State<'_>,
    ) -> Result<()> {
        let Some(rule) = tx.context.index_rule(collection) else { return Ok(()) };
        let before = rule.keys(key, tx.whole_value(collection, key, now)?.as_deref())?;
        let after = match then {
            State::Absent => Vec::new(),
            State::Present(payload) => rule.keys(key, Some(payload))?,
            // Its pieces are not written yet.
            State::Chunked(_) => {
                self.long.push((collection, key.to_vec()));
                Vec::new()
            }
        };
        tx.change_index(&before, &after)
    }

    fn index_long_values(&mut self, tx: &mut WriteTx<'_>) -> Result<()> {
        for (collection, key) in std::mem::take(&mut self.long) {
            if let Some(rule) = tx.context.index_rule(collection) {
                let after = rule.keys(&key, tx.get(collection, &key)?.as_deref())?;
                tx.change_index(&[], &after)?;
            }
        }
        Ok(())
    }

    /// Completes a restore of tasks, once the digests have been compared: keeps tasks finished on request, and voids
    /// the claims of the past, whose bots are gone. Returns the number of voided claims.
    pub(crate) fn settle(&mut self, tx: &mut WriteTx<'_>) -> Result<u64> {
        let mut kept = KeptFinished::default();
        for (key, now) in std::mem::take(&mut self.tasks) {
            let then = tx.get(CollectionId::QUEUE, &key)?;
            let fate = self.finished.see(&*tx, &key, then.as_deref(), now.as_deref())?;
            kept.note(fate, &key, now.as_deref());
        }
        kept.left_out.extend(self.finished.left_out());
        kept.put(tx)?;
        // All claims at once, or only those of the restored tasks.
        if self.scope.has_all_of(CollectionId::QUEUE) {
            return Ok(tx.queue().void_claims()? as u64);
        }
        let mut claims = 0;
        for task in self.scope.rows.iter().filter_map(|row| restored_together::task_of_row(row)) {
            claims += u64::from(tx.queue().settle(&task)?);
        }
        Ok(claims)
    }

    /// The counts of changed records, by the names of collections.
    pub(crate) fn touched(self, names: &Names) -> BTreeMap<String, Counts> {
        let mut counts = self.touched.named(names);
        self.finished.correct(&mut counts);
        counts
    }
}

/// Compares the digests of restored whole collections with those of the point (D4). Equality proves that the set of
/// reverted changes is complete, without reading unchanged records.
///
/// # Errors
///
/// `Damaged` when one differs.
pub(crate) fn compare_digests(tx: &WriteTx<'_>, scope: &Scope, spared: &Spared, manifest: &Manifest) -> Result<()> {
    let stored = meta::all_stats(tx)?.into_iter().map(|(collection, _)| collection);
    let there = manifest.collections.iter().map(|(collection, _)| *collection);
    for collection in stored.chain(there) {
        // Pieces of long values may belong to collections that are not restored.
        let has_pieces = scope.is_everything() && spared.is_empty();
        let whole = scope.has_all_of(collection) && (collection != CollectionId::CHUNKS || has_pieces);
        let mut expected = manifest.stats(collection);
        spared.add_to(&mut expected, tx, collection)?;
        if whole && tx.stats(collection)? != expected {
            return Err(Error::damaged(format!(
                "the restored state would differ from the point's, so nothing was changed; check the store: \
                 collection={} point={}",
                names(tx)?.of(collection),
                manifest.id
            ))
            .with_hint(Hint::CheckStore));
        }
    }
    Ok(())
}

/// Reassembles the documents in scope that lost rows at the point, after they were restored. Returns a message for each
/// of them.
pub(crate) fn mend_partial(
    tx: &mut WriteTx<'_>,
    scope: &Scope,
    manifest: Option<&Manifest>,
    point: &Point,
) -> Result<Vec<String>> {
    match manifest.map_or(point.partial, |manifest| manifest.has_lost_of(CollectionId::DOCUMENTS)) {
        true => mend_documents_within(tx, &|row| scope.contains(row)),
        false => Ok(Vec::new()),
    }
}

/// Refuses a restore of single tasks after which two tasks have one idempotency key: the same work would run twice.
///
/// # Errors
///
/// `Conflict` then.
pub(crate) fn refuse_second_tasks(tx: &mut WriteTx<'_>, scope: &Scope) -> Result<()> {
    for id in scope.rows.iter().filter_map(|row| restored_together::task_of_row(row)) {
        let Some(task) = tx.queue().get(&id)? else { continue };
        if let Some(other) = tx.queue().other_with_key_of(&task)? {
            return Err(second_task(&task, &other));
        }
    }
    Ok(())
}

/// The reason why a single task does not return.
pub(crate) fn second_task(task: &Task, other: &TaskId) -> Error {
    let message = "another task has the idempotency key of this one now, so the same work would run twice; cancel and \
                   purge the other one first";
    let (id, key) = (&task.id, task.idempotency_key.as_deref().unwrap_or_default().escape_debug());
    Error::conflict(format!("{message}: task={id} other={other} idempotency_key={key}"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::engine::commit::Outcome;
    use crate::engine::point::Lost;
    use crate::engine::records::KeyRange;
    use crate::recovery::restore::options::RestoreOptions;
    use crate::state::documents::DocumentId;
    use crate::state::ids::BotId;
    use crate::state::queue::{ClaimOptions, NewTask, TaskState};
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn a_long_task_is_restored_while_its_head_is_merged_and_its_pieces_are_not() {
        let hive = Fixture::new();
        let (bot, id) = (BotId::new("ant").unwrap(), TaskId::new("a").unwrap());
        let payload = Value::String("x".repeat((1 << 20) + 9));
        hive.write(|tx| tx.queue().enqueue(NewTask::new(payload.clone()).id(id.clone())));
        let point = hive.store.restore_point("before").unwrap();
        hive.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default()));
        let forgotten = hive.seal();
        hive.store
            .alone(|tx| {
                tx.mark_forgotten(forgotten)?;
                tx.merge_some(1).map(Outcome::Commit)
            })
            .unwrap();
        let kept = RestoreOptions::new().keep_finished(true);
        hive.store.restore(&point, kept).unwrap();
        hive.check();
        let task = hive.view().queue().get(&id).unwrap().unwrap();
        assert_eq!((task.state, task.payload), (TaskState::Ready, payload));
        assert!(hive.store.check().unwrap().is_sound());
    }

    #[test]
    fn documents_of_a_partial_point_are_reassembled_and_named_in_the_event() {
        let hive = Fixture::new();
        let documents = CollectionId::DOCUMENTS;
        let put = |source: &str, text: &str| {
            let value = crate::json::parse(text.as_bytes()).unwrap();
            hive.write(|tx| tx.documents().put("kind", source, &value));
        };
        let read = |source: &str| hive.view().documents().text("kind", source).unwrap().unwrap();
        put("lost", r#"{"bots":{"A":[1],"B":[2]}}"#);
        put("other", r#"{"bots":{"A":[1],"B":[2]}}"#);
        for source in ["lost", "other"] {
            let range = KeyRange::prefix(&DocumentId::new("kind", source).unwrap().to_key()).backward();
            let lose = |tx: &mut WriteTx<'_>| {
                let rows = tx.page(documents, &range, 1)?;
                tx.remove(documents, &rows[0].0)
            };
            assert!(hive.write(lose));
        }
        let point = hive.store.restore_point("partial").unwrap();
        let mark = |tx: &mut WriteTx<'_>| {
            let mut manifest = tx.manifest(point.epoch)?;
            let was = manifest.stats(documents);
            manifest.lost.push(Lost { collection: documents, was, keys: Vec::new() });
            tx.put_manifest(point.epoch, &manifest).map(Outcome::Commit)
        };
        hive.store.alone(mark).unwrap();
        for source in ["lost", "other"] {
            hive.write(|tx| tx.documents().remove("kind", source));
            put(source, "[1]");
        }

        let partial = RestoreOptions::new().partial(true);
        hive.store.restore(&point, partial.clone().only(["documents"])).unwrap();
        assert_eq!((read("lost").as_str(), read("other")), (r#"{"bots":{"A":[1]}}"#, read("lost")));
        let event = &hive.view().events().list(crate::state::page::Page::newest(1)).unwrap()[0];
        let mended = event.details["mended"].as_array().unwrap();
        assert!(mended.len() == 2 && mended[0].as_str().unwrap().contains("document=kind/lost rows=2 of=3"));
        assert!(hive.store.check().unwrap().is_sound());
        hive.store.undo().unwrap();
        assert_eq!((read("lost").as_str(), read("other").as_str()), ("[1]", "[1]"));
        hive.store.restore(&point, partial).unwrap();
        assert_eq!(read("other"), r#"{"bots":{"A":[1]}}"#);
        assert!(hive.store.check().unwrap().is_sound());
    }

    #[test]
    fn a_restore_whose_digests_would_differ_changes_nothing_and_appends_an_event() {
        let hive = Fixture::new();
        hive.write(|tx| tx.config().put("a", &1.into()));
        let point = hive.store.restore_point("before").unwrap();
        hive.write(|tx| tx.config().put("a", &2.into()));
        hive.write(|tx| tx.config().put("b", &2.into()));
        // A pre-image is lost, as by a damaged page.
        let row = CollectionId::CONFIG.row_key(b"b");
        let lost = crate::engine::keys::pre_image_key(point.epoch.next(), &row);
        assert!(hive.store.write(|tx| tx.delete(Table::PreImages, &lost)).unwrap());
        let refused = hive.store.restore(&point, RestoreOptions::new()).unwrap_err();
        assert_eq!(refused.kind(), crate::error::ErrorKind::Damaged);
        assert!(refused.to_string().contains("collection=config"), "{refused}");
        assert_eq!(hive.view().config().get("a").unwrap(), Some(2.into()));
        let events = hive.view().events().list(crate::state::page::Page::newest(1)).unwrap();
        assert_eq!(events[0].kind, crate::recovery::events::event::EventKind::RestoreFailed);
        let by_key = RestoreOptions::new().only(["config"]).key("a");
        hive.store.restore(&point, by_key).unwrap();
        assert_eq!(hive.view().config().get("a").unwrap(), Some(1.into()));
    }
}
