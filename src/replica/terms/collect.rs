//! Collects what no moment within the retention needs: batches and bases before the *floor*, a base that is old enough.
//!
//! It takes two looks, far apart. The first one announces the floor. The second one finds every restore that began
//! before it saw the announcement, and every later claim of a term, and only then decides. A restore puts its hold
//! first and looks at the announcements after that, so one of the two always sees the other, as long as a list of holds
//! lags less than the time between the looks. That time is measured by the collector's own waiting, and by no clock
//! that somebody sets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chain::{self, OpenedTerm};
use super::remote::{Deletes, Remote};
use super::settle::{Settled, settle};
use crate::clock::{as_stored, before};
use crate::error::Result;
use crate::replica::bases::bases;
use crate::replica::objects::kinds::{BaseManifest, GcFloor};
use crate::replica::objects::name::{BaseName, Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::Object;

/// So many objects are deleted in one step.
const DELETED_AT_ONCE: usize = 20;

/// The rules of a collection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Every moment of this time can be restored.
    pub(crate) window: Duration,
    /// The time between the two looks.
    pub(crate) grace: Duration,
    /// A hold that is there for so long was left behind by a process that died.
    pub(crate) hold_age: Duration,
}

/// The collector of a process that writes.
#[derive(Debug)]
pub(crate) struct Collector {
    term: Term,
    retention: Retention,
    phase: Phase,
    /// Whether objects before the last decided floor are gone. The process that decided may have died before.
    is_swept: bool,
    /// The holds that it sees, and since when by its own waiting.
    holds: BTreeMap<u128, Duration>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Announced {
        number: u32,
        floor: ReplicaSlot,
        at: Duration,
    },
    Deleting(Vec<ObjectName>),
    /// A later term was claimed. Its process collects.
    Over,
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CollectStep {
    /// Nothing is old enough, or it is not yet time for the second look.
    Nothing,
    Announced,
    Decided,
    Deleted(usize),
    /// Another process writes, and collects.
    Over,
}

impl Collector {
    /// The collector of the process that writes this term.
    pub(crate) fn new(term: Term, retention: Retention) -> Self {
        Self { term, retention, phase: Phase::Idle, is_swept: false, holds: BTreeMap::new() }
    }

    /// Takes one step. `waited` is the time for which the process has run, which no clock can change.
    ///
    /// # Errors
    ///
    /// The errors of the replica. Then the next step goes on.
    pub(crate) async fn step(&mut self, remote: &impl Deletes, waited: Duration) -> Result<CollectStep> {
        match &mut self.phase {
            Phase::Over => Ok(CollectStep::Over),
            Phase::Idle => self.announce(remote, waited).await,
            Phase::Announced { number, floor, at } => {
                let (number, floor) = (*number, *floor);
                if waited.saturating_sub(*at) < self.retention.grace && !broken!(NoSecondLook) {
                    self.look_at_holds(remote, waited).await?;
                    return Ok(CollectStep::Nothing);
                }
                self.decide(remote, number, floor, waited).await
            }
            Phase::Deleting(names) => {
                let mut deleted = 0;
                while let Some(name) = names.last().filter(|_| deleted < DELETED_AT_ONCE) {
                    remote.delete(*name).await?;
                    names.pop();
                    deleted += 1;
                }
                if names.is_empty() {
                    self.phase = Phase::Idle;
                }
                Ok(CollectStep::Deleted(deleted))
            }
        }
    }

    /// The first look: what is old enough.
    async fn announce(&mut self, remote: &impl Deletes, waited: Duration) -> Result<CollectStep> {
        let known = chain::floors(remote).await?;
        // L9: the collector of a later term was here, so this process is overtaken. It does not know where its own log
        // ends, and would take the seal for a batch.
        if known.announced.is_some_and(|floor| floor.term > self.term) && !broken!(OvertakenCollectorsGoOn) {
            self.phase = Phase::Over;
            return Ok(CollectStep::Over);
        }
        for (number, _) in &known.undecided {
            // A collector that was overtaken after it announced may not decide any more.
            let name = ObjectName::GcGo(*number);
            let void = remote.prepare(name, Object::GcGo(floor_object(remote, *number, None)), b"")?;
            settle(remote, &void).await?;
        }
        let path = chain::path(remote, self.term, Term(1)).await?;
        if let Some(floor) = known.decided.filter(|_| !self.is_swept)
            && self.sweep(remote, &path, floor).await?
        {
            return Ok(CollectStep::Decided);
        }
        let floor = self.old_base(remote, &path).await?.map(|base| base.base.slot);
        let Some(floor) = floor.filter(|floor| Some(*floor) > known.decided) else { return Ok(CollectStep::Nothing) };
        let list = GcFloor { floor: Some(floor), ..floor_object(remote, known.next, None) };
        let list = remote.prepare(ObjectName::GcList(known.next), Object::GcList(list), b"")?;
        if let Settled::Other(_) = settle(remote, &list).await? {
            // Another process collects.
            return Ok(CollectStep::Nothing);
        }
        self.phase = Phase::Announced { number: known.next, floor, at: waited };
        Ok(CollectStep::Announced)
    }

    /// The newest base that was made before the window; never the newest of all.
    async fn old_base(&self, remote: &impl Remote, path: &[OpenedTerm]) -> Result<Option<BaseManifest>> {
        let mut newest = None;
        // A manifest is written behind its parts, which go only with it.
        for name in bases(remote).await? {
            let Some(Object::Manifest(base)) =
                remote.get(ObjectName::Manifest(name)).await?.map(|stored| stored.object)
            else {
                continue;
            };
            if !chain::is_on(path, &base) {
                continue;
            }
            // A clock that is ahead now has no say: the newest base tells how late it is at least.
            let Some(now) = newest else {
                newest = Some(remote.now().min(base.made));
                continue;
            };
            let is_old = base.made <= before(now, self.retention.window);
            if is_old || broken!(AgeOfABaseIsItsLastCommit) && base.time <= before(now, self.retention.window) {
                return Ok(Some(base));
            }
        }
        Ok(None)
    }

    /// The second look: no later term was claimed, and no restore reads before the floor.
    async fn decide(
        &mut self,
        remote: &impl Deletes,
        number: u32,
        floor: ReplicaSlot,
        waited: Duration,
    ) -> Result<CollectStep> {
        let is_overtaken = remote.get(ObjectName::Term(self.term.next()?)).await?.is_some();
        if is_overtaken && !broken!(ClaimsDoNotStopCollection) {
            self.phase = Phase::Over;
            return Ok(CollectStep::Over);
        }
        let held = if broken!(NoSecondLook) { None } else { self.look_at_holds(remote, waited).await? };
        let floor = held.map_or(floor, |held| held.min(floor));
        let go = GcFloor { floor: Some(floor), ..floor_object(remote, number, None) };
        let go = remote.prepare(ObjectName::GcGo(number), Object::GcGo(go), b"")?;
        if let Settled::Other(_) = settle(remote, &go).await? {
            self.phase = Phase::Idle;
            return Ok(CollectStep::Nothing);
        }
        self.phase = Phase::Idle;
        self.is_swept = false;
        Ok(CollectStep::Decided)
    }

    /// The lowest slot that a restore still reads from. Notes how long each hold is there, and removes those that were
    /// left.
    async fn look_at_holds(&mut self, remote: &impl Deletes, waited: Duration) -> Result<Option<ReplicaSlot>> {
        let mut seen = BTreeMap::new();
        let mut lowest = None;
        for name in remote.list(Folder::Holds).await? {
            let ObjectName::Hold(id) = name else { continue };
            let Some(Object::Hold(hold)) = remote.get(name).await?.map(|stored| stored.object) else { continue };
            let since = self.holds.get(&id).copied().unwrap_or(waited);
            if waited.saturating_sub(since) >= self.retention.hold_age {
                remote.delete(name).await?;
                continue;
            }
            seen.insert(id, since);
            lowest = Some(lowest.map_or(hold.from, |lowest: ReplicaSlot| lowest.min(hold.from)));
        }
        self.holds = seen;
        Ok(lowest)
    }

    /// Finds the objects before a decided floor. Says whether there are any.
    async fn sweep(&mut self, remote: &impl Remote, path: &[OpenedTerm], floor: ReplicaSlot) -> Result<bool> {
        let mut names = remote.list(Folder::Bases).await?;
        names.retain(|name| base_of(name).is_some_and(|base| base.slot < floor));
        for step in path.iter().filter(|step| step.term <= floor.term) {
            // The seal of a term and its opening stay for ever: a process may sleep for any time.
            let next = path.iter().find_map(|next| next.open.parent.filter(|parent| parent.term == step.term));
            let end = next.map_or(u64::MAX, |seal| seal.index);
            let end = if broken!(SealsAreDeleted) { end.saturating_add(1) } else { end };
            let of_log = remote.list(Folder::Log(step.term)).await?.into_iter().filter(|name| match name {
                ObjectName::Log(slot) => *slot < floor && slot.index >= 1 && slot.index < end,
                _ => false,
            });
            names.extend(of_log);
        }
        self.is_swept = true;
        // The last one goes first: of each base the manifest before the parts, so that nobody begins with the rest.
        names.sort_unstable_by(|one, other| other.cmp(one));
        let is_any = !names.is_empty();
        if is_any {
            self.phase = Phase::Deleting(names);
        }
        Ok(is_any)
    }
}

fn floor_object(remote: &impl Remote, number: u32, floor: Option<ReplicaSlot>) -> GcFloor {
    GcFloor { store: remote.store(), number, nonce: remote.nonce(), time: as_stored(remote.now()), floor }
}

fn base_of(name: &ObjectName) -> Option<BaseName> {
    match name {
        ObjectName::Manifest(base) | ObjectName::Part(base, _) => Some(*base),
        _ => None,
    }
}
