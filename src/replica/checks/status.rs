//! The content of a replica in numbers, from few requests.

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::connection::runtime::block_on;
use crate::replica::objects::kinds::LogOpen;
use crate::replica::objects::name::{BaseName, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::Object;
use crate::replica::reading::bases::{Base, kept_bases, newest_opened};
use crate::replica::restoring::restore::Copier;
use crate::replica::terms::chain::path;
use crate::replica::terms::end::near_end;
use crate::replica::terms::remote::Remote;

/// The content of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaStatus {
    /// The id of the store and of its replica.
    pub store: String,
    /// Whether only the holders of a key read it.
    pub is_encrypted: bool,
    /// The term that is written, or was last; none in a replica without any.
    pub term: Option<ReplicaTerm>,
    /// The newest commit.
    pub newest: Option<ReplicaCommit>,
    /// Bases that are part of the history, the newest first.
    pub bases: Vec<ReplicaBase>,
    /// Objects that are damaged or missing, as far as this look has met them.
    pub findings: Vec<String>,
}

/// The newest term of a replica that was opened: a stretch of its log that one process writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaTerm {
    /// Its number.
    pub number: u64,
    /// When it was opened.
    #[serde(with = "crate::clock::time")]
    pub opened_at: Timestamp,
    /// The machine that writes it, as it calls itself.
    pub machine: Option<String>,
    /// Whether it began with a restore.
    pub is_restore: bool,
    /// Whether it began with the promotion of a copy.
    pub is_promotion: bool,
    /// Its lease in milliseconds: after so long without a sign, a standby may take over. None without a lease.
    pub lease_ms: Option<u64>,
    /// Whether it is over: its process ended, or a later one has sealed it.
    pub is_sealed: bool,
}

/// The newest commit of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaCommit {
    /// Its number.
    pub sequence: u64,
    /// When it was read from the store.
    #[serde(with = "crate::clock::time")]
    pub time: Timestamp,
    /// The object that has it.
    pub object: String,
}

/// A base that is finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaBase {
    /// Its name.
    pub name: String,
    /// The last commit of its state.
    pub sequence: u64,
    /// The moment of its state, from which on every moment can be restored.
    #[serde(with = "crate::clock::time")]
    pub time: Timestamp,
    /// When it was finished.
    #[serde(with = "crate::clock::time")]
    pub made_at: Timestamp,
    /// How many parts it has.
    pub parts: u32,
    /// Its rows, before they were compressed, in bytes.
    pub bytes: u64,
}

impl ReplicaStatus {
    /// The earliest moment that can be restored; none without a base.
    pub fn restorable_from(&self) -> Option<Timestamp> {
        self.bases.last().map(|base| base.time)
    }
}

impl Store {
    /// The content of a replica in numbers, from few requests.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no replica; `Invalid` with a hint when it is encrypted for others; the errors of the
    /// bucket.
    pub fn replica_status(at: &ReplicaLocation, identity: Option<&str>) -> Result<ReplicaStatus> {
        block_on(async { status(&Copier::open(at, identity).await?.remote).await })
    }
}

/// Looks at a replica.
///
/// # Errors
///
/// The errors of the replica, but for damage, which is a finding.
pub(crate) async fn status(remote: &OpenReplica) -> Result<ReplicaStatus> {
    let is_encrypted = remote.is_encrypted();
    let (store, bases_of_status, findings) = (remote.store().to_string(), Vec::new(), Vec::new());
    let mut status = ReplicaStatus { store, is_encrypted, term: None, newest: None, bases: bases_of_status, findings };
    let Some(opened) = newest_opened(remote).await? else { return Ok(status) };
    let machine = match remote.get(ObjectName::Term(opened.term)).await?.map(|object| object.object) {
        Some(Object::Claim(claim)) => Some(claim.machine),
        _ => None,
    };
    let bases = kept_bases(remote).await?;
    let of_term = bases.iter().map(|base| base.slot).find(|slot| slot.term == opened.term);
    let (newest, is_sealed) = end_of(remote, of_term.unwrap_or(ReplicaSlot::first(opened.term))).await?;
    let LogOpen { time: opened_at, restore: is_restore, promotion: is_promotion, lease_ms, .. } = opened.open;
    let number = opened.term.0.into();
    status.term = Some(ReplicaTerm { number, opened_at, machine, is_restore, is_promotion, lease_ms, is_sealed });
    let at_opening = commit(opened.open.sequence, opened_at, ReplicaSlot::opening(opened.term));
    status.newest = Some(newest.unwrap_or(at_opening));
    for name in bases {
        match look_at(remote, opened.term, name).await {
            Ok(base) => status.bases.extend(base),
            Err(error) if error.kind() == ErrorKind::Damaged => status.findings.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(status)
}

/// A base, if it is part of the history.
async fn look_at(remote: &OpenReplica, newest: Term, name: BaseName) -> Result<Option<ReplicaBase>> {
    let base = Base::read(remote, name).await?;
    if name.slot.term > newest || !base.is_on(&path(remote, newest, name.slot.term).await?) {
        return Ok(None);
    }
    let manifest = base.manifest;
    let (sequence, time, made_at) = (manifest.sequence, manifest.time, manifest.made);
    let (name, parts, bytes) = (name.to_string(), manifest.parts, manifest.rows_bytes);
    Ok(Some(ReplicaBase { name, sequence, time, made_at, parts, bytes }))
}

/// The newest commit in a term, if it has any object with one, and whether it is sealed. Nothing from that slot on is
/// collected.
async fn end_of(remote: &OpenReplica, from: ReplicaSlot) -> Result<(Option<ReplicaCommit>, bool)> {
    let (mut slot, term) = (near_end(remote, from).await?.slot, from.term);
    // A list may lag, and the object behind the last one tells the end.
    let (mut newest, mut is_sealed) = (None, false);
    while let Some(object) = remote.get(ObjectName::Log(slot)).await? {
        if matches!(object.object, Object::Seal(_)) {
            is_sealed = true;
            break;
        }
        newest = commit_of(&object.object, slot);
        slot = slot.next()?;
    }
    let before = slot.index.checked_sub(1).filter(|index| *index > 0).map(|index| ReplicaSlot { term, index });
    if let (None, Some(slot)) = (&newest, before) {
        newest = remote.get(ObjectName::Log(slot)).await?.and_then(|object| commit_of(&object.object, slot));
    }
    Ok((newest, is_sealed))
}

/// The last commit of an object of the log.
pub(in crate::replica) fn commit_of(object: &Object, slot: ReplicaSlot) -> Option<ReplicaCommit> {
    match object {
        Object::Batch(batch) => Some(commit(batch.last, batch.time, slot)),
        Object::Gap(gap) => Some(commit(gap.last, gap.time, slot)),
        Object::Open(open) => Some(commit(open.sequence, open.time, slot)),
        _ => None,
    }
}

fn commit(sequence: u64, time: Timestamp, slot: ReplicaSlot) -> ReplicaCommit {
    ReplicaCommit { sequence, time, object: ObjectName::Log(slot).to_string() }
}
