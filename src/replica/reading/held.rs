//! The hold of a restore, or of another reader: nothing that it needs is collected meanwhile.

use crate::error::{ErrorKind, Result};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::name::ReplicaSlot;
use crate::replica::objects::object::StoredObject;
use crate::replica::terms::hold::{place_hold, prepare_hold, take_away};
use crate::replica::terms::remote::Deletes;

/// The hold of a reader.
pub(in crate::replica) enum Held {
    Placed(Box<StoredObject>),
    /// Credentials that may only read hold nothing. An object that is collected meanwhile is missed by its name.
    ReadOnly,
    /// A collection has announced that it deletes the base.
    TooLate,
}

impl Held {
    /// Keeps everything from a base on from being collected. A reader that is dropped half-way leaves its hold to
    /// [`let_all_go`].
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(in crate::replica) async fn place(remote: &OpenReplica, from: ReplicaSlot) -> Result<Self> {
        let hold = prepare_hold(remote, from)?;
        remote.note_hold(hold.name, true);
        match place_hold(remote, &hold, from).await {
            Ok(true) => Ok(Self::Placed(Box::new(hold))),
            Ok(false) => {
                take_away(remote, &hold).await?;
                remote.note_hold(hold.name, false);
                Ok(Self::TooLate)
            }
            Err(error) if error.kind() == ErrorKind::Forbidden => {
                remote.note_hold(hold.name, false);
                Ok(Self::ReadOnly)
            }
            Err(error) => {
                // It may be there: who tries again and again would leave one each time.
                if take_away(remote, &hold).await.is_ok() {
                    remote.note_hold(hold.name, false);
                }
                Err(error)
            }
        }
    }

    /// Lets it be collected again.
    pub(in crate::replica) async fn let_go(self, remote: &OpenReplica) {
        let Self::Placed(hold) = self else { return };
        match take_away(remote, &hold).await {
            Ok(()) => remote.note_hold(hold.name, false),
            Err(error) => tracing::warn!(%error, "a hold of the replica stays for a day"),
        }
    }
}

/// Takes away what readers of this process have held that were dropped half-way.
///
/// # Errors
///
/// The errors of the replica.
pub(in crate::replica) async fn let_all_go(remote: &OpenReplica) -> Result<()> {
    for hold in remote.holds() {
        remote.delete(hold).await?;
        remote.note_hold(hold, false);
    }
    Ok(())
}
