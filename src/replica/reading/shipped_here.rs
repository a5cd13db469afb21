//! Whether a replica is the one that a store was shipped to: an older copy of the bucket has the same description.

use super::shipped::ShippedTo;
use crate::error::{Error, Result};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::name::{ObjectName, ReplicaSlot};
use crate::replica::terms::chain;
use crate::replica::terms::remote::Remote;

/// Refuses a replica that does not have the last object that the store has shipped, although nobody has taken the
/// history over. To go on there would leave a hole in the log, and the right replica would count as an older one then.
///
/// # Errors
///
/// `Conflict` for one; the errors of the replica.
pub(in crate::replica) async fn refuse_older(remote: &OpenReplica, at: &ShippedTo) -> Result<()> {
    let Some(index) = at.slot.index.checked_sub(1) else { return Ok(()) };
    let last = ReplicaSlot { index, ..at.slot };
    if remote.get(ObjectName::Log(last)).await?.is_some() || is_taken_over(remote, at).await? {
        return Ok(());
    }
    if chain::floors(remote).await?.announced.is_some_and(|floor| last < floor) {
        return Ok(());
    }
    let why = "the replica at this location does not have what was shipped to it: it is an older copy, or has lost objects; \
               correct the location, or initialize a replica elsewhere";
    Err(Error::conflict(format!("{why}: object={}", ObjectName::Log(last))))
}

async fn is_taken_over(remote: &OpenReplica, at: &ShippedTo) -> Result<bool> {
    Ok(chain::newest_open(remote).await?.is_some_and(|newest| newest.term > at.slot.term))
}
