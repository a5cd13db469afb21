//! Undoes the last restore. An undo is a restore of the safety point, so a second undo repeats the restore.

use crate::engine::PreImages;
use crate::engine::codec;
use crate::engine::epoch::Epoch;
use crate::engine::frame::{self, State};
use crate::engine::keys::PreImageKey;
use crate::engine::point::{Manifest, Restored};
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::{CollectionId, Place, Table};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::recovery::points::names::names;
use crate::recovery::points::point::epoch_of;
use crate::recovery::restore::options::RestoreOptions;
use crate::recovery::restore::plan::{Direction, RestorePlan, RestoreReport};
use crate::recovery::restore::planning::plan_back;
use crate::state::show::{Show, key_name};

/// The most records that the refusal of an undo names.
const NAMED: usize = 10;

impl Store {
    /// Plans the undo of the last restore. [`Store::apply`] refuses it in the same cases as [`Store::undo`], unless
    /// [`RestorePlan::discard`] permits it.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no restore to undo.
    pub fn plan_undo(&self) -> Result<RestorePlan> {
        let view = self.view()?;
        let (epoch, restored) = last_restore(&view)?.ok_or_else(nothing_to_undo)?;
        let direction = Direction::Undo { discard: false };
        plan_back(&view, view.point(epoch)?, restored.scope, RestoreOptions::default(), direction)
    }

    /// Undoes the last restore exactly, including claims and tokens. A second undo repeats the restore.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no restore to undo; `Conflict`, with their names, when records that it would overwrite
    /// have changed since the restore ([`Store::undo_discarding`] overwrites them), and when a single task would return
    /// while another one has its idempotency key.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{ErrorKind, RestoreOptions};
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let point = store.restore_point("before")?;
    /// store.write(|tx| tx.config().put("limit", &json!(5)))?;
    /// store.restore(&point, RestoreOptions::new())?;
    /// store.write(|tx| tx.config().put("limit", &json!(6)))?;
    /// assert_eq!(store.undo().unwrap_err().kind(), ErrorKind::Conflict);
    /// store.undo_discarding()?;
    /// assert_eq!(store.view()?.config().get("limit")?, Some(json!(5)));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn undo(&self) -> Result<RestoreReport> {
        self.apply(&self.plan_undo()?)
    }

    /// Undoes the last restore, and overwrites later changes. The safety point of the undo contains them.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no restore to undo.
    pub fn undo_discarding(&self) -> Result<RestoreReport> {
        self.apply(&self.plan_undo()?.discard())
    }
}

impl WriteTx<'_> {
    /// Refuses an undo if another restore came later, or if it would overwrite later changes and may not discard them.
    pub(crate) fn refuse_undo(&self, plan: &RestorePlan, discard: bool) -> Result<()> {
        let (epoch, restored) = last_restore(self)?.ok_or_else(nothing_to_undo)?;
        if epoch != plan.point.epoch {
            let message = "another restore was made meanwhile; plan the undo again";
            return Err(Error::conflict(format!("{message}: restored={}", restored.name)));
        }
        if discard {
            return Ok(());
        }
        let (later, more) = self.later_work(plan, &restored)?;
        if later.is_empty() {
            return Ok(());
        }
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Err(Error::conflict(format!(
            "records have changed since the restore, and undoing it would overwrite them: {}{more}",
            later.join(", ")
        ))
        .with_hint(Hint::DiscardLaterWork))
    }

    /// The first records that the undo would overwrite and that changed after the restore, and the number of further
    /// ones.
    fn later_work(&self, plan: &RestorePlan, restored: &Restored) -> Result<(Vec<String>, u64)> {
        let names = names(self)?;
        let (mut later, mut more) = (Vec::new(), 0);
        self.each_pre_image(plan.point.epoch, self.epochs().open, |PreImageKey { row, .. }, bytes| {
            let place = Place::of_record(row);
            let before = frame::decode(place, bytes)?;
            // A long value has changed if its head has.
            if before.birth > plan.point.epoch
                || place.collection == CollectionId::CHUNKS
                || !plan.scope.contains(row)
                || !self.is_later(row, before.state, restored.written_in)?
            {
                return Ok(());
            }
            if later.len() < NAMED {
                later.push(format!("{}/{}", names.of(place.collection), self.key_for_people(row, before.state)));
            } else {
                more += 1;
            }
            Ok(())
        })?;
        Ok((later, more))
    }

    /// Whether a later change gave a record its present value, and the undo would give it another one.
    fn is_later(&self, row: &[u8], then: State<'_>, written_in: Epoch) -> Result<bool> {
        for table in [Table::Live, Table::Tombstones] {
            if let Some(bytes) = self.stored().get(table, row)? {
                let now = frame::decode(Place::of_record(row), &bytes)?;
                return Ok(now.birth > written_in && now.state != then);
            }
        }
        Ok(false)
    }

    /// A record's key as people read it, or its bytes if the record that names it is gone.
    fn key_for_people(&self, row: &[u8], then: State<'_>) -> String {
        let Place { collection, key, .. } = Place::of_record(row);
        let now = self.get(collection, key).ok().flatten();
        let payload = now.or_else(|| if let State::Present(then) = then { Some(then.to_vec()) } else { None });
        let shown = payload.and_then(|payload| Show::new(self).record(collection, key, &payload).ok());
        shown.map_or_else(|| key_name(collection, key), |shown| shown.key)
    }
}

/// The newest safety point, with the restore that it undoes.
fn last_restore<R: Records>(records: &R) -> Result<Option<(Epoch, Restored)>> {
    for row in scan_rows(records, Table::Points, KeyRange::all().backward()) {
        let (key, bytes) = row?;
        if let Some(restored) = codec::decode::<Manifest>(&bytes)?.undoes {
            return Ok(Some((epoch_of(&key)?, restored)));
        }
    }
    Ok(None)
}

fn nothing_to_undo() -> Error {
    Error::not_found("there is no restore to undo")
}
