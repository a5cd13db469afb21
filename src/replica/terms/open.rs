//! Opens a term: from then on this process alone may commit. Every start of a process that writes does it, because its
//! disk may be an older snapshot, or the clone of another machine.

use std::time::Duration;

use super::chain::{self, OpenedTerm, Opening};
use super::end::near_end;
use super::lease::{Lease, SealedEnd, Silence, is_of_this_file, outwait};
use super::remote::{Fit, Local, Remote, ReplicaPosition};
use super::settle::{Settled, settle};
use super::walk::{Walked, walk};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::objects::kinds::{LogOpen, LogSeal, TermClaim};
use crate::replica::objects::name::{ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::{Object, StoredObject};

/// Where the state comes from that begins a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BegunFrom {
    /// It goes on where the log ends.
    Log,
    /// It has followed the log of another file, and goes on instead of it where the log ends.
    Promotion,
    /// It was restored, and what the log has behind it is given up.
    Restore,
}

/// How a term is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) from: BegunFrom,
    /// The lease of the term. A promotion has the one of the term before.
    pub(crate) lease: Option<Lease>,
    /// The silence of the writer before, if somebody watched it.
    pub(crate) silence: Option<Silence>,
    /// Whether no term is begun behind another one than that of the silence.
    pub(crate) if_silent: bool,
    /// Whether the term begins at once, since a person knows that the writer before is dead.
    pub(crate) is_forced: bool,
}

impl From<BegunFrom> for Beginning {
    fn from(from: BegunFrom) -> Self {
        Self { from, lease: None, silence: None, if_silent: false, is_forced: false }
    }
}

/// How the opening of a term ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only a process that opened a term may commit"]
pub(crate) enum OpenedAs {
    /// This process writes the term. Its lease counts from that time.
    Writer(Term, Duration),
    /// A later claimant was faster.
    Overtaken,
    /// The state could not be brought to the end of the log, or a restored one is not on the chain any more.
    Apart,
}

/// Opens a term.
///
/// # Errors
///
/// The errors of the replica and of the state.
pub(crate) async fn open_term(
    remote: &impl Remote,
    local: &mut impl Local,
    beginning: impl Into<Beginning>,
) -> Result<OpenedAs> {
    let beginning = beginning.into();
    // The process that writes collects nothing behind a claim, so none is made for nothing.
    if let Some(refused) = refused_before(remote, local, &beginning).await? {
        return Ok(refused);
    }
    let from = beginning.from;
    let (newest, me) = claim(remote).await?;
    // After the claim: from now on no collection decides without having seen it.
    let floor = chain::floors(remote).await?.announced.filter(|_| !broken!(AbsentIsTheEnd));
    let parent = match seal_dead(remote, newest, me).await? {
        Down::Overtaken => return Ok(OpenedAs::Overtaken),
        Down::Nobody => return begin(remote, local, me, beginning.lease).await,
        Down::Parent(parent) => parent,
    };
    let term = parent.term;
    // Before the seal, which would end a process that writes for nothing.
    if let Some(refused) = refused(remote, local, &beginning, term).await? {
        return Ok(refused);
    }
    let Some(end) = seal_parent(remote, local, term, me, floor).await? else { return Ok(OpenedAs::Overtaken) };
    let fits = match from {
        BegunFrom::Restore => local.keep_aside()? == Fit::Fits,
        BegunFrom::Log | BegunFrom::Promotion => {
            broken!(OpensBeforeCatchingUp) || catch_up(remote, local, term, end.index).await?
        }
    };
    if !fits {
        return Ok(OpenedAs::Apart);
    }
    if !beginning.is_forced {
        outwait(remote, &parent, &end, beginning.silence).await?;
    }
    let Some(at) = local.position() else { return Ok(OpenedAs::Apart) };
    let lease = if from == BegunFrom::Promotion { Lease::of(&parent) } else { beginning.lease };
    let open = LogOpen {
        store: remote.store(),
        term: me,
        nonce: remote.nonce(),
        time: crate::clock::as_stored(remote.now()),
        // L4 and L6: the seal and the commit behind which it goes on, also if the seal ends a longer log.
        parent: Some(ReplicaSlot { term, index: end.index }),
        sequence: at.sequence,
        states: at.states,
        restore: from == BegunFrom::Restore,
        promotion: from == BegunFrom::Promotion,
        lease_ms: lease.map(Lease::millis),
    };
    opened(remote, local, open, at).await
}

/// The refusal of a beginning, as far as it can be known before the claim. An object that cannot be read is an error
/// here too: each new try would claim another term.
async fn refused_before(remote: &impl Remote, local: &impl Local, beginning: &Beginning) -> Result<Option<OpenedAs>> {
    let floor = chain::floors(remote).await?.announced;
    // L9: the log does not lead from there to its end, so a claim would end the process that writes for nothing.
    let is_collected = local.position().is_some_and(|at| floor.is_some_and(|floor| at.slot < floor));
    if is_collected && beginning.from != BegunFrom::Restore && !broken!(CollectedStatesGoOn) {
        return Ok(Some(OpenedAs::Apart));
    }
    match chain::newest_open(remote).await? {
        Some(newest) => refused(remote, local, beginning, newest.term).await,
        None => Ok(None),
    }
}

/// Why a term must not be begun behind that one.
async fn refused(
    remote: &impl Remote,
    local: &impl Local,
    beginning: &Beginning,
    term: Term,
) -> Result<Option<OpenedAs>> {
    if beginning.if_silent && beginning.silence.is_none_or(|silence| silence.slot.term != term) {
        return Ok(Some(OpenedAs::Overtaken));
    }
    let is_barred = match beginning.from {
        BegunFrom::Restore => !is_on_chain(remote, local, term).await?,
        BegunFrom::Log => !broken!(EarlierFilesGoOn) && has_moved_away(remote, local, term).await?,
        BegunFrom::Promotion => false,
    };
    Ok(is_barred.then_some(OpenedAs::Apart))
}

/// The first term of a replica. A base of the state follows it.
async fn begin(remote: &impl Remote, local: &mut impl Local, me: Term, lease: Option<Lease>) -> Result<OpenedAs> {
    let (sequence, states) = local.newest()?;
    let time = crate::clock::as_stored(remote.now());
    let (store, nonce) = (remote.store(), remote.nonce());
    let lease_ms = lease.map(Lease::millis);
    let open = LogOpen {
        store,
        term: me,
        nonce,
        time,
        parent: None,
        sequence,
        states,
        restore: false,
        promotion: false,
        lease_ms,
    };
    let at = ReplicaPosition {
        slot: ReplicaSlot::first(me),
        previous: crate::replica::objects::layout::ObjectHash([0; 32]),
        sequence,
        states,
        time,
    };
    opened(remote, local, open, at).await
}

/// Writes the opening. Only now may this process commit (L2).
async fn opened(remote: &impl Remote, local: &mut impl Local, open: LogOpen, at: ReplicaPosition) -> Result<OpenedAs> {
    let term = open.term;
    local.note_opening(&open)?;
    let object = remote.prepare(ObjectName::Log(ReplicaSlot::opening(term)), Object::Open(open), b"")?;
    let begun = remote.boot_time();
    match settle(remote, &object).await? {
        Settled::Other(_) => Ok(OpenedAs::Overtaken),
        Settled::Own => {
            local.set_position(ReplicaPosition { slot: ReplicaSlot::first(term), previous: object.hash, ..at })?;
            Ok(OpenedAs::Writer(term, begun))
        }
    }
}

/// Claims the next term. Gives the newest one before it, and its own.
async fn claim(remote: &impl Remote) -> Result<(Option<Term>, Term)> {
    let since = remote.boot_time();
    for tries in 0.. {
        let newest = chain::newest_term(remote).await?;
        let term = newest.unwrap_or(Term(0)).next()?;
        let claim = TermClaim {
            store: remote.store(),
            term,
            nonce: remote.nonce(),
            time: crate::clock::as_stored(remote.now()),
            machine: remote.machine(),
            key: remote.wrapped_key(term)?,
        };
        let object = remote.prepare(ObjectName::Term(term), Object::Claim(claim), b"")?;
        // L1: a name has one creator, so no other process ever writes this term.
        if let Settled::Own = settle(remote, &object).await? {
            return Ok((newest, term));
        }
        remote
            .wait(
                tries,
                since,
                Error::new(ErrorKind::Io, format!("other processes claim the terms of the replica: term={term}")),
            )
            .await?;
    }
    // The range has no end.
    Err(Error::new(ErrorKind::Io, "no term could be claimed"))
}

/// The term below one's own claim.
enum Down {
    Parent(OpenedTerm),
    /// No term ever opened.
    Nobody,
    Overtaken,
}

/// Goes down from the newest term to the last that opened. A claimant on the way that has not opened is sealed, so that
/// it never will: its disk may hold an opening that is still on its way.
async fn seal_dead(remote: &impl Remote, newest: Option<Term>, me: Term) -> Result<Down> {
    let (mut next, mut passed) = (newest, 0);
    while let Some(term) = next {
        let mut found = chain::opening(remote, term).await?;
        // L3: a claim that died is void before the term below is sealed, or its process could open behind the seal.
        if found.is_none() && !broken!(DeadClaimantsAreLeft) {
            chain::must_be_claimed(remote, term, &mut passed).await?;
            found = match settle(remote, &seal(remote, ReplicaSlot::opening(term), me)?).await? {
                Settled::Own => Some(Opening::Void { by: me }),
                Settled::Other(other) => Some(chain::opening_of(*other)?),
            };
        }
        match found {
            Some(Opening::Opened(opened)) => return Ok(Down::Parent(opened)),
            Some(Opening::Void { by }) if by > me => return Ok(Down::Overtaken),
            _ => next = term.before(),
        }
    }
    Ok(Down::Nobody)
}

/// Seals the end of the term below, and gives it; none if a later claimant sealed it.
///
/// A slot that is absent is the end only at or above the floor of collection, below which a
/// batch may have been collected.
async fn seal_parent(
    remote: &impl Remote,
    local: &impl Local,
    term: Term,
    me: Term,
    floor: Option<ReplicaSlot>,
) -> Result<Option<SealedEnd>> {
    let of_term = |slot: &ReplicaSlot| slot.term == term;
    let own = local.position().map(|at| at.slot).filter(of_term);
    let known = [own, floor.filter(of_term)].into_iter().flatten().max();
    // The log of a term may have millions of objects.
    let near = near_end(remote, known.unwrap_or(ReplicaSlot::first(term))).await?;
    let mut at = near.slot;
    loop {
        let name = ObjectName::Log(at);
        let stored = match remote.get(name).await {
            Ok(Some(stored)) => stored,
            // An object is there. If it was the seal of a later claimant, that one has made this claim void (L3).
            Err(error) if error.kind() == ErrorKind::Damaged => {
                tracing::warn!(%error, "an object at the end of a term is damaged; the term ends behind it");
                at = at.next()?;
                continue;
            }
            Err(error) => return Err(error),
            // It was listed, and collected since: a batch.
            Ok(None) if near.is_listed && near.slot == at => {
                at = at.next()?;
                continue;
            }
            Ok(None) => {
                let own = seal(remote, at, me)?;
                match settle(remote, &own).await? {
                    Settled::Own => own,
                    Settled::Other(other) => *other,
                }
            }
        };
        // L3: a later claimant goes on behind its own seal, so this process stops.
        if let Object::Seal(seal) = stored.object {
            return Ok((seal.by <= me).then(|| SealedEnd::of(&seal, remote)));
        }
        at = at.next()?;
    }
}

fn seal(remote: &impl Remote, slot: ReplicaSlot, by: Term) -> Result<StoredObject> {
    let time = crate::clock::as_stored(remote.now());
    let seal = LogSeal { store: remote.store(), slot, nonce: remote.nonce(), time, by };
    remote.prepare(ObjectName::Log(slot), Object::Seal(seal), b"")
}

/// Whether no restore went behind a restored state meanwhile.
///
/// # Errors
///
/// The errors of the replica.
pub(crate) async fn is_on_chain(remote: &impl Remote, local: &impl Local, newest: Term) -> Result<bool> {
    let Some(at) = local.position() else { return Ok(false) };
    // From the newest on: whether all of them are of this file, which died before it knew that its term was open.
    let mut is_own = true;
    for step in chain::path(remote, newest, at.slot.term).await?.iter().filter(|step| step.term > at.slot.term) {
        let is_same = step.open.restore && step.open.sequence == at.sequence;
        // When this state opened it, all terms below were judged.
        if is_own && is_same && local.has_noted(&step.open) && is_unused(remote, step.term).await? {
            return Ok(true);
        }
        is_own = is_own && is_same && is_of_this_file(remote, step.term).await?;
        // At its own sequence another copy of it was taken over already.
        if step.open.sequence < at.sequence || is_same && !is_own {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether nothing but its opening, and perhaps a seal, is in a term. A process that knew of its opening has replaced
/// the note of it before it wrote more, so one that finds more has an older copy of that file.
async fn is_unused(remote: &impl Remote, term: Term) -> Result<bool> {
    let first = ReplicaSlot::first(term);
    match remote.get(ObjectName::Log(first)).await? {
        None => Ok(!chain::may_be_collected(remote, first).await?),
        Some(stored) => Ok(matches!(stored.object, Object::Seal(_))),
    }
}

/// L11: whether the history went on in another file since this one wrote. Then this one lacks nothing at most: nobody
/// may write to it all the same, as a person has chosen the other.
///
/// # Errors
///
/// The errors of the replica; `Damaged`.
pub(crate) async fn has_moved_away(remote: &impl Remote, local: &impl Local, newest: Term) -> Result<bool> {
    let Some(at) = local.position() else { return Ok(false) };
    let path = chain::path(remote, newest, at.slot.term).await?;
    Ok(path.iter().any(|step| step.term > at.slot.term && step.open.moves()))
}

/// Whether a state has all that the replica has now, and its history did not move to another file. An older copy that
/// is started by mistake learns it here, before its claim stops the process that writes.
///
/// # Errors
///
/// The errors of the replica and of the state; `Damaged`.
pub(crate) async fn is_on_the_way(remote: &impl Remote, local: &mut impl Local, newest: Term) -> Result<bool> {
    let Some(at) = local.position() else { return Ok(false) };
    let path = chain::path(remote, newest, at.slot.term).await?;
    let moves = path.iter().filter(|step| step.term > at.slot.term && step.open.moves()).map(|step| step.term).min();
    // Up to there it walks all the same: its place is written down with the fence, and a killed process has shipped
    // more.
    let own: Vec<_> = path.into_iter().filter(|step| moves.is_none_or(|moves| step.term < moves)).collect();
    let walked = walk(remote, local, &own, None, None).await;
    Ok(moves.is_none() && walked? != Walked::Lost)
}

/// Brings a state to exactly the end of the log.
async fn catch_up(remote: &impl Remote, local: &mut impl Local, term: Term, end: u64) -> Result<bool> {
    let Some(at) = local.position() else { return Ok(false) };
    let path = chain::path(remote, term, at.slot.term).await?;
    Ok(walk(remote, local, &path, Some(end), None).await? == Walked::End)
}
