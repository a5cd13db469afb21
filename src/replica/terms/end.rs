//! The end of the log of a term, found with few requests however long it is.

use super::chain::exists;
use super::remote::Remote;
use crate::error::Result;
use crate::replica::objects::name::{Folder, INDEX_MAX, ObjectName, ReplicaSlot};

/// A slot from which the end of a term is found by gets, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NearEnd {
    pub(crate) slot: ReplicaSlot,
    /// Whether a list has shown an object there, which may have been collected since.
    pub(crate) is_listed: bool,
}

/// The last object of a term that a list shows from a slot on, or one near the end if there are very many; the slot
/// itself if there is none. Nothing from the slot on may have been collected: then no slot is free before the end.
///
/// # Errors
///
/// The errors of the replica.
pub(crate) async fn near_end(remote: &impl Remote, from: ReplicaSlot) -> Result<NearEnd> {
    let before = from.index.checked_sub(1).map(|index| ObjectName::Log(ReplicaSlot { index, ..from }));
    let page = remote.list_page(Folder::Log(from.term), before, None).await?;
    let Some(ObjectName::Log(last)) = page.names.last().copied() else {
        return Ok(NearEnd { slot: from, is_listed: false });
    };
    if page.next.is_none() {
        return Ok(NearEnd { slot: last, is_listed: true });
    }
    let slot = leap(remote, last).await?;
    Ok(NearEnd { slot, is_listed: slot == last })
}

/// The last object in a row without a gap, from one of them on: by longer and longer steps, and then shorter ones.
async fn leap(remote: &impl Remote, from: ReplicaSlot) -> Result<ReplicaSlot> {
    let (mut at, mut step) = (from, 1);
    while let Some(next) = is_there(remote, at, step).await? {
        (at, step) = (next, step * 2);
    }
    while step > 1 {
        step /= 2;
        at = is_there(remote, at, step).await?.unwrap_or(at);
    }
    Ok(at)
}

/// The slot so many behind another one, if it has an object.
async fn is_there(remote: &impl Remote, from: ReplicaSlot, step: u64) -> Result<Option<ReplicaSlot>> {
    let slot = ReplicaSlot { index: from.index.saturating_add(step), ..from };
    if slot.index > INDEX_MAX {
        return Ok(None);
    }
    Ok(exists(remote, ObjectName::Log(slot)).await?.then_some(slot))
}
