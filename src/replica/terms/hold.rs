//! A hold: nothing that a restore reads is collected while it reads.

use super::chain;
use super::remote::{Deletes, Remote};
use super::settle::settle;
use crate::clock::as_stored;
use crate::error::Result;
use crate::replica::objects::kinds::Hold;
use crate::replica::objects::name::{ObjectName, ReplicaSlot};
use crate::replica::objects::object::{Object, StoredObject};

/// A hold that is about to be placed: nothing from this slot on is to be collected.
///
/// # Errors
///
/// `Invalid` when it is too long.
pub(crate) fn prepare_hold(remote: &impl Remote, from: ReplicaSlot) -> Result<StoredObject> {
    let nonce = remote.nonce();
    let (store, time, machine) = (remote.store(), as_stored(remote.now()), remote.machine());
    remote.prepare(ObjectName::Hold(nonce.0), Object::Hold(Hold { store, nonce, time, machine, from }), b"")
}

/// Places a hold, and looks at collections after that: one that announces later sees the hold. False if one has
/// announced or decided a higher floor before; then the restore chooses another base, and takes the hold away.
///
/// # Errors
///
/// The errors of the replica; `Forbidden` for credentials that may only read.
pub(crate) async fn place_hold(remote: &impl Remote, hold: &StoredObject, from: ReplicaSlot) -> Result<bool> {
    settle(remote, hold).await?;
    // L10: only after the hold, so a collection that is not seen here will see the hold at its second look.
    let floors = chain::floors(remote).await?;
    let decided = floors.decided.into_iter();
    let mut all = decided.chain(floors.undecided.into_iter().map(|(_, floor)| floor));
    Ok(all.all(|floor| from >= floor) || broken!(HoldsDoNotLookBack))
}

/// Takes a hold away. Only the process that placed it may: a clone that removed the hold of its original would take a
/// restore its objects.
///
/// # Errors
///
/// The errors of the replica.
pub(crate) async fn take_away(remote: &impl Deletes, hold: &StoredObject) -> Result<()> {
    remote.delete(hold.name).await
}
