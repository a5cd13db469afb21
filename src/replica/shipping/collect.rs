//! Collects what no moment within the retention needs: batches and bases before the *floor*, a base that is old enough.
//!
//! It takes two looks, far apart. The first one announces the floor. The second one finds every restore that began
//! before it saw the announcement, and every later claim of a term, and only then decides. A restore puts its hold
//! first and looks at the announcements after that, so one of the two always sees the other, as long as a list of holds
//! lags less than the time between the looks. That time is measured by the collector's own waiting, and by no clock
//! that somebody sets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::old_objects::OldObjects;
use crate::clock::{as_stored, before};
use crate::error::Result;
use crate::replica::objects::kinds::{BaseManifest, GcFloor};
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::Object;
use crate::replica::reading::bases::bases;
use crate::replica::terms::chain;
use crate::replica::terms::remote::{Deletes, Remote};
use crate::replica::terms::rules::broken;
use crate::replica::terms::settle::{Settled, settle};

/// Objects that were old enough for so long are overdue: no process has lived from one look to the other.
const OVERDUE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The rules of a collection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Every moment of this time can be restored.
    pub(crate) window: Duration,
    /// The time between the two looks. A claim that nobody has opened for so long was given up.
    pub(crate) grace: Duration,
    /// A hold that is there for so long was left behind by a process that died. One that tells that it is twice as old
    /// was, if it is there for the time between two looks: a collector may not live for longer.
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
    /// Whether objects that were old enough long ago were there at the last look.
    is_overdue: bool,
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
    Deleting(OldObjects),
    /// A later term was claimed, or collects. Its process collects from now on.
    Over {
        since: Duration,
    },
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
    /// A later term was claimed long ago, and nobody has opened it: only a new term of this process can collect.
    Blocked,
}

impl Collector {
    /// The collector of the process that writes this term.
    pub(crate) fn new(term: Term, retention: Retention) -> Self {
        Self { term, retention, phase: Phase::Idle, is_swept: false, is_overdue: false, holds: BTreeMap::new() }
    }

    /// Whether it neither waits for a second look nor deletes anything.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether objects that were old enough long ago were still there at the last [look](Self::note_overdue).
    pub(crate) fn is_overdue(&self) -> bool {
        self.is_overdue
    }

    /// Looks whether objects that were old enough long ago are still there.
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(crate) async fn note_overdue(&mut self, remote: &impl Remote) -> Result<()> {
        let decided = chain::floors(remote).await?.decided;
        self.is_overdue = self.old_base(remote, OVERDUE).await?.map(|base| base.base.slot) > decided;
        Ok(())
    }

    /// Takes one step. `waited` is the time for which the process has run, which no clock can change.
    ///
    /// # Errors
    ///
    /// The errors of the replica. Then the next step goes on.
    pub(crate) async fn step(&mut self, remote: &impl Deletes, waited: Duration) -> Result<CollectStep> {
        match &mut self.phase {
            Phase::Over { since } => {
                let since = *since;
                self.look_at_claim(remote, waited.saturating_sub(since)).await
            }
            Phase::Idle => self.announce(remote, waited).await,
            Phase::Announced { number, floor, at } => {
                let (number, floor) = (*number, *floor);
                if waited.saturating_sub(*at) < self.retention.grace && !broken!(NoSecondLook) {
                    self.look_at_holds(remote, waited).await?;
                    return Ok(CollectStep::Nothing);
                }
                self.decide(remote, number, floor, waited).await
            }
            Phase::Deleting(old) => {
                let deleted = old.delete_some(remote).await?;
                if old.is_empty() {
                    let (floor, next) = old.rest();
                    // After a failure all of it is looked for again.
                    (self.phase, self.is_swept) = (Phase::Idle, next.is_none());
                    if next.is_some() {
                        self.sweep(remote, floor, next).await?;
                    }
                }
                Ok(CollectStep::Deleted(deleted))
            }
        }
    }

    /// Whether the claim that ended the collection was given up: a process that went on would have ended this one.
    async fn look_at_claim(&mut self, remote: &impl Remote, over: Duration) -> Result<CollectStep> {
        if over < self.retention.grace {
            return Ok(CollectStep::Over);
        }
        let next = self.term.next()?;
        let is_claimed = remote.get(ObjectName::Term(next)).await?.is_some();
        let is_given_up = is_claimed && chain::opening(remote, next).await?.is_none();
        Ok(if is_given_up { CollectStep::Blocked } else { CollectStep::Over })
    }

    /// The first look: what is old enough.
    async fn announce(&mut self, remote: &impl Deletes, waited: Duration) -> Result<CollectStep> {
        let mut known = chain::floors(remote).await?;
        // L9: the collector of a later term was here, so this process is overtaken. It does not know where its own log
        // ends, and would take the seal for a batch.
        if known.announced.is_some_and(|floor| floor.term > self.term) && !broken!(OvertakenCollectorsGoOn) {
            self.phase = Phase::Over { since: waited };
            return Ok(CollectStep::Over);
        }
        let late = void_announcements(remote, &known).await?;
        if !broken!(LateDecisionsAreForgotten) {
            // L9: the next floor is above it.
            known.decided = known.decided.max(late);
        }
        if let Some(floor) = known.decided.filter(|_| !self.is_swept)
            && self.sweep(remote, floor, None).await?
        {
            return Ok(CollectStep::Decided);
        }
        let floor = self.old_base(remote, Duration::ZERO).await?.map(|base| base.base.slot);
        let Some(floor) = floor.filter(|floor| Some(*floor) > known.decided) else { return Ok(CollectStep::Nothing) };
        let list = GcFloor { floor: Some(floor), ..floor_object(remote, known.next, None) };
        let list = remote.prepare(ObjectName::GcList(known.next), Object::GcList(list), b"")?;
        if let Settled::Other(_) = settle(remote, &list).await? {
            // Another process collects.
            return Ok(CollectStep::Nothing);
        }
        self.phase = Phase::Announced { number: known.next, floor, at: waited };
        // So each of them is seen for the whole time until the second look.
        self.look_at_holds(remote, waited).await?;
        Ok(CollectStep::Announced)
    }

    /// The newest base that was made before the window, and so long before; never the newest of all.
    async fn old_base(&self, remote: &impl Remote, long_before: Duration) -> Result<Option<BaseManifest>> {
        let window = self.retention.window.saturating_add(long_before);
        let (names, mut newest) = (bases(remote).await?, None);
        let down = names.last().map_or(self.term, |oldest| oldest.slot.term);
        let path = chain::path(remote, self.term, down).await?;
        // A manifest is written behind its parts, which go only with it.
        for name in names {
            let Some(Object::Manifest(base)) =
                remote.get(ObjectName::Manifest(name)).await?.map(|stored| stored.object)
            else {
                continue;
            };
            // L8 and L10: a base that a restore gave up begins no history, so it is no floor.
            if !chain::is_on(&path, &base) {
                continue;
            }
            // A clock that is ahead now has no say: the newest base tells how late it is at least.
            let Some(now) = newest else {
                newest = Some(remote.now().min(base.made));
                continue;
            };
            let is_old = base.made <= before(now, window);
            if is_old || broken!(AgeOfABaseIsItsLastCommit) && base.time <= before(now, window) {
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
        announced: ReplicaSlot,
        waited: Duration,
    ) -> Result<CollectStep> {
        let is_overtaken = remote.get(ObjectName::Term(self.term.next()?)).await?.is_some();
        if is_overtaken && !broken!(ClaimsDoNotStopCollection) {
            let (term, later) = (self.term, self.term.next()?);
            tracing::warn!(%term, %later, "a later term was claimed, so this process collects no old objects any more");
            self.phase = Phase::Over { since: waited };
            return Ok(CollectStep::Over);
        }
        // The clock may have been ahead when the floor was announced, and be right by now.
        let old = self.old_base(remote, Duration::ZERO).await?.map(|base| base.base.slot);
        let held = if broken!(NoSecondLook) { None } else { self.look_at_holds(remote, waited).await? };
        // L10: a restore that reads keeps the floor down. L9: what was not announced is never decided.
        let floor = held.map_or(announced, |held| held.min(announced));
        let floor = (old >= Some(announced)).then_some(floor);
        let go = floor_object(remote, number, floor);
        let go = remote.prepare(ObjectName::GcGo(number), Object::GcGo(go), b"")?;
        let settled = settle(remote, &go).await?;
        // Also if the decision is one of its own whose answer was lost.
        (self.phase, self.is_overdue, self.is_swept) = (Phase::Idle, false, false);
        if floor.is_none() || matches!(settled, Settled::Other(_)) {
            return Ok(CollectStep::Nothing);
        }
        Ok(CollectStep::Decided)
    }

    /// The lowest slot that a restore still reads from. Notes how long each hold is there, and removes those that were
    /// left.
    async fn look_at_holds(&mut self, remote: &impl Deletes, waited: Duration) -> Result<Option<ReplicaSlot>> {
        let mut seen = BTreeMap::new();
        let Retention { grace, hold_age, .. } = self.retention;
        let long_ago = before(remote.now(), hold_age.saturating_mul(2));
        let mut lowest = None;
        for name in remote.list(Folder::Holds).await? {
            let ObjectName::Hold(id) = name else { continue };
            let Some(Object::Hold(hold)) = remote.get(name).await?.map(|stored| stored.object) else { continue };
            let since = self.holds.get(&id).copied().unwrap_or(waited);
            let here = waited.saturating_sub(since);
            if here >= hold_age || here >= grace && hold.time <= long_ago {
                tracing::warn!(machine = hold.machine, "a hold of the replica was left behind, and is removed");
                remote.delete(name).await?;
                continue;
            }
            seen.insert(id, since);
            lowest = Some(lowest.map_or(hold.from, |lowest: ReplicaSlot| lowest.min(hold.from)));
        }
        self.holds = seen;
        Ok(lowest)
    }

    /// Finds objects before a decided floor, from behind that one of the log on. Says whether there are any.
    async fn sweep(&mut self, remote: &impl Remote, floor: ReplicaSlot, after: Option<ObjectName>) -> Result<bool> {
        let old = OldObjects::find(remote, self.term, floor, after).await?;
        self.is_swept = true;
        let is_any = !old.is_empty();
        if is_any {
            self.phase = Phase::Deleting(old);
        }
        Ok(is_any)
    }
}

/// Makes collections void that were announced and not decided: a collector that was overtaken after it announced may
/// not decide any more (L9), and until then a restore keeps away from its floor. Gives the highest floor that one of
/// them has decided just before.
///
/// # Errors
///
/// The errors of the replica.
pub(crate) async fn void_announcements(remote: &impl Remote, known: &chain::Floors) -> Result<Option<ReplicaSlot>> {
    let mut late = None;
    for (number, _) in &known.undecided {
        let void = Object::GcGo(floor_object(remote, *number, None));
        let void = remote.prepare(ObjectName::GcGo(*number), void, b"")?;
        if let Settled::Other(other) = settle(remote, &void).await?
            && let Object::GcGo(go) = other.object
        {
            late = late.max(go.floor);
        }
    }
    Ok(late)
}

fn floor_object(remote: &impl Remote, number: u32, floor: Option<ReplicaSlot>) -> GcFloor {
    GcFloor { store: remote.store(), number, nonce: remote.nonce(), time: as_stored(remote.now()), floor }
}
