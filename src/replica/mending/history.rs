//! Every change of a store up to its own place in the replica, for a heal: read once, and not kept.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::engine::feed::WholeState;
use crate::engine::repair::{Elsewhere, TakesChanges};
use crate::engine::row_change::changes;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::connection::runtime::block_on;
use crate::replica::objects::commits::ShippedCommit;
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::ObjectName;
use crate::replica::reading::bases::{Base, bases, newest_opened};
use crate::replica::reading::held::Held;
use crate::replica::reading::prefetch::Prefetch;
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::reading::verified_state::VerifiedState;
use crate::replica::restoring::restore::{Copier, LOG_AT_ONCE, PARTS_AT_ONCE, no_base};
use crate::replica::restoring::tried::Failed;
use crate::replica::terms::chain::{OpenedTerm, path};
use crate::replica::terms::remote::{Fit, Local, Remote, ReplicaPosition};
use crate::replica::terms::walk::{Until, Walked, walk};

/// The changes of a store in its replica.
pub(super) struct History<'c>(pub(super) &'c Copier);

impl Elsewhere for History<'_> {
    fn each_change(&self, position: Option<&[u8]>, taker: &mut dyn TakesChanges) -> Result<()> {
        let at = match position {
            None => None,
            Some([]) => return Err(Error::conflict("the store is in no replica yet; initialize one")),
            Some(bytes) => Some(ShippedTo::of_bytes(bytes)?),
        };
        block_on(self.0.each_change(at.as_ref(), taker))
    }
}

impl Copier {
    /// Gives every row of the newest base before a place of the store, and every change behind it up to the place;
    /// without one, up to the end.
    ///
    /// # Errors
    ///
    /// Every error of `taker`; `Conflict` when the replica is of another store, or does not have the history of this
    /// one up to the place; `NotFound` without a base that is so old; `Damaged`; the errors of the replica.
    async fn each_change(&self, at: Option<&ShippedTo>, taker: &mut dyn TakesChanges) -> Result<()> {
        let remote = &*self.remote;
        let replica = remote.store();
        if let Some(at) = at.filter(|at| at.store != replica) {
            let (message, store) = ("the replica is of another store", at.store);
            return Err(Error::conflict(format!("{message}: store={store} replica={replica}")));
        }
        let newest = newest_opened(remote).await?.ok_or_else(no_base)?;
        let mut first_error = None;
        for name in bases(remote).await? {
            let base = match Base::read(remote, name).await {
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    first_error.get_or_insert(error);
                    continue;
                }
                read => read?,
            };
            if at.is_some_and(|at| base.manifest.sequence > at.sequence) || name.slot.term > newest.term {
                continue;
            }
            let path = path(remote, newest.term, name.slot.term).await?;
            if !base.is_on(&path) {
                continue;
            }
            let held = Held::place(&self.remote, name.slot).await?;
            if matches!(held, Held::TooLate) {
                continue;
            }
            taker.begin()?;
            let read = self.read_from(&base, &path, at, taker).await;
            held.let_go(&self.remote).await;
            match read {
                Ok(()) => return Ok(()),
                // An older base may be whole.
                Err(Failed::Base(error)) if error.kind() == ErrorKind::Damaged => {
                    first_error.get_or_insert(error);
                }
                Err(Failed::Base(error) | Failed::Other(error)) => return Err(error),
            }
        }
        Err(first_error.unwrap_or_else(too_new))
    }

    async fn read_from(
        &self,
        base: &Base,
        path: &[OpenedTerm],
        at: Option<&ShippedTo>,
        taker: &mut dyn TakesChanges,
    ) -> Result<(), Failed> {
        let parts = base.parts.iter().zip(0..).map(|(entry, part)| base.part(&*self.remote, part, *entry));
        let mut parts = stream::iter(parts).buffered(PARTS_AT_ONCE);
        let mut whole = WholeState::default();
        while let Some(rows) = parts.try_next().await.map_err(Failed::Base)? {
            whole.count(&rows).map_err(Failed::Base)?;
            changes(&rows).try_for_each(|change| taker.take_change(&change?))?;
        }
        let name = ObjectName::Manifest(base.manifest.base);
        whole.compare(base.manifest.states.0).map_err(|error| Failed::Base(error.context(name)))?;
        let mut past = Past { state: VerifiedState::new(base.position(), whole.states().clone(), []), taker };
        let ahead = Prefetch::new(&*self.remote, LOG_AT_ONCE);
        let walked = walk(&ahead, &mut past, path, None, at.map(|at| Until::Sequence(at.sequence))).await?;
        let reached = past.state.at();
        match at {
            None if walked == Walked::Lost => Err(apart(&reached).into()),
            // The states are those of the store: so is all that led to them.
            Some(at) if reached.sequence != at.sequence || reached.states.0 != at.states().digest() => {
                Err(apart(&reached).into())
            }
            _ => Ok(()),
        }
    }
}

/// A state that moves along the log and passes on its changes.
struct Past<'t> {
    state: VerifiedState,
    taker: &'t mut dyn TakesChanges,
}

impl Local for Past<'_> {
    fn position(&self) -> Option<ReplicaPosition> {
        self.state.position()
    }

    fn newest(&self) -> Result<(u64, ObjectHash)> {
        self.state.newest()
    }

    fn set_position(&mut self, position: ReplicaPosition) -> Result<()> {
        self.state.set_position(position)
    }

    fn apply(&mut self, commits: &[ShippedCommit], position: ReplicaPosition) -> Result<(Fit, ObjectHash)> {
        for commit in commits {
            changes(&commit.rows).try_for_each(|change| self.taker.take_change(&change?))?;
        }
        self.state.apply(commits, position)
    }

    fn keep_aside(&mut self) -> Result<Fit> {
        self.state.keep_aside()
    }
}

fn apart(reached: &ReplicaPosition) -> Error {
    let message = "the replica does not have the history of the store up to where the store was shipped";
    Error::conflict(format!("{message}: slot={} sequence={}", reached.slot, reached.sequence))
}

fn too_new() -> Error {
    Error::not_found("every base of the replica is newer than the store")
}
