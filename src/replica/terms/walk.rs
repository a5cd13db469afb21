//! Moves a state along the log: through the batches of a term, and over the border into the next.

use jiff::Timestamp;

use super::chain::{OpenedTerm, may_be_collected};
use super::remote::{Fit, Local, Remote, ReplicaPosition};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::objects::commits::{self, ShippedCommit};
use crate::replica::objects::kinds::{LogBatch, LogGap};
use crate::replica::objects::name::{ObjectName, ReplicaSlot};
use crate::replica::objects::object::{Object, StoredObject};

/// The end of a walk that stops early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The last batch that is not after this time.
    Time(Timestamp),
    /// The last commit that is not after this one.
    Sequence(u64),
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    /// At the end that was asked for, or where the log ends now.
    End,
    /// At the moment that was asked for, behind which the log goes on.
    Later,
    /// A restore went behind this state, or the log is not there any more. A base is needed.
    Lost,
}

/// How one object was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    Over,
    Later,
    Lost,
}

/// Moves a state to the slot `end` of the newest term of the path, or as far as there is a log, or to a moment.
///
/// # Errors
///
/// The errors of the replica and of the state; `Damaged` when a state comes out that differs from its source.
pub(crate) async fn walk(
    remote: &impl Remote,
    local: &mut impl Local,
    path: &[OpenedTerm],
    end: Option<u64>,
    until: Option<Until>,
) -> Result<Walked> {
    let Some(mut at) = local.position() else { return Ok(Walked::Lost) };
    let own = at.slot.term;
    let up: Vec<_> = path.iter().rev().filter(|step| step.term >= own).collect();
    if up.first().is_none_or(|step| step.term != own) {
        return Ok(Walked::Lost);
    }
    for (number, step) in up.iter().enumerate() {
        let later = up.get(number + 1..).unwrap_or_default();
        // L4: commits behind it were given up by a restore, also in the middle of a batch.
        let cut = later.iter().map(|later| later.open.sequence).min().unwrap_or(u64::MAX);
        let cut = if broken!(OpenNamesTheSlotOnly) { u64::MAX } else { cut };
        let stop = later.first().map_or(end, |next| next.open.parent.map(|parent| parent.index));
        if number > 0 {
            let open = &step.open;
            // L6: a term goes on from one state. Another state of the same number is another history.
            if at.sequence != open.sequence.min(cut) || open.sequence <= cut && at.states != open.states {
                return Ok(Walked::Lost);
            }
            if enter(local, step)? == Fit::Apart {
                return Ok(Walked::Lost);
            }
        }
        loop {
            at = local.position().ok_or_else(no_position)?;
            if at.sequence > cut {
                return Ok(Walked::Lost);
            }
            // The greatest number is no cut: objects behind it may tell the time.
            let is_cut = at.sequence >= cut && cut < u64::MAX;
            if is_cut || stop.is_some_and(|stop| at.slot.index >= stop) {
                break;
            }
            let is_there = until == Some(Until::Sequence(at.sequence));
            let found = match remote.get(ObjectName::Log(at.slot)).await {
                // Nothing of an object that is missing or damaged is asked for.
                Ok(None) if is_there => return Ok(Walked::Later),
                Err(error) if error.kind() == ErrorKind::Damaged && is_there => return Ok(Walked::Later),
                found => found?,
            };
            let passed = match found {
                Some(stored) if !matches!(stored.object, Object::Seal(_)) => {
                    pass(remote, local, &stored, cut, until).await?
                }
                // L9: it was written, and is not there any more.
                None if stop.is_none() && is_collected(remote, at.slot).await? => Passed::Lost,
                // Nobody knows the end: here it is.
                _ if stop.is_none() => break,
                _ => Passed::Lost,
            };
            match passed {
                Passed::Over => {}
                Passed::Later => return Ok(Walked::Later),
                Passed::Lost => return Ok(Walked::Lost),
            }
            if local.position() == Some(at) {
                return Ok(Walked::Lost);
            }
        }
    }
    Ok(Walked::End)
}

async fn is_collected(remote: &impl Remote, slot: ReplicaSlot) -> Result<bool> {
    Ok(!broken!(AbsentIsTheEnd) && may_be_collected(remote, slot).await?)
}

/// Over the border into a term. L6: behind a restore no tail from before it goes on, also if its numbers would fit.
pub(super) fn enter(local: &mut impl Local, step: &OpenedTerm) -> Result<Fit> {
    if step.open.restore && !broken!(OldTailsFitBehindARestore) && local.keep_aside()? == Fit::Apart {
        return Ok(Fit::Apart);
    }
    let at = local.position().ok_or_else(no_position)?;
    local.set_position(ReplicaPosition { slot: ReplicaSlot::first(step.term), previous: step.hash, ..at })?;
    Ok(Fit::Fits)
}

/// Passes an object of the log, whose commits up to `cut` count.
pub(super) async fn pass(
    remote: &impl Remote,
    local: &mut impl Local,
    stored: &StoredObject,
    cut: u64,
    until: Option<Until>,
) -> Result<Passed> {
    match &stored.object {
        Object::Batch(batch) => pass_batch(remote, local, stored, batch, cut, until).await,
        Object::Gap(gap) => pass_gap(local, stored, gap),
        other => Err(Error::damaged(format!(
            "the log of the replica has something else: object={} kind={}",
            stored.name,
            other.kind()
        ))),
    }
}

async fn pass_batch(
    remote: &impl Remote,
    local: &mut impl Local,
    stored: &StoredObject,
    batch: &LogBatch,
    cut: u64,
    until: Option<Until>,
) -> Result<Passed> {
    let at = local.position().ok_or_else(no_position)?;
    // L5: it goes on behind the object before. An earlier `after` is fine: the state already has the first commits.
    if batch.previous != at.previous || batch.after > at.sequence {
        return Ok(Passed::Lost);
    }
    let all = commits_of(remote, stored, batch).await?;
    // L4: commits behind the cut were given up.
    let counts = |commit: &&ShippedCommit| commit.sequence > at.sequence && commit.sequence <= cut;
    let is_before = |commit: &&ShippedCommit| match until {
        None => true,
        // L5: its commits were made before its time, so a batch of this time or earlier has none that is later.
        Some(Until::Time(time)) => batch.time <= time,
        Some(Until::Sequence(sequence)) => commit.sequence <= sequence,
    };
    let taken: Vec<_> = all.iter().filter(counts).filter(is_before).cloned().collect();
    let is_later = match until {
        Some(Until::Time(time)) => batch.time > time,
        _ => all.iter().filter(counts).count() > taken.len(),
    };
    let last = taken.last().map_or(at.sequence, |commit| commit.sequence);
    // Half a batch leaves the position before it: the rest of its commits counts from there.
    let is_whole = last >= batch.last && !is_later;
    // L5: a later batch of which nothing was taken says nothing about the time of this state.
    let time = if is_later && taken.is_empty() { at.time } else { batch.time };
    let (slot, previous) = if is_whole { (at.slot.next()?, stored.hash) } else { (at.slot, at.previous) };
    let to = ReplicaPosition { slot, previous, sequence: last, states: at.states, time };
    let (fit, states) = local.apply(&taken, to)?;
    if fit == Fit::Apart {
        return Ok(Passed::Lost);
    }
    if is_whole && last == batch.last && states != batch.states {
        return Err(Error::damaged(format!(
            "the state differs from that of the source after the same commits: object={} sequence={last}",
            stored.name
        )));
    }
    Ok(if is_later { Passed::Later } else { Passed::Over })
}

/// L7: only a state that came from the base of a gap goes on there, as the commits in between are nowhere.
fn pass_gap(local: &mut impl Local, stored: &StoredObject, gap: &LogGap) -> Result<Passed> {
    let at = local.position().ok_or_else(no_position)?;
    if gap.previous != at.previous || gap.last != at.sequence || gap.states != at.states {
        return Ok(Passed::Lost);
    }
    local.set_position(ReplicaPosition { slot: at.slot.next()?, previous: stored.hash, time: gap.time, ..at })?;
    Ok(Passed::Over)
}

/// The commits of a batch.
///
/// # Errors
///
/// `Damaged` when they are others than its head says; the errors of the replica.
pub(crate) async fn commits_of(
    remote: &impl Remote,
    stored: &StoredObject,
    batch: &LogBatch,
) -> Result<Vec<ShippedCommit>> {
    if batch.commits == 0 {
        return Ok(Vec::new());
    }
    let commits = commits::decode(&remote.body(stored).await?, batch.after)?;
    let last = commits.last().map_or(batch.after, |commit| commit.sequence);
    if commits.len() as u64 != batch.commits || last != batch.last {
        return Err(Error::damaged(format!("a batch has other commits than it says: object={}", stored.name)));
    }
    Ok(commits)
}

pub(super) fn no_position() -> Error {
    Error::conflict("the state never was in the replica; restore it from there")
}
