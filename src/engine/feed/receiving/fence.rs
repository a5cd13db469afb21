//! R9: a store whose history another machine goes on with, so that nobody writes to this file any more. The row `fence`
//! of `meta` makes a store one.

use super::overtaken::Fence;
#[cfg(any(test, feature = "replica"))]
use crate::engine::commit::{Outcome, Size, with_result};
use crate::engine::meta;
use crate::engine::meta_row::MetaRow;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;

pub(in crate::engine::feed) const FENCE: MetaRow<Fence> = MetaRow::new(meta::FENCE);

impl Store {
    /// The row of a store that was overtaken, or the same as this process knows it; none for another store.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(crate) fn overtaken(&self) -> Result<Option<Fence>> {
        match self.inner.context().told.fenced() {
            None => FENCE.read(&self.view()?),
            known => Ok(known),
        }
    }

    /// Whether the store was overtaken when it was opened, or this process knows that it was since.
    pub(crate) fn is_overtaken(&self) -> bool {
        let context = self.inner.context();
        context.told.is_fenced() || context.was_overtaken.get() == Some(&true)
    }

    /// Whether nobody writes through this store: it was opened for reading only, is a standby, or another machine has
    /// its history.
    pub(crate) fn is_only_read(&self) -> bool {
        self.only_looks() || self.is_overtaken()
    }

    /// Whether this process leaves the store alone now: nobody writes to it, or another machine may have its history,
    /// as the lease has run out.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.is_only_read() || self.inner.context().lease.refuse_lapsed().is_err()
    }

    /// Notes at opening whether the store was overtaken. Where that cannot be read, every write looks again.
    pub(in crate::engine) fn note_overtaken(&self) {
        if let Ok(row) = self.overtaken() {
            self.inner.context().was_overtaken.get_or_init(|| row.is_some());
        }
    }

    /// R5 and R9: refuses a change of a file that nobody writes to.
    ///
    /// # Errors
    ///
    /// `Conflict` for one.
    pub(in crate::engine) fn refuse_unless_written_to(&self) -> Result<()> {
        self.refuse_standby()?;
        let context = self.inner.context();
        context.told.refuse_fenced()?;
        match context.may_be_overtaken() {
            true => self.overtaken()?.map_or(Ok(()), |fence| Err(fence.refusal())),
            false => Ok(()),
        }
    }
}

#[cfg(any(test, feature = "replica"))]
impl Store {
    /// Another machine goes on with the history: keeps this process from writing at once, and then every other one, now
    /// and later, by the row.
    ///
    /// # Errors
    ///
    /// As a write: then this process writes nothing all the same.
    pub(crate) fn fence(&self, fence: &Fence) -> Result<()> {
        self.inner.context().told.fence(fence.clone());
        self.inner.context().awaited.look();
        let work = |tx: &mut WriteTx<'_>| {
            tx.batch.is_fence = true;
            if FENCE.read(tx)?.is_some() {
                return Ok(Outcome::Abort(()));
            }
            tx.refuse_older_programs()?;
            FENCE.put(tx, fence).map(Outcome::Commit)
        };
        // Without an entry of an actor, and in no entry of the log: the row says something about the file alone.
        with_result(work, |work| {
            self.with_handle_in_turn(|handle| self.inner.gate.alone(handle, &self.inner.context, Size::Large, work))
        })
    }
}

#[cfg(feature = "replica")]
impl Store {
    /// Keeps this process from writing for another reason, until it opens the store again, or has a term of its own.
    pub(crate) fn refuse_writes(&self, reason: String) {
        self.inner.context().told.refuse(reason);
        self.inner.context().awaited.look();
    }

    /// Lets this process write again: it has a term of its own.
    pub(crate) fn allow_writes(&self) {
        self.inner.context().told.allow();
    }
}

impl WriteTx<'_> {
    /// R5 and R9: the same within a transaction, as another process may have changed the row since the opening.
    pub(in crate::engine) fn refuse_unless_written_to(&self) -> Result<()> {
        self.refuse_standby()?;
        self.overtaken()?.map_or(Ok(()), |fence| Err(fence.refusal()))
    }

    /// The row of a store that was overtaken.
    pub(in crate::engine) fn overtaken(&self) -> Result<Option<Fence>> {
        if self.context.may_be_overtaken() { FENCE.read(self) } else { Ok(None) }
    }
}
