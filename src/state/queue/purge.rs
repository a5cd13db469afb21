//! Removing finished tasks after a time.

use jiff::Timestamp;

use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::queue::task::TaskState;
use crate::state::queue::{Queue, keys};

impl Queue<&mut WriteTx<'_>> {
    /// Removes at most `limit` tasks that finished before `time`, whether done, failed, dead or cancelled; gives how
    /// many. Their idempotency keys are forgotten with them. Call it again while it gives `limit`: several small
    /// transactions hold nobody up.
    ///
    /// # Errors
    ///
    /// `Damaged` when one of them cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{NewTask, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let month_ago = "2026-01-01T00:00:00Z".parse().unwrap();
    /// while store.write(|tx| tx.queue().purge(month_ago, 1000))? == 1000 {}
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn purge(&mut self, time: Timestamp, limit: usize) -> Result<usize> {
        let mut purged = 0;
        for state in TaskState::ALL.into_iter().filter(|state| state.is_finished()) {
            let range = keys::finished_before(state, time);
            let rows = self.records.rows(Table::Index, &range, limit - purged)?;
            for (row, _) in &rows {
                let task = self.indexed(&keys::task_of(row)?)?;
                self.erase(&task)?;
            }
            purged += rows.len();
        }
        Ok(purged)
    }
}
