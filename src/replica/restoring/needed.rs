//! All that a restore needs, looked for before anything is downloaded: the parts of its base, and the log behind it.
//!
//! It refuses only what the walk over the log refuses too. In doubt it says nothing, and the walk decides.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::moment::ReplicaMoment;
use super::refusals::{in_gap, not_reached};
use crate::clock::{after, before};
use crate::error::{ErrorKind, Result};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::{Object, StoredObject};
use crate::replica::reading::bases::{Base, missing};
use crate::replica::reading::log_pages::{End, LogPages};
use crate::replica::terms::chain::{OpenedTerm, may_be_collected};
use crate::replica::terms::remote::Remote;

/// So many objects that no list shows are asked for. A list that lags by more tells nothing.
const ASKED_MAX: u32 = 8;
/// A process that has shipped within this time may ship the moment itself while the base is downloaded.
const STILL_WRITES: Duration = Duration::from_secs(60);

/// All that a restore to a moment needs, from a base on.
pub(super) struct Needed<'r> {
    remote: &'r OpenReplica,
    base: &'r Base,
    /// The terms from the newest one down to that of the base.
    path: &'r [OpenedTerm],
    at: &'r ReplicaMoment,
    asked: u32,
}

/// An object of the log, by its head.
enum Seen {
    Absent,
    /// Commits up to this one, their time, and how many they are.
    Commits(u64, Timestamp, u64),
    Seal,
    /// One that tells nothing.
    Other,
}

impl<'r> Needed<'r> {
    pub(super) fn new(remote: &'r OpenReplica, base: &'r Base, path: &'r [OpenedTerm], at: &'r ReplicaMoment) -> Self {
        Self { remote, base, path, at, asked: 0 }
    }

    /// Looks for the parts of the base.
    ///
    /// # Errors
    ///
    /// `Damaged` when one is missing or not the one that the manifest names; the errors of the replica.
    pub(super) async fn parts(&mut self) -> Result<()> {
        let name = self.base.manifest.base;
        let (mut lengths, mut next) = (BTreeMap::new(), Some(ObjectName::Manifest(name)));
        let end = Some(ObjectName::Part(name, u32::MAX));
        while let Some(behind) = next {
            let page = self.remote.bucket().page_of_lengths(Folder::Bases, Some(behind), end).await?;
            lengths.extend(page.names);
            next = page.next;
        }
        for (entry, part) in self.base.parts.iter().zip(0..) {
            if lengths.get(&ObjectName::Part(name, part)) == Some(&u64::from(entry.length)) {
                continue;
            }
            if !self.may_ask() {
                return Ok(());
            }
            // A list proves presence and never absence.
            self.base.stored_part(self.remote, part, *entry).await?;
        }
        Ok(())
    }

    /// Looks for the log behind the base, up to a place that is behind the moment, or to its end.
    ///
    /// # Errors
    ///
    /// `Damaged` for an object that is missing before the moment; `Conflict` when nothing is behind the moment,
    /// and within a gap; the errors of the replica.
    pub(super) async fn log(&mut self, later: Option<ReplicaSlot>) -> Result<()> {
        for (number, step) in self.path.iter().enumerate().rev() {
            let next = number.checked_sub(1).and_then(|next| self.path.get(next));
            let seal = next.and_then(|next| next.open.parent);
            let later = later.filter(|later| later.term == step.term);
            let end = later.into_iter().chain(seal).min().map_or(End::From(0), |slot| End::At(slot.index));
            let Some(behind) = self.term(step.term, end).await? else { return Ok(()) };
            if let Some(later) = later {
                return self.gap(later).await;
            }
            if next.is_none() {
                let last = behind.saturating_sub(1).max(self.first(step.term));
                return self.reach(ReplicaSlot { term: step.term, index: last }).await;
            }
        }
        Ok(())
    }

    /// Looks for the objects of a term. Returns the index behind the last one; none in doubt.
    async fn term(&mut self, term: Term, end: End) -> Result<Option<u64>> {
        let mut behind = self.first(term);
        let mut pages = LogPages::new(self.remote, term, behind, end);
        while let Some(page) = pages.next().await? {
            behind = page.slots.end;
            for index in page.slots.filter(|index| !page.lengths.contains_key(index)) {
                let slot = ReplicaSlot { term, index };
                if !self.may_ask() {
                    return Ok(None);
                }
                if !matches!(self.look(slot).await?, Seen::Absent) {
                    continue;
                }
                return if self.is_needed(slot).await? { Err(missing(ObjectName::Log(slot))) } else { Ok(None) };
            }
        }
        Ok(Some(behind))
    }

    /// Whether the walk comes to a slot.
    async fn is_needed(&self, slot: ReplicaSlot) -> Result<bool> {
        let Some((sequence, time)) = self.state_before(slot).await? else { return Ok(false) };
        // L4: the log behind the commit on which a later term opened was given up.
        let cut = self.path.iter().filter(|step| step.term > slot.term).map(|step| step.open.sequence).min();
        let is_before = cut.is_none_or(|cut| sequence < cut) && self.comes_to(sequence, time);
        // L9: only credentials that may not hold it lose it to a collection.
        Ok(is_before && !may_be_collected(self.remote, slot).await?)
    }

    /// Refuses a moment within a gap, as the walk does before it.
    async fn gap(&self, slot: ReplicaSlot) -> Result<()> {
        let stored = self.remote.get(ObjectName::Log(slot)).await;
        let Ok(Some(StoredObject { object: Object::Gap(gap), .. })) = stored else { return Ok(()) };
        let Some((sequence, time)) = self.state_before(slot).await? else { return Ok(()) };
        if gap.last > sequence && self.comes_to(sequence, time) {
            return Err(in_gap(self.at, (sequence, time), gap.last, gap.time));
        }
        Ok(())
    }

    /// Refuses a moment behind the newest commit, as the walk does at the end of the log.
    async fn reach(&mut self, last: ReplicaSlot) -> Result<()> {
        if *self.at == ReplicaMoment::Newest {
            return Ok(());
        }
        let (mut slot, mut newest) = (last, None);
        let is_sealed = loop {
            match self.look(slot).await? {
                Seen::Commits(sequence, time, _) if self.at.is_before(sequence, time) => return Ok(()),
                Seen::Commits(sequence, time, _) => newest = Some((sequence, time)),
                Seen::Absent => break false,
                Seen::Seal => break true,
                Seen::Other => return Ok(()),
            }
            if !self.may_ask() {
                return Ok(());
            }
            slot = slot.next()?;
        };
        let newest = if newest.is_some() { newest } else { self.state_before(slot).await? };
        let Some((sequence, time)) = newest else { return Ok(()) };
        let now = self.remote.now();
        let is_to_come = matches!(self.at, ReplicaMoment::Time(moment) if *moment > after(now, STILL_WRITES));
        let may_come = !is_sealed && !is_to_come && time >= before(now, STILL_WRITES);
        if may_come || !self.comes_to(sequence, time) || self.at.is_reached(sequence) {
            return Ok(());
        }
        Err(not_reached(self.at, sequence, time))
    }

    /// Whether the walk goes on behind a state for certain. At that very commit, and at a gap of the very same time, it
    /// ends well.
    fn comes_to(&self, sequence: u64, time: Timestamp) -> bool {
        let ends_well = [ReplicaMoment::Sequence(sequence), ReplicaMoment::Time(time)].contains(self.at);
        !self.at.is_before(sequence, time) && !ends_well
    }

    /// The commit and the time of the state that the walk brings to a slot; none in doubt.
    async fn state_before(&self, slot: ReplicaSlot) -> Result<Option<(u64, Timestamp)>> {
        let (mut at, mut opened) = (slot, None);
        for step in self.path.iter().skip_while(|step| step.term > slot.term) {
            let (base, mut found) = (&self.base.manifest, None);
            if at.index > self.first(step.term) {
                let last = ReplicaSlot { index: at.index.saturating_sub(1), ..at };
                let Seen::Commits(sequence, time, commits) = self.look(last).await? else { return Ok(None) };
                // The walk leaves a term with its last commit, and not with a batch without any.
                found = Some((sequence, time)).filter(|_| opened.is_none() || commits > 0);
            } else if step.term == base.base.slot.term {
                found = Some((base.sequence, base.time));
            } else if let Some(seal) = step.open.parent {
                (at, opened) = (seal, opened.or(Some(step.open.sequence)));
                continue;
            }
            // L4: behind that commit all was given up.
            return Ok(found.filter(|(sequence, _)| opened.is_none_or(|opened| opened == *sequence)));
        }
        Ok(None)
    }

    /// The index of the first object of a term that the walk asks for.
    fn first(&self, term: Term) -> u64 {
        let base = self.base.manifest.base.slot;
        if base.term == term { base.index } else { ReplicaSlot::first(term).index }
    }

    async fn look(&self, slot: ReplicaSlot) -> Result<Seen> {
        Ok(match self.remote.get(ObjectName::Log(slot)).await {
            Ok(None) => Seen::Absent,
            Ok(Some(stored)) => match stored.object {
                Object::Batch(batch) => Seen::Commits(batch.last, batch.time, batch.commits),
                Object::Gap(gap) => Seen::Commits(gap.last, gap.time, gap.last.saturating_sub(gap.after)),
                Object::Seal(_) => Seen::Seal,
                _ => Seen::Other,
            },
            Err(error) if error.kind() == ErrorKind::Damaged => Seen::Other,
            Err(error) => return Err(error),
        })
    }

    fn may_ask(&mut self) -> bool {
        self.asked = self.asked.saturating_add(1);
        self.asked <= ASKED_MAX
    }
}
