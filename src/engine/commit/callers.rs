//! The callers of the gate: who may run, and how the batch of each has ended.

use std::sync::Arc;

use super::batch::{OpenBatch, discard};
use crate::engine::session::writer_line::Streak;
use crate::error::{Error, ErrorKind, Result};

/// The permissions of the callers. A thread reads and writes the fields while it holds the mutex.
#[derive(Default)]
pub(super) struct Callers {
    /// The transaction that closures are running in now.
    pub(super) open: Option<OpenBatch>,
    /// The number of the newest batch.
    pub(super) batch: u64,
    /// The newest batch whose commit has ended, with success or failure.
    pub(super) ended: u64,
    /// Failed batches whose members have not all been answered yet.
    pub(super) failures: Vec<Failure>,
    /// One caller works without the mutex: it waits to begin a transaction, commits one, or works alone.
    pub(super) busy: bool,
    /// That caller waits for another process. The others then wait no longer than the lock timeout.
    pub(super) shut_out: bool,
    /// How many callers wait to work alone. No new batch begins before them.
    pub(super) alone_waiting: usize,
    /// Work alone waits until this batch has ended, so that it does not starve the others.
    pub(super) alone_after: u64,
    /// How many callers have arrived whose closures have not run yet.
    pub(super) waiting: usize,
    /// The size of the batch to wait for: that of the last batch.
    pub(super) expected: usize,
    /// Set once a commit has failed. The content of the disk is unknown then, so writes are refused until the store is
    /// reopened.
    pub(super) poisoned: bool,
    /// How long this process has held redb's lock back to back.
    pub(super) streak: Streak,
}

pub(super) struct Failure {
    batch: u64,
    error: Arc<Error>,
    unanswered: usize,
}

impl Callers {
    /// Whether work alone has to let a batch go first, so that it does not starve the others.
    pub(super) fn others_first(&self) -> bool {
        self.waiting > 0 && self.ended < self.alone_after
    }

    /// How many have joined a batch that is still open.
    pub(super) fn members_of(&self, batch: u64) -> Option<usize> {
        self.open.as_ref().filter(|_| self.batch == batch).map(|open| open.members)
    }

    /// Notes how a batch ended.
    pub(super) fn end(&mut self, batch: u64, members: usize, ended: Result<()>) {
        self.ended = batch;
        if let Err(error) = ended {
            // These are refused before anything reaches the disk.
            use ErrorKind::{Conflict, Moved, NotCommitted};
            self.poisoned |= !matches!(error.kind(), NotCommitted | Moved | Conflict);
            if members > 0 {
                self.failures.push(Failure { batch, error: Arc::new(error), unanswered: members });
            }
        }
    }

    /// Aborts a batch from which a closure's changes could not be taken back.
    pub(super) fn end_spoiled(&mut self, open: OpenBatch) {
        let OpenBatch { transaction, members, spoiled, .. } = open;
        discard(transaction);
        let why = spoiled.map(|error| error.to_string()).unwrap_or_default();
        let message = format!("not committed: another caller's changes could not be taken back: {why}");
        self.end(self.batch, members, Err(Error::new(ErrorKind::NotCommitted, message)));
    }

    /// The result of a batch, for one of its members.
    pub(super) fn result_of(&mut self, batch: u64) -> Result<()> {
        let Some(at) = self.failures.iter().position(|failure| failure.batch == batch) else { return Ok(()) };
        let Some(failure) = self.failures.get_mut(at) else { return Ok(()) };
        failure.unanswered = failure.unanswered.saturating_sub(1);
        let error = Error::new(failure.error.kind(), failure.error.to_string()).with_source(failure.error.clone());
        if failure.unanswered == 0 {
            self.failures.swap_remove(at);
        }
        Err(error)
    }
}
