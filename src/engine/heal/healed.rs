//! The healing of a store: the rows that are written.

use super::judge::Judged;
use super::report::{HealReport, Remedy};
use crate::engine::commit::{Outcome, Size};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;

/// The bytes of rows that one transaction writes: a replica need not get more at once.
const BATCH_BYTES: usize = 4 << 20;

impl Store {
    /// Writes proved bytes in the place of damaged ones, each row that is still as it was seen. `note` is called in
    /// each transaction with the number of its rows.
    ///
    /// # Errors
    ///
    /// As a write, and every error of `note`.
    pub(crate) fn put_remedies(
        &self,
        judged: Judged,
        note: impl Fn(&mut WriteTx<'_>, u64) -> Result<()>,
    ) -> Result<HealReport> {
        let Judged { mut report, remedies } = judged;
        let mut rest = remedies.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|remedy| {
                bytes += remedy.key.len() + remedy.bytes.len();
                bytes <= BATCH_BYTES
            });
            let (now, later) = rest.split_at(fits.count().clamp(1, rest.len()));
            rest = later;
            let put: Vec<_> = self.alone_with(Size::Large, |tx| {
                let mut put = Vec::new();
                for remedy in now {
                    put.extend(tx.put_remedy(remedy)?.then_some(remedy));
                }
                if !put.is_empty() {
                    note(tx, put.len() as u64)?;
                }
                Ok(Outcome::Commit(put))
            })?;
            put.iter().for_each(|remedy| report.heal(remedy.table, &remedy.key));
        }
        Ok(report)
    }
}

impl WriteTx<'_> {
    /// Writes the bytes of a row, unless it was changed since; says whether it did.
    fn put_remedy(&mut self, Remedy { table, key, seen, bytes }: &Remedy) -> Result<bool> {
        let is_as_seen = self.stored().get(*table, key)?.is_some_and(|now| blake3::hash(&now) == *seen);
        if is_as_seen {
            self.insert(*table, key, bytes)?;
        }
        Ok(is_as_seen)
    }
}
