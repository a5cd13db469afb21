//! The state before a file and its replica went apart, and the file, both opened to be read.

use std::path::Path;

use jiff::Timestamp;

use super::fork::{self, Fork};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::files::folder_of;
use crate::replica::checks::drill::{look, refuse_full};
use crate::replica::checks::status::status;
use crate::replica::objects::name::Term;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::restoring::restore::Copier;
use crate::replica::terms::remote::Remote;
use crate::transfer::drill::scratch::{Scratch, remove_left};

/// The two states with which a store is compared.
pub(super) struct Sides {
    pub(super) base: Store,
    pub(super) file: Store,
    /// The last commit that both histories have, and when it was shipped.
    pub(super) fork: Fork,
    pub(super) time: Timestamp,
    /// Removed with it.
    _scratch: Scratch,
}

impl Sides {
    /// Opens the file, and restores the state at which it went apart, into a folder beside the store or `within`
    /// another.
    ///
    /// # Errors
    ///
    /// As [`fork::find`]; `NotFound` when the replica no longer has that state; `Invalid` when the file is the store's
    /// own; `Full`; as opening a store.
    pub(super) async fn open(copier: &Copier, store: &Store, path: &Path, within: Option<&Path>) -> Result<Self> {
        refuse_own(store, path)?;
        let file = look(path)?;
        let fork = fork::find(&copier.remote, &file).await?;
        refuse_stranger(copier, store, fork.newest)?;
        let within = within.unwrap_or_else(|| folder_of(store.path()));
        remove_left(within);
        refuse_full("a copy to compare with", within, &status(&copier.remote).await?)?;
        let scratch = Scratch::empty(store.path(), within)?;
        let at = ReplicaMoment::Sequence(fork.sequence);
        let restored = copier.restore(&scratch.store(), &at).await.map_err(|error| gone(error, fork.sequence))?;
        if fork.states.is_some_and(|states| states != restored.position.states) {
            let message =
                "the replica has another state than the file where both went apart; compare the file with the store";
            return Err(Error::damaged(format!("{message}: sequence={}", fork.sequence)));
        }
        let base = look(&scratch.store())?;
        Ok(Self { base, file, fork, time: restored.position.time, _scratch: scratch })
    }
}

impl std::fmt::Debug for Sides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sides").field("fork", &self.fork).finish_non_exhaustive()
    }
}

fn refuse_own(store: &Store, path: &Path) -> Result<()> {
    let is_own = matches!((store.path().canonicalize(), path.canonicalize()), (Ok(own), Ok(other)) if own == other);
    match is_own {
        true => Err(Error::invalid("the file is the store itself; name the file that was overtaken")),
        false => Ok(()),
    }
}

/// Refuses a store that does not write the newest term: another one goes on with the history.
fn refuse_stranger(copier: &Copier, store: &Store, newest: Term) -> Result<()> {
    let position = store.feed_status_of_file()?.map(|status| status.position).unwrap_or_default();
    let goes_on =
        ShippedTo::of_bytes(&position).is_ok_and(|at| (at.store, at.slot.term) == (copier.remote.store(), newest));
    match goes_on && store.overtaken()?.is_none() {
        true => Ok(()),
        false => Err(Error::conflict(
            "the store is not the one that goes on with the replica; name that one, once it has shipped its first commit",
        )),
    }
}

fn gone(error: Error, sequence: u64) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Conflict => {
            let message = "the replica no longer has the state at which the file went apart, so nothing tells what only the \
                           file has; compare the file with the store";
            Error::not_found(format!("{message}: sequence={sequence}")).with_source(error)
        }
        _ => error,
    }
}
