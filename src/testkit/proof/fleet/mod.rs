//! A store over a disk, worked on in every way that there is, beside a model of what it should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::choices::Choices;
use super::content::{CALLERS, CONFIG, FleetContent, Model, THINGS};
use super::disk::{Disk, DiskFile};
use super::step::Shape;
use crate::clock::{Clock, ManualClock};
use crate::engine::commit::Outcome;
use crate::engine::epoch::Epoch;
use crate::engine::point::Origin;
use crate::engine::store::{Sharing, Store};
use crate::error::{Error, Result};
use crate::recovery::backups::{BackupRequest, Kind};
use crate::recovery::points::point::PointRequest;
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::plan::RestoreOptions;
use crate::recovery::retention::Policy;
use crate::state::INDEXES;
use crate::state::audit::NewEntry;
use crate::state::chat::NewMessage;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{ClaimOptions, ClaimOwner, NewTask, Retry, TaskState};
use crate::state::registry::Bot;

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Longer than one frame holds, so that it is kept in pieces.
const LONG: usize = (1 << 20) + 7;
/// Longer than any test.
const LEASE: Duration = Duration::from_secs(24 * 60 * 60);
/// Small, so that pages are read from the disk too.
const CACHE: usize = 64 << 10;
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
}

impl Mode {
    /// The mode of that number; one in eight has long values, which take long.
    pub(crate) fn of(number: usize) -> Self {
        let sharing = if number.is_multiple_of(2) { Sharing::Shared } else { Sharing::Exclusive };
        Self { sharing, history: number % 4 == 3, long: number % 8 == 4 }
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
    let mut options = Store::options().clock(clock.clone()).sharing(mode.sharing).cache_bytes(CACHE);
    if mode.history {
        options = options.history(Duration::from_secs(60 * 60));
    }
    let again = file.clone();
    let store = options.open_over(move || again.clone(), &folder.join("h.redb"), INDEXES)?;
    Ok((file, store))
}

impl Known {
    fn nothing() -> Self {
        let time = Timestamp::from_second(1_800_000_000).unwrap_or_default();
        Self { model: Model::default(), undo: BTreeMap::new(), held: BTreeSet::new(), commits: BTreeSet::new(), time }
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
        Ok(Self { disk, file, path, store, clock, mode, known, acknowledged: Vec::new() })
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

    /// Takes one step.
    pub(crate) fn act(&mut self, choices: &mut Choices) -> Result<Acted> {
        self.clock.sleep(Duration::from_millis(1));
        match choices.below(32) {
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

    fn change_values(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let mut changes = Vec::new();
        for _ in 0..=choices.below(4) {
            let (collection, key) = (*choices.of(&[CONFIG, THINGS]), *choices.of(&KEYS));
            let value = (!choices.once_in(3)).then(|| self.value(choices));
            match &value {
                Some(value) => now.values.insert((collection, key.to_owned()), value.clone()),
                None => now.values.remove(&(collection, key.to_owned())),
            };
            changes.push((collection, key, value));
        }
        let write = |tx: &mut crate::WriteTx<'_>| {
            for (collection, key, value) in &changes {
                match (*collection, value) {
                    (CONFIG, Some(value)) => tx.config().put(key, value)?,
                    (CONFIG, None) => drop(tx.config().remove(key)?),
                    (_, Some(value)) => tx.collection(THINGS)?.put(key, value)?,
                    (_, None) => drop(tx.collection::<Value>(THINGS)?.remove(key)?),
                }
            }
            Ok(())
        };
        match choices.once_in(4) {
            true => self.store.load(write)?,
            false => self.store.write(write)?,
        }
        Ok(self.acted("change values", Shape::One, now))
    }

    fn value(&self, choices: &mut Choices) -> Value {
        let length = match choices.below(8) {
            0 if self.mode.long => LONG,
            0 => 9000,
            1 => 700,
            _ => 20,
        };
        let letter = ["x", "y", "z"][choices.below(3)];
        json!(letter.repeat(length + choices.below(5)))
    }

    /// A closure that changes much and then fails leaves no trace.
    fn fail_on_purpose(&mut self) -> Result<Acted> {
        fail(&self.store).map(|()| self.acted("fail on purpose", Shape::One, self.now()))
    }

    fn work(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let id = TaskId::new(format!("task {}", now.tasks.len()))?;
        let bot = BotId::new(*choices.of(&["ant", "bee", "cat"]))?;
        let session = if choices.once_in(2) { self.store.session() } else { None };
        let (max, verb) = (1 + choices.below(2), choices.below(5));
        let owner = session.map_or(ClaimOwner::Nobody, ClaimOwner::Session);
        let options = ClaimOptions { lease: LEASE, max, owner, ..ClaimOptions::default() };
        let claimed = self.store.write(|tx| {
            tx.queue().enqueue(NewTask::new("work").id(id.clone()).max_attempts(1000))?;
            let claims = tx.queue().claim(&bot, &options)?;
            for claim in &claims {
                match verb {
                    0 => drop(tx.queue().complete(&claim.id, claim.token, Value::Null)?),
                    1 => drop(tx.queue().release(&claim.id, claim.token)?),
                    2 => drop(tx.queue().fail(&claim.id, claim.token, "no", Retry::Never)?),
                    3 => drop(tx.queue().extend(&claim.id, claim.token, LEASE)?),
                    _ => {}
                }
            }
            Ok(claims)
        })?;
        now.tasks.insert(id.as_str().to_owned(), (TaskState::Ready, None));
        for claim in claimed {
            let state = match verb {
                0 => (TaskState::Done, None),
                1 => (TaskState::Ready, None),
                2 => (TaskState::Failed, None),
                _ => (TaskState::Claimed, session),
            };
            now.tasks.insert(claim.id.as_str().to_owned(), state);
        }
        Ok(self.acted("work", Shape::One, now))
    }

    fn talk(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let text = format!("message {}", now.messages.len());
        let purges = choices.once_in(4);
        self.store.write(|tx| {
            tx.chat().append(NewMessage::new("talk", "user", text.clone()))?;
            tx.audit().append(NewEntry::new("said", "ant"))?;
            if purges {
                let time = tx.context.clock.now();
                tx.audit().purge(time)?;
            }
            Ok(())
        })?;
        now.messages.push(text);
        Ok(self.acted("talk", Shape::One, now))
    }

    fn register(&mut self, choices: &mut Choices) -> Result<Acted> {
        let id = BotId::new(*choices.of(&["ant", "bee", "cat"]))?;
        if choices.once_in(3) {
            self.store.mark_shutdown()?;
            self.store.take_mark_back()?;
            return Ok(self.acted("mark a shutdown", Shape::Several, self.now()));
        }
        let at = self.clock.now();
        self.store.write(|tx| {
            tx.registry().put(&Bot::new(id.clone()))?;
            tx.registry().heartbeat(&id, at)
        })?;
        Ok(self.acted("register", Shape::One, self.now()))
    }

    fn change_document(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let source = *choices.of(&["one", "two"]);
        let name = ("list".to_owned(), source.to_owned());
        if choices.once_in(4) {
            self.store.write(|tx| tx.documents().remove("list", source))?;
            now.documents.remove(&name);
        } else {
            let document = some_document(choices);
            self.store.write(|tx| tx.documents().put("list", source, &document))?;
            now.documents.insert(name, document.to_string());
        }
        Ok(self.acted("change a document", Shape::One, now))
    }

    fn back_up(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let kind = *choices.of(&[Kind::Registry, Kind::Queue]);
        if choices.once_in(3) {
            self.store.backup(BackupRequest::new(kind))?;
        } else {
            let document = json!({ "of": some_document(choices) });
            self.store.backup(BackupRequest::new(kind).data(document.clone()).source("bot"))?;
            now.documents.insert((kind.as_str().to_owned(), "bot".to_owned()), document.to_string());
        }
        Ok(self.acted("back up", Shape::One, now))
    }

    fn seal(&mut self, choices: &mut Choices) -> Result<Acted> {
        let held = choices.once_in(5);
        self.store.make_point(PointRequest::new("point").held(held))?;
        Ok(Acted { holds: held, ..self.acted("seal", Shape::One, self.now()) })
    }

    fn hold(&mut self, choices: &mut Choices) -> Result<Acted> {
        let named: Vec<_> = self.store.all_points()?.into_iter().filter(|point| point.origin.is_some()).collect();
        if named.is_empty() {
            return self.change_values(choices);
        }
        let point = choices.of(&named);
        if self.known.held.contains(&point.epoch) {
            self.store.release(point)?;
            self.known.held.remove(&point.epoch);
        } else {
            self.store.hold(point)?;
            self.known.held.insert(point.epoch);
        }
        Ok(self.acted("hold or release", Shape::One, self.now()))
    }

    /// Some of the points that may be forgotten.
    fn unheld(&self, choices: &mut Choices, most: usize) -> Vec<Epoch> {
        let free = self.known.model.points.keys().filter(|epoch| !self.known.held.contains(epoch));
        let free: Vec<_> = free.copied().collect();
        let mut chosen: Vec<Epoch> = Vec::new();
        for _ in 0..=choices.below(most) {
            chosen.extend(free.get(choices.below(free.len().max(1))));
        }
        chosen
    }

    fn forget(&mut self, choices: &mut Choices) -> Result<Acted> {
        let chosen = self.unheld(choices, 3);
        let points = self.store.all_points()?;
        let selectors = points.iter().filter(|point| chosen.contains(&point.epoch)).map(Selector::from);
        let selectors: Vec<_> = selectors.collect();
        self.store.forget(&selectors)?;
        Ok(Acted { gone: Gone::These(chosen), ..self.acted("forget", Shape::Several, self.now()) })
    }

    /// A forgetting that stops before anything has been merged.
    fn mark_forgotten(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut chosen = self.unheld(choices, 2);
        chosen.truncate(1);
        self.store.alone(|tx| chosen.iter().try_for_each(|epoch| tx.mark_forgotten(*epoch)).map(Outcome::Commit))?;
        Ok(Acted { gone: Gone::These(chosen), ..self.acted("mark as forgotten", Shape::One, self.now()) })
    }

    /// A little of what a forgetting has left to do.
    fn merge(&mut self, choices: &mut Choices) -> Result<Acted> {
        let rows = 1 + choices.below(3);
        self.store.alone(|tx| Ok(Outcome::Commit(tx.drop_some(rows)? || tx.merge_some(rows)?)))?;
        Ok(self.acted("merge", Shape::One, self.now()))
    }

    fn restore(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut points = self.store.all_points()?;
        // A backup of one kind restores that kind alone.
        points.retain(|point| point.backups.len() != 1);
        if points.is_empty() {
            return self.change_values(choices);
        }
        let point = choices.of(&points);
        let key = *choices.of(&KEYS);
        let mut scope = *choices.of(&[
            RestoreScope::Everything,
            RestoreScope::Everything,
            RestoreScope::Config,
            RestoreScope::Queue,
            RestoreScope::Key(key),
        ]);
        let then = &self.known.model.points[&point.epoch];
        let name = (CONFIG, key.to_owned());
        if !then.values.contains_key(&name) && !self.known.model.now.values.contains_key(&name) {
            scope = RestoreScope::Everything;
        }
        let mut now = scope.applied(&self.known.model.now, then);
        if matches!(scope, RestoreScope::Everything | RestoreScope::Queue) {
            now.tasks.values_mut().filter(|task| task.0 == TaskState::Claimed).for_each(return_task);
        }
        self.store.restore(point, scope.options())?;
        Ok(Acted { restored: Some(scope), ..self.acted("restore", Shape::One, now) })
    }

    fn undo(&mut self, choices: &mut Choices) -> Result<Acted> {
        let Some((safety, scope)) = self.known.undo.last_key_value() else { return self.restore(choices) };
        let now = scope.applied(&self.known.model.now, &self.known.model.points[safety]);
        let restored = Some(*scope);
        self.store.undo_discarding()?;
        Ok(Acted { restored, ..self.acted("undo", Shape::One, now) })
    }

    fn retain(&mut self, choices: &mut Choices) -> Result<Acted> {
        if choices.once_in(2) {
            self.clock.sleep(Duration::from_secs(45 * 60));
        }
        let policy = Policy {
            cap: Some(2),
            floor: Duration::ZERO,
            thinning: Vec::new(),
            keep_safety: Duration::ZERO,
            ..Policy::default()
        };
        let gone = self.store.retain(&policy)?.iter().map(|point| point.epoch).collect();
        Ok(Acted { gone: Gone::AndOldCommits(gone), ..self.acted("retain", Shape::Several, self.now()) })
    }

    fn compact(&mut self) -> Result<Acted> {
        self.store.compact()?;
        Ok(self.acted("compact", Shape::One, self.now()))
    }

    /// Several threads write at the same time, and share commits with one whose closures fail.
    fn share_commits(&mut self) -> Result<Acted> {
        let mut now = self.now();
        let Some(before) = now.of_callers() else { return self.level_callers() };
        let (store, disk, told) = (&self.store, &self.disk, Mutex::new(Vec::new()));
        let call = |caller: usize| {
            let first = before.get(caller).copied().unwrap_or_default() + 1;
            for number in first..first + CALLS {
                store.write(|tx| {
                    tx.config().put(CALLERS[caller], &json!(number))?;
                    tx.collection(THINGS)?.put(CALLERS[caller], &json!(number))
                })?;
                told.lock().push(Acknowledged { at: disk.recorded(), caller, number });
            }
            Ok(())
        };
        let done: Vec<Result<()>> = std::thread::scope(|scope| {
            let mut threads: Vec<_> = (0..CALLERS.len()).map(|caller| scope.spawn(move || call(caller))).collect();
            threads.push(scope.spawn(move || (0..CALLS).try_for_each(|_| fail(store))));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        self.acknowledged.append(&mut told.into_inner());
        done.into_iter().collect::<Result<()>>()?;
        for (caller, number) in CALLERS.iter().zip(&before) {
            for collection in [CONFIG, THINGS] {
                now.values.insert((collection, (*caller).to_owned()), json!(number + CALLS));
            }
        }
        Ok(self.acted("share commits", Shape::Callers, now))
    }

    /// A restore of one collection took back half of what the callers had written: they begin anew.
    fn level_callers(&mut self) -> Result<Acted> {
        self.store.write(|tx| {
            for caller in CALLERS {
                tx.config().remove(caller)?;
                tx.collection::<Value>(THINGS)?.remove(caller)?;
            }
            Ok(())
        })?;
        let now = self.now().without_callers();
        Ok(self.acted("level the callers", Shape::One, now))
    }

    fn reopen(&mut self) -> Result<Acted> {
        self.store.close()?;
        (self.file, self.store) = open(&self.disk, &self.path, &self.clock, self.mode)?;
        self.store.begin_session()?;
        Ok(self.acted("close and open", Shape::Reopened, self.now()))
    }

    /// The process dies without a word; what it claimed for itself goes back.
    fn kill(&mut self) -> Result<Acted> {
        let mut now = self.now();
        let session = self.store.session();
        self.die();
        (self.file, self.store) = open(&self.disk, &self.path, &self.clock, self.mode)?;
        self.store.begin_session()?;
        now.tasks.values_mut().filter(|task| task.1.is_some() && task.1 == session).for_each(return_task);
        Ok(self.acted("kill and open", Shape::Reopened, now))
    }

    /// Cuts the store off from its disk, and lets go of it.
    pub(crate) fn die(&self) {
        self.file.cut_off();
        drop::<Result<()>>(self.store.close());
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

fn some_document(choices: &mut Choices) -> Value {
    (0..choices.below(9)).map(|_| json!({"bot": choices.below(9), "on": choices.once_in(2)})).collect()
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
