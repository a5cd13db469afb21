//! Reading the bases of a replica.

use crate::error::{Error, ErrorKind, Result};
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::kinds::{BaseManifest, LogOpen};
use crate::replica::objects::name::{BaseName, Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::{Object, StoredObject};
use crate::replica::objects::parts::{self, PartEntry};
use crate::replica::terms::chain::{OpenedTerm, floors, newest_open, newest_term, path};
use crate::replica::terms::remote::{Remote, ReplicaPosition};

/// The newest term that opened; none in a new replica. A later one that has objects must have a claim and an opening
/// too.
///
/// # Errors
///
/// `Damaged` when one of these is missing; the errors of the replica.
pub(crate) async fn newest_opened(remote: &OpenReplica) -> Result<Option<OpenedTerm>> {
    let opened = newest_open(remote).await?;
    let first = opened.as_ref().map_or(1, |opened| opened.term.0.saturating_add(1));
    let claimed = newest_term(remote).await?.map_or(0, |term| term.0);
    for term in (first..=claimed.saturating_add(1)).map(Term) {
        let slot = ReplicaSlot::opening(term);
        if !remote.is_listed_behind(slot).await? {
            continue;
        }
        let needed = [ObjectName::Term(term), ObjectName::Log(slot)];
        for name in needed {
            remote.get(name).await?.ok_or_else(|| missing(name))?;
        }
    }
    Ok(opened)
}

/// A base that is finished.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) manifest: BaseManifest,
    pub(crate) parts: Vec<PartEntry>,
}

/// The bases of which a list shows the manifest, the newest first.
///
/// # Errors
///
/// The errors of the replica.
pub(crate) async fn bases(remote: &impl Remote) -> Result<Vec<BaseName>> {
    let names = remote.list(Folder::Bases).await?;
    let of_manifest = |name| if let ObjectName::Manifest(base) = name { Some(base) } else { None };
    let mut bases: Vec<_> = names.into_iter().filter_map(of_manifest).collect();
    bases.sort_unstable_by(|one, other| other.cmp(one));
    Ok(bases)
}

/// The same without those before the floor of a collection: they are being removed, and the log behind them goes first.
/// A process that slept may also have finished one there since.
///
/// # Errors
///
/// The errors of the replica; `Damaged`.
pub(crate) async fn kept_bases(remote: &impl Remote) -> Result<Vec<BaseName>> {
    let floor = floors(remote).await?.decided;
    let kept = bases(remote).await?.into_iter().filter(|base| floor.is_none_or(|floor| base.slot >= floor));
    Ok(kept.collect())
}

/// Whether a restore of a commit could begin: with a base of the history at it or before.
///
/// # Errors
///
/// The errors of the replica but for damage of a base, which is as good as none.
pub(crate) async fn has_base_for(remote: &OpenReplica, newest: Term, sequence: u64) -> Result<bool> {
    for name in kept_bases(remote).await?.into_iter().filter(|name| name.slot.term <= newest) {
        let path = path(remote, newest, name.slot.term).await?;
        match Base::without_parts(remote, name).await {
            Ok(base) if base.is_on(&path) && base.manifest.sequence <= sequence => return Ok(true),
            Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
            _ => {}
        }
    }
    Ok(false)
}

/// The opening of the term behind the end of another one, if it goes on from the state of a base there to which the log
/// does not lead. L7: the process that made the base died before it wrote the gap.
///
/// # Errors
///
/// `Damaged` when a base there cannot be read; the errors of the replica.
pub(crate) async fn opened_on_base(
    remote: &impl Remote,
    path: &[OpenedTerm],
    end: &ReplicaPosition,
) -> Result<Option<LogOpen>> {
    let next = path.iter().find(|step| step.open.parent == Some(end.slot)).map(|step| &step.open);
    let Some(open) = next.filter(|open| open.sequence > end.sequence) else { return Ok(None) };
    for name in bases(remote).await?.into_iter().filter(|name| name.slot == end.slot) {
        let base = Base::without_parts(remote, name).await?.manifest;
        if (base.sequence, base.states) == (open.sequence, open.states) {
            return Ok(Some(open.clone()));
        }
    }
    Ok(None)
}

impl Base {
    /// Reads the description of a base.
    ///
    /// # Errors
    ///
    /// `Damaged`, also when it is missing; the errors of the replica.
    pub(crate) async fn read(remote: &impl Remote, base: BaseName) -> Result<Self> {
        let name = ObjectName::Manifest(base);
        let object = remote.get(name).await?.ok_or_else(|| missing(name))?;
        let Object::Manifest(manifest) = &object.object else { return Err(other_kind(&object)) };
        let body = remote.body(&object).await?;
        let parts = parts::decode(&body, manifest.parts).map_err(|error| error.context(name))?;
        Ok(Self { manifest: manifest.clone(), parts })
    }

    /// The same without the hashes of its parts, which only the holder of a key reads.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(crate) async fn without_parts(remote: &impl Remote, base: BaseName) -> Result<Self> {
        let name = ObjectName::Manifest(base);
        let object = remote.get(name).await?.ok_or_else(|| missing(name))?;
        let Object::Manifest(manifest) = &object.object else { return Err(other_kind(&object)) };
        Ok(Self { manifest: manifest.clone(), parts: Vec::new() })
    }

    /// The rows of one of its parts.
    ///
    /// # Errors
    ///
    /// `Damaged`, also when it is missing or not the one that the manifest names; the errors of the replica.
    pub(crate) async fn part(&self, remote: &impl Remote, part: u32, entry: PartEntry) -> Result<Vec<u8>> {
        remote.body(&self.stored_part(remote, part, entry).await?).await
    }

    /// One of its parts as it is stored, which needs no key.
    ///
    /// # Errors
    ///
    /// As [`part`](Self::part).
    pub(crate) async fn stored_part(&self, remote: &impl Remote, part: u32, entry: PartEntry) -> Result<StoredObject> {
        let name = ObjectName::Part(self.manifest.base, part);
        let object = remote.get(name).await?.ok_or_else(|| missing(name))?;
        if object.hash != entry.hash || object.bytes.len() as u64 != u64::from(entry.length) {
            return Err(Error::damaged(format!(
                "a part of a base is not the one that its manifest names: object={name}"
            )));
        }
        Ok(object)
    }

    /// The position of its state.
    pub(crate) fn position(&self) -> ReplicaPosition {
        let BaseManifest { base, previous, time, sequence, states, .. } = self.manifest;
        ReplicaPosition { slot: base.slot, previous, sequence, states, time }
    }

    /// Whether its state is part of the history, whose terms these are from the newest down to that of the base. A
    /// writer that was overtaken may have made a base that is not.
    pub(crate) fn is_on(&self, path: &[OpenedTerm]) -> bool {
        let term = self.manifest.base.slot.term;
        let later = path.iter().filter(|other| other.term > term);
        let is_in = path.iter().any(|other| other.term == term);
        is_in && later.into_iter().all(|later| self.manifest.sequence <= later.open.sequence)
    }
}

/// The error for an object without which nothing behind it counts.
pub(crate) fn missing(name: ObjectName) -> Error {
    Error::damaged(format!("an object of the replica is missing: object={name}"))
}

/// The error for an object that is of another kind than its name says.
pub(crate) fn other_kind(object: &StoredObject) -> Error {
    let (name, kind) = (object.name, object.object.kind());
    Error::damaged(format!("an object of the replica is of another kind than its name says: object={name} kind={kind}"))
}
