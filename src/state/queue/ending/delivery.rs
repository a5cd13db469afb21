//! Gives back claims that nobody will work on.

use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::queue::claiming::claim::Claim;
use crate::state::queue::ending::finish::released;
use crate::state::queue::tasks::damage::PassedOver;
use crate::state::queue::tasks::saving::{Queue, names};

impl Store {
    /// Gives back claims that nobody will work on, as [`give_back`](Queue::give_back) does; returns their number.
    ///
    /// # Errors
    ///
    /// As [`give_back`](Queue::give_back) and [`Store::write`].
    pub fn give_back(&self, claims: &[Claim]) -> Result<usize> {
        self.write(|tx| tx.queue().give_back(claims))
    }
}

impl Queue<&mut WriteTx<'_>> {
    /// Releases claimed tasks as if they had not been claimed: no attempt is counted, and each keeps its place. A claim
    /// that has ended, because its lease ended or its task finished, is skipped. Returns the number of released tasks.
    ///
    /// # Errors
    ///
    /// `Damaged` when no task was released and one cannot be read; the message names it.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BotId, ClaimOptions, NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let bot = BotId::new("BOT-1")?;
    /// store.write(|tx| {
    ///     let task = tx.queue().enqueue(NewTask::new("build"))?;
    ///     let claims = tx.queue().claim(&bot, &ClaimOptions::default())?;
    ///     assert_eq!(tx.queue().give_back(&claims)?, 1);
    ///     assert_eq!(tx.queue().get(&task.id)?.unwrap().attempts, 0);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn give_back(&mut self, claims: &[Claim]) -> Result<usize> {
        let (mut given, mut passed) = (0, PassedOver::default());
        for claim in claims {
            let Some(Some(task)) = passed.whole(self.stored(&claim.id))? else { continue };
            if task.holder.as_ref().is_some_and(|holder| holder.token == claim.token) {
                self.change(&task, released(&task))?;
                given += 1;
            }
        }
        passed.unless(given > 0)?;
        if let Some(back) = names(claims.iter().map(|claim| &claim.id).filter(|_| given > 0)) {
            self.records.note("queue_give_back", Some(&back))?;
        }
        Ok(given)
    }
}
