//! A restore: a new copy of the state at a moment, from the newest base before it and the commits behind that.
//!
//! The copy gets its name only once all of it is there, and compared with the source. Nobody writes to it until it is
//! taken over.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::fill::Filler;
use super::moment::ReplicaMoment;
use super::needed::Needed;
use super::refusals::{ahead, in_gap, not_reached, set_back, too_old};
use super::tried::{Failed, Tried};
use crate::clock::{Clock, SystemClock, after};
use crate::engine::feed::Receiver;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::cipher::Identities;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::kinds::LogOpen;
use crate::replica::objects::name::{BaseName, ObjectName, ReplicaSlot};
use crate::replica::objects::object::Object;
use crate::replica::reading::bases::{Base, bases, kept_bases, missing, newest_opened, opened_on_base};
use crate::replica::reading::held::Held;
use crate::replica::reading::position::CopyPosition;
use crate::replica::reading::prefetch::Prefetch;
use crate::replica::terms::chain::{OpenedTerm, path};
use crate::replica::terms::remote::{Local, Remote, ReplicaPosition};
use crate::replica::terms::rules::broken;
use crate::replica::terms::walk::{Until, Walked, walk};
use crate::state::INDEXES;
use crate::transfer::unnamed::{Unnamed, refuse_existing};

/// So many parts of a base are fetched at once.
pub(in crate::replica) const PARTS_AT_ONCE: usize = 3;
/// So many objects of the log are fetched at once.
pub(in crate::replica) const LOG_AT_ONCE: u64 = 24;

/// The clock of the machine that writes may be ahead of the own one by so much.
const SKEW: Duration = Duration::from_secs(60);

/// Where copies come from, and how they are made.
#[derive(Clone)]
pub(crate) struct Copier {
    pub(crate) remote: Arc<OpenReplica>,
    /// The name of the replica, for messages.
    pub(crate) from: String,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestoredCopy {
    pub(crate) position: CopyPosition,
    /// The base that it began with.
    pub(crate) base: BaseName,
    /// Newer bases that could not be used, with the reasons.
    pub(crate) passed_over: Vec<String>,
}

/// A copy that is to get a name.
pub(in crate::replica) struct CopyDraft {
    pub(in crate::replica) file: Unnamed,
    pub(in crate::replica) restored: RestoredCopy,
    /// Keeps all that it was made of from being collected.
    pub(in crate::replica) held: Held,
}

impl Copier {
    /// Copies from the replica at a location.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none; `Invalid` for an identity that is none; the errors of the bucket.
    pub(crate) async fn open(from: &ReplicaLocation, identity: Option<&str>) -> Result<Self> {
        let identities = identity.map_or(Ok(Identities::default()), Identities::parse)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let remote = Arc::new(OpenReplica::open(&from.0, identities, clock.clone()).await?);
        Ok(Self { remote, from: from.to_string(), clock })
    }

    /// Makes a copy at `to` of the state at a moment.
    ///
    /// # Errors
    ///
    /// `Conflict` when there is a file, when nothing behind the moment is in the replica, or when its commits are not
    /// in it; `NotFound` when nothing that old is there; `Invalid` for a part of the id of a point; `Damaged` for an
    /// object that is missing or wrong, with its name; the errors of the replica; `Full`, `Io`. Then there is no file
    /// at `to`.
    pub(crate) async fn restore(&self, to: &Path, at: &ReplicaMoment) -> Result<RestoredCopy> {
        let (restored, held) = self.restore_held(to, at).await?;
        held.let_go(&self.remote).await;
        Ok(restored)
    }

    /// The same, with all that the copy was made of kept from being collected.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore).
    pub(in crate::replica) async fn restore_held(&self, to: &Path, at: &ReplicaMoment) -> Result<(RestoredCopy, Held)> {
        refuse_existing(to)?;
        let CopyDraft { file, restored, held } = self.draft(to, at).await?;
        match file.name(to) {
            Ok(()) => Ok((restored, held)),
            Err(error) => {
                held.let_go(&self.remote).await;
                Err(error)
            }
        }
    }

    /// A copy that is to get a name.
    pub(in crate::replica) async fn draft(&self, to: &Path, at: &ReplicaMoment) -> Result<CopyDraft> {
        at.refuse_partial_id()?;
        let remote = &*self.remote;
        let newest = newest_opened(remote).await?.ok_or_else(no_base)?;
        let bases = bases(remote).await?;
        if bases.is_empty() {
            return Err(no_base());
        }
        let mut tried = Tried::default();
        for name in bases {
            match self.draft_from(to, at, &newest, name, &mut tried).await {
                Ok(Some((file, position, held))) => {
                    let restored = RestoredCopy { position, base: name, passed_over: tried.passed_over() };
                    return Ok(CopyDraft { file, restored, held });
                }
                // It is behind the moment, or no part of the history.
                Ok(None) => {}
                Err(failed) => tried.note(at, name, failed)?,
            }
        }
        Err(match tried.into_error() {
            Some(error) => error,
            None => too_old(at, self.oldest(&newest).await?.as_ref()),
        })
    }

    /// The oldest state from which a copy can begin; none if that is just being removed.
    async fn oldest(&self, newest: &OpenedTerm) -> Result<Option<ReplicaPosition>> {
        for name in kept_bases(&*self.remote).await?.into_iter().rev().filter(|name| name.slot.term <= newest.term) {
            let path = path(&*self.remote, newest.term, name.slot.term).await?;
            match Base::read(&*self.remote, name).await {
                Ok(base) if base.is_on(&path) => return Ok(Some(base.position())),
                Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// A copy from a base, with the commits up to a newer one from which a restore point was not found, if there is
    /// one.
    async fn draft_from(
        &self,
        to: &Path,
        at: &ReplicaMoment,
        newest: &OpenedTerm,
        name: BaseName,
        tried: &mut Tried,
    ) -> Result<Option<(Unnamed, CopyPosition, Held)>, Failed> {
        let base = Base::read(&*self.remote, name).await.map_err(Failed::Base)?;
        if at.is_before(base.manifest.sequence, base.manifest.time) || name.slot.term > newest.term {
            tried.note_later(base);
            return Ok(None);
        }
        let mut path = path(&*self.remote, newest.term, name.slot.term).await?;
        if !base.is_on(&path) {
            return Ok(None);
        }
        let newer = tried.searched();
        path.retain(|step| newer.is_none_or(|newer| step.term <= newer.slot.term));
        let held = Held::place(&self.remote, name.slot).await?;
        // A base that a collection is about to delete is as good as gone.
        if matches!(held, Held::TooLate) {
            return Ok(None);
        }
        if newer.is_some() {
            tracing::info!(%at, base = %name, "the restore point is in no newer base, so an older one is searched");
        }
        let end = newer.map(|newer| newer.slot.index);
        let made = match self.refuse_early(at, &base, &path, tried).await {
            Ok(()) => self.draft_held(to, at, &base, &path, end).await,
            Err(failed) => Err(failed),
        };
        match made {
            Ok(Some((file, position))) => Ok(Some((file, position, held))),
            none => {
                held.let_go(&self.remote).await;
                none.map(|_| None)
            }
        }
    }

    /// Refuses a restore before anything is downloaded, if something that it needs is not there.
    async fn refuse_early(
        &self,
        at: &ReplicaMoment,
        base: &Base,
        path: &[OpenedTerm],
        tried: &Tried,
    ) -> Result<(), Failed> {
        if broken!(RestoresDownloadFirst) {
            return Ok(());
        }
        let mut needed = Needed::new(&self.remote, base, path, at);
        needed.parts().await.map_err(Failed::Base)?;
        // Only a search tells where a point is. Behind a base that was passed over the walk may end at a gap.
        if !at.is_point() && tried.are_whole() {
            needed.log(tried.first_later(path)).await?;
        }
        Ok(())
    }

    async fn draft_held(
        &self,
        to: &Path,
        at: &ReplicaMoment,
        base: &Base,
        path: &[OpenedTerm],
        end: Option<u64>,
    ) -> Result<Option<(Unnamed, CopyPosition)>, Failed> {
        let file = Unnamed::beside(to)?;
        let store = self.remote.store();
        let receiver = Receiver::create(file.path(), &self.from, self.clock.clone(), INDEXES)?;
        let mut filler = Filler::begin(receiver, store, at)?;
        let filled = self.fill(base, &mut filler).await;
        let walked = match filled {
            Ok(true) => self.walk(path, end, at, &mut filler).await.map(Some).map_err(Failed::Other),
            Ok(false) => Ok(None),
            Err(failed) => Err(failed),
        };
        match walked {
            Err(Failed::Base(error)) => {
                let (_, failed) = filler.end(Err::<(), _>(error))?;
                Err(failed.err().map_or_else(|| Failed::Other(no_base()), Failed::Base))
            }
            Err(Failed::Other(error)) => {
                Err(Failed::Other(filler.end(Err::<(), _>(error))?.1.err().unwrap_or_else(no_base)))
            }
            Ok(position) => {
                let (receiver, done) = filler.end(Ok(position))?;
                let position = done?;
                receiver.close()?;
                Ok(position.map(|at| (file, CopyPosition::new(store, at))))
            }
        }
    }

    /// The state of a base. False if it has the restore point already that is sought.
    async fn fill(&self, base: &Base, filler: &mut Filler) -> Result<bool, Failed> {
        let parts = base.parts.iter().zip(0..).map(|(entry, part)| base.part(&*self.remote, part, *entry));
        let mut parts = stream::iter(parts).buffered(PARTS_AT_ONCE);
        while let Some(rows) = parts.try_next().await.map_err(Failed::Base)? {
            if !filler.rows(rows).map_err(Failed::Base)? {
                return Ok(false);
            }
        }
        let name = ObjectName::Manifest(base.manifest.base);
        filler.whole(base.position()).map_err(|error| Failed::Base(error.context(name)))?;
        Ok(true)
    }

    /// The commits behind the base, up to the moment, or to a slot of the newest term of the path.
    async fn walk(
        &self,
        path: &[OpenedTerm],
        end: Option<u64>,
        at: &ReplicaMoment,
        filler: &mut Filler,
    ) -> Result<ReplicaPosition> {
        let base = filler.position().ok_or_else(no_base)?;
        loop {
            // An object that was absent when it was asked for ahead may be there by now.
            let ahead = Prefetch::new(&*self.remote, LOG_AT_ONCE);
            let walked = walk(&ahead, filler, path, end, until(at)).await?;
            let position = filler.position().ok_or_else(no_base)?;
            match walked {
                Walked::Later => return self.is_told_apart(at, &base, &position).await.map(|()| position),
                _ if filler.has_met() => return Ok(position),
                Walked::Lost => return self.lost(path, at, &position).await.map(|()| position),
                Walked::End if end.is_none() && self.goes_on(&position).await? => {}
                Walked::End if at.is_reached(position.sequence) => return Ok(position),
                Walked::End => return Err(not_reached(at, position.sequence, position.time)),
            }
        }
    }

    /// Whether the times around a moment tell the commits before it from those behind it. The time of a log never
    /// falls. So once a clock that was ahead has written, those who write later have its time too, until it has come.
    /// That of a base is the one of its clock, which may have been set back behind the commits before it.
    async fn is_told_apart(
        &self,
        at: &ReplicaMoment,
        base: &ReplicaPosition,
        position: &ReplicaPosition,
    ) -> Result<()> {
        let ReplicaMoment::Time(moment) = at else { return Ok(()) };
        let next = self.remote.get(ObjectName::Log(position.slot)).await?.map(|object| object.object);
        if let Some(Object::Batch(batch)) = next
            && batch.time > after(self.clock.now(), SKEW)
        {
            return Err(ahead(at, position, &batch));
        }
        let last = if position.slot == base.slot { self.time_before(base.slot).await? } else { None };
        match last.filter(|time| time > moment) {
            Some(time) => Err(set_back(at, position, time)),
            None => Ok(()),
        }
    }

    /// The time of the last commits before a slot, also in the terms before it; none if they are not there any more.
    async fn time_before(&self, mut slot: ReplicaSlot) -> Result<Option<Timestamp>> {
        while let Some(index) = slot.index.checked_sub(1) {
            let last = self.remote.get(ObjectName::Log(ReplicaSlot { index, ..slot })).await?;
            slot = match last.map(|object| object.object) {
                Some(Object::Batch(batch)) => return Ok(Some(batch.time)),
                Some(Object::Gap(gap)) => return Ok(Some(gap.time)),
                Some(Object::Open(LogOpen { parent: Some(seal), .. })) => seal,
                _ => return Ok(None),
            };
        }
        Ok(None)
    }

    /// Whether there are more objects of the term. An absent one is its end only if a list shows none behind it.
    async fn goes_on(&self, position: &ReplicaPosition) -> Result<bool> {
        let slot = position.slot;
        if !self.remote.is_listed_behind(slot).await? {
            return Ok(false);
        }
        let name = ObjectName::Log(slot);
        let object = self.remote.get(name).await?.ok_or_else(|| missing(name))?;
        Ok(!matches!(object.object, Object::Seal(_)))
    }

    /// Why the log does not go on from a position. A gap behind the very moment is no reason.
    async fn lost(&self, path: &[OpenedTerm], at: &ReplicaMoment, position: &ReplicaPosition) -> Result<()> {
        let name = ObjectName::Log(position.slot);
        let gap = match self.remote.get(name).await?.map(|object| object.object) {
            None => return Err(missing(name)),
            Some(Object::Gap(gap)) if gap.last > position.sequence => Some((gap.last, gap.time)),
            Some(Object::Seal(_)) => {
                opened_on_base(&*self.remote, path, position).await?.map(|open| (open.sequence, open.time))
            }
            Some(_) => None,
        };
        match (gap, at) {
            (None, _) => {
                let why = "the history of the replica does not go on from the object before this one";
                Err(Error::damaged(format!("{why}: object={name}")))
            }
            (Some(_), ReplicaMoment::Time(moment)) if *moment == position.time => Ok(()),
            (Some(_), ReplicaMoment::Sequence(sequence)) if *sequence == position.sequence => Ok(()),
            (Some((last, time)), _) => Err(in_gap(at, (position.sequence, position.time), last, time)),
        }
    }
}

fn until(at: &ReplicaMoment) -> Option<Until> {
    match at {
        ReplicaMoment::Newest | ReplicaMoment::Point(_) | ReplicaMoment::Epoch(_) => None,
        ReplicaMoment::Time(moment) => Some(Until::Time(*moment)),
        ReplicaMoment::Sequence(sequence) => Some(Until::Sequence(*sequence)),
    }
}

pub(in crate::replica) fn no_base() -> Error {
    Error::not_found("the replica has no base yet that is finished, so nothing can be restored from it")
}
