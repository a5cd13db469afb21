//! The way of a write from its handle to the gate, and the moment in which its caller is answered: once it is on the
//! disk, or once the replica has it.

use crate::engine::commit::{Outcome, Size, TransactionWork, with_result};
use crate::engine::opening::options::Durability;
use crate::engine::recorder::RecordedHandle;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};

/// The outcome of work before its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worked {
    NotYet,
    /// It changed something.
    Changed,
    /// It changed nothing.
    Looked,
    /// It returned an error, so it changed nothing either.
    Failed,
}

impl Store {
    pub(super) fn write_in_a_batch(&self, work: TransactionWork<'_>) -> Result<()> {
        self.inner.context.told.refuse_fenced()?;
        let durability = self.durability();
        self.recorded(&mut |tx| tx.refuse_unless_written_to().and_then(|()| work(tx)), &|work| {
            self.once_answerable(work, &|work| {
                let closure = |tx: &mut WriteTx<'_>| work(tx).map(drop);
                self.with_handle_in_turn(|handle| {
                    self.inner.gate.write(handle, &self.inner.context, durability, closure)
                })
            })
        })
    }

    /// Runs work in a transaction of its own, which is committed or aborted as a whole.
    pub(crate) fn alone<R>(&self, work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>) -> Result<R> {
        self.alone_with(Size::Small, work)
    }

    pub(in crate::engine) fn alone_with<R>(
        &self,
        size: Size,
        work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
    ) -> Result<R> {
        with_result(work, |work| self.work_alone(size, work))
    }

    fn work_alone(&self, size: Size, work: TransactionWork<'_>) -> Result<()> {
        self.inner.context.told.refuse_fenced()?;
        self.recorded(&mut |tx| tx.refuse_unless_written_to().and_then(|()| work(tx)), &|work| {
            self.once_answerable(work, &|work| {
                self.with_handle_in_turn(|handle| self.inner.gate.alone(handle, &self.inner.context, size, work))
            })
        })
    }

    /// Does work with the entry of the action that it is part of, if this handle writes for an actor.
    pub(super) fn recorded(
        &self,
        work: TransactionWork<'_>,
        run: &dyn Fn(TransactionWork<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(recording) = &self.recording else { return run(work) };
        let mut has_recorded = false;
        run(&mut |tx| {
            let (outcome, recorded) = recording.within(tx, &mut *work)?;
            has_recorded = recorded && matches!(outcome, Outcome::Commit(()));
            Ok(outcome)
        })?;
        if has_recorded {
            recording.acting.recorded();
        }
        Ok(())
    }

    /// This store for an action that may take several transactions: its changes have one entry together, whatever they
    /// consist of.
    pub(crate) fn doing(&self, action: &'static str, target: Option<String>) -> Self {
        let doing =
            |RecordedHandle { acting, recorder }| RecordedHandle { acting: acting.doing(action, target), recorder };
        Self { recording: self.recording.clone().map(doing), ..self.clone() }
    }

    /// This store for work that nobody is answered for: it never waits for the replica, and needs no lease.
    pub(crate) fn locally(&self) -> Self {
        let durability = match self.durability() {
            Durability::Replicated => Some(Durability::Disk),
            Durability::Disk | Durability::System => self.durability,
        };
        Self { durability, is_local: true, ..self.clone() }
    }

    /// The handle that an opening returns: its writes are answered as the store was opened.
    pub(crate) fn answered_as_opened(self) -> Self {
        Self { durability: None, is_local: false, ..self }
    }

    /// Whether every write of this handle is refused now, since it would wait for the replica in vain.
    #[cfg(all(feature = "http", feature = "replica"))]
    pub(crate) fn waits_in_vain(&self) -> bool {
        self.durability() == Durability::Replicated && self.refuse_unless_shipped().is_err()
    }

    /// Runs work, and returns once its caller may be answered. R11: the replica has all that it wrote and saw, if this
    /// handle waits for that. R12: this process has its lease, if it needs one. No lock is held meanwhile.
    fn once_answerable(
        &self,
        work: TransactionWork<'_>,
        run: &dyn Fn(TransactionWork<'_>) -> Result<()>,
    ) -> Result<()> {
        let lease = &self.inner.context.lease;
        let (waits, needs_lease) = (self.durability() == Durability::Replicated, !self.is_local && lease.is_needed());
        if !waits && !needs_lease {
            return run(work);
        }
        self.refuse_forked()?;
        if waits {
            self.refuse_unless_shipped()?;
        }
        if needs_lease {
            lease.refuse_lapsed()?;
        }
        let mut worked = Worked::NotYet;
        let done = run(&mut |tx| {
            // Others may have changed something in the same batch.
            let others = std::mem::replace(&mut tx.batch.changed, false);
            let done = work(tx);
            worked = match &done {
                Ok(Outcome::Commit(())) if tx.batch.changed => Worked::Changed,
                Ok(_) => Worked::Looked,
                Err(_) => Worked::Failed,
            };
            tx.batch.changed |= others;
            done
        });
        match (&done, worked) {
            // Its own error is an answer, too. Other errors say nothing of what it saw.
            (Err(error), Worked::Failed) if error.kind() != ErrorKind::Forked => {}
            (Err(_), _) => return done,
            (Ok(()), _) => {}
        }
        let reached = if waits { self.wait_for_replica() } else { Ok(()) };
        // A change that the replica has is in the history, whoever goes on with it. Anything else may be of the past.
        let is_held = if needs_lease && !(waits && worked == Worked::Changed) { lease.refuse_lapsed() } else { Ok(()) };
        let reached = reached.and(is_held).map_err(|why| match worked {
            Worked::Changed => {
                let message = "the change is on this disk, and it is not known to be in the replica; look before it is \
                               repeated";
                Error::new(ErrorKind::Uncertain, format!("{message}: {why}")).with_source(why)
            }
            Worked::NotYet | Worked::Looked | Worked::Failed => {
                let message = "nothing was changed, and what was seen is not known to be in the replica";
                Error::new(ErrorKind::NotCommitted, format!("{message}: {why}")).with_source(why)
            }
        });
        reached.and(done)
    }
}

#[cfg(not(any(test, feature = "replica")))]
impl Store {
    /// Nothing is shipped without the feature.
    fn refuse_unless_shipped(&self) -> Result<()> {
        Err(Error::conflict("this program was built without the feature replica, so no write can wait for one"))
    }

    fn wait_for_replica(&self) -> Result<()> {
        self.refuse_unless_shipped()
    }
}
