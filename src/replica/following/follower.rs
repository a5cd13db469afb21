//! A copy that follows the log of a replica.
//!
//! It asks for the next object by its name, since a list costs more. The commits of an object and the new position are
//! one transaction, so a kill at any time leaves a copy that goes on. If the history went another way than the copy,
//! or the copy is damaged, it begins anew with a base.

use std::path::{Path, PathBuf};

use super::handover::{begin_and_release, given_up};
use super::lost::is_lost;
use super::take_over::{ReplicaThen, TakeOverOptions, TakenOver, take_over_open};
use crate::engine::feed::{FollowingLock, Receiver};
use crate::engine::store::{Options, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::connection::probe::{probe_briefly, try_write};
use crate::replica::objects::name::ReplicaSlot;
use crate::replica::reading::held::Held;
use crate::replica::reading::position::CopyPosition;
use crate::replica::reading::prefetch::Prefetch;
use crate::replica::restoring::fill::Filler;
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::restoring::restore::{Copier, CopyDraft, LOG_AT_ONCE, RestoredCopy};
use crate::replica::terms::chain::{may_be_collected, opened};
use crate::replica::terms::follow::{Followed, follow};
use crate::replica::terms::lease::{Lease, Silence, is_sealed};
use crate::replica::terms::open::{Beginning, BegunFrom, OpenedAs};
use crate::replica::terms::remote::Remote;
use crate::state::INDEXES;
use crate::transfer::unnamed::Unnamed;

/// After so many steps in a row that found nothing, a list is asked too, and whether the next object was collected.
const LOOK_AFTER: u32 = 60;
/// So many steps count as done where the very next one is to look: the copy may have been away for any time.
const LOOK_NEXT: u32 = LOOK_AFTER - 1;
/// So often a copy that is not behind catches up before it takes the replica over; a writer may always be a little
/// ahead.
const CATCH_UPS: u32 = 4;
/// A copy that is behind has come near after so many steps, however fast the writer is.
const STEPS_MAX: u32 = 1_000;
/// A copy that was so many objects behind may be behind again.
const BEHIND: u32 = 3;
/// A step goes over so many objects at most, so that the caller hears of it while a writer is as fast.
const STEP_OBJECTS: u32 = 1_000;

/// A copy that follows the log of a replica.
pub(crate) struct Follower {
    copier: Copier,
    path: PathBuf,
    options: Options,
    /// None after a failure, until it is opened again.
    receiver: Option<Receiver>,
    /// None until it is opened, and once the file is another one.
    following: Option<FollowingLock>,
    is_behind: bool,
    /// How many steps in a row have found nothing.
    idle: u32,
    /// The slot of the next object, for how long it was awaited, and the lease of its term.
    silence: Option<(Silence, Option<Lease>)>,
    /// The slot at which the term was found sealed, and the silence began anew.
    sealed: Option<ReplicaSlot>,
    /// Keeps all that the copy was made of from being collected until its first term is open.
    held: Option<Held>,
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FollowerStep {
    /// There is nothing new yet.
    Nothing,
    /// The copy went on, to this position.
    Moved(CopyPosition),
    /// The copy was made anew. Others who had it open open it again.
    Anew(CopyPosition),
}

impl Follower {
    /// Opens the copy at a path, or makes it.
    ///
    /// # Errors
    ///
    /// `Conflict` when there is another file, or a copy of another replica; `Locked` when another process follows with
    /// the copy; as [`Copier::restore`].
    pub(crate) async fn open(copier: Copier, path: &Path, options: Options) -> Result<Self> {
        if std::fs::symlink_metadata(path).is_err() {
            copier.restore(path, &ReplicaMoment::Newest).await?;
        }
        let path = path.to_path_buf();
        let mut standby = Self {
            copier,
            path,
            options,
            receiver: None,
            following: None,
            is_behind: true,
            idle: LOOK_NEXT,
            silence: None,
            sealed: None,
            held: None,
        };
        standby.opened()?;
        Ok(standby)
    }

    /// Makes a copy of a moment, which is to take its replica over.
    ///
    /// # Errors
    ///
    /// As [`Copier::restore`], and as [`Follower::open`].
    pub(crate) async fn restore(
        copier: Copier,
        path: &Path,
        at: &ReplicaMoment,
        options: Options,
    ) -> Result<(Self, RestoredCopy)> {
        let remote = copier.remote.clone();
        let (restored, held) = copier.restore_held(path, at).await?;
        match Self::open(copier, path, options).await {
            Ok(copy) => Ok((Self { held: Some(held), ..copy }, restored)),
            Err(error) => {
                held.let_go(&remote).await;
                Err(error)
            }
        }
    }

    /// Lets be collected what the copy was made of.
    pub(crate) async fn let_go(&mut self) {
        if let Some(held) = self.held.take() {
            held.let_go(&self.copier.remote).await;
        }
    }

    /// The copy, to be read. It is another one after [`FollowerStep::Anew`].
    ///
    /// # Errors
    ///
    /// As opening a store.
    pub(crate) fn store(&mut self) -> Result<&Store> {
        Ok(self.opened()?.store())
    }

    /// Writes a small object, and removes it.
    ///
    /// # Errors
    ///
    /// As creating an object.
    pub(crate) async fn try_write(&self) -> Result<()> {
        try_write(self.copier.remote.bucket()).await
    }

    /// How far it has come.
    ///
    /// # Errors
    ///
    /// As a view.
    pub(crate) fn position(&mut self) -> Result<CopyPosition> {
        CopyPosition::of_bytes(&self.opened()?.position()?)
    }

    /// The lease of the process that writes, and whether it has run out unless an object is still on its way; none
    /// without a lease. It counts from the first call behind an object, and once more from the first that finds the
    /// term sealed by another process, which waits for the end of the lease too. It never runs out where the next
    /// object may have been collected: the next step makes the copy anew then.
    ///
    /// # Errors
    ///
    /// The errors of the replica; as a view.
    pub(crate) async fn lease(&mut self) -> Result<Option<(Lease, bool)>> {
        let slot = self.position()?.slot;
        let known = self.silence.filter(|(silence, _)| silence.slot.term == slot.term);
        let remote = &*self.copier.remote;
        let lease = match known {
            Some((_, lease)) => lease,
            None => opened(remote, slot.term).await?.and_then(|term| Lease::of(&term)),
        };
        let awaited = known.map(|(silence, _)| silence).filter(|silence| silence.slot == slot);
        let mut silence = awaited.unwrap_or_else(|| Silence { slot, since: remote.boot_time() });
        let mut is_over = lease.is_some_and(|lease| silence.length(remote) >= lease.length());
        if is_over && self.sealed != Some(slot) && is_sealed(remote, slot).await? {
            (self.sealed, silence.since, is_over) = (Some(slot), remote.boot_time(), false);
        }
        // L9: what the writer has written there is not there any more, so its absence is no silence.
        if is_over && may_be_collected(remote, slot).await? {
            (self.silence, self.idle) = (None, LOOK_NEXT);
            return Ok(lease.map(|lease| (lease, false)));
        }
        self.silence = Some((silence, lease));
        Ok(lease.map(|lease| (lease, is_over)))
    }

    /// Applies all that is in the replica now.
    ///
    /// # Errors
    ///
    /// `Damaged` for an object that is missing or wrong, with its name; the errors of the replica; `Full`, `Io`.
    pub(crate) async fn step(&mut self) -> Result<FollowerStep> {
        let (before, begun) = (self.position()?, self.copier.remote.boot_time());
        let followed = self.follow(&before).await;
        let took = self.copier.remote.boot_time().saturating_sub(begun);
        // The writer was not silent while this copy heard nothing. Other requests say nothing of that: some take long.
        if followed.is_err() || self.silence.is_some_and(|(_, lease)| lease.is_some_and(|lease| took > lease.renewal()))
        {
            self.silence = None;
        }
        if followed.is_err() {
            self.idle = LOOK_NEXT;
        }
        let (followed, moved) = followed?;
        self.is_behind = moved >= BEHIND;
        if followed == Followed::Lost {
            return self.anew().await;
        }
        if moved > 0 {
            self.idle = 0;
            return self.position().map(FollowerStep::Moved);
        }
        self.idle = self.idle.saturating_add(1);
        if self.idle.is_multiple_of(LOOK_AFTER) && is_lost(&self.copier.remote, &before).await? {
            return self.anew().await;
        }
        Ok(FollowerStep::Nothing)
    }

    /// Makes the copy the source of the replica: opens the next term, which ends the one of the process that writes
    /// now, applies everything that this process has written, and leaves the copy as a store that is written to.
    ///
    /// # Errors
    ///
    /// `Conflict` when another process takes over at the same moment, or the copy is not part of the history any more;
    /// as [`Follower::step`]. The copy follows on then.
    pub(crate) async fn promote(mut self, how: &TakeOverOptions) -> Result<TakenOver> {
        let done = self.promote_held(how).await;
        self.let_go().await;
        done
    }

    async fn promote_held(&mut self, how: &TakeOverOptions) -> Result<TakenOver> {
        how.refuse_other_store()?;
        self.idle = LOOK_NEXT;
        // So little is left that the writer is kept waiting for a moment only.
        let mut near = 0;
        for _ in 0..STEPS_MAX {
            if self.step().await? == FollowerStep::Nothing || near == CATCH_UPS {
                break;
            }
            near += u32::from(!self.is_behind);
        }
        probe_briefly(self.copier.remote.bucket()).await?;
        self.step().await?;
        let position = self.position()?;
        if how.if_silent && !self.lease().await?.is_some_and(|(_, is_over)| is_over) {
            return Err(Error::conflict(
                "the writer of the replica has given a sign meanwhile, so the copy follows on",
            ));
        }
        let silence = self.silence.map(|(silence, _)| silence);
        let beginning =
            Beginning { silence, if_silent: how.if_silent, is_forced: how.force, ..BegunFrom::Promotion.into() };
        self.begin(&position, beginning, how).await
    }

    /// Makes the copy as it is the source of the replica, which gives up what it has behind it: opens the next term,
    /// which ends the one of the process that writes now.
    ///
    /// # Errors
    ///
    /// `Conflict` when another process takes over at the same moment, or the copy is not part of the history any more;
    /// the errors of the replica. The copy stays one then.
    pub(crate) async fn take_over(mut self, how: &TakeOverOptions) -> Result<TakenOver> {
        let done = self.take_over_held(how).await;
        self.let_go().await;
        done
    }

    async fn take_over_held(&mut self, how: &TakeOverOptions) -> Result<TakenOver> {
        how.refuse_other_store()?;
        if how.if_silent {
            return Err(Error::invalid("a copy of an earlier moment never takes over by itself; leave if_silent out"));
        }
        probe_briefly(self.copier.remote.bucket()).await?;
        let position = self.position()?;
        self.begin(&position, Beginning { is_forced: how.force, ..BegunFrom::Restore.into() }, how).await
    }

    async fn begin(
        &mut self,
        position: &CopyPosition,
        beginning: Beginning,
        how: &TakeOverOptions,
    ) -> Result<TakenOver> {
        let mut filler = Filler::resume(self.taken()?, position)?;
        let opened = begin_and_release(&*self.copier.remote, &mut filler, beginning).await;
        let (receiver, opened) = filler.end(opened)?;
        let message = match opened? {
            OpenedAs::Writer(term, _) => {
                let given_up = given_up(&*self.copier.remote, term, position.sequence).await;
                let taken = take_over_open(receiver, how, ReplicaThen::GoesOn)?;
                return Ok(TakenOver { given_up, ..taken });
            }
            OpenedAs::Overtaken => "another process takes the replica over at the same moment; look which one it is",
            OpenedAs::Apart if beginning.from == BegunFrom::Restore => {
                "the history was moved to this moment or an earlier one since this copy was made, perhaps for this copy: \
                 promote it, or restore the newest state"
            }
            OpenedAs::Apart => "the copy could not come to the end of the replica; try again",
        };
        Err(Error::conflict(message))
    }

    /// Closes the copy.
    ///
    /// # Errors
    ///
    /// As closing a store.
    pub(crate) fn close(mut self) -> Result<()> {
        self.receiver.take().map_or(Ok(()), Receiver::close)
    }

    /// Follows the log as far as it goes, or over some objects, and says over how many.
    async fn follow(&mut self, position: &CopyPosition) -> Result<(Followed, u32)> {
        let mut filler = Filler::resume(self.taken()?, position)?;
        // One request after another is slower than a writer that is nearer to the bucket.
        let (at_once, most) = if self.is_behind { (LOG_AT_ONCE, STEP_OBJECTS) } else { (1, BEHIND) };
        let (ahead, mut moved) = (Prefetch::new(&*self.copier.remote, at_once), 0);
        let followed = loop {
            let step = follow(&ahead, &mut filler).await;
            let has_moved = matches!(step, Ok(Followed::Moved));
            moved += u32::from(has_moved);
            if !has_moved || moved == most {
                break step;
            }
        };
        let (receiver, done) = filler.end(followed)?;
        self.receiver = Some(receiver);
        done.map(|followed| (followed, moved))
    }

    /// A new copy in place of this one, which stays as it is until then.
    async fn anew(&mut self) -> Result<FollowerStep> {
        tracing::warn!(path = %self.path.display(), "the history of the replica went another way; the copy is made anew");
        let CopyDraft { file, held, .. } = self.copier.draft(&self.path, &ReplicaMoment::Newest).await?;
        let anew = self.become_anew(file);
        held.let_go(&self.copier.remote).await;
        anew
    }

    /// Puts a new copy in the place of this one, unless that is none any more: the lock keeps away only those that look
    /// for it.
    pub(super) fn become_anew(&mut self, file: Unnamed) -> Result<FollowerStep> {
        let receiver = self.taken()?;
        receiver.position()?;
        receiver.store().refuse_moved()?;
        receiver.close()?;
        file.replace(&self.path)?;
        (self.is_behind, self.idle, self.silence, self.following) = (true, 0, None, None);
        self.position().map(FollowerStep::Anew)
    }

    fn opened(&mut self) -> Result<&mut Receiver> {
        let receiver = self.taken()?;
        Ok(self.receiver.insert(receiver))
    }

    fn taken(&mut self) -> Result<Receiver> {
        if let Some(receiver) = self.receiver.take() {
            return Ok(receiver);
        }
        let opened = Receiver::open(&self.path, self.options.clone().session(false), INDEXES);
        if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Conflict) {
            // Somebody else has promoted it, and may ship it now.
            self.following = None;
        }
        let receiver = opened?;
        let (own, other) = (self.copier.remote.store(), CopyPosition::of_bytes(&receiver.position()?)?.store);
        if own != other {
            let path = self.path.display();
            let why = "the file is a copy of another store; name another path";
            return Err(Error::conflict(format!("{why}: path={path} store={other} replica={own}")));
        }
        if self.following.is_none() {
            self.following = Some(receiver.store().lock_following()?);
        }
        Ok(receiver)
    }
}
