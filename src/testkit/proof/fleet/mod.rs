//! A store over a disk, worked on in every way that there is, beside a model of what it should hold.
//!
//! * `state`: steps that change the live state
//! * `past`: steps with points, restores and retention
//! * `file`: steps that concern the file and the process

mod file;
mod past;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::choices::Choices;
use super::content::{CONFIG, FleetContent, Model, THINGS};
use super::disk::{Disk, DiskFile};
use super::step::Shape;
use crate::clock::{Clock, ManualClock};
use crate::engine::epoch::Epoch;
use crate::engine::options::Sharing;
use crate::engine::point::Origin;
use crate::engine::store::Store;
use crate::engine::wal::LogFolder;
use crate::error::{Error, Result};
#[cfg(test)]
use crate::recovery::points::point::Point;
use crate::recovery::restore::options::RestoreOptions;
use crate::state::INDEXES;
use crate::state::audit::NewEntry;
use crate::state::queue::TaskState;

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Longer than one frame holds, so that it is kept in pieces.
const LONG: usize = (1 << 20) + 7;
/// Longer than any test.
const LEASE: Duration = Duration::from_secs(24 * 60 * 60);
/// Small, so that pages are read from the disk too.
const CACHE: usize = 64 << 10;
/// The first section of a log is so long: a few steps fill it.
const SECTION: u64 = 16 << 10;
/// The kinds of steps; and those that end no process.
const ALL_STEPS: usize = 32;
#[cfg(test)]
pub(crate) const STEPS_OF_ONE_LIFE: usize = 30;
/// Each of the callers that share commits writes so often at a time.
const CALLS: u64 = 2;

/// How a store is opened and what is done with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) sharing: Sharing,
    /// Whether every commit is kept as a point.
    pub(crate) history: bool,
    /// Whether some values are longer than a frame.
    pub(crate) long: bool,
    /// Whether commits go into a log.
    pub(crate) log: bool,
    /// So many other processes share it.
    pub(crate) others: usize,
}

impl Mode {
    /// The mode of that number; one in eight has long values, which take long.
    pub(crate) fn of(number: usize) -> Self {
        let sharing = if number.is_multiple_of(2) { Sharing::Shared } else { Sharing::Exclusive };
        let log = sharing == Sharing::Exclusive && number % 8 != 5;
        Self { sharing, history: number % 4 == 3, long: number % 8 == 4, log, others: 0 }
    }

    /// Two processes over one log.
    #[cfg(test)]
    pub(crate) fn of_two(number: usize) -> Self {
        Self { sharing: Sharing::SharedLog, others: 1, log: true, ..Self::of(number) }
    }

    /// Three processes over one log.
    #[cfg(test)]
    pub(crate) fn of_three(number: usize) -> Self {
        Self { others: 2, ..Self::of_two(number) }
    }
}

/// The scope of a restore.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RestoreScope {
    Everything,
    Config,
    Key(&'static str),
    Queue,
}

/// The expected state of a store.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) model: Model,
    undo: BTreeMap<Epoch, RestoreScope>,
    held: BTreeSet<Epoch>,
    /// Points of single commits.
    commits: BTreeSet<Epoch>,
    pub(crate) time: Timestamp,
}

/// A step that has been taken.
pub(crate) struct Acted {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    now: FleetContent,
    gone: Gone,
    restored: Option<RestoreScope>,
    holds: bool,
}

/// Which points a step took away.
enum Gone {
    These(Vec<Epoch>),
    /// These, and those of commits that had become too old.
    AndOldCommits(Vec<Epoch>),
}

/// A call of one of several threads has returned: what it wrote is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    /// So much had been recorded by then.
    pub(crate) at: usize,
    pub(crate) caller: usize,
    pub(crate) number: u64,
}

pub(crate) struct Fleet {
    pub(crate) disk: Disk,
    file: DiskFile,
    path: PathBuf,
    pub(crate) store: Store,
    clock: Ticking,
    mode: Mode,
    pub(crate) known: Known,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// The other processes that share the log. All of them change places.
    pub(crate) others: Vec<(DiskFile, Store)>,
}

/// A clock that goes on by a little whenever it is looked at, so that no two commits have the same time.
#[derive(Clone, Debug)]
pub(crate) struct Ticking(ManualClock);

impl Ticking {
    pub(crate) fn new(time: Timestamp) -> Self {
        Self(ManualClock::new(time))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        self.0.advance(Duration::from_micros(1));
        self.0.now()
    }

    fn sleep(&self, duration: Duration) {
        self.0.sleep(duration);
    }
}

/// Opens the file of a disk, without a session.
pub(crate) fn open(disk: &Disk, folder: &Path, clock: &Ticking, mode: Mode) -> Result<(DiskFile, Store)> {
    let file = disk.file();
    let options = Store::options().clock(clock.clone()).sharing(mode.sharing).cache_bytes(CACHE);
    let mut options = options.tends_log(false).first_section(SECTION);
    if mode.history {
        options = options.history(Duration::from_secs(60 * 60));
    }
    let again = file.clone();
    let beside = file.clone();
    let log = move || mode.log.then(|| Box::new(beside.folder()) as Box<dyn LogFolder>);
    let store = options.open_over(move || again.clone(), log, &folder.join("h.redb"), INDEXES)?;
    Ok((file, store))
}

impl Known {
    fn nothing() -> Self {
        let time = Timestamp::from_second(1_800_000_000).unwrap_or_default();
        Self { model: Model::default(), undo: BTreeMap::new(), held: BTreeSet::new(), commits: BTreeSet::new(), time }
    }

    /// Whether an undo finds the same safety points.
    pub(crate) fn undoes_as(&self, other: &Self) -> bool {
        self.undo == other.undo
    }
}

impl Fleet {
    /// A new store on an empty disk, with a record in every collection that a step names.
    pub(crate) fn new(folder: &Path, mode: Mode) -> Result<Self> {
        let mut fleet = Self::on(&Disk::default(), folder, mode, Known::nothing())?;
        fleet.store.begin_session()?;
        let first = json!("first");
        fleet.store.write(|tx| {
            tx.config().put("a", &first)?;
            tx.collection(THINGS)?.put("a", &first)
        })?;
        let now = &mut fleet.known.model.now;
        now.values.insert((CONFIG, "a".into()), first.clone());
        now.values.insert((THINGS, "a".into()), first);
        fleet.known.model = Model::read(&fleet.store)?;
        fleet.known.commits = fleet.known.model.points.keys().copied().collect();
        Ok(fleet)
    }

    /// The store that a disk holds, of which so much is known, without a session.
    pub(crate) fn on(disk: &Disk, folder: &Path, mode: Mode, known: Known) -> Result<Self> {
        let clock = Ticking::new(known.time);
        let (file, store) = open(disk, folder, &clock, mode)?;
        let (disk, path) = (disk.clone(), folder.to_path_buf());
        let mut fleet =
            Self { disk, file, path, store, clock, mode, known, acknowledged: Vec::new(), others: Vec::new() };
        fleet.open_others()?;
        Ok(fleet)
    }

    /// Opens the store in other processes, where several share a log.
    fn open_others(&mut self) -> Result<()> {
        while self.others.len() < self.mode.others {
            self.others.push(open(&self.disk, &self.path, &self.clock, self.mode)?);
        }
        Ok(())
    }

    /// Opens the store again in a process that has ended.
    #[cfg(test)]
    pub(crate) fn open_again(&mut self) -> Result<()> {
        (self.file, self.store) = open(&self.disk, &self.path, &self.clock, self.mode)?;
        Ok(())
    }

    /// The store, as each of the processes has it.
    pub(crate) fn stores(&self) -> impl Iterator<Item = &Store> + Clone {
        [&self.store].into_iter().chain(self.others.iter().map(|(_, store)| store))
    }

    /// Goes on in one of the processes.
    pub(crate) fn change_places(&mut self, choices: &mut Choices) {
        if self.others.is_empty() {
            return;
        }
        let other = choices.below(self.others.len() + 1);
        if let Some((file, store)) = self.others.get_mut(other) {
            std::mem::swap(&mut self.file, file);
            std::mem::swap(&mut self.store, store);
        }
    }

    /// Begins a session as whoever opens a store does: on a full disk, later.
    #[cfg(test)]
    pub(crate) fn with_session(mut self) -> Result<Self> {
        self.store = self.store.clone().begin_session_or_later(|| {
            let (file, store) = open(&self.disk, &self.path, &self.clock, self.mode)?;
            self.file = file;
            Ok(store)
        })?;
        Ok(self)
    }

    /// Takes one step, and learns from it what the store should now hold.
    pub(crate) fn step(&mut self, choices: &mut Choices) -> Result<Acted> {
        let acted = self.act(choices)?;
        self.learn(&acted)?;
        Ok(acted)
    }

    /// Takes one step, in one of the processes.
    pub(crate) fn act(&mut self, choices: &mut Choices) -> Result<Acted> {
        self.change_places(choices);
        self.act_here(choices, ALL_STEPS)
    }

    /// Takes one of so many kinds of steps, in this process.
    pub(crate) fn act_here(&mut self, choices: &mut Choices, kinds: usize) -> Result<Acted> {
        self.clock.sleep(Duration::from_millis(1));
        match choices.below(kinds) {
            0..=5 => self.change_values(choices),
            6 => self.fail_on_purpose(),
            7..=9 => self.work(choices),
            10 => self.talk(choices),
            11 => self.register(choices),
            12..=13 => self.change_document(choices),
            14 => self.back_up(choices),
            15..=17 => self.seal(choices),
            18 => self.hold(choices),
            19..=20 => self.forget(choices),
            21 => self.mark_forgotten(choices),
            22 => self.merge(choices),
            23..=24 => self.restore(choices),
            25 => self.undo(choices),
            26 => self.retain(choices),
            27 => self.compact(),
            28..=29 => self.share_commits(),
            30 => self.reopen(),
            _ => self.kill(),
        }
    }

    /// Brings the model up to date, and finds that the store lists the points that it should.
    pub(crate) fn learn(&mut self, acted: &Acted) -> Result<()> {
        let before = std::mem::replace(&mut self.known.model.now, acted.now.clone());
        let listed = self.store.all_points()?;
        let listed: BTreeMap<Epoch, _> = listed.into_iter().map(|point| (point.epoch, point.origin)).collect();
        let old: BTreeSet<Epoch> = self.known.model.points.keys().copied().collect();
        for epoch in old.iter().filter(|epoch| !listed.contains_key(epoch)) {
            let expected = match &acted.gone {
                Gone::These(gone) => gone.contains(epoch),
                Gone::AndOldCommits(gone) => gone.contains(epoch) || self.known.commits.contains(epoch),
            };
            assert!(expected, "a point was lost: epoch={epoch} step={}", acted.name);
            self.known.model.points.remove(epoch);
            self.known.undo.remove(epoch);
            self.known.held.remove(epoch);
        }
        let (Gone::These(gone) | Gone::AndOldCommits(gone)) = &acted.gone;
        assert!(!gone.iter().any(|epoch| listed.contains_key(epoch)), "a point was not forgotten: step={}", acted.name);
        for (epoch, origin) in listed.iter().filter(|(epoch, _)| !old.contains(epoch)) {
            let content = match (origin, acted.restored, acted.shape) {
                (Some(Origin::Safety), Some(scope), _) => {
                    self.known.undo.insert(*epoch, scope);
                    before.clone()
                }
                (_, _, Shape::Callers) => self.between_calls(*epoch)?,
                _ => acted.now.clone(),
            };
            if acted.holds && origin.is_some() {
                self.known.held.insert(*epoch);
            }
            if origin.is_none() {
                self.known.commits.insert(*epoch);
            }
            self.known.model.points.insert(*epoch, content);
        }
        self.known.time = self.clock.now();
        Ok(())
    }

    /// Brings the model up to date with what was found behind a step that failed, of which `after` says what it leaves
    /// when it is done.
    #[cfg(test)]
    pub(crate) fn settle(&mut self, after: &Known, found: Model) -> Result<()> {
        let listed = self.store.all_points()?;
        let of = |wanted: fn(&Point) -> bool| -> BTreeSet<Epoch> {
            listed.iter().filter(|point| wanted(point)).map(|point| point.epoch).collect()
        };
        let known = &mut self.known;
        known.held = of(|point| point.held);
        known.commits = of(|point| point.origin.is_none());
        known.undo.extend(after.undo.clone());
        let safety = of(|point| point.origin == Some(Origin::Safety));
        known.undo.retain(|epoch, _| safety.contains(epoch));
        known.model = found;
        known.time = self.clock.now();
        Ok(())
    }

    /// The content at a point of a commit that callers share: each call whole or not at all, and nothing else changed.
    fn between_calls(&self, epoch: Epoch) -> Result<FleetContent> {
        let content = FleetContent::read(&self.store.view_at(epoch)?)?;
        assert!(content.of_callers().is_some(), "half a call was committed: epoch={epoch}");
        assert!(content.without_callers() == self.known.model.now.without_callers(), "epoch={epoch}");
        Ok(content)
    }

    fn acted(&self, name: &'static str, shape: Shape, now: FleetContent) -> Acted {
        Acted { name, shape, now, gone: Gone::These(Vec::new()), restored: None, holds: false }
    }

    fn now(&self) -> FleetContent {
        self.known.model.now.clone()
    }

    /// Cuts the store off from its disk, and lets go of it.
    pub(crate) fn die(&self) {
        self.die_alone();
        for (file, store) in &self.others {
            file.cut_off();
            drop::<Result<()>>(store.close());
        }
    }

    /// The same, while the other process lives on.
    pub(crate) fn die_alone(&self) {
        self.file.cut_off();
        drop::<Result<()>>(self.store.close());
    }
}

impl RestoreScope {
    fn options(self) -> RestoreOptions {
        match self {
            Self::Everything => RestoreOptions::new(),
            Self::Config => RestoreOptions::new().only([CONFIG]),
            Self::Key(key) => RestoreOptions::new().only([CONFIG]).key(key),
            Self::Queue => RestoreOptions::new().only(["queue"]),
        }
    }

    /// `now` with what is in scope as it was `then`.
    fn applied(self, now: &FleetContent, then: &FleetContent) -> FleetContent {
        let contains = |(collection, key): &(&str, String)| match self {
            Self::Everything => true,
            Self::Config => *collection == CONFIG,
            Self::Key(one) => *collection == CONFIG && key == one,
            Self::Queue => false,
        };
        let mut content = if self == Self::Everything { then.clone() } else { now.clone() };
        let part = |values: &BTreeMap<(&'static str, String), Value>, inside: bool| {
            let kept = values.iter().filter(|(name, _)| contains(name) == inside);
            kept.map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeMap<_, _>>()
        };
        content.values = part(&now.values, false);
        content.values.extend(part(&then.values, true));
        if self == Self::Queue {
            content.tasks = then.tasks.clone();
        }
        content
    }
}

/// A closure that changes much and then fails leaves no trace.
fn fail(store: &Store) -> Result<()> {
    let done = store.write(|tx| {
        for key in KEYS {
            tx.config().put(key, &json!("never seen"))?;
            tx.collection::<Value>(THINGS)?.remove(key)?;
        }
        tx.audit().append(NewEntry::new("never", "seen"))?;
        Err::<(), _>(Error::conflict("on purpose"))
    });
    match done {
        Err(error) if error.to_string() == "on purpose" => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Err(Error::conflict("a closure that failed was committed")),
    }
}

fn return_task(task: &mut (TaskState, Option<crate::SessionId>)) {
    *task = (TaskState::Ready, None);
}
