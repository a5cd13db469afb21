//! The terms of a replica: the newest one, the chain of those that opened, and how far old objects were collected.

use super::remote::Remote;
use crate::error::{Error, ErrorKind, Result};
use crate::replica::objects::kinds::{BaseManifest, GcFloor, LogOpen, TermClaim};
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::{Object, StoredObject};

/// So many terms in a row may have no opening before anybody asks whether they were claimed at all.
const NOT_OPENED: u32 = 100;

/// A term that opened, with the check of its first object.
#[derive(Clone, Debug)]
pub(crate) struct OpenedTerm {
    pub(crate) term: Term,
    pub(crate) open: LogOpen,
    pub(crate) hash: ObjectHash,
}

/// The floors of collection: objects before them may be gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floors {
    /// The highest floor that a collection announced, of those that did not decide a lower one, or nothing.
    pub(crate) announced: Option<ReplicaSlot>,
    /// The highest floor that a collection decided.
    pub(crate) decided: Option<ReplicaSlot>,
    /// Collections that were announced and not decided, with their floors. A restore keeps away from them too. By L9 it
    /// is the newest one at most.
    pub(crate) undecided: Vec<(u32, ReplicaSlot)>,
    /// The number of the next collection.
    pub(crate) next: u32,
}

/// The newest term that somebody claimed; none in a new replica. A list proves presence; only a get proves absence.
///
/// # Errors
///
/// The errors of the replica.
pub(crate) async fn newest_term(remote: &impl Remote) -> Result<Option<Term>> {
    let listed = remote.list(Folder::Terms).await?.into_iter().filter_map(|name| match name {
        ObjectName::Term(term) => Some(term),
        _ => None,
    });
    let mut newest = listed.max();
    loop {
        let next = newest.unwrap_or(Term(0)).next()?;
        if remote.get(ObjectName::Term(next)).await?.is_none() {
            return Ok(newest);
        }
        newest = Some(next);
    }
}

/// The newest term that opened; none in a new replica.
///
/// # Errors
///
/// The errors of the replica; `Damaged`.
pub(crate) async fn newest_open(remote: &impl Remote) -> Result<Option<OpenedTerm>> {
    let (mut term, mut passed) = (newest_term(remote).await?, 0);
    while let Some(at) = term {
        match opening(remote, at).await? {
            Some(Opening::Opened(opened)) => return Ok(Some(opened)),
            Some(Opening::Void { .. }) => {}
            None => must_be_claimed(remote, at, &mut passed).await?,
        }
        term = at.before();
    }
    Ok(None)
}

/// The claim of a term.
pub(super) async fn claim_of(remote: &impl Remote, term: Term) -> Result<Option<TermClaim>> {
    Ok(remote.get(ObjectName::Term(term)).await?.and_then(|stored| match stored.object {
        Object::Claim(claim) => Some(claim),
        _ => None,
    }))
}

/// Counts a term without an opening. Claims have numbers without gaps, so behind many such terms the claim of each has
/// to be there: the name of a claim that nobody wrote must not make anybody ask for millions of them.
///
/// # Errors
///
/// `Damaged` when it is not; the errors of the replica.
pub(super) async fn must_be_claimed(remote: &impl Remote, term: Term, passed: &mut u32) -> Result<()> {
    *passed = passed.saturating_add(1);
    if *passed <= NOT_OPENED {
        return Ok(());
    }
    let name = ObjectName::Term(term);
    match exists(remote, name).await? {
        true => Ok(()),
        false => Err(Error::damaged(format!("an object of the replica is missing: object={name}"))),
    }
}

/// Whether an object is there. Nothing in it is needed, so a damaged one is.
///
/// # Errors
///
/// The errors of the replica.
pub(super) async fn exists(remote: &impl Remote, name: ObjectName) -> Result<bool> {
    match remote.get(name).await {
        Ok(found) => Ok(found.is_some()),
        Err(error) if error.kind() == ErrorKind::Damaged => Ok(true),
        Err(error) => Err(error),
    }
}

/// The first object of a term.
pub(in crate::replica) enum Opening {
    Opened(OpenedTerm),
    /// The claimant died, and this later term made sure that it stays so.
    Void {
        by: Term,
    },
}

/// A term that opened; none if it did not, or not yet.
///
/// # Errors
///
/// The errors of the replica; `Damaged`.
pub(crate) async fn opened(remote: &impl Remote, term: Term) -> Result<Option<OpenedTerm>> {
    Ok(match opening(remote, term).await? {
        Some(Opening::Opened(opened)) => Some(opened),
        Some(Opening::Void { .. }) | None => None,
    })
}

/// The first object of a term; none if there is none yet.
pub(in crate::replica) async fn opening(remote: &impl Remote, term: Term) -> Result<Option<Opening>> {
    match remote.get(ObjectName::Log(ReplicaSlot::opening(term))).await? {
        None => Ok(None),
        Some(stored) => Ok(Some(opening_of(stored)?)),
    }
}

pub(super) fn opening_of(stored: StoredObject) -> Result<Opening> {
    match stored.object {
        Object::Open(open) => Ok(Opening::Opened(OpenedTerm { term: open.term, open, hash: stored.hash })),
        Object::Seal(seal) => Ok(Opening::Void { by: seal.by }),
        other => Err(Error::damaged(format!(
            "a term of the replica begins with something else: object={} kind={}",
            stored.name,
            other.kind()
        ))),
    }
}

/// The chain of terms that opened, from this one back to the last one that is not after `down`; the newest first.
///
/// # Errors
///
/// The errors of the replica; `Damaged` when a parent is not there.
pub(crate) async fn path(remote: &impl Remote, newest: Term, down: Term) -> Result<Vec<OpenedTerm>> {
    let mut path = Vec::new();
    let mut next = Some(newest);
    while let Some(term) = next {
        let Some(Opening::Opened(opened)) = opening(remote, term).await? else {
            let name = ObjectName::Log(ReplicaSlot::opening(term));
            return Err(Error::damaged(format!("a term of the replica has not begun: object={name}")));
        };
        next = opened.open.parent.map(|parent| parent.term).filter(|_| term > down);
        path.push(opened);
    }
    Ok(path)
}

/// Whether the state of a base is part of the history, whose terms these are, the newest first. A writer that was
/// overtaken may have made a base that is not, because a restore gave up its last commits.
pub(crate) fn is_on(path: &[OpenedTerm], base: &BaseManifest) -> bool {
    let term = base.base.slot.term;
    // L8: a term that opened on an earlier commit gave up the state of this base.
    let later = path.iter().filter(|step| step.term > term);
    let is_in = path.first().is_some_and(|newest| term <= newest.term);
    is_in && later.into_iter().all(|later| base.sequence <= later.open.sequence)
}

/// How far old objects were collected. Collections have numbers without gaps and are never deleted: a list shows about
/// the newest, and gets prove which it is. L9: each of them announces a floor above all that were decided before, so
/// none is read that cannot have decided a higher one than those behind it.
///
/// # Errors
///
/// The errors of the replica; `Damaged`.
pub(crate) async fn floors(remote: &impl Remote) -> Result<Floors> {
    let listed = remote.list(Folder::Gc).await?.into_iter().filter_map(|name| match name {
        ObjectName::GcList(number) | ObjectName::GcGo(number) => Some(number),
        _ => None,
    });
    let (newest, mut lists) = (listed.max(), Vec::new());
    let mut floors = Floors { next: newest.unwrap_or(0), ..Floors::default() };
    while let Some(list) = floor(remote, ObjectName::GcList(floors.next)).await? {
        lists.push(list);
        floors.next = floors.next.saturating_add(1);
    }
    for number in (0..floors.next.max(newest.map_or(0, |newest| newest.saturating_add(1)))).rev() {
        let name = ObjectName::GcList(number);
        let list = match lists.pop() {
            Some(list) => Some(list),
            None => floor(remote, name).await?,
        };
        let missing = || Error::damaged(format!("an object of the replica is missing: object={name}"));
        let announced = list.ok_or_else(missing)?.floor;
        floors.announced = floors.announced.max(announced);
        match floor(remote, ObjectName::GcGo(number)).await? {
            Some(go) => floors.decided = floors.decided.max(go.floor),
            None => floors.undecided.extend(announced.map(|floor| (number, floor))),
        }
        if floors.decided >= announced || broken!(OlderDecisionsAreNotRead) {
            break;
        }
    }
    Ok(floors)
}

/// L9: whether the object of a slot may have been collected, so that its absence is no end of a term.
///
/// # Errors
///
/// As [`floors`].
pub(crate) async fn may_be_collected(remote: &impl Remote, slot: ReplicaSlot) -> Result<bool> {
    Ok(floors(remote).await?.announced.is_some_and(|floor| slot < floor))
}

async fn floor(remote: &impl Remote, name: ObjectName) -> Result<Option<GcFloor>> {
    match remote.get(name).await?.map(|stored| stored.object) {
        None => Ok(None),
        Some(Object::GcList(floor) | Object::GcGo(floor)) => Ok(Some(floor)),
        Some(other) => Err(Error::damaged(format!("an object of another kind: object={name} kind={}", other.kind()))),
    }
}
