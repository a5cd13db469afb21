//! A file of which anything may be wrong: opened to look at, it gives what was written or an error, and `check` finds
//! whatever is missing. The result of `repair` is sound, contains nothing that was never written, and names
//! what it lacks. No panic escapes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use hivekeep::{
    Assignment, Bot, Epoch, ErrorKind, NewTask, Page, Point, RepairReport, Result, Store, Task, TaskState,
    VerifyOnOpen, View,
};
use serde_json::Value;

use super::input::Input;

/// A sector, and a page of redb.
pub const SECTOR: usize = 512;
pub const PAGE: usize = 4096;
/// Documents are put together from many rows.
const DOCUMENTS: &str = "documents";
/// Heartbeats are rows of their own that no digest covers: a lost one is a bot that was not heard of. That is meant so:
/// they come every few seconds, are not part of any point, and the next one heals what was lost.
const HEARTBEAT: &str = "heartbeat";
/// Whether a task is ready, or waits for somebody who could do it, follows from the registry, which may have lost a
/// bot. The task itself is compared without it.
const CAN_BE_DONE: &str = "can be done";
const REGISTRY: &str = "registry";
/// More edits than this only make a file that nothing opens.
const EDITS_MAX: usize = 16;

/// Whether the input is one of a file whose pages are verified when it is opened.
pub fn verifies(data: &[u8]) -> bool {
    verify(Input::new(data).byte()) != VerifyOnOpen::Never
}

fn verify(mode: u8) -> VerifyOnOpen {
    [VerifyOnOpen::Auto, VerifyOnOpen::Always, VerifyOnOpen::Never][usize::from(mode % 3)]
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mode = input.byte();
    let subject = Subject::fixture();
    let bytes = if mode & 0x80 == 0 { edited(&mut input) } else { arbitrary(&mut input) };
    let folder = tempfile::tempdir().unwrap();
    subject.judge(folder.path(), &bytes, verify(mode), Repair::Always);
}

/// A small store with some of everything: the same for every run, so that an input always means the same file.
const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/format-1.redb");

/// A store that is about to be damaged, and what is in it, now and at every point.
pub struct Subject {
    pub bytes: Vec<u8>,
    sample: Sample,
    compared: fn(Epoch) -> bool,
}

type Sample = BTreeMap<Option<Epoch>, Contents>;

/// The content of a view: the text of each record by its place.
type Contents = BTreeMap<String, String>;

/// When a file is repaired after it was read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    Always,
    WhenFound,
    Never,
}

/// The outcome for a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything read as it was, and nothing was found.
    Harmless,
    /// Opening, reading or `check` said so.
    Found,
    /// The same, and `repair` brought everything back.
    RepairedWhole,
    /// The same, and `repair` said what it could not bring back.
    RepairedInPart,
    /// The same, and there was nothing that could be repaired.
    NothingLeft,
}

impl Subject {
    pub fn fixture() -> &'static Self {
        static SUBJECT: OnceLock<Subject> = OnceLock::new();
        SUBJECT.get_or_init(|| Self::of(FIXTURE.to_vec()))
    }

    /// Any store that is sound.
    pub fn of(bytes: Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        std::fs::write(&path, &bytes).unwrap();
        let store = Store::options().untouched().open(&path).unwrap();
        let points = store.all_points().unwrap();
        let then = points.iter().map(|point| (Some(point.epoch), sound(&store.at(point).unwrap())));
        let sample: Sample = then.chain([(None, sound(&store.view().unwrap()))]).collect();
        assert!(sample.len() > 1 && sample.values().all(|contents| !contents.is_empty()));
        Self { bytes, sample, compared: |_| true }
    }

    /// The same, comparing only these of the points of single commits.
    pub fn comparing(self, compared: fn(Epoch) -> bool) -> Self {
        Self { compared, ..self }
    }

    fn compares(&self, point: &Point) -> bool {
        point.origin.is_some() || (self.compared)(point.epoch)
    }

    /// Opens a damaged copy, reads all of it, checks it, and repairs it.
    pub fn judge(&self, folder: &Path, bytes: &[u8], verify: VerifyOnOpen, repair: Repair) -> Verdict {
        let path = folder.join("h.redb");
        std::fs::write(&path, bytes).unwrap();
        let found = self.look(&path, verify);
        let verdict = match repair {
            Repair::Always => self.repair(&path, folder, found),
            Repair::WhenFound if found => self.repair(&path, folder, found),
            Repair::WhenFound | Repair::Never => {
                if found {
                    Verdict::Found
                } else {
                    Verdict::Harmless
                }
            }
        };
        assert!(std::fs::read(&path).unwrap() == bytes, "looking or repairing changed the file");
        verdict
    }

    /// Opens a damaged copy without verifying its pages, writes to it as far as that can be done, and then looks:
    /// writing gives damaged bytes fresh page checksums.
    pub fn judge_written(&self, folder: &Path, bytes: &[u8]) -> Verdict {
        let path = folder.join("h.redb");
        std::fs::write(&path, bytes).unwrap();
        let options = Store::options().create(false).session(false).verify_on_open(VerifyOnOpen::Never);
        let refused = match options.open(&path) {
            Err(_) => true,
            Ok(store) => {
                let written = (0..3).map(|number| write_some(&store, number)).any(|written| written.is_err());
                store.close().is_err() || written
            }
        };
        let found = self.look(&path, VerifyOnOpen::Never);
        if found || refused { Verdict::Found } else { Verdict::Harmless }
    }

    /// Opens the file and reads all of it; says whether anything was found wrong.
    fn look(&self, path: &Path, verify: VerifyOnOpen) -> bool {
        let Ok(store) = Store::options().untouched().verify_on_open(verify).open(path) else { return true };
        let mut seen = Seen::default();
        match store.view() {
            Ok(view) => self.compare(&view, None, verify, &mut seen),
            Err(_) => seen.failed = true,
        }
        match store.all_points() {
            Ok(points) => {
                let before = points.iter().filter(|point| !point.description.starts_with(WRITTEN));
                for point in before.filter(|point| self.compares(point)) {
                    match store.at(point) {
                        Ok(view) => self.compare(&view, Some(point.epoch), verify, &mut seen),
                        Err(_) => seen.failed = true,
                    }
                }
            }
            Err(_) => seen.failed = true,
        }
        let sound = store.check().is_ok_and(|report| report.is_sound());
        assert!(!(seen.missing && sound), "something is missing, and check does not say so: {}", seen.what);
        assert!(!(seen.failed && sound), "something cannot be read, and check does not say so");
        assert!(
            !seen.missing || verify == VerifyOnOpen::Never,
            "something is missing in a file whose pages were verified"
        );
        !sound
    }

    /// Compares what can be read with what was written.
    ///
    /// Where pages are not verified, one of an earlier commit may stand in the place of its successor: then a record
    /// may be what it once was. Only digests tell.
    fn compare(&self, view: &View, at: Option<Epoch>, verify: VerifyOnOpen, seen: &mut Seen) {
        // A point that is not one of the sample's would be made of nothing.
        let expected = self.sample.get(&at).expect("a point that never was");
        let (mut shown, failed) = contents(view);
        shown.retain(|name, _| !name.contains(WRITTEN));
        seen.failed |= failed;
        for (name, text) in shown.iter().filter(|(name, text)| expected.get(*name) != Some(*text)) {
            let known =
                self.was_once(name, text) || follows_from_bots(name) && (failed || differ_in_bots(&shown, expected));
            assert!(known && verify == VerifyOnOpen::Never, "wrong data: {name}: {text}");
            seen.missing = true;
            seen.what = format!("{name} at {at:?}: {text}");
        }
        let kept = |name: &String| name.starts_with(HEARTBEAT) || shown.contains_key(name);
        seen.missing |= !failed && !expected.keys().all(kept);
        if let (false, Some(lost)) = (failed, expected.keys().find(|name| !kept(name))) {
            seen.what = format!("{lost} at {at:?}");
        }
    }

    fn was_once(&self, name: &str, text: &str) -> bool {
        self.sample.values().any(|contents| contents.get(name).is_some_and(|once| once == text))
    }

    /// Repairs the file, and compares what comes of it.
    fn repair(&self, path: &Path, folder: &Path, found: bool) -> Verdict {
        let to = folder.join("repaired.redb");
        let _none = std::fs::remove_file(&to);
        let report = match Store::plan_repair(path, &to).and_then(|plan| plan.apply()) {
            Ok(report) => report,
            Err(error) => {
                let known = [ErrorKind::NotAStore, ErrorKind::NewerFormat];
                assert!(found && known.contains(&error.kind()), "repair failed: {error}");
                return Verdict::NothingLeft;
            }
        };
        let store = Store::options().untouched().open(&to).unwrap();
        let check = store.check().unwrap();
        assert!(check.is_sound(), "a repaired store is not sound: {:?}", check.findings);
        let whole = report.is_whole();
        let mut differs = self.compare_repaired(&store.view().unwrap(), None, &report);
        let points = store.all_points().unwrap();
        for point in points.iter().filter(|point| self.compares(point)) {
            let view = store.at(point).unwrap();
            let lacks = self.compare_repaired(&view, Some(point.epoch), &report);
            assert!(!lacks || point.partial, "a point has lost something and is not marked: {point:?}\n{report}");
            differs |= lacks;
        }
        differs |= points.len() + 1 < self.sample.len();
        assert!(!(differs && whole), "a repair has lost something and does not say so");
        assert!(found || whole, "a repair says that a sound store has lost something: {report}");
        match (found, whole) {
            (false, _) => Verdict::Harmless,
            (true, true) => Verdict::RepairedWhole,
            (true, false) => Verdict::RepairedInPart,
        }
    }

    /// Says whether a view of a repaired store lacks something, or has it as it was at another time.
    fn compare_repaired(&self, view: &View, at: Option<Epoch>, report: &RepairReport) -> bool {
        let (shown, failed) = contents(view);
        // As of a point, a document that lacks rows is one that cannot be put together.
        assert!(!failed || at.is_some() && !report.is_whole(), "a repaired store cannot be read");
        let nothing = Contents::new();
        let expected = self.sample.get(&at).unwrap_or(&nothing);
        let mended = |name: &str| {
            let of_now = at.is_none() && name.starts_with(DOCUMENTS);
            let what_follows = of_now || ["queue", "assignments"].iter().any(|what| name.starts_with(what));
            what_follows && !report.notes.is_empty()
        };
        for (name, text) in &shown {
            let known = self.was_once(name, text) || mended(name);
            let follows = follows_from_bots(name) && differ_in_bots(&shown, expected);
            assert!(known || follows, "a repair made something up: {name}: {text}");
        }
        let renamed = report.notes.iter().any(|note| note.starts_with("the name of a collection is lost"));
        // Unversioned rows look the same from every point.
        let counts = |name: &str| {
            let versioned = !(name.starts_with(HEARTBEAT) || renamed && name.starts_with("rooms"));
            versioned && (at.is_none() || !name.starts_with("audit"))
        };
        let differs = |(name, text): (&String, &String)| counts(name) && shown.get(name) != Some(text);
        failed || expected.iter().any(differs) || shown.keys().any(|name| !expected.contains_key(name))
    }
}

fn follows_from_bots(name: &str) -> bool {
    name.starts_with(CAN_BE_DONE)
}

fn differ_in_bots(shown: &Contents, expected: &Contents) -> bool {
    let bots = |contents: &Contents| -> Contents {
        let bots = contents.iter().filter(|(name, _)| name.starts_with(REGISTRY));
        bots.map(|(name, text)| (name.clone(), text.clone())).collect()
    };
    bots(shown) != bots(expected)
}

/// A task without what follows from the registry.
fn as_recorded(task: Task) -> Task {
    let follows = task.state == TaskState::Waiting && task.waiting_for.is_empty();
    Task { state: if follows { TaskState::Ready } else { task.state }, ..task }
}

/// The prefix of every key that is written to a damaged store.
const WRITTEN: &str = "written";

fn write_some(store: &Store, number: u32) -> Result<()> {
    store.write(|tx| {
        tx.config().put(&format!("{WRITTEN} {number}"), &Value::from(number))?;
        let task = NewTask::new("work").id(hivekeep::TaskId::new(format!("{WRITTEN} {number}"))?);
        tx.queue().enqueue(task).map(drop)
    })?;
    store.restore_point(format!("{WRITTEN} {number}")).map(drop)
}

/// The observations in a damaged file.
#[derive(Default)]
struct Seen {
    /// Something is not there, or is what it was at another time, and no error says so.
    missing: bool,
    /// The last such thing.
    what: String,
    /// Something could not be read.
    failed: bool,
}

/// A copy of the file with some bytes, sectors or pages changed, or its end gone.
fn edited(input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = FIXTURE.to_vec();
    for _ in 0..EDITS_MAX {
        if input.is_empty() || bytes.is_empty() {
            break;
        }
        let kind = input.byte();
        let at = input.below(bytes.len());
        match kind % 8 {
            0 | 1 => bytes[at] ^= 1 << (kind >> 5),
            2 => bytes[at] = input.byte(),
            3 => overwrite(&mut bytes, at, input),
            4 => fill(&mut bytes, at, SECTOR, 0),
            5 => fill(&mut bytes, at, PAGE, input.byte()),
            6 => copy_page(&mut bytes, at, input),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn overwrite(bytes: &mut [u8], at: usize, input: &mut Input<'_>) {
    let new = input.take(8);
    bytes[at..].iter_mut().zip(new).for_each(|(byte, new)| *byte = *new);
}

/// Fills the block of that size in which `at` lies.
fn fill(bytes: &mut [u8], at: usize, size: usize, with: u8) {
    let start = at / size * size;
    bytes[start..].iter_mut().take(size).for_each(|byte| *byte = with);
}

fn copy_page(bytes: &mut [u8], at: usize, input: &mut Input<'_>) {
    let from = input.below(bytes.len()) / PAGE * PAGE;
    let page: Vec<u8> = bytes[from..].iter().take(PAGE).copied().collect();
    let to = at / PAGE * PAGE;
    bytes[to..].iter_mut().zip(page).for_each(|(byte, new)| *byte = new);
}

/// Any bytes, sometimes behind the true beginning of a store.
fn arbitrary(input: &mut Input<'_>) -> Vec<u8> {
    let head = [0, 9, SECTOR, PAGE][input.below(4)];
    [&FIXTURE[..head], input.rest()].concat()
}

fn sound(view: &View) -> Contents {
    let (contents, failed) = contents(view);
    assert!(!failed);
    contents
}

/// Everything that a view shows, and whether any of it could not be read.
fn contents(view: &View) -> (Contents, bool) {
    let mut reader = Reader::default();
    let registry = view.registry();
    let heartbeat = |bot: Bot| bot.last_heartbeat.map(|at| Ok((bot.id.to_string(), at)));
    reader.all(HEARTBEAT, registry.list().filter_map(Result::ok).filter_map(heartbeat));
    let without = |bot: Bot| (bot.id.to_string(), Bot { last_heartbeat: None, ..bot });
    reader.all(REGISTRY, registry.list().map(|bot| bot.map(without)));
    let named = |task: Task| (task.id.to_string(), task);
    reader.all("queue", view.queue().list().map(|task| task.map(as_recorded).map(named)));
    let waits = |task: &Task| task.state == TaskState::Waiting && task.waiting_for.is_empty();
    let can_be_done = |task: Task| Ok((task.id.to_string(), !waits(&task)));
    reader.all(CAN_BE_DONE, view.queue().list().filter_map(Result::ok).map(can_be_done));
    let assignment = |held: Assignment| (format!("{}/{}", held.bot, held.task), held);
    reader.all("assignments", view.assignments().list().map(|held| held.map(assignment)));
    reader.all("chat", view.chat().all().map(|message| message.map(|message| (message.sequence.to_string(), message))));
    reader.all("config", view.config().list());
    reader.one("audit", "1".into(), view.audit().get(1));
    match view.audit().list(Page::oldest(100)) {
        Ok(entries) => {
            reader.all("audit list", entries.into_iter().map(|entry| Ok((entry.sequence.to_string(), entry))))
        }
        Err(_) => reader.failed = true,
    }
    for id in view.documents().list() {
        match id {
            Ok(id) => reader.one(DOCUMENTS, id.to_string(), view.documents().get(id.kind(), id.source())),
            Err(_) => reader.failed = true,
        }
    }
    match view.collection::<Value>("rooms") {
        Ok(rooms) => reader.all("rooms", rooms.list()),
        Err(_) => reader.failed = true,
    }
    (reader.contents, reader.failed)
}

#[derive(Default)]
struct Reader {
    contents: Contents,
    failed: bool,
}

impl Reader {
    fn all<T: std::fmt::Debug>(&mut self, what: &str, items: impl Iterator<Item = Result<(String, T)>>) {
        for item in items {
            match item {
                Ok((key, value)) => drop(self.contents.insert(format!("{what}/{key}"), format!("{value:?}"))),
                Err(_) => self.failed = true,
            }
        }
    }

    fn one<T: std::fmt::Debug>(&mut self, what: &str, key: String, value: Result<Option<T>>) {
        self.all(what, value.transpose().map(|value| value.map(|value| (key, value))).into_iter());
    }
}
