//! A repair for which the replica has what is lost.

use std::path::Path;

use super::history::History;
use crate::engine::repair::LogIs;
use crate::engine::store::Store;
use crate::error::Result;
use crate::recovery::repair::plan::RepairPlan;
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::runtime::block_on;
use crate::replica::restoring::restore::Copier;

impl Store {
    /// Plans a repair as [`Store::plan_repair`] does, and looks up in the replica of the store what is lost: the newest
    /// change of each lost row, as of the damaged file. Changes that the replica does not have come from the file,
    /// which keeps them until they are shipped.
    ///
    /// Records are taken from there only if their collection then has the count, the bytes and the digest that it had
    /// before the damage; all other rows only if no change is missing. Everything else is lost as in any repair, and
    /// never an older value is put in its place silently. The repaired store belongs to no replica.
    ///
    /// # Errors
    ///
    /// As [`Store::plan_repair`]; `NotFound` when there is no replica; `Conflict` when it is of another store, or does
    /// not have the history of this one; `Invalid` with a hint when it is encrypted for others; the errors of the
    /// bucket.
    pub fn plan_repair_from_replica(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        replica: &ReplicaLocation,
        identity: Option<&str>,
    ) -> Result<RepairPlan> {
        let copier = block_on(Copier::open(replica, identity))?;
        Self::plan_repair_with(from.as_ref(), to.as_ref(), LogIs::Used, Some(&History(&copier)))
    }
}
