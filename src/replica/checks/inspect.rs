//! The inspection of a replica by the process that ships it: everything that a restore needs is there, from the oldest
//! base to the newest object, and a thirtieth of the bytes is read. It needs no key.
//!
//! `verify` reads everything, and finds what only the content tells. An inspection of each thirtieth in turn reads all
//! bytes, and the check of each object names the one before it. The store knows its own place: so the last object of a
//! term that goes on cannot be missing without being missed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::Timestamp;

use super::confirm::confirmed;
use crate::error::{ErrorKind, Result};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::Object;
use crate::replica::reading::bases::{Base, kept_bases, missing, newest_opened, other_kind};
use crate::replica::reading::log_pages::{End, LogPages};
use crate::replica::reading::shipped::ShippedTo;
use crate::replica::terms::chain::{OpenedTerm, path};
use crate::replica::terms::remote::{Remote, ReplicaPosition};

/// All bytes are read in so many turns.
pub(super) const PARTS: u64 = 30;
/// So many objects of the log in a row belong to the same turn, so that their chain is compared.
const IN_A_ROW: u64 = 64;
/// Nobody reads more findings.
const FINDINGS_MAX: usize = 20;

/// The place of the store that ships to a replica, as the store keeps it.
#[derive(Clone, Copy, Debug)]
pub(in crate::replica) struct OwnPlace {
    slot: ReplicaSlot,
    /// When its newest base was made, and the bytes of all objects of that; none if the store has made none.
    base: Option<(Timestamp, u64)>,
}

impl From<ReplicaPosition> for OwnPlace {
    fn from(at: ReplicaPosition) -> Self {
        Self { slot: at.slot, base: None }
    }
}

impl From<&ShippedTo> for OwnPlace {
    fn from(at: &ShippedTo) -> Self {
        Self { slot: at.slot, base: Some((at.base_made, at.base_bytes)).filter(|(_, bytes)| *bytes > 0) }
    }
}

/// The turn in which an object is read; none if it is read in each turn.
pub(super) fn turn_of(name: ObjectName) -> Option<u64> {
    let (term, number) = match name {
        ObjectName::Part(base, part) => (base.slot.term, base.slot.index.wrapping_add(part.into())),
        ObjectName::Log(slot) => (slot.term, slot.index / IN_A_ROW),
        _ => return None,
    };
    Some(u64::from(term.0).wrapping_add(number) % PARTS)
}

/// The result of an inspection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::replica) struct Inspected {
    /// The moment of the oldest base that is whole.
    pub(in crate::replica) restorable_from: Option<Timestamp>,
    /// The objects that are needed.
    pub(in crate::replica) objects: u64,
    /// The objects that were read.
    pub(super) read: u64,
    pub(in crate::replica) findings: Vec<String>,
}

impl Inspected {
    /// Notes damage; every other error ends the inspection.
    fn find<R>(&mut self, done: Result<R>) -> Result<Option<R>> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.add(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes a list that is refused: it would be refused each time.
    fn find_listed<R>(&mut self, listed: Result<R>) -> Result<Option<R>> {
        match listed {
            Err(error) if error.kind() == ErrorKind::Invalid => {
                self.add(error.to_string());
                Ok(None)
            }
            listed => self.find(listed),
        }
    }

    fn add(&mut self, finding: String) {
        if !self.is_full() && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= FINDINGS_MAX
    }
}

/// Inspects a replica. `own` is the place of the store that ships to it, `part` the turn whose objects are read.
///
/// # Errors
///
/// The errors of the replica but for damage, which is a finding.
pub(in crate::replica) async fn inspect(
    remote: &OpenReplica,
    own: impl Into<OwnPlace>,
    part: u64,
) -> Result<Inspected> {
    let (own, part) = (own.into(), part % PARTS);
    let mut inspection = Inspection { remote, own, part, whole: BTreeSet::new(), found: Inspected::default() };
    let newest = newest_opened(remote).await;
    let Some(newest) = inspection.found.find(newest)? else { return Ok(inspection.found) };
    let Some(newest) = newest.filter(|newest| newest.term >= own.slot.term) else {
        let opening = ObjectName::Log(ReplicaSlot::opening(own.slot.term));
        inspection.found.add(missing(opening).to_string());
        return Ok(inspection.found);
    };
    let oldest = inspection.bases(&newest).await?;
    let Some(oldest) = oldest else {
        inspection.found.add("no base of the replica is whole, so nothing can be restored".to_owned());
        return Ok(inspection.found);
    };
    let path = path(remote, newest.term, oldest.term).await;
    if let Some(path) = inspection.found.find(path)? {
        inspection.log(&path, oldest, own.slot).await?;
    }
    Ok(inspection.found)
}

struct Inspection<'a> {
    remote: &'a OpenReplica,
    own: OwnPlace,
    part: u64,
    /// The slots of the bases that are whole.
    whole: BTreeSet<ReplicaSlot>,
    found: Inspected,
}

impl Inspection<'_> {
    /// The bases that are part of the history. Returns the slot of the oldest one.
    async fn bases(&mut self, newest: &OpenedTerm) -> Result<Option<ReplicaSlot>> {
        let lengths = self.remote.bucket().lengths(Folder::Bases).await;
        let Some(lengths) = self.found.find_listed(lengths)? else { return Ok(None) };
        let lengths = lengths.into_iter().map(|(name, length)| (name.to_string(), length)).collect();
        let kept = kept_bases(self.remote).await;
        let Some(kept) = self.found.find_listed(kept)? else { return Ok(None) };
        let mut oldest = None;
        for name in kept {
            let base = match Base::read(self.remote, name).await {
                // Only the holder of a key reads the hashes of its parts.
                Err(error) if error.kind() == ErrorKind::Invalid => Base::without_parts(self.remote, name).await,
                read => read,
            };
            let Some(base) = self.found.find(base)? else { continue };
            let path = path(self.remote, newest.term, name.slot.term).await;
            if !self.found.find(path)?.is_some_and(|path| base.is_on(&path)) {
                continue;
            }
            self.found.objects += 1 + u64::from(base.manifest.parts);
            self.found.read += 1;
            let before = self.found.findings.len();
            self.parts(&base, &lengths).await?;
            if self.found.findings.len() == before {
                self.whole.insert(name.slot);
                (oldest, self.found.restorable_from) = (Some(name.slot), Some(base.manifest.time));
            }
        }
        Ok(oldest)
    }

    /// Each part of a base has the length that its manifest tells, and those of the turn have its hash.
    async fn parts(&mut self, base: &Base, lengths: &BTreeMap<String, u64>) -> Result<()> {
        let folder = format!("base/{}/", base.manifest.base);
        let of_base = lengths.range(folder.clone()..).take_while(|(name, _)| name.starts_with(&folder));
        let bytes: u64 = of_base.map(|(_, length)| length).sum();
        let fits_together = self.own.base.is_none_or(|(made, length)| made != base.manifest.made || bytes == length);
        for part in 0..base.manifest.parts {
            if self.found.is_full() {
                return Ok(());
            }
            let name = ObjectName::Part(base.manifest.base, part);
            let entry = usize::try_from(part).ok().and_then(|part| base.parts.get(part));
            // Without a key its length is known of the newest base alone, together with those of all others.
            let fits = |length: &u64| match entry {
                Some(entry) => *length == u64::from(entry.length),
                None => *length > 0 && fits_together,
            };
            let is_there = lengths.get(&name.to_string()).is_some_and(fits);
            // A list proves presence and never absence.
            if !is_there || turn_of(name) == Some(self.part) {
                self.found.read += 1;
                let read = match entry {
                    Some(entry) => base.stored_part(self.remote, part, *entry).await.map(drop),
                    None => self.remote.get(name).await.and_then(|read| read.map(drop).ok_or_else(|| missing(name))),
                };
                self.found.find(read)?;
            }
        }
        Ok(())
    }

    /// The log from a slot on, term by term.
    async fn log(&mut self, path: &[OpenedTerm], from: ReplicaSlot, own: ReplicaSlot) -> Result<()> {
        for (number, step) in path.iter().enumerate() {
            let next = number.checked_sub(1).and_then(|next| path.get(next));
            let seal = next.and_then(|next| next.open.parent);
            let first = if step.term == from.term { from.index } else { 0 };
            let end = match seal {
                Some(seal) => End::At(seal.index.saturating_add(1)),
                // Everything before its own place was written, and read back.
                None => End::From(if own.term == step.term { own.index } else { 0 }),
            };
            // L4: the log behind the commit on which a later term opened was given up, and nothing needs it.
            let cut = path.iter().take(number).map(|later| later.open.sequence).min().unwrap_or(u64::MAX);
            self.term(step.term, first, end, cut).await?;
            if let Some(slot) = seal {
                self.seal(ObjectName::Log(slot)).await?;
            }
        }
        Ok(())
    }

    /// The objects of a term from one on, as many at once as are listed at once. Commits up to `cut` count.
    async fn term(&mut self, term: Term, first: u64, end: End, cut: u64) -> Result<()> {
        let (mut pages, mut before) = (LogPages::new(self.remote, term, first, end), None);
        while let Some(page) = pages.next().await? {
            self.some_of_term(term, first, page.slots, &page.lengths, cut, &mut before).await?;
            if self.found.is_full() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Some objects of a term: none is missing or empty, and in those of the turn each names the one before it, from
    /// the first one on.
    async fn some_of_term(
        &mut self,
        term: Term,
        first: u64,
        some: Range<u64>,
        lengths: &BTreeMap<u64, u64>,
        cut: u64,
        before: &mut Option<(u64, ObjectHash)>,
    ) -> Result<()> {
        for index in some {
            if self.found.is_full() {
                return Ok(());
            }
            self.found.objects += 1;
            let is_there = lengths.get(&index).is_some_and(|length| *length > 0);
            let name = ObjectName::Log(ReplicaSlot { term, index });
            if is_there && turn_of(name) != Some(self.part) {
                continue;
            }
            let known = before.filter(|(at, _)| at.checked_add(1) == Some(index));
            let previous = match (known, index.checked_sub(1).filter(|at| *at >= first)) {
                (Some((_, hash)), _) => Some(hash),
                (None, Some(at)) => {
                    self.read(ObjectName::Log(ReplicaSlot { term, index: at })).await?.map(|(_, hash)| hash)
                }
                (None, None) => None,
            };
            let Some((object, hash)) = self.read(name).await? else { continue };
            *before = Some((index, hash));
            let names = match &object {
                Object::Batch(batch) => Some(batch.previous),
                Object::Gap(gap) => Some(gap.previous),
                _ => None,
            };
            // L7: without it, nothing behind the gap can be restored.
            if matches!(&object, Object::Gap(gap) if gap.last <= cut && !self.whole.contains(&gap.base.slot)) {
                self.found.add(format!("the base behind a gap of the log is not whole: object={name}"));
            }
            if names.zip(previous).is_some_and(|(names, previous)| names != previous) {
                self.found.add(format!("an object of the log does not name the one before it: object={name}"));
            }
        }
        Ok(())
    }

    /// Reads an object of the log.
    async fn read(&mut self, name: ObjectName) -> Result<Option<(Object, ObjectHash)>> {
        self.found.read += 1;
        let read = self.remote.get(name).await.and_then(|read| read.ok_or_else(|| missing(name)));
        Ok(self.found.find(read)?.map(|read| (read.object, read.hash)))
    }

    /// A term that is over has a seal at its end, or its process could go on.
    async fn seal(&mut self, name: ObjectName) -> Result<()> {
        let read = self.remote.get(name).await.and_then(|read| match read {
            Some(read) if matches!(read.object, Object::Seal(_)) => Ok(()),
            Some(read) => Err(other_kind(&read)),
            None => Err(missing(name)),
        });
        self.found.find(read).map(drop)
    }
}

/// Inspects a replica, and counts only what a second look finds too: old objects may be removed during one.
///
/// # Errors
///
/// As [`inspect`].
pub(super) async fn inspect_twice(remote: &OpenReplica, own: OwnPlace, part: u64) -> Result<Inspected> {
    confirmed(async || inspect(remote, own, part).await, |found| &mut found.findings).await
}
