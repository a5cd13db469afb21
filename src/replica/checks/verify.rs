//! Verification: reads back all that a restore would need, and compares it.
//!
//! Each base that is part of the history is read to its end: its rows add up to the state that its manifest tells.
//! From the oldest one on, the log is walked to its end: no object is missing, each names the check of the one before
//! it, the state after it has the digest that it tells, and where another base stands, it is the state of that base.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::confirm::confirmed;
use crate::engine::feed::{States, WholeState};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::runtime::block_on;
use crate::replica::objects::name::{ObjectName, ReplicaSlot};
use crate::replica::objects::object::Object;
use crate::replica::reading::bases::{Base, kept_bases, missing, newest_opened, opened_on_base, other_kind};
use crate::replica::reading::prefetch::Prefetch;
use crate::replica::reading::verified_state::VerifiedState;
use crate::replica::restoring::restore::{Copier, LOG_AT_ONCE};
use crate::replica::terms::chain::{OpenedTerm, path};
use crate::replica::terms::remote::{Remote, ReplicaPosition};
use crate::replica::terms::walk::{Walked, walk};

/// The result of a verification of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifiedReplica {
    /// Bases that are whole.
    pub bases: u64,
    /// Their rows, before they were compressed, in bytes.
    pub bytes: u64,
    /// Objects of the log.
    pub objects: u64,
    /// Commits in them.
    pub commits: u64,
    /// The newest commit that a restore would bring back; none without a base that is whole.
    pub sequence: Option<u64>,
    /// Everything that is wrong.
    pub findings: Vec<String>,
}

impl VerifiedReplica {
    /// Whether nothing is wrong, and there is something to restore.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.sequence.is_some()
    }

    /// Notes damage; every other error ends the verification.
    fn find<R>(&mut self, done: Result<R>) -> Result<Option<R>> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.findings.push(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Store {
    /// Reads back everything in a replica that a restore would need, and compares it.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no replica, or nothing in it; `Invalid` with a hint when it is encrypted for others;
    /// the errors of the bucket. Damage is a finding.
    pub fn verify_replica(at: &ReplicaLocation, identity: Option<&str>) -> Result<VerifiedReplica> {
        block_on(async { verify(&Copier::open(at, identity).await?.remote).await })
    }
}

/// Reads back all that a restore would need, and counts only what a second look finds too: old objects may be removed
/// during one.
///
/// # Errors
///
/// The errors of the replica but for damage, which is a finding; `NotFound` when no term was opened yet.
pub(crate) async fn verify(remote: &OpenReplica) -> Result<VerifiedReplica> {
    confirmed(async || verify_once(remote).await, |found| &mut found.findings).await
}

async fn verify_once(remote: &OpenReplica) -> Result<VerifiedReplica> {
    let none = || Error::not_found("nothing was written to the replica yet");
    let newest = newest_opened(remote).await?.ok_or_else(none)?;
    let mut found = VerifiedReplica::default();
    let mut whole = Vec::new();
    for name in kept_bases(remote).await?.into_iter().rev() {
        let read = Base::read(remote, name).await;
        let Some(base) = found.find(read)? else { continue };
        let on = path(remote, newest.term, name.slot.term).await;
        if !found.find(on)?.is_some_and(|path| base.is_on(&path)) {
            continue;
        }
        let states = states_of(remote, &base, &mut found).await;
        whole.extend(found.find(states)?.map(|states| (base, states)));
    }
    found.bases = whole.len() as u64;
    let positions: Vec<_> = whole.iter().map(|(base, _)| base.position()).collect();
    if let Some(oldest) = positions.first() {
        let path = path(remote, newest.term, oldest.slot.term).await?;
        verify_seals(remote, &path, &mut found).await?;
    }
    let mut walked = Extent::To(ReplicaSlot::opening(newest.term));
    for (base, states) in whole {
        // The log behind an older base was walked over this one already, unless something was wrong there.
        if found.sequence.is_some() && walked.has(base.manifest.base.slot) {
            continue;
        }
        let path = path(remote, newest.term, base.manifest.base.slot.term).await?;
        let state = VerifiedState::new(base.position(), states, positions.iter().map(|position| position.slot));
        walked = walk_from(remote, &path, state, &positions, &mut found).await?;
    }
    found.findings.sort();
    found.findings.dedup();
    Ok(found)
}

/// How far the log was walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// The object of this slot could not be passed.
    To(ReplicaSlot),
    End,
}

impl Extent {
    fn has(self, slot: ReplicaSlot) -> bool {
        match self {
            Self::To(end) => slot < end,
            Self::End => true,
        }
    }
}

/// Each term that is over has a seal at its end. No restore reads it; without one, a process that wrote the term could
/// go on.
async fn verify_seals(remote: &OpenReplica, path: &[OpenedTerm], found: &mut VerifiedReplica) -> Result<()> {
    for slot in
        path.iter().filter_map(|step| step.open.parent).filter(|slot| path.iter().any(|step| step.term == slot.term))
    {
        let name = ObjectName::Log(slot);
        let object = remote.get(name).await;
        match found.find(object)? {
            Some(None) => found.findings.push(missing(name).to_string()),
            Some(Some(object)) if !matches!(object.object, Object::Seal(_)) => {
                found.findings.push(other_kind(&object).to_string());
            }
            Some(Some(_)) | None => {}
        }
    }
    Ok(())
}

/// The state of a base, from its rows.
async fn states_of(remote: &OpenReplica, base: &Base, found: &mut VerifiedReplica) -> Result<States> {
    let parts = base.parts.iter().zip(0..).map(|(entry, part)| base.part(remote, part, *entry));
    let mut parts = stream::iter(parts).buffered(2);
    let mut whole = WholeState::default();
    while let Some(rows) = parts.try_next().await? {
        whole.count(&rows)?;
        found.bytes += rows.len() as u64;
    }
    let name = ObjectName::Manifest(base.manifest.base);
    whole.compare(base.manifest.states.0).map_err(|error| error.context(name))?;
    Ok(whole.states().clone())
}

/// Walks the log, compares the bases on the way, and says how far.
async fn walk_from(
    remote: &OpenReplica,
    path: &[OpenedTerm],
    mut state: VerifiedState,
    bases: &[ReplicaPosition],
    found: &mut VerifiedReplica,
) -> Result<Extent> {
    let ahead = Prefetch::new(remote, LOG_AT_ONCE);
    let walked = walk(&ahead, &mut state, path, None, None).await;
    let at = state.at();
    let name = ObjectName::Log(at.slot);
    let mut extent = Extent::To(at.slot);
    match found.find(walked)? {
        Some(Walked::End | Walked::Later) => {
            extent = Extent::End;
            if remote.is_listed_behind(at.slot).await? && remote.get(name).await?.is_none() {
                found.findings.push(missing(name).to_string());
            }
        }
        // Each base behind a gap is walked from by itself.
        Some(Walked::Lost) if is_gap(remote, path, &at).await? => {
            let is_whole = bases.iter().any(|base| base.slot == at.slot);
            let finding = || format!("the base behind a gap of the log is not whole: object={name}");
            found.findings.extend((!is_whole).then(finding));
        }
        Some(Walked::Lost) => found.findings.push(match remote.get(name).await? {
            None => missing(name).to_string(),
            Some(_) => {
                format!("the history of the replica does not go on from the object before this one: object={name}")
            }
        }),
        None => {}
    }
    for base in bases {
        let passed = state.passed.get(&base.slot).copied().flatten();
        let is_same = |passed: &ReplicaPosition| {
            (passed.sequence, passed.states, passed.previous) == (base.sequence, base.states, base.previous)
        };
        // The base of a gap stands at the gap's own slot, and has the state behind it.
        if let Some(passed) = passed.filter(|passed| !is_same(passed))
            && !is_gap_before(remote, path, &passed, base).await?
        {
            let slot = base.slot;
            found.findings.push(format!("a base has another state than the log at its place: slot={slot}"));
        }
    }
    found.objects += state.objects;
    found.commits += state.commits;
    found.sequence = found.sequence.max(Some(at.sequence));
    Ok(extent)
}

/// Whether commits are missing before a base. The last one may have no gap yet, as of a process that died just then.
async fn is_gap_before(
    remote: &OpenReplica,
    path: &[OpenedTerm],
    at: &ReplicaPosition,
    base: &ReplicaPosition,
) -> Result<bool> {
    let is_last = remote.get(ObjectName::Log(at.slot)).await?.is_none() && base.sequence > at.sequence;
    Ok(is_last || is_gap(remote, path, at).await?)
}

/// Whether commits are missing from a position on, behind which a base leads on.
async fn is_gap(remote: &OpenReplica, path: &[OpenedTerm], at: &ReplicaPosition) -> Result<bool> {
    let found = remote.get(ObjectName::Log(at.slot)).await?;
    match found.map(|object| object.object) {
        Some(Object::Gap(_)) => Ok(true),
        Some(Object::Seal(_)) => opened_on_base(remote, path, at).await.map(|open| open.is_some()),
        _ => Ok(false),
    }
}
