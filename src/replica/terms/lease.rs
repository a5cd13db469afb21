//! The lease of a writer (L12): for how long it may commit without a new object in the replica, and how long its
//! successor waits. Each side counts on a clock of its own, which goes on while the machine sleeps. The writer counts
//! from the beginning of its own request, and has two thirds of the lease; the successor counts from the end of a
//! request, and waits for the whole. So it holds while one clock runs less than half as fast again as the other.

use std::time::Duration;

use super::chain::{OpenedTerm, claim_of};
use super::remote::{Local, Remote};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::objects::kinds::{LEASES, LogSeal};
use crate::replica::objects::name::{ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::Object;

/// The lease of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease(Duration);

impl Lease {
    /// A lease of whole milliseconds within the bounds; none of another length.
    pub(crate) fn new(length: Duration) -> Option<Self> {
        let length = Duration::from_millis(u64::try_from(length.as_millis()).ok()?);
        (LEASES.0 <= length && length <= LEASES.1).then_some(Self(length))
    }

    /// The lease that the opening of a term names.
    pub(crate) fn of(opened: &OpenedTerm) -> Option<Self> {
        opened.open.lease_ms.map(|length| Self(Duration::from_millis(length)))
    }

    /// As it stands in the opening of a term.
    pub(crate) fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// The time for which a successor waits.
    pub(crate) fn length(self) -> Duration {
        self.0
    }

    /// The time for which the writer commits, from the beginning of its last request on.
    pub(crate) fn right(self) -> Duration {
        self.0 * 2 / 3
    }

    /// A request may take so long: a second one still renews the lease in time.
    pub(crate) fn request(self) -> Duration {
        self.0 / 6
    }

    /// So long after the beginning of a request the next one begins.
    pub(crate) fn renewal(self) -> Duration {
        self.0 / 3
    }
}

/// A slot in which nothing came for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) slot: ReplicaSlot,
    /// When all objects before the slot had been read, by the clock that goes on while the machine sleeps.
    pub(crate) since: Duration,
}

impl Silence {
    /// For how long it was silent.
    pub(crate) fn length(&self, remote: &impl Remote) -> Duration {
        remote.boot_time().saturating_sub(self.since)
    }
}

/// The end of a term, as its successor has sealed or found it.
pub(super) struct SealedEnd {
    pub(super) index: u64,
    /// The process of the term ended it itself, and commits no more.
    pub(super) is_released: bool,
    /// When it was known.
    pub(super) at: Duration,
}

impl SealedEnd {
    pub(super) fn of(seal: &LogSeal, remote: &impl Remote) -> Self {
        Self { index: seal.slot.index, is_released: seal.by == seal.slot.term, at: remote.boot_time() }
    }
}

/// L12: watches the slot behind a state until the writer of the newest term must have stopped. Gives none if there is
/// nothing to wait for.
///
/// # Errors
///
/// `Locked` when it still writes; the errors of the replica.
pub(crate) async fn watch(remote: &impl Remote, local: &impl Local, newest: &OpenedTerm) -> Result<Option<Silence>> {
    let Some((lease, at)) = Lease::of(newest).zip(local.position()) else { return Ok(None) };
    if is_of_this_file(remote, newest.term).await? {
        return Ok(None);
    }
    let silence = Silence { slot: at.slot, since: remote.boot_time() };
    loop {
        match remote.get(ObjectName::Log(at.slot)).await?.map(|stored| stored.object) {
            None if silence.length(remote) >= lease.length() => return Ok(Some(silence)),
            None => remote.rest().await,
            // Its end.
            Some(Object::Seal(_)) => return Ok(Some(silence)),
            Some(_) => {
                let message =
                    "another process writes the replica and has its lease; stop that one, or wait for its end";
                return Err(Error::new(ErrorKind::Locked, format!("{message}: term={}", newest.term)));
            }
        }
    }
}

/// Whether another process than the writer of the term has sealed it at that slot.
///
/// # Errors
///
/// The errors of the replica.
pub(crate) async fn is_sealed(remote: &impl Remote, slot: ReplicaSlot) -> Result<bool> {
    let found = remote.get(ObjectName::Log(slot)).await?;
    Ok(found.is_some_and(|found| matches!(found.object, Object::Seal(seal) if seal.by != slot.term)))
}

/// L12: waits until the process of a sealed term cannot commit any more.
pub(super) async fn outwait(
    remote: &impl Remote,
    parent: &OpenedTerm,
    end: &SealedEnd,
    silence: Option<Silence>,
) -> Result<()> {
    let Some(lease) = Lease::of(parent).filter(|_| !end.is_released) else { return Ok(()) };
    if is_of_this_file(remote, parent.term).await? {
        return Ok(());
    }
    // An object behind the slot that was watched was begun at an unknown time before the seal.
    let is_watched = |silence: &Silence| {
        silence.slot == ReplicaSlot { term: parent.term, index: end.index } || broken!(LateObjectsExtendNoLease)
    };
    let since = silence.filter(is_watched).map_or(end.at, |silence| silence.since);
    while remote.boot_time().saturating_sub(since) < lease.length() && !broken!(LeasesAreNotOutwaited) {
        remote.rest().await;
    }
    Ok(())
}

/// Whether a process wrote a term that had this file for itself, as this process has now: so it is dead.
pub(super) async fn is_of_this_file(remote: &impl Remote, term: Term) -> Result<bool> {
    Ok(claim_of(remote, term).await?.is_some_and(|claim| remote.is_own(&claim)))
}
