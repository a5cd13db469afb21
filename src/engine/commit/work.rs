//! The work of a transaction without its result, so that the gate is compiled once for all work.

use super::batch::Outcome;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};

/// The work of one transaction. It is called once.
pub(crate) type TransactionWork<'w> = &'w mut dyn FnMut(&mut WriteTx<'_>) -> Result<Outcome<()>>;

/// Does work through a function that knows nothing of its result.
pub(crate) fn with_result<R>(
    work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
    run: impl FnOnce(TransactionWork<'_>) -> Result<()>,
) -> Result<R> {
    let (mut work, mut result) = (Some(work), None);
    let not_run = || Error::new(ErrorKind::NotCommitted, "the work of the transaction did not run");
    run(&mut |tx| {
        let work = work.take().ok_or_else(not_run)?;
        let (done, outcome) = match work(tx)? {
            Outcome::Commit(done) => (done, Outcome::Commit(())),
            Outcome::Abort(done) => (done, Outcome::Abort(())),
        };
        result = Some(done);
        Ok(outcome)
    })?;
    result.ok_or_else(not_run)
}
