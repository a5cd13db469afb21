//! The objects for which a copy waits in vain.

use crate::error::Result;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::name::{ObjectName, ReplicaSlot};
use crate::replica::objects::object::Object;
use crate::replica::reading::bases::missing;
use crate::replica::reading::position::CopyPosition;
use crate::replica::terms::chain::may_be_collected;
use crate::replica::terms::remote::Remote as _;

/// Whether the next object was collected, so that it will never come.
///
/// # Errors
///
/// `Damaged` when it is missing although there are others behind it; the errors of the replica.
pub(super) async fn is_lost(remote: &OpenReplica, position: &CopyPosition) -> Result<bool> {
    if may_be_collected(remote, position.slot).await? {
        return Ok(true);
    }
    let name = ObjectName::Log(position.slot);
    // First the list, then the object: the other way round, both may be written in between.
    let goes_on = remote.is_listed_behind(position.slot).await?;
    let found = remote.get(name).await?;
    if goes_on && found.is_none() {
        return Err(missing(name));
    }
    // Behind a seal the next term begins, with an opening that is never deleted.
    if found.is_some_and(|found| matches!(found.object, Object::Seal(_))) {
        let next = ReplicaSlot::opening(position.slot.term.next()?);
        if remote.is_listed_behind(next).await? && remote.get(ObjectName::Log(next)).await?.is_none() {
            return Err(missing(ObjectName::Log(next)));
        }
    }
    Ok(false)
}
