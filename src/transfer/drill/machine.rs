//! The machine is lost with its disk: the store comes back from elsewhere, such as a replica.

use std::time::Instant;

use crate::duration::since;
use crate::engine::store::Store;
use crate::error::Result;
use crate::transfer::drill::disk::until_it_works;
use crate::transfer::drill::loss::{self, Loss};
use crate::transfer::drill::rebuild::{Rebuild, needs_another_place};
use crate::transfer::drill::report::Measured;
use crate::transfer::drill::stage::{Stage, open};

/// A new store is made from elsewhere. Recovery ends when a bot has completed a task in it.
pub(super) fn machine_lost(stage: &Stage<'_>) -> Result<Measured> {
    let Rebuild(rebuild) = stage.options.rebuild.as_ref().ok_or_else(needs_another_place)?;
    let (copy, path) = (open(&stage.path())?, stage.scratch.file("machine.redb"));
    let copied = copy.clock().now();
    let disaster = Instant::now();
    let came = rebuild(&path)?;
    let rebuilt = disaster.elapsed();
    let after = open(&path)?;
    let is_newer = newest_of(&copy)?.is_some_and(|own| own <= came.sequence);
    // Others may have written since the copy was made, and what they changed is no loss.
    let records = if is_newer { 0 } else { loss::records(&copy.view()?, &after.view()?, &[])? };
    copy.close()?;
    after.close()?;
    let recovery = rebuilt + until_it_works(stage, &path)?;
    let notes = vec![format!("commit {} came back", came.sequence)];
    Ok(Measured { recovery, loss: Loss::of(records, since(came.time, copied)), notes })
}

/// The newest commit of a store that is in a replica.
#[cfg(feature = "replica")]
fn newest_of(store: &Store) -> Result<Option<u64>> {
    Ok(store.feed_status()?.map(|feed| feed.sequence))
}

#[cfg(not(feature = "replica"))]
fn newest_of(_: &Store) -> Result<Option<u64>> {
    Ok(None)
}
