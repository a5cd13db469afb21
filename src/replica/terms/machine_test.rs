//! A machine of the simulation: its disk, and the threads of its process. It serves, follows and restores
//! as chance has it. The restores, bases and collections here are as small as they can be; everything
//! else is the code that is tested.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::chain::{OpenedTerm, is_on, may_be_collected, newest_open, path};
use super::follow::{Followed, follow};
use super::hold::{place_hold, prepare_hold};
use super::lease::{Lease, Silence};
use super::open::{Beginning, BegunFrom, OpenedAs, is_on_the_way, open_term};
use super::remote::{Deletes, Fit, Local, Remote, ReplicaPosition};
use super::settle::{Settled, settle};
use super::simulation_test::{
    Call, GRACE, Identity, STORE, SharedDisk, SimRemote, SleepEvent, Thread, World, base_state, time,
};
use super::truth_test::{SimCommit, digest_after, hash_of};
use super::walk::{Until, Walked, walk};
use super::write::{Shipped, TermWriter};
use crate::error::{Error, Result};
use crate::replica::objects::commits::{self, ShippedCommit};
use crate::replica::objects::kinds::{BaseManifest, BasePart};
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{BaseName, Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::Object;
use crate::replica::objects::parts::{self, PartEntry};
use crate::replica::shipping::collect::{CollectStep, Collector, Retention};

/// After so many looks in a row that found nothing, a copy asks whether its next object was collected.
const LOOK_AFTER: u64 = 8;

/// The state that survives a crash.
#[derive(Clone)]
pub(super) struct Disk {
    /// The machine on which it began; its clones have the same.
    id: u64,
    commits: Vec<SimCommit>,
    /// The digest after each commit.
    digests: Vec<u64>,
    /// How many of them the replica has.
    shipped: usize,
    /// None before it was in the replica.
    position: Option<ReplicaPosition>,
    /// The term that its process writes, or wrote when it died.
    term: Option<Term>,
    /// The last term that a process of this disk has written.
    wrote: Option<Term>,
    /// The number of this copy of the disk.
    copy: u64,
    orphans: BTreeSet<u64>,
    made: BTreeSet<u64>,
    holds: Vec<ObjectName>,
    /// Whether the next sequence leaps, because a restore gave up a part of the history.
    leaps: bool,
}

impl Disk {
    /// An empty state, which is that of the first base.
    fn new(id: u64, world: &World) -> Self {
        let position = ReplicaPosition {
            slot: ReplicaSlot::first(Term(1)),
            previous: hash_of(1),
            sequence: 0,
            states: hash_of(0),
            time: time(0),
        };
        Self {
            id,
            commits: Vec::new(),
            digests: Vec::new(),
            shipped: 0,
            position: (!world.begins_empty).then_some(position),
            term: None,
            wrote: None,
            copy: 0,
            orphans: BTreeSet::new(),
            made: BTreeSet::new(),
            holds: Vec::new(),
            leaps: false,
        }
    }

    fn digest(&self, length: usize) -> u64 {
        length.checked_sub(1).map_or(0, |last| self.digests[last])
    }

    fn push(&mut self, commit: SimCommit) {
        self.digests.push(digest_after(self.digest(self.commits.len()), &commit));
        self.commits.push(commit);
    }

    fn truncate(&mut self, length: usize) {
        self.commits.truncate(length);
        self.digests.truncate(length);
    }

    /// Replaces the commits from here on by nothing, and keeps them aside.
    fn orphan(&mut self, from: usize, world: &RefCell<World>) {
        if from < self.commits.len() {
            world.borrow_mut().counted("tails kept aside");
        }
        self.orphans.extend(self.commits[from..].iter().map(|commit| commit.number));
        self.truncate(from);
    }

    /// Becomes the state of a base.
    fn take(&mut self, state: &[SimCommit]) {
        self.truncate(0);
        state.iter().for_each(|commit| self.push(*commit));
    }
}

/// A disk as the protocol sees it.
#[derive(Clone)]
struct SimLocal {
    world: Rc<RefCell<World>>,
    disk: SharedDisk,
}

impl Local for SimLocal {
    fn position(&self) -> Option<ReplicaPosition> {
        self.disk.borrow().position
    }

    fn newest(&self) -> Result<(u64, ObjectHash)> {
        let disk = self.disk.borrow();
        let last = disk.commits.last().map_or(0, |last| last.sequence);
        Ok((last, hash_of(disk.digest(disk.commits.len()))))
    }

    fn set_position(&mut self, position: ReplicaPosition) -> Result<()> {
        let mut disk = self.disk.borrow_mut();
        disk.shipped = disk.commits.partition_point(|commit| commit.sequence <= position.sequence);
        let states = hash_of(disk.digest(disk.shipped));
        if states != position.states {
            self.world.borrow_mut().truth.wrong(format!("a position of another state: {position:?}"));
        }
        disk.position = Some(position);
        Ok(())
    }

    fn apply(&mut self, commits: &[ShippedCommit], position: ReplicaPosition) -> Result<(Fit, ObjectHash)> {
        let mut disk = self.disk.borrow_mut();
        for commit in commits.iter().map(SimCommit::of) {
            let next = disk.shipped;
            if disk.commits.get(next).is_some_and(|own| *own != commit) {
                disk.orphan(next, &self.world);
            }
            if next == disk.commits.len() {
                disk.push(commit);
            }
            disk.shipped += 1;
        }
        let states = hash_of(disk.digest(disk.shipped));
        disk.position = Some(ReplicaPosition { states, ..position });
        self.world.borrow_mut().truth.local(&disk.commits[..disk.shipped]);
        Ok((Fit::Fits, states))
    }

    fn keep_aside(&mut self) -> Result<Fit> {
        let mut disk = self.disk.borrow_mut();
        let shipped = disk.shipped;
        disk.orphan(shipped, &self.world);
        Ok(Fit::Fits)
    }
}

impl SimLocal {
    /// Begins anew with the newest base, as a new copy of a standby does, and keeps aside what only this state has.
    async fn rebase(&mut self, remote: &SimRemote, newest: Term) -> Result<()> {
        let path = path(remote, newest, Term(1)).await?;
        let Some((head, state)) = bases(remote, &path, 1, None).await?.pop() else { return Ok(()) };
        let mut disk = self.disk.borrow_mut();
        let own = disk.position.map_or(Term(0), |position| position.slot.term);
        if !broken!(OldTailsFitBehindARestore) {
            for step in path.iter().filter(|step| step.term > own && step.open.restore) {
                let at = disk.commits.partition_point(|commit| commit.sequence <= step.open.sequence);
                disk.orphan(at, &self.world);
            }
        }
        let same = disk.commits.iter().zip(&state).take_while(|(own, other)| own == other).count();
        if same < disk.commits.len().min(state.len()) {
            disk.orphan(same, &self.world);
        }
        if disk.commits.len() < state.len() {
            disk.take(&state);
        }
        disk.shipped = state.len();
        disk.position = Some(position_of(&head));
        let mut world = self.world.borrow_mut();
        world.truth.local(&disk.commits[..disk.shipped]);
        world.counted("bases taken anew");
        Ok(())
    }
}

fn position_of(base: &BaseManifest) -> ReplicaPosition {
    let (slot, previous) = (base.base.slot, base.previous);
    ReplicaPosition { slot, previous, sequence: base.sequence, states: base.states, time: base.time }
}

/// Whole bases on the chain, the newest first.
async fn bases(
    remote: &impl Remote,
    path: &[OpenedTerm],
    most: usize,
    before: Option<Until>,
) -> Result<Vec<(BaseManifest, Vec<SimCommit>)>> {
    let mut names: Vec<_> = remote.list(Folder::Bases).await?.iter().filter_map(base_of).collect();
    names.sort_unstable();
    names.dedup();
    let mut found = Vec::new();
    for base in names.into_iter().rev() {
        let manifest = remote.get(ObjectName::Manifest(base)).await?;
        let mut read = Vec::new();
        for number in 0..2 {
            read.extend(remote.get(ObjectName::Part(base, number)).await?.map(Rc::new));
        }
        let Some(manifest) = manifest else { continue };
        let part = |name| read.iter().find(|part| part.name == name).cloned();
        let Some(state) = base_state(&manifest, part) else { continue };
        let Object::Manifest(head) = manifest.object else { continue };
        let is_before = match before {
            None => true,
            Some(Until::Time(time)) => head.time <= time,
            Some(Until::Sequence(sequence)) => head.sequence <= sequence,
        };
        if is_on(path, &head) && is_before {
            found.push((head, state));
        }
        if found.len() >= most {
            break;
        }
    }
    Ok(found)
}

fn base_of(name: &ObjectName) -> Option<BaseName> {
    match name {
        ObjectName::Manifest(base) | ObjectName::Part(base, _) => Some(*base),
        _ => None,
    }
}

/// A machine and its process.
pub(super) struct Machine {
    world: Rc<RefCell<World>>,
    name: u64,
    disk: SharedDisk,
    /// Snapshots, from which it or a clone of it may start.
    pub(super) disks: Vec<Disk>,
    pub(super) wake: u64,
    pub(super) event: Option<SleepEvent>,
    pub(super) threads: Vec<Thread>,
    /// The holds of the process.
    own: Rc<RefCell<Vec<ObjectName>>>,
    is_open: Rc<Cell<bool>>,
    /// Until when the process may commit; none without a lease.
    until: Rc<Cell<Option<Duration>>>,
    /// The term of a commit that was not answered yet.
    asked: Option<Term>,
    rate: f64,
    /// Threads that begin after this step.
    born: Rc<RefCell<Vec<Thread>>>,
}

impl Machine {
    pub(super) fn new(world: &Rc<RefCell<World>>, name: u64) -> Self {
        let rate = world.borrow_mut().random.choice(&[0.85, 1.0, 1.15]);
        let mut machine = Self {
            world: world.clone(),
            name,
            disk: Rc::new(RefCell::new(Disk::new(name, &world.borrow()))),
            disks: Vec::new(),
            wake: 0,
            event: None,
            threads: Vec::new(),
            own: Rc::default(),
            is_open: Rc::default(),
            until: Rc::default(),
            asked: None,
            rate,
            born: Rc::default(),
        };
        machine.start();
        machine
    }

    /// A new process on the same disk.
    pub(super) fn start(&mut self) {
        let mut world = self.world.borrow_mut();
        world.left.append(&mut self.own.borrow_mut());
        world.truth.pins.remove(&usize::try_from(self.name).unwrap());
        drop(world);
        // The objects that the dead process still holds must not reach the new one.
        (self.own, self.is_open, self.born) = (Rc::default(), Rc::default(), Rc::default());
        (self.until, self.asked, self.event) = (Rc::default(), None, None);
        let (disk, copy) = (self.disk.borrow().id, self.disk.borrow().copy);
        let remote = SimRemote::new(&self.world, Identity { disk, copy, rate: self.rate });
        let process = Process {
            remote: remote.clone(),
            name: usize::try_from(self.name).unwrap(),
            local: SimLocal { world: self.world.clone(), disk: self.disk.clone() },
            own: self.own.clone(),
            is_open: self.is_open.clone(),
            until: self.until.clone(),
            born: self.born.clone(),
        };
        self.threads = vec![Thread { remote, work: Box::pin(process.live()) }];
    }

    /// A new process on another disk.
    pub(super) fn boot(&mut self, disk: Disk) {
        let copy = self.world.borrow_mut().number();
        self.disk = Rc::new(RefCell::new(Disk { copy, ..disk }));
        self.start();
    }

    pub(super) fn snapshot(&mut self) {
        if self.disks.len() > 4 {
            self.disks.remove(0);
        }
        self.disks.push(self.disk.borrow().clone());
    }

    pub(super) fn adopt_threads(&mut self) {
        self.threads.append(&mut self.born.borrow_mut());
    }

    /// Another thread of the process answers a commit, and begins one.
    pub(super) fn commit_now_and_then(&mut self) {
        let mut world = self.world.borrow_mut();
        let now = Duration::from_secs_f64(world.now as f64 * self.rate);
        let has_ended = self.until.get().is_some_and(|until| now >= until);
        if !self.is_open.get() {
            self.asked = None;
            return;
        }
        if self.asked.is_some() && world.random.part() < 0.5 {
            let (term, has_lease) = (self.asked.take().unwrap(), self.until.get().is_some());
            match has_ended && !broken!(AnswersDoNotLookAtTheLease) {
                true => world.counted("commits that are not answered"),
                false if has_lease => world.truth.answered(term),
                false => {}
            }
        }
        if world.random.part() >= 0.25 {
            return;
        }
        if has_ended {
            return world.counted("leases that ended");
        }
        let mut disk = self.disk.borrow_mut();
        self.asked = self.asked.or(disk.term);
        let number = world.number();
        let (sequence, before) = disk.commits.last().map_or((0, 0), |last| (last.sequence, last.time));
        let step = if std::mem::take(&mut disk.leaps) { 1 << 32 } else { 1 + number % 2 };
        let commit = SimCommit { sequence: sequence + step, number, time: world.now.max(before) };
        disk.push(commit);
        disk.made.insert(number);
        world.counted("commits");
    }

    /// Stops for long before some calls: until the slot is collected, or until much else has happened.
    pub(super) fn sleep_before(&mut self, call: Option<Call>, chance: f64) {
        let Some(Call::Create(object)) = call else { return };
        let kinds = ["term", "seal", "open", "batch", "go"];
        let mut world = self.world.borrow_mut();
        if !kinds.contains(&object.object.kind()) || world.random.part() >= chance {
            return;
        }
        self.wake = world.now + world.random.choice(&[60, 600]);
        let what = world.random.choice(&["objects collected", "terms opened"]);
        let count = world.count.get(what).copied().unwrap_or_default();
        self.event = Some(match object.name {
            ObjectName::Log(slot) => SleepEvent::Collected(slot),
            _ => SleepEvent::Counted(what, count),
        });
    }

    /// Each commit that was made is history, or in the tail, or kept aside.
    pub(super) fn is_complete(&self) {
        let (mut world, disk) = (self.world.borrow_mut(), self.disk.borrow());
        let tail: BTreeSet<_> = disk.commits[disk.shipped..].iter().map(|commit| commit.number).collect();
        let is_lost = |number: &&u64| {
            !disk.orphans.contains(number) && !tail.contains(number) && !world.truth.was_history(**number)
        };
        if let Some(number) = disk.made.iter().find(is_lost).copied() {
            world.truth.wrong(format!("neither history nor tail nor kept aside: {number}"));
        }
    }
}

/// The work of a process.
struct Process {
    remote: SimRemote,
    name: usize,
    local: SimLocal,
    own: Rc<RefCell<Vec<ObjectName>>>,
    is_open: Rc<Cell<bool>>,
    until: Rc<Cell<Option<Duration>>>,
    born: Rc<RefCell<Vec<Thread>>>,
}

impl Process {
    async fn live(mut self) {
        let was_writing = self.local.disk.borrow().term.is_some();
        let mut job = if was_writing && self.part() < 0.7 { 0.0 } else { self.part() };
        loop {
            let mix = self.remote.world.borrow().mix;
            let done = if job < mix.0 {
                self.serve(None).await
            } else if job < mix.1 {
                self.follow().await
            } else {
                self.restore().await
            };
            if let Err(error) = done {
                self.remote.world.borrow_mut().truth.wrong(format!("an error: {error}"));
                return;
            }
            self.remote.pause().await;
            job = self.part();
        }
    }

    fn part(&self) -> f64 {
        self.remote.world.borrow_mut().random.part()
    }

    fn below(&self, limit: u64) -> u64 {
        self.remote.world.borrow_mut().random.below(limit)
    }

    fn counted(&self, what: &'static str) {
        self.remote.world.borrow_mut().counted(what);
    }

    /// Writes a term: on the disk that wrote last in its own name, otherwise in place of another.
    async fn serve(&mut self, silence: Option<Silence>) -> Result<()> {
        let own = |local: &SimLocal| local.position().map(|at| at.slot.term);
        let term = self.local.disk.borrow().term;
        if let Some(term) = term.filter(|term| broken!(RestartsGoOnInTheirTerm) && own(&self.local) == Some(*term)) {
            while follow(&self.remote, &mut self.local).await? == Followed::Moved {}
            let now = self.remote.boot_time();
            return if own(&self.local) == Some(term) { self.write(term, now).await } else { Ok(()) };
        }
        let is_own = own(&self.local).is_some_and(|term| self.local.disk.borrow().wrote == Some(term));
        let from = if is_own { BegunFrom::Log } else { BegunFrom::Promotion };
        if let Some(newest) = newest_open(&self.remote).await?.filter(|_| is_own)
            && !is_on_the_way(&self.remote, &mut self.local, newest.term).await?
        {
            return Ok(());
        }
        let beginning = Beginning { lease: self.lease(), silence, ..from.into() };
        let (is_gone, claims) = (self.is_next_gone(), self.remote.claims.get());
        let opened = open_term(&self.remote, &mut self.local, beginning).await?;
        if is_gone && self.remote.claims.get() > claims {
            let mut world = self.remote.world.borrow_mut();
            world.truth.wrong("a state claims a term although its next object was collected".into());
        }
        match opened {
            OpenedAs::Writer(term, _) if from == BegunFrom::Promotion => {
                self.counted("promoted");
                let mut writer = TermWriter::new(term);
                writer.prepare_release(&self.remote, &self.local)?;
                if writer.ship(&self.remote, &mut self.local).await? != Shipped::Fenced {
                    // From now on it is the store that is written to.
                    self.local.disk.borrow_mut().wrote = Some(term);
                    return Box::pin(self.serve(None)).await;
                }
                Ok(())
            }
            OpenedAs::Writer(term, begun) => self.write(term, begun).await,
            OpenedAs::Overtaken | OpenedAs::Apart => Ok(()),
        }
    }

    /// Whether the next object of the state was there, and was collected.
    fn is_next_gone(&self) -> bool {
        self.local.position().is_some_and(|at| self.remote.world.borrow().is_gone(ObjectName::Log(at.slot)))
    }

    /// The lease of the next term.
    fn lease(&self) -> Option<Lease> {
        let mut world = self.remote.world.borrow_mut();
        let has_one = world.random.part() < 0.9;
        world.lease.filter(|_| has_one).and_then(|steps| Lease::new(Duration::from_secs(steps)))
    }

    /// The lease of a term that opened.
    fn lease_of(&self, term: Term) -> Option<Lease> {
        let world = self.remote.world.borrow();
        match &world.objects.get(&ObjectName::Log(ReplicaSlot::opening(term)))?.object {
            Object::Open(open) => Lease::new(Duration::from_millis(open.lease_ms?)),
            _ => None,
        }
    }

    async fn write(&mut self, term: Term, begun: Duration) -> Result<()> {
        self.counted("terms opened");
        let lease = self.lease_of(term);
        let until = |begun: Duration| lease.map(|lease| begun + lease.right());
        let mut renew_at = lease.map(|lease| begun + lease.renewal());
        {
            let mut disk = self.local.disk.borrow_mut();
            (disk.term, disk.wrote) = (Some(term), Some(term));
        }
        self.until.set(until(begun));
        self.is_open.set(true);
        let keeper = SimRemote::new(&self.remote.world, self.remote.of);
        let keep = keep(keeper.clone(), self.local.clone(), self.is_open.clone(), term);
        self.born.borrow_mut().push(Thread { remote: keeper, work: Box::pin(keep) });
        let mut life = 5 + self.below(395);
        let mut writer = TermWriter::new(term);
        loop {
            life = life.saturating_sub(1);
            let most = usize::try_from(1 + self.below(4)).unwrap();
            let (tail, states) = {
                let disk = self.local.disk.borrow();
                let end = (disk.shipped + most).min(disk.commits.len());
                let tail: Vec<_> = disk.commits[disk.shipped..end].iter().map(|commit| commit.shipped()).collect();
                (tail, hash_of(disk.digest(end)))
            };
            let releases = tail.is_empty() && life == 0;
            let is_due = renew_at.is_some_and(|at| self.remote.boot_time() >= at);
            if releases {
                // The seal says that nothing is committed behind it.
                self.is_open.set(false);
                if self.local.disk.borrow().commits.len() > self.local.disk.borrow().shipped {
                    self.is_open.set(true);
                    continue;
                }
                writer.prepare_release(&self.remote, &self.local)?;
            } else if tail.is_empty() && !is_due {
                self.remote.pause().await;
                continue;
            } else {
                writer.prepare(&self.remote, &self.local, &tail, states, self.remote.now())?;
            }
            let Shipped::Acknowledged(begun) = writer.ship(&self.remote, &mut self.local).await? else {
                self.counted("fenced");
                break;
            };
            self.until.set(until(begun));
            renew_at = lease.map(|lease| begun + lease.renewal());
            if releases {
                break;
            }
            self.counted("batches acknowledged");
            let at = self.local.position().unwrap();
            self.remote.world.borrow_mut().truth.within(at.previous, "acknowledged");
        }
        self.is_open.set(false);
        self.local.disk.borrow_mut().term = None;
        Ok(())
    }

    async fn follow(&mut self) -> Result<()> {
        if self.local.position().is_none() {
            return self.rebase().await;
        }
        // Its next object may have been collected before it was opened, or while it found nothing for long.
        let (mut since, mut idle) = (self.remote.boot_time(), LOOK_AFTER - 1);
        for _ in 0..5 + self.below(55) {
            let followed = follow(&self.remote, &mut self.local).await?;
            let slot = self.local.position().map_or(ReplicaSlot::first(Term(1)), |at| at.slot);
            if followed != Followed::Nothing {
                (since, idle) = (self.remote.boot_time(), 0);
            }
            let silence = Silence { slot, since };
            let lease = self.lease_of(slot.term);
            let is_silent = lease.is_some_and(|lease| silence.length(&self.remote) >= lease.length());
            idle += u64::from(followed == Followed::Nothing);
            let looks = is_silent || idle.is_multiple_of(LOOK_AFTER) && idle > 0;
            if followed == Followed::Lost || looks && may_be_collected(&self.remote, slot).await? {
                self.rebase().await?;
                (since, idle) = (self.remote.boot_time(), 0);
            } else if is_silent {
                self.counted("promotions after a silence");
                return self.serve(Some(silence)).await;
            } else if followed == Followed::Moved {
                self.counted("batches followed");
            } else {
                self.remote.pause().await;
            }
        }
        Ok(())
    }

    async fn rebase(&mut self) -> Result<()> {
        if let Some(newest) = newest_open(&self.remote).await? {
            self.local.rebase(&self.remote, newest.term).await?;
        }
        Ok(())
    }

    async fn restore(&mut self) -> Result<()> {
        let (moment, begun) = {
            let mut world = self.remote.world.borrow_mut();
            let window = world.window * 2;
            let back = 1 + world.random.below(window);
            let newest = world.truth.versions.len() - 1;
            let length = world.truth.versions[newest].len();
            let commit = usize::try_from(world.random.below(length as u64)).unwrap();
            let moment = match world.random.below(10) {
                0..3 => None,
                3..5 => world.truth.versions[newest].get(commit).map(|commit| Until::Sequence(commit.sequence)),
                _ => Some(Until::Time(time(world.now.saturating_sub(back)))),
            };
            (moment, (newest, length))
        };
        let Some(newest) = newest_open(&self.remote).await? else { return Ok(()) };
        let path = path(&self.remote, newest.term, Term(1)).await?;
        let Some((head, state)) = bases(&self.remote, &path, 1, moment).await?.pop() else {
            self.counted("restores refused");
            return Ok(());
        };
        let from = head.base.slot;
        let held = prepare_hold(&self.remote, from)?;
        let hold = held.name;
        self.local.disk.borrow_mut().holds.push(hold);
        self.own.borrow_mut().push(hold);
        let is_safe = place_hold(&self.remote, &held, from).await?;
        if is_safe {
            self.remote.world.borrow_mut().truth.pins.insert(self.name, from);
            let mut copy = Disk::new(0, &self.remote.world.borrow());
            (copy.position, copy.shipped) = (Some(position_of(&head)), state.len());
            copy.take(&state);
            let mut copy = SimLocal { world: self.remote.world.clone(), disk: Rc::new(RefCell::new(copy)) };
            let walked = walk(&self.remote, &mut copy, &path, None, moment).await?;
            let is_early = walked == Walked::End && moment.is_some() && !broken!(MomentWithoutALaterCommit);
            if walked == Walked::Lost || is_early {
                self.counted("restores refused");
            } else {
                let copy = copy.disk.borrow().clone();
                let takes_over = {
                    let mut world = self.remote.world.borrow_mut();
                    world.truth.restored(&copy.commits, moment, begun);
                    world.counted("restores");
                    let takes_over = world.takes_over;
                    world.random.part() < takes_over
                };
                if takes_over {
                    return self.take_over(&copy, hold).await;
                }
            }
        } else {
            self.counted("restores refused");
        }
        self.release(hold).await;
        Ok(())
    }

    /// The restored state becomes that of this machine. The hold stays until its term is open.
    async fn take_over(&mut self, copy: &Disk, hold: ObjectName) -> Result<()> {
        {
            let mut disk = self.local.disk.borrow_mut();
            let same = disk.commits.iter().zip(&copy.commits).take_while(|(own, other)| own == other).count();
            disk.orphan(same, &self.remote.world);
            disk.take(&copy.commits);
            (disk.shipped, disk.position) = (copy.shipped, copy.position);
        }
        let beginning = Beginning { lease: self.lease(), ..BegunFrom::Restore.into() };
        let opened = open_term(&self.remote, &mut self.local, beginning).await?;
        self.release(hold).await;
        if let OpenedAs::Writer(term, begun) = opened {
            self.counted("taken over by a restore");
            self.local.disk.borrow_mut().leaps = true;
            self.write(term, begun).await?;
        }
        Ok(())
    }

    async fn release(&self, hold: ObjectName) {
        self.remote.world.borrow_mut().truth.pins.remove(&self.name);
        if self.own.borrow().contains(&hold) {
            // A deletion of the simulation does not fail.
            self.remote.delete(hold).await.unwrap();
            self.own.borrow_mut().retain(|name| *name != hold);
            self.local.disk.borrow_mut().holds.retain(|name| *name != hold);
        }
    }
}

/// Makes bases and collects old objects, beside the writer of a term.
async fn keep(remote: SimRemote, local: SimLocal, is_open: Rc<Cell<bool>>, term: Term) {
    let mut made = None;
    let retention = Retention {
        window: Duration::from_micros(remote.world.borrow().window),
        grace: Duration::from_micros(GRACE),
        // A person removes what dead processes left.
        hold_age: Duration::MAX,
    };
    let mut collector = Collector::new(term, retention);
    while is_open.get() && local.disk.borrow().term == Some(term) {
        let Some(at) = local.position() else { return };
        let shipped = local.disk.borrow().shipped;
        let is_due = made.is_none_or(|made| shipped >= made + 3);
        let done = async {
            if at.slot.term == term && is_due {
                made = Some(shipped.max(1));
                let state = local.disk.borrow().commits[..shipped].to_vec();
                make_base(&remote, &at, &state).await?;
            }
            let waited = Duration::from_micros(remote.world.borrow().now);
            while !matches!(
                collector.step(&remote, waited).await?,
                CollectStep::Nothing | CollectStep::Over | CollectStep::Blocked
            ) {}
            Ok::<(), Error>(())
        };
        if let Err(error) = done.await {
            return remote.world.borrow_mut().truth.wrong(format!("an error: {error}"));
        }
        let pauses = remote.world.borrow_mut().random.below(6);
        for _ in 0..pauses {
            remote.pause().await;
        }
        // A process that has nothing to do here waits, too.
        remote.pause().await;
    }
}

async fn make_base(remote: &SimRemote, at: &ReplicaPosition, state: &[SimCommit]) -> Result<()> {
    let base = BaseName { slot: at.slot, attempt: 0 };
    let halves = state.split_at(state.len() / 2);
    let made = remote.now();
    let mut entries = Vec::new();
    let mut objects = Vec::new();
    for (part, rows) in (0..).zip([halves.0, halves.1]) {
        let body = commits::encode(&rows.iter().map(|commit| commit.shipped()).collect::<Vec<_>>())?;
        let head = BasePart { store: STORE, base, part, nonce: remote.nonce(), bytes: body.len() as u64 };
        let object = remote.prepare(ObjectName::Part(base, part), Object::Part(head), &body)?;
        entries.push(PartEntry { length: 0, hash: object.hash });
        objects.push(object);
    }
    let body = parts::encode(&entries)?;
    let manifest = BaseManifest {
        store: STORE,
        base,
        nonce: remote.nonce(),
        previous: at.previous,
        time: at.time,
        made,
        sequence: at.sequence,
        states: at.states,
        parts: 2,
        rows_bytes: 0,
        bytes: body.len() as u64,
    };
    objects.push(remote.prepare(ObjectName::Manifest(base), Object::Manifest(manifest), &body)?);
    for object in objects {
        if let Settled::Other(_) = settle(remote, &object).await? {
            return Ok(());
        }
    }
    remote.world.borrow_mut().counted("bases");
    Ok(())
}
