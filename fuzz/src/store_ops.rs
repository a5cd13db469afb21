//! The store against a plain map: whatever is put, removed, sealed, restored, undone, forgotten and reopened, now and
//! every retained point hold what the map held then.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use hivekeep::{
    BotId, ClaimOptions, Epoch, ErrorKind, ManualClock, NewTask, Origin, Point, RestoreOptions, Selector, Sharing,
    Store, View,
};
use serde_json::{Value, json};

use super::input::Input;

/// More operations than this find nothing new, and only take time.
const OPERATIONS_MAX: usize = 48;
const THINGS: &str = "things";
const CONFIG: &str = "config";
const COLLECTIONS: [&str; 2] = [CONFIG, THINGS];
const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Longer than one frame holds, so that it is kept in pieces.
const LONG: usize = (1 << 20) + 7;

/// Values by collection and key.
type State = BTreeMap<(&'static str, &'static str), Value>;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut fleet = Fleet::new(input.byte());
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        fleet.step(&mut input);
    }
    fleet.compare();
    let report = fleet.store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}

/// A store, and what it should hold.
struct Fleet {
    folder: tempfile::TempDir,
    store: Store,
    clock: ManualClock,
    mode: u8,
    now: State,
    points: BTreeMap<Epoch, Expected>,
}

/// The expected content of a retained point.
struct Expected {
    state: State,
    held: bool,
    /// For a safety point: the state before an undo of its restore.
    undo: Option<Undo>,
}

struct Undo {
    scope: Scope,
    /// The state after the restore.
    after: State,
    /// Whether anything at all was written since.
    touched: bool,
}

/// The scope of a restore.
#[derive(Clone, Copy, Debug)]
enum Scope {
    Everything,
    Collection(&'static str),
    Key(&'static str, &'static str),
}

impl Fleet {
    fn new(mode: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let store = open(&folder, &clock, mode);
        let mut fleet = Self { folder, store, clock, mode, now: State::new(), points: BTreeMap::new() };
        fleet.committed();
        fleet
    }

    fn step(&mut self, input: &mut Input<'_>) {
        self.clock.advance(Duration::from_millis(1));
        match input.byte() % 16 {
            0..=4 => self.put(input),
            5 | 6 => self.remove(input),
            7 => self.fail(input),
            8 => self.queue(input),
            9 | 10 => self.seal(input),
            11 => self.restore(input),
            12 => self.undo(input),
            13 => self.forget(input),
            14 => self.hold(input),
            _ => self.reopen(),
        }
    }

    fn put(&mut self, input: &mut Input<'_>) {
        let (collection, key, value) = (name(input), KEYS[input.below(KEYS.len())], value(input));
        self.store
            .write(|tx| match collection {
                CONFIG => tx.config().put(key, &value),
                _ => tx.collection(THINGS)?.put(key, &value),
            })
            .unwrap();
        self.now.insert((collection, key), value);
        self.written();
    }

    fn remove(&mut self, input: &mut Input<'_>) {
        let (collection, key) = (name(input), KEYS[input.below(KEYS.len())]);
        let removed = self
            .store
            .write(|tx| match collection {
                CONFIG => tx.config().remove(key),
                _ => tx.collection::<Value>(THINGS)?.remove(key),
            })
            .unwrap();
        assert_eq!(removed, self.now.remove(&(collection, key)).is_some());
        self.written();
    }

    /// A closure that changes much and then fails must change nothing.
    fn fail(&mut self, input: &mut Input<'_>) {
        let value = value(input);
        let failed = self.store.write(|tx| {
            for key in KEYS {
                tx.config().put(key, &value)?;
                tx.collection::<Value>(THINGS)?.remove(key)?;
            }
            Err::<(), _>(hivekeep::Error::new(ErrorKind::Invalid, "on purpose"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "on purpose");
        self.compare_now();
    }

    /// The queue is not in the map; its records take part in points and restores, and `check` holds them to account.
    fn queue(&mut self, input: &mut Input<'_>) {
        let (verb, bot) = (input.byte(), BotId::new("BOT-1").unwrap());
        self.store
            .write(|tx| {
                tx.queue().enqueue(NewTask::new("work"))?;
                for claim in tx.queue().claim(&bot, &ClaimOptions::default())? {
                    match verb % 3 {
                        0 => drop(tx.queue().complete(&claim.id, claim.token, Value::Null)?),
                        1 => drop(tx.queue().release(&claim.id, claim.token)?),
                        _ => {}
                    }
                }
                Ok(())
            })
            .unwrap();
        self.written();
    }

    fn seal(&mut self, input: &mut Input<'_>) {
        let held = input.byte().is_multiple_of(4);
        let point = self.store.make_point(hivekeep::PointRequest::new("point").held(held)).unwrap();
        self.points.insert(point.epoch, Expected { state: self.now.clone(), held, undo: None });
    }

    fn restore(&mut self, input: &mut Input<'_>) {
        let Some(point) = self.choose(input) else { return };
        let scope = match input.byte() % 4 {
            0 | 1 => Scope::Everything,
            2 => Scope::Collection(name(input)),
            _ => Scope::Key(name(input), KEYS[input.below(KEYS.len())]),
        };
        let mut options = RestoreOptions::new().keep_finished(input.byte() % 2 == 1);
        match scope {
            Scope::Everything => {}
            Scope::Collection(collection) => options = options.only([collection]),
            Scope::Key(collection, key) => options = options.only([collection]).key(key),
        }
        let before = self.now.clone();
        match self.store.restore(&point, options) {
            Ok(_) => {}
            // A collection that was never used, or a key that is in neither state, is no scope.
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid), "{error}");
                assert!(!matches!(scope, Scope::Everything), "{error}");
                // The event of the failure is a commit.
                self.committed();
                return self.compare_now();
            }
        }
        self.now = scope.applied(&before, &self.points[&point.epoch].state);
        self.restored(before, scope);
    }

    fn undo(&mut self, input: &mut Input<'_>) {
        let discard = input.byte() % 2 == 1;
        let before = self.now.clone();
        let call = |store: &Store| if discard { store.undo_discarding() } else { store.undo() };
        let newest = self.points.iter().rev().find(|(_, expected)| expected.undo.is_some());
        let Some((_, safety)) = newest else {
            assert_eq!(call(&self.store).unwrap_err().kind(), ErrorKind::NotFound);
            return self.committed();
        };
        let undo = safety.undo.as_ref().unwrap();
        let undone = undo.scope.applied(&before, &safety.state);
        let scope = undo.scope;
        let refused = undo.later_work_lost(&before, &undone);
        match call(&self.store) {
            Ok(_) => assert!(discard || !refused, "an undo overwrote later work"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                assert!(!discard && undo.touched, "an undo was refused without later work: {error}");
                self.committed();
                return self.compare_now();
            }
        }
        self.now = undone;
        self.restored(before, scope);
    }

    /// Notes the safety point of a restore, and the point of its own commit.
    fn restored(&mut self, before: State, scope: Scope) {
        self.touch();
        for point in self.store.all_points().unwrap() {
            let safety = point.origin == Some(Origin::Safety);
            let after = self.now.clone();
            self.points.entry(point.epoch).or_insert_with(|| match safety {
                true => {
                    Expected { state: before.clone(), held: false, undo: Some(Undo { scope, after, touched: false }) }
                }
                false => Expected { state: after, held: false, undo: None },
            });
        }
        self.compare();
    }

    fn forget(&mut self, input: &mut Input<'_>) {
        let count = 1 + input.below(3);
        let chosen: Vec<Point> = (0..count).filter_map(|_| self.choose(input)).collect();
        let selectors: Vec<Selector> = chosen.iter().map(Selector::from).collect();
        let held = chosen.iter().any(|point| self.points[&point.epoch].held);
        match self.store.forget(&selectors) {
            Ok(_) => {
                assert!(!held, "a held point was forgotten");
                chosen.iter().for_each(|point| drop(self.points.remove(&point.epoch)));
            }
            Err(error) => assert!(held && error.kind() == ErrorKind::Conflict, "{error}"),
        }
        self.compare();
    }

    fn hold(&mut self, input: &mut Input<'_>) {
        let Some(point) = self.choose(input).filter(|point| point.origin.is_some()) else { return };
        let held = !self.points[&point.epoch].held;
        if held { self.store.hold(&point) } else { self.store.release(&point) }.unwrap();
        if let Some(expected) = self.points.get_mut(&point.epoch) {
            expected.held = held;
        }
        self.committed();
    }

    fn reopen(&mut self) {
        self.store.close().unwrap();
        self.store = open(&self.folder, &self.clock, self.mode);
        self.committed();
        self.compare();
    }

    /// One of the retained points.
    fn choose(&self, input: &mut Input<'_>) -> Option<Point> {
        let mut points = self.store.all_points().unwrap();
        (!points.is_empty()).then(|| points.swap_remove(input.below(points.len())))
    }

    /// Records were changed.
    fn written(&mut self) {
        self.touch();
        self.committed();
    }

    /// Something was committed; with history on, that is a point of its own.
    fn committed(&mut self) {
        if keeps_history(self.mode) {
            for point in self.store.all_points().unwrap() {
                let expected = || Expected { state: self.now.clone(), held: false, undo: None };
                self.points.entry(point.epoch).or_insert_with(expected);
            }
        }
    }

    fn touch(&mut self) {
        self.points.values_mut().filter_map(|expected| expected.undo.as_mut()).for_each(|undo| undo.touched = true);
    }

    fn compare_now(&self) {
        assert_eq!(read(&self.store.view().unwrap()), self.now, "now");
    }

    fn compare(&self) {
        self.compare_now();
        let points = self.store.all_points().unwrap();
        let epochs: Vec<_> = points.iter().map(|point| point.epoch).collect();
        assert!(self.points.keys().rev().eq(&epochs), "retained: {epochs:?}");
        for point in &points {
            let expected = &self.points[&point.epoch];
            assert_eq!(point.held, expected.held);
            assert_eq!(read(&self.store.at(point).unwrap()), expected.state, "point {}", point.epoch);
        }
    }
}

impl Scope {
    fn contains(self, collection: &str, key: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Collection(only) => collection == only,
            Self::Key(only, one) => collection == only && key == one,
        }
    }

    /// `now` with what is in scope as it was `then`.
    fn applied(self, now: &State, then: &State) -> State {
        let part = |state: &State, inside: bool| -> State {
            let kept = state.iter().filter(|((collection, key), _)| self.contains(collection, key) == inside);
            kept.map(|(name, value)| (*name, value.clone())).collect()
        };
        let mut state = part(now, false);
        state.extend(part(then, true));
        state
    }
}

impl Undo {
    /// Whether undoing would overwrite a value that is not the one that the restore left.
    fn later_work_lost(&self, now: &State, undone: &State) -> bool {
        let names = COLLECTIONS.iter().flat_map(|collection| KEYS.map(|key| (*collection, key)));
        names.into_iter().any(|name| now.get(&name) != undone.get(&name) && now.get(&name) != self.after.get(&name))
    }
}

fn open(folder: &tempfile::TempDir, clock: &ManualClock, mode: u8) -> Store {
    let sharing = if mode & 1 == 0 { Sharing::Exclusive } else { Sharing::Shared };
    let mut options = Store::options().clock(clock.clone()).sharing(sharing);
    if keeps_history(mode) {
        options = options.history(Duration::from_secs(3600));
    }
    options.open(folder.path().join("h.redb")).unwrap()
}

fn keeps_history(mode: u8) -> bool {
    mode & 2 != 0
}

fn name(input: &mut Input<'_>) -> &'static str {
    COLLECTIONS[input.below(2)]
}

fn value(input: &mut Input<'_>) -> Value {
    match input.byte() {
        255 => json!("x".repeat(LONG)),
        254 => json!("y".repeat(LONG)),
        byte => json!(byte),
    }
}

/// Everything that a view shows of the two collections, read in three ways that must agree.
fn read(view: &View) -> State {
    let name = |key: &str| *KEYS.iter().find(|known| **known == key).unwrap();
    let things = view.collection::<Value>(THINGS).unwrap();
    let listed: Vec<_> = things.list().map(Result::unwrap).collect();
    assert_eq!(things.count().unwrap(), listed.len() as u64);
    for (key, value) in &listed {
        assert_eq!(things.get(key).unwrap().as_ref(), Some(value));
        let mut first = things.range((Bound::Included(key.as_str()), Bound::Unbounded));
        assert_eq!(first.next().unwrap().unwrap().0, *key);
    }
    let config = view.config().list().map(Result::unwrap).collect::<Vec<_>>();
    let config = config.into_iter().map(|(key, value)| ((CONFIG, name(&key)), value));
    config.chain(listed.into_iter().map(|(key, value)| ((THINGS, name(&key)), value))).collect()
}
