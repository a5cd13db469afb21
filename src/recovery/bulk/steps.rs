//! A bulk change from step to step: begun, continued, stopped.

use crate::engine::commit::Outcome;
use crate::engine::point::Scope;
use crate::engine::records::Records;
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::bulk::job::{BulkJob, BulkState, ROW, Stored, StoredJobs};
use crate::recovery::points::make::PointRequest;
use crate::state::ids::TaskId;
use crate::state::queue::{BulkAction, BulkProgress, BulkTasks, TaskFilter};
use crate::state::restored_together;
use crate::text::counted;
use crate::{clock, limits};

/// The action in the audit trail, which has one entry for all tasks.
const BEGUN: &str = "queue_bulk";
const STOPPED: &str = "queue_bulk_stop";

impl Store {
    /// The number of tasks that a bulk change would be about now.
    ///
    /// # Errors
    ///
    /// `Invalid` for a filter that asks for nothing, and when the action is for no task in the state that it names;
    /// `Damaged`, `Reopen`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BulkAction, BulkTasks, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// store.enqueue_all(vec![NewTask::new("build"), NewTask::new("test")])?;
    /// assert_eq!(store.plan_bulk(BulkAction::Cancel, BulkTasks::All)?, 2);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn plan_bulk(&self, action: BulkAction, tasks: impl Into<BulkTasks>) -> Result<u64> {
        let (filter, view) = (tasks.into().into_filter()?, self.view()?);
        view.queue().bulk_count(view.queue().bulk(action, filter)?)
    }

    /// Begins a bulk change: makes the restore point from which it can be undone, and stores the tasks to change.
    /// [`Store::continue_bulk`] does it, here or in another process. A restore, undo or import of tasks stops it.
    ///
    /// # Errors
    ///
    /// `NotFound` when no task fits; then there is nothing to undo, and no restore point is made. `Conflict` while
    /// another one runs, and when more than `at_most` tasks fit; `Invalid` as [`Store::plan_bulk`]; and as
    /// [`Store::write`].
    pub fn begin_bulk(&self, action: BulkAction, tasks: impl Into<BulkTasks>, at_most: Option<u64>) -> Result<BulkJob> {
        let filter = tasks.into().into_filter()?;
        // Before the transaction, as it may look at many tasks. Those that are pushed after this stay as they are.
        let view = self.view()?;
        let progress = view.queue().bulk(action, filter.clone())?;
        let fits = view.queue().bulk_count(progress.clone())?;
        if let Some(most) = at_most.filter(|most| fits > *most) {
            let message = "more tasks fit than were expected; count them again";
            return Err(Error::conflict(format!("{message}: fits={fits} at_most={most}")));
        }
        self.alone(|tx| tx.begin_bulk(action, filter, progress, fits).map(Outcome::Commit))
    }

    /// Continues the bulk change that runs, until it ends, or until `goes_on` returns false, which is called after each
    /// part. Returns the change as it is then; none when none runs.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]; then it still runs, and can be continued later. Every error that a later try cannot mend,
    /// such as damage, ends it as failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BulkAction, BulkTasks, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// store.enqueue_all(vec![NewTask::new("build"), NewTask::new("test")])?;
    /// let job = store.begin_bulk(BulkAction::Cancel, BulkTasks::All, None)?;
    /// let done = store.continue_bulk(|_| true)?.unwrap();
    /// assert_eq!((done.id, done.changed), (job.id, 2));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn continue_bulk(&self, mut goes_on: impl FnMut(&BulkJob) -> bool) -> Result<Option<BulkJob>> {
        // The entry of the audit trail is that of its begin.
        let store = Self { recording: None, ..self.clone() };
        let Some(mut mine) = StoredJobs::of(&store.view()?)?.running().cloned() else { return Ok(None) };
        while mine.job.state == BulkState::Running && goes_on(&mine.job) {
            mine = match store.bulk_step(&mine) {
                Err(error) if !may_pass(error.kind()) => store.write(|tx| tx.fail_bulk(&mine.job.id, &error))?,
                step => step?,
            };
        }
        Ok(Some(mine.job))
    }

    /// Stops a bulk change. Tasks that it has changed stay so.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such change, or it is no longer remembered; `Conflict` when it has ended; and as
    /// [`Store::write`].
    pub fn stop_bulk(&self, id: &str) -> Result<BulkJob> {
        self.write(|tx| {
            let stopped = tx.end_bulk(id, BulkState::Stopped, None)?.job;
            tx.note(STOPPED, Some(id))?;
            Ok(stopped)
        })
    }

    /// The last bulk changes, newest first.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn bulk_jobs(&self) -> Result<Vec<BulkJob>> {
        Ok(StoredJobs::of(&self.view()?)?.0.into_iter().map(|stored| stored.job).collect())
    }

    /// Looks for tasks, and changes those that it finds. Returns the change as it is then.
    fn bulk_step(&self, mine: &Stored) -> Result<Stored> {
        let view = self.view()?;
        let stored = StoredJobs::of(&view)?.find(&mine.job.id)?.clone();
        if stored.job.state != BulkState::Running || stored.parts != mine.parts {
            // It was stopped, or another process has continued it.
            return Ok(stored);
        }
        // This may be further than the stored place, as looking alone is not stored.
        let mut progress = mine.progress.clone();
        let ids = view.queue().bulk_next(&mut progress)?;
        drop(view);
        if ids.is_empty() && !progress.is_over() {
            return Ok(Stored { progress, ..stored });
        }
        self.write(|tx| tx.bulk_step(&mine.job.id, mine.parts, &progress, &ids))
    }
}

/// Whether an error of this kind may be gone when it is tried again: it comes from the disk, the handle or another
/// process, and not from the records. Otherwise the change would run for ever, and no other could begin.
fn may_pass(kind: ErrorKind) -> bool {
    use ErrorKind::{
        Ambiguous, Conflict, Damaged, Forbidden, Forked, Full, Gone, Invalid, Io, Locked, Moved, NewerFormat, NoStore,
        NotAStore, NotCommitted, NotFound, Reopen, Uncertain,
    };
    match kind {
        Locked | NotCommitted | Uncertain | Reopen | Forked | Moved | Full | Io => true,
        Damaged | NewerFormat | Gone | NotFound | Ambiguous | Invalid | Conflict | Forbidden | NoStore | NotAStore => {
            false
        }
    }
}

impl WriteTx<'_> {
    /// Ends the change that runs, because a restore in this transaction puts tasks of `scope` back.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    pub(crate) fn end_bulk_for_restore(&mut self, scope: &Scope) -> Result<()> {
        let has_tasks = scope.has_all_of(CollectionId::QUEUE)
            || scope.rows.iter().any(|row| restored_together::task_of_row(row).is_some());
        if let Some(running) = StoredJobs::of(self)?.running().filter(|_| has_tasks) {
            let reason = "a restore put tasks back".to_owned();
            self.end_bulk(&running.job.id.clone(), BulkState::Stopped, Some(reason))?;
        }
        Ok(())
    }

    pub(super) fn begin_bulk(
        &mut self,
        action: BulkAction,
        filter: TaskFilter,
        progress: BulkProgress,
        fits: u64,
    ) -> Result<BulkJob> {
        let mut jobs = StoredJobs::of(self)?;
        if let Some(Stored { job, .. }) = jobs.running() {
            let message = "another bulk change still runs; wait for its end, or stop it";
            return Err(Error::conflict(format!("{message}: id={} action={}", job.id, job.action)));
        }
        let which = filter.show();
        if fits == 0 {
            let message = format!("no task fits that could be changed by {action}");
            return Err(Error::not_found(if which.is_empty() { message } else { format!("{message}: {which}") }));
        }
        let said = format!("{action} of {}", counted(fits, "task"));
        let said = if which.is_empty() { said } else { format!("{said}: {which}") };
        let mut description = format!("before the {said}");
        limits::shorten(&mut description, limits::DESCRIPTION_BYTES);
        let point = self.make_point(PointRequest::new(description))?;
        let job = BulkJob {
            id: clock::new_id().to_string(),
            action,
            filter,
            state: BulkState::Running,
            point: point.to_string(),
            by: self.actor().map(|actor| actor.name().to_owned()),
            started_at: clock::as_stored(self.now()),
            ended_at: None,
            fits,
            changed: 0,
            passed: 0,
            error: None,
        };
        jobs.begin(Stored { job: job.clone(), progress, parts: 0 });
        ROW.put(self, &jobs)?;
        self.note(BEGUN, Some(&said))?;
        Ok(job)
    }

    /// Writes a part, unless somebody else has written one since `parts`.
    fn bulk_step(&mut self, id: &str, parts: u64, progress: &BulkProgress, ids: &[TaskId]) -> Result<Stored> {
        let mut jobs = StoredJobs::of(self)?;
        let now = clock::as_stored(self.now());
        let stored = jobs.find_mut(id)?;
        if stored.parts != parts || stored.job.state != BulkState::Running {
            return Ok(stored.clone());
        }
        let changed = self.queue().bulk_part(progress, ids)?;
        stored.parts += 1;
        stored.progress = progress.clone();
        stored.job.changed += changed;
        stored.job.passed += (ids.len() as u64).saturating_sub(changed);
        if progress.is_over() {
            (stored.job.state, stored.job.ended_at) = (BulkState::Done, Some(now));
        }
        let stored = stored.clone();
        ROW.put(self, &jobs)?;
        Ok(stored)
    }

    /// Ends a change that failed, unless somebody has ended it since.
    pub(super) fn fail_bulk(&mut self, id: &str, error: &Error) -> Result<Stored> {
        let stored = StoredJobs::of(self)?.find(id)?.clone();
        if stored.job.state != BulkState::Running {
            return Ok(stored);
        }
        self.end_bulk(id, BulkState::Failed, Some(error.to_string()))
    }

    fn end_bulk(&mut self, id: &str, state: BulkState, error: Option<String>) -> Result<Stored> {
        let mut jobs = StoredJobs::of(self)?;
        let now = clock::as_stored(self.now());
        let stored = jobs.find_mut(id)?;
        if stored.job.state != BulkState::Running {
            let is = stored.job.state.as_str();
            return Err(Error::conflict(format!("the bulk change has ended: id={id} state={is}")));
        }
        (stored.job.state, stored.job.ended_at, stored.job.error) = (state, Some(now), error);
        let stored = stored.clone();
        ROW.put(self, &jobs)?;
        Ok(stored)
    }
}
