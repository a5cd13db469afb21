//! Plans of restores. A restore moves forward: it seals a safety point and writes the earlier values, in one
//! transaction, so that it can be undone. Its cost follows the changes since the point.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::engine::epoch::Epoch;
use crate::engine::point::{PointId, Scope};
use crate::engine::schema::{CollectionId, Place};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{Error, Hint, Result};
use crate::recovery::diff::{Counts, kind};
use crate::recovery::points::lost::Spared;
use crate::recovery::points::point::{Point, names};
use crate::recovery::points::selector::Selector;
use crate::recovery::points::versions::Wanted;
use crate::recovery::restore::earlier::Earlier;
use crate::recovery::restore::finished::{Fate, Finished, write_finished};
use crate::recovery::restore::revert::second_task;
use crate::recovery::restore::scope::{key_alone, target};
use crate::recovery::restore::touched::Touched;
use crate::state::ids::TaskId;
use crate::state::queue::Task;
use crate::state::unit;
use crate::text::{OneLine, printable};

/// The part of the state to restore, and options. The default restores everything.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    pub(crate) only: Vec<String>,
    pub(crate) key: Option<String>,
    pub(crate) keep_finished: bool,
    pub(crate) verify: bool,
    pub(crate) partial: bool,
}

impl RestoreOptions {
    /// Restores everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Restores only these collections. Queue and assignments belong together.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, collections: impl IntoIterator<Item = S>) -> Self {
        self.only = collections.into_iter().map(Into::into).collect();
        self
    }

    /// Restores only this record of the one collection named by [`RestoreOptions::only`]. A task includes its
    /// assignment.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Keeps tasks finished that finished since the point; otherwise they would run again. Tasks that were purged since
    /// do not return as long as the queue [remembers](crate::Queue::remembered) them.
    #[must_use]
    pub fn keep_finished(mut self, keep: bool) -> Self {
        self.keep_finished = keep;
        self
    }

    /// Verifies every record and every point first, not only the records that the restore touches.
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Restores a point even if a repair lost part of it. Records that are known to be lost stay as they are now;
    /// others may be missing, or have an older value.
    ///
    /// A document with lost rows is reassembled from the remaining ones; the event of the restore names it.
    #[must_use]
    pub fn partial(mut self, partial: bool) -> Self {
        self.partial = partial;
        self
    }
}

/// The plan of a restore. It changes nothing until it is passed to [`Store::apply`].
#[derive(Clone, Debug, Serialize)]
pub struct RestorePlan {
    /// The point to restore.
    pub point: Point,
    /// The numbers of records in each collection that return, change, or are removed, without kept tasks.
    pub collections: BTreeMap<String, Counts>,
    /// Tasks that finished since the point and would run again, unless they are kept finished.
    pub tasks_run_again: u64,
    /// Tasks that were created and finished since the point and would be forgotten, unless they are kept finished.
    /// Their idempotency keys would be forgotten too, so the same push would run again.
    pub tasks_forgotten: u64,
    /// Whether these tasks stay finished, see [`RestoreOptions::keep_finished`].
    pub keep_finished: bool,
    /// If nothing differs: the newest earlier point that does, and the command that restores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
    #[serde(skip)]
    pub(crate) options: RestoreOptions,
    /// The id of the requested backup, if a backup was requested.
    #[serde(skip)]
    pub(crate) backup: Option<String>,
    #[serde(skip)]
    pub(crate) scope: Scope,
    /// The part of the scope that stays as it is.
    #[serde(skip)]
    pub(crate) spared: Spared,
    #[serde(skip)]
    pub(crate) direction: Direction,
}

/// Whether a plan restores a point, or undoes a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Restore,
    /// An undo is refused if records have changed since the restore, unless it may discard these changes.
    Undo {
        discard: bool,
    },
}

/// The report of a restore.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The restored point: its id, or its time for the point of a commit.
    pub point: String,
    /// The numbers of records in each collection that returned, changed, or were removed.
    pub collections: BTreeMap<String, Counts>,
    /// The safety point, which undoes the restore. It is none if nothing changed; then [`Store::undo`] still undoes the
    /// restore before this one.
    pub undo: Option<PointId>,
    /// The extent of the verification.
    pub verified: Verified,
    /// The number of claims that were voided. Their tasks are ready again.
    pub claims_returned: u64,
    /// Tasks that finished since the point and run again, unless they were kept finished. An undo counts none.
    pub tasks_run_again: u64,
    /// Tasks that were created and finished since the point and are forgotten, unless they were kept finished.
    pub tasks_forgotten: u64,
    /// Whether these tasks stayed finished.
    pub keep_finished: bool,
    /// If nothing differed: the newest earlier point that does, and the command that restores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
}

/// The extent of the verification in a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// Every record that it read or wrote, and the digests.
    Changed,
    /// Every record of the store as well.
    All,
}

impl RestorePlan {
    /// The number of records that the restore would touch.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }

    /// Lets an undo overwrite changes since the restore. The safety point of the undo contains them.
    #[must_use]
    pub fn discard(mut self) -> Self {
        if let Direction::Undo { discard } = &mut self.direction {
            *discard = true;
        }
        self
    }

    /// Whether tasks stay finished that would change otherwise.
    fn keeps_any(&self) -> bool {
        self.keep_finished && self.tasks_run_again + self.tasks_forgotten > 0
    }

    pub(crate) fn is_undo(&self) -> bool {
        self.direction != Direction::Restore
    }

    /// Refuses a partial point, unless the options permit it.
    pub(crate) fn refuse_partial(&self) -> Result<()> {
        if !self.point.partial || self.options.partial || self.is_undo() {
            return Ok(());
        }
        let message = "a repair lost part of that point; look at what it has lost, then allow a partial restore";
        let hint = Hint::AllowPartial { command: self.command_for_partial() };
        Err(Error::conflict(format!("{message}: point={}", self.point)).with_hint(hint))
    }

    /// The command that restores the rest of a partial point, with all given options.
    fn command_for_partial(&self) -> String {
        self.options.clone().partial(true).command(&self.point.to_string())
    }
}

impl RestoreReport {
    /// The number of records that the restore touched.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_undo() { "undo would go back to" } else { "restore would go back to" };
        let at = crate::clock::show_time(self.point.timestamp);
        match self.point.given_id() {
            Some(id) => write!(f, "{what} {} of {at}", OneLine(id))?,
            None => write!(f, "{what} the commit of {at}")?,
        }
        if !self.point.description.is_empty() {
            write!(f, " ({})", printable(&self.point.description))?;
        }
        writeln!(f)?;
        for (name, counts) in &self.collections {
            writeln!(f, "  {name}: {counts}")?;
        }
        match (&self.earlier, self.collections.is_empty()) {
            (Some(earlier), true) => writeln!(f, "  nothing differs; the newest point that does is {earlier}")?,
            (None, true) if self.keeps_any() => writeln!(f, "  nothing else differs")?,
            (None, true) => writeln!(f, "  nothing differs")?,
            (_, false) => {}
        }
        if self.point.partial {
            write!(f, "  a repair lost part of that point; see hivekeep point show")?;
            if !self.spared.is_empty() {
                write!(f, "; records that are known to be lost stay as they are now")?;
            }
            let is_refused = !self.options.partial && !self.is_undo();
            if is_refused {
                write!(f, "; to restore what is left: {}", self.command_for_partial())?;
            }
            writeln!(f)?;
        }
        write_finished(f, self.tasks_run_again, self.tasks_forgotten, self.keep_finished)
    }
}

impl Store {
    /// Plans the restore of a point, and changes nothing.
    ///
    /// A backup or a point of documents restores only those documents; live collections stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Store::at`]; `Invalid` when a collection is unknown, or a key is given without its one collection;
    /// `NotFound` when there is no record of that key, or no document of that kind, at the point or now; `Conflict`
    /// when a single task would return while another one has its idempotency key.
    pub fn plan_restore(&self, selector: impl Into<Selector>, options: RestoreOptions) -> Result<RestorePlan> {
        let selector = selector.into();
        let view = self.view()?;
        let target = target(&view, &selector)?;
        let options = if options.only.is_empty() { options.only(target.only) } else { options };
        let scope = match (&target.documents, &options.key) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("a backup of documents has no keys; restore the document whole"));
            }
            (Some(documents), None) => Scope::of_documents(documents, &options.only)?,
            (None, Some(key)) => self.scope_of_key(&view, &target.point, &options, key)?,
            (None, None) => Scope::of_collections(&options.only, &names(&view)?)?,
        };
        let plan = plan_back(&view, target.point, scope, options, Direction::Restore)?;
        let is_same = plan.total() == 0 && !plan.keeps_any() && target.documents.is_none();
        let earlier = if is_same { view.earlier(&plan)? } else { None };
        Ok(RestorePlan { backup: target.backup, earlier, ..plan })
    }

    fn scope_of_key(&self, view: &View, point: &Point, options: &RestoreOptions, key: &str) -> Result<Scope> {
        let [name] = options.only.as_slice() else {
            return Err(key_alone());
        };
        let collection = names(view)?.of_record(name)?;
        let past = self.view_at(point.epoch)?;
        let rows = unit::rows_of(&past, view, collection, key)?;
        if let Some(rows) = rows {
            return Ok(Scope::of_rows(rows));
        }
        let there = view.record_before(collection, options, key, Wanted::There)?;
        let (there, key) = (there.map(|at| format!("; it was last there at point {at}")), key.escape_debug());
        let there = there.unwrap_or_default();
        Err(Error::not_found(format!("no such record, at the point or now{there}: collection={name} key={key}")))
    }
}

/// Plans a restore or an undo.
///
/// # Errors
///
/// `Conflict` when a single task would return while another one has its idempotency key; `Damaged`, `Io`.
pub(crate) fn plan_back(
    view: &View,
    point: Point,
    scope: Scope,
    options: RestoreOptions,
    direction: Direction,
) -> Result<RestorePlan> {
    let (mut touched, mut finished) = (Touched::default(), Finished::new(options.keep_finished));
    let spared = Spared::of(view, point.epoch)?;
    let with_assignments = spared.with_assignments(view)?;
    view.each_difference(point.epoch, Epoch::NOW, &scope, |row, then, now| {
        if with_assignments.contains(row) {
            return Ok(());
        }
        let Place { collection, key, .. } = Place::of_record(row);
        touched.count(collection, kind(now.is_some(), then.is_some()));
        if collection != CollectionId::QUEUE {
            return Ok(());
        }
        let fate = match direction {
            Direction::Restore => finished.see(view, key, then.as_deref(), now.as_deref())?,
            Direction::Undo { .. } => Fate::AsAtPoint,
        };
        match (then, now) {
            (Some(then), None) if fate == Fate::AsAtPoint => refuse_second_task(view, &scope, key, &then),
            _ => Ok(()),
        }
    })?;
    finished.left_out();
    let mut collections = touched.named(&names(view)?);
    finished.correct(&mut collections);
    let Finished { run_again: tasks_run_again, forgotten: tasks_forgotten, .. } = finished;
    let keep_finished = options.keep_finished;
    Ok(RestorePlan {
        point,
        collections,
        tasks_run_again,
        tasks_forgotten,
        keep_finished,
        options,
        backup: None,
        earlier: None,
        scope,
        spared,
        direction,
    })
}

/// Refuses to return a single task while another one, which stays, has its idempotency key.
fn refuse_second_task(view: &View, scope: &Scope, key: &[u8], then: &[u8]) -> Result<()> {
    if scope.has_all_of(CollectionId::QUEUE) {
        return Ok(());
    }
    let task = Task::from_record(key, then)?;
    let other = view.queue().other_with_key_of(&task)?;
    let stays = |other: &TaskId| !scope.contains(&CollectionId::QUEUE.row_key(other.as_bytes()));
    other.filter(stays).map_or(Ok(()), |other| Err(second_task(&task, &other)))
}
