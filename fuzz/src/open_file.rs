//! A file of which anything may be wrong: opened to look at, it gives what was written or an error, and `check` finds
//! whatever is missing. No panic escapes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use hivekeep::{Bot, Epoch, Page, Result, Store, VerifyOnOpen, View};
use serde_json::Value;

use super::input::Input;

/// A sector, and a page of redb.
const SECTOR: usize = 512;
const PAGE: usize = 4096;
/// Documents are put together from many rows. The sample's was put once, so that no other can be read.
const DOCUMENTS: &str = "documents";
/// Heartbeats are rows of their own that no digest covers: a lost one is a bot that was not heard of. That is meant so:
/// they come every few seconds, are not part of any point, and the next one heals what was lost.
const HEARTBEAT: &str = "heartbeat";
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
    let verify = verify(mode);
    let sample = sample();
    let bytes = if mode & 0x80 == 0 { edited(&mut input) } else { arbitrary(&mut input) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    std::fs::write(&path, &bytes).unwrap();
    look(&path, verify, sample);
    assert!(std::fs::read(&path).unwrap() == bytes, "looking changed the file");
}

/// A small store with some of everything: the same for every run, so that an input always means the same file.
const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/format-1.redb");

/// What is in it, now and at every point.
type Sample = BTreeMap<Option<Epoch>, Contents>;

/// What a view shows, by where it stands; the text of what is there.
type Contents = BTreeMap<String, String>;

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        std::fs::write(&path, FIXTURE).unwrap();
        let store = Store::options().untouched().open(&path).unwrap();
        let points = store.all_points().unwrap();
        let then = points.iter().map(|point| (Some(point.epoch), sound(&store.at(point).unwrap())));
        let contents: Sample = then.chain([(None, sound(&store.view().unwrap()))]).collect();
        assert!(contents.len() > 4 && contents.values().all(|contents| !contents.is_empty()));
        contents
    })
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

/// Opens the file and reads all of it.
fn look(path: &Path, verify: VerifyOnOpen, sample: &Sample) {
    let Ok(store) = Store::options().untouched().verify_on_open(verify).open(path) else { return };
    let mut missing = false;
    if let Ok(view) = store.view() {
        missing |= compare(&view, &sample[&None], verify, sample);
    }
    // A point that is not one of the sample's would be made of nothing.
    for point in store.all_points().unwrap_or_default() {
        let expected = sample.get(&Some(point.epoch)).expect("a point that never was");
        if let Ok(view) = store.at(&point) {
            missing |= compare(&view, expected, verify, sample);
        }
    }
    let sound = store.check(&|_, _| ()).is_ok_and(|report| report.is_sound());
    assert!(!(missing && sound), "something is missing, and check does not say so");
    assert!(!missing || verify == VerifyOnOpen::Never, "something is missing in a file whose pages were verified");
}

/// Compares what can be read with what was written; says whether something is missing, or stale, without an error.
///
/// Where pages are not verified, one of an earlier commit may stand in the place of its successor: then a record may be
/// what it once was. Only digests tell. A document of which rows are lost is an error.
fn compare(view: &View, expected: &Contents, verify: VerifyOnOpen, sample: &Sample) -> bool {
    let (shown, failed) = contents(view);
    let mut stale = false;
    for (name, text) in shown.iter().filter(|(name, text)| expected.get(*name) != Some(*text)) {
        let once = sample.values().any(|contents| contents.get(name) == Some(text));
        assert!(once && verify == VerifyOnOpen::Never, "wrong data: {name}: {text}");
        stale = true;
    }
    let kept = |name: &String| name.starts_with(HEARTBEAT) || shown.contains_key(name);
    !failed && (stale || !expected.keys().all(kept))
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
    reader.all("registry", registry.list().map(|bot| bot.map(without)));
    reader.all("queue", view.queue().list().map(|task| task.map(|task| (task.id.to_string(), task))));
    reader.all("assignments", view.assignments().list().map(|held| held.map(|held| (format!("{held:?}"), ()))));
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
