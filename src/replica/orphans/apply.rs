//! Plans what an overtaken file has alone, and takes it into the store: one transaction, with a safety point in it.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::judge::{Judged, Taken, judge, rows_behind};
use super::report::{OrphansOptions, OrphansPlan, OrphansReport};
use super::sides::Sides;
use crate::engine::codec;
use crate::engine::point::{Restored, Scope};
use crate::engine::records::{FIRST_PAGE, KeyRange, Records, next_page, scan};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::recovery::events::event::EventKind;
use crate::recovery::restore::safety::{Safety, outcome};
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::runtime::block_on;
use crate::replica::restoring::restore::Copier;
use crate::state::queue::Task;

/// An undo of so many records leaves all others as they are; of more, it goes back with their collections.
const UNDONE_ALONE: usize = 1_000;

impl Store {
    /// Compares a file that was overtaken with this store, which goes on with the replica: every record that changed in
    /// the file since both went apart, and what would become of it here. It changes neither of them. The state at which
    /// both went apart comes from the replica, into a scratch folder.
    ///
    /// A change is taken if the record did not change here. If it has another change here, it is in conflict and stays
    /// as it is. A task that is done here never runs again, and claims of the file do not come along. New messages are
    /// appended. Audit entries, events, sessions and restore points stay in the file.
    ///
    /// # Errors
    ///
    /// `Conflict` when nobody goes on with the history of the file, when the replica is of another store, or this store
    /// does not go on with it; `NotFound` when the replica no longer has the state at which they went apart; `Damaged`
    /// when a record is, or is hidden by a damaged page; `Invalid` for the store's own file and for more than a million
    /// changes; `Full`; the errors of the bucket, and as opening a store.
    pub fn plan_orphans(
        &self,
        from: &ReplicaLocation,
        file: impl AsRef<Path>,
        options: &OrphansOptions,
    ) -> Result<OrphansPlan> {
        block_on(async {
            let copier = Copier::open(from, options.identity.as_deref()).await?;
            self.plan_orphans_from(&copier, file.as_ref(), options).await
        })
    }

    /// The same from an open replica.
    ///
    /// # Errors
    ///
    /// As [`Store::plan_orphans`].
    pub(super) async fn plan_orphans_from(
        &self,
        copier: &Copier,
        file: &Path,
        options: &OrphansOptions,
    ) -> Result<OrphansPlan> {
        let sides = Sides::open(copier, self, file, options.scratch.as_deref()).await?;
        let Judged { collections, orphans, not_listed, .. } = judge(&sides, &self.view()?)?;
        Ok(OrphansPlan {
            file: file.to_path_buf(),
            sequence: sides.fork.sequence,
            time: sides.time,
            given_up: sides.fork.given_up,
            collections,
            orphans,
            not_listed,
            audit_entries_left: rows_behind(&sides, Table::Audit)?,
            events_left: rows_behind(&sides, Table::Events)?,
            points_left: rows_behind(&sides, Table::Points)?,
            options: options.clone(),
            sides: Arc::new(sides),
        })
    }

    /// Takes what only the overtaken file of a plan has into this store: one transaction, in which everything is
    /// compared again, with a safety point. [`Store::undo`] undoes it. A second time nothing is left to take, and
    /// nothing is written.
    ///
    /// # Errors
    ///
    /// `Conflict` when a restore to an earlier moment gave up what came behind on purpose, unless the options of the
    /// plan [allow that](OrphansOptions::with_given_up); as [`Store::plan_orphans`] and [`Store::write`]. On every
    /// error except `Uncertain`, nothing is changed.
    pub fn apply_orphans(&self, plan: &OrphansPlan) -> Result<OrphansReport> {
        if plan.given_up && !plan.options.with_given_up {
            let message = "a restore to an earlier moment gave up on purpose what came behind, and this would take it back; \
                           allow that first";
            let error = Error::conflict(format!("{message}: sequence={}", plan.sequence));
            return Err(error.with_hint(Hint::AllowGivenUp));
        }
        let store = self.doing("apply_orphans", Some(plan.file.display().to_string()));
        store.alone(|tx| tx.take_orphans(plan).map(|report| outcome(report, |report| report.undo.is_some())))
    }
}

impl WriteTx<'_> {
    fn take_orphans(&mut self, plan: &OrphansPlan) -> Result<OrphansReport> {
        let name = plan.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let safety = Safety::seal(self, format!("before the orphans of {name}"))?;
        // The plan is older than this transaction.
        let judged = judge(&plan.sides, &*self)?;
        let file = plan.sides.file.view()?;
        for taken in &judged.taken {
            self.take_orphan(&file, taken)?;
        }
        // No due time of the past fires again.
        self.schedules().settle()?;
        let scope = self.scope_of(&judged.taken)?;
        let (from, written_in) = (safety.epoch, self.epochs().open);
        let undo = safety.finish(self, Restored { from, name, written_in, scope, undo: false })?;
        // Later work is born in a later epoch, by which an undo recognizes it.
        self.turn_epoch()?;
        let Judged { collections, orphans, not_listed, .. } = judged;
        let (file, sequence, time) = (plan.file.clone(), plan.sequence, plan.time);
        let report = OrphansReport { file, sequence, time, collections, orphans, not_listed, undo };
        let details = json!({
            "file": report.file.to_string_lossy(), "sequence": sequence, "undo": report.undo,
            "collections": report.collections,
        });
        self.events().append(EventKind::OrphansApplied, details)?;
        Ok(report)
    }

    fn take_orphan(&mut self, file: &View, taken: &Taken) -> Result<()> {
        let value = file.get(taken.collection, &taken.key)?;
        match (taken.collection, value) {
            (CollectionId::QUEUE, Some(value)) => self.queue().take_orphan(Task::from_record(&taken.key, &value)?),
            (CollectionId::CHAT, Some(value)) => self.chat().append_again(codec::decode(&value)?),
            (CollectionId::DOCUMENTS, _) => self.take_document(file, &taken.key),
            (_, Some(value)) => {
                let id = self.collection_here(taken)?;
                self.put(id, &taken.key, &value)
            }
            (_, None) => {
                let id = self.collection_here(taken)?;
                self.remove(id, &taken.key).map(drop)
            }
        }
    }

    /// The number of a collection in this store.
    fn collection_here(&mut self, taken: &Taken) -> Result<CollectionId> {
        CollectionId::built_in(&taken.name).map_or_else(|| self.user_collection(&taken.name), Ok)
    }

    /// Gives a document the rows that it has in the file.
    fn take_document(&mut self, file: &View, document: &[u8]) -> Result<()> {
        let id = CollectionId::DOCUMENTS;
        let (mut rest, mut limit) = (Some(KeyRange::prefix(document)), FIRST_PAGE);
        while rest.is_some() {
            for (key, _) in next_page(&mut rest, &mut limit, |range, limit| self.part(id, range, limit))? {
                if file.get(id, &key)?.is_none() {
                    self.remove(id, &key)?;
                }
            }
        }
        for row in scan(file, id, KeyRange::prefix(document)) {
            let (key, value) = row?;
            if self.get(id, &key)?.as_ref() != Some(&value) {
                self.put(id, &key, &value)?;
            }
        }
        Ok(())
    }

    /// The records that an undo takes back; the safety point adds those that followed.
    fn scope_of(&mut self, taken: &[Taken]) -> Result<Scope> {
        let (mut scope, is_alone) = (Scope::default(), taken.len() <= UNDONE_ALONE);
        for one in taken {
            let id = self.collection_here(one)?;
            match id {
                _ if !is_alone => scope.collections.push(id),
                CollectionId::DOCUMENTS => scope.prefixes.push(id.row_key(&one.key)),
                _ => scope.rows.push(id.row_key(&one.key)),
            }
        }
        if scope.collections.contains(&CollectionId::QUEUE) {
            scope.collections.push(CollectionId::ASSIGNMENTS);
        }
        scope.collections.sort_unstable();
        scope.collections.dedup();
        Ok(scope)
    }
}
