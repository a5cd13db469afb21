//! Whatever was acknowledged has its name on the disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::names::{Find, LeftOut, Recording};
use crate::engine::store::{Options, Store};
use crate::files::journal::NameStep;
use crate::recovery::events::event::EventKind;
use crate::state::page::Page;
use crate::transfer::archive::{ArchivePolicy, ArchiveSchedule, ExportOptions, ImportOptions};

type Found = Result<(), String>;

/// A folder, and what is done below it.
struct Hive {
    folder: tempfile::TempDir,
    recording: Recording,
}

fn options() -> Options {
    Store::options().reserve(false)
}

fn put(store: &Store) {
    store.write(|tx| tx.config().put("limit", &json!(5))).unwrap();
}

/// Whether what was put is in a store.
fn is_in(store: &Path) -> Found {
    let store = options().create(false).session(false).open(store).map_err(|error| error.to_string())?;
    let limit = store.view().unwrap().config().get("limit").unwrap();
    store.close().unwrap();
    if limit == Some(json!(5)) { Ok(()) } else { Err("the record is lost".to_owned()) }
}

fn verifies(archive: &Path) -> Found {
    let verified = Store::verify_archive(archive, &ImportOptions::new());
    verified.map(drop).map_err(|error| error.to_string())
}

impl Hive {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::of(folder.path());
        Self { folder, recording }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn open(&self) -> Store {
        options().open(self.path("h.redb")).unwrap()
    }

    /// Nothing that was acknowledged is lost, and without the syncs of any of `needed` something is.
    fn proves(&self, needed: &[PathBuf], find: Find<'_>) {
        let outcome = self.recording.cut_everywhere(&LeftOut::Nothing, find);
        assert!(outcome.lost.is_empty(), "{:#?}", outcome.lost);
        assert!(outcome.images > 5, "images={}", outcome.images);
        let synced = self.recording.synced();
        for path in needed {
            assert!(synced.contains(path), "{} was not synced: {synced:?}", path.display());
            let outcome = self.recording.cut_everywhere(&LeftOut::Of(path.clone()), find);
            assert!(!outcome.lost.is_empty(), "without a sync of {} nothing is lost", path.display());
        }
    }

    /// The temporary name under which a file was made.
    fn temporary(&self, beginning: &str) -> PathBuf {
        let synced = self.recording.synced();
        let is_it = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(beginning);
        synced.iter().find(is_it).unwrap_or_else(|| panic!("no {beginning}: {synced:?}")).clone()
    }
}

#[test]
fn a_write_to_a_new_store_is_there_after_a_power_cut_at_any_step() {
    let hive = Hive::new();
    let store = hive.open();
    put(&store);
    hive.recording.acknowledge("the record");
    store.close().unwrap();
    hive.proves(&[hive.path("")], &|image, acknowledged| {
        if acknowledged.is_empty() { Ok(()) } else { is_in(&image.join("h.redb")) }
    });
}

#[test]
fn a_process_that_opens_a_store_whose_name_another_has_not_synced_yet_syncs_it_before_it_acknowledges() {
    let hive = Hive::new();
    let (path, acknowledge) = (hive.path("h.redb"), hive.recording.acknowledging());
    let named = path.clone();
    hive.recording.when(
        move |step| matches!(step, NameStep::Linked(_, to) if *to == named),
        move || {
            let other = options().session(false).open(&path).unwrap();
            put(&other);
            acknowledge("the record of the other process");
            other.close().unwrap();
        },
    );
    hive.open().close().unwrap();
    hive.proves(&[hive.path("")], &|image, acknowledged| {
        if acknowledged.is_empty() { Ok(()) } else { is_in(&image.join("h.redb")) }
    });
}

#[test]
fn an_archive_that_is_called_verified_is_there_with_every_folder_that_was_made_for_it() {
    let hive = Hive::new();
    let store = hive.open();
    put(&store);
    let folder = hive.path("a/b/c");
    let (keep, every) = (ArchivePolicy::default(), Duration::from_secs(60));
    let sealed = ExportOptions::new();
    let schedule = ArchiveSchedule { every, folder: folder.clone(), must_exist: false, keep, sealed };
    assert!(store.auto_archive(&schedule).unwrap().unwrap().verified);
    hive.recording.acknowledge("the archive");
    store.close().unwrap();
    let root = hive.path("");
    let needed = [hive.path(""), hive.path("a"), hive.path("a/b"), folder, hive.temporary("state-")];
    hive.proves(&needed, &|image, _| {
        let Ok(store) = options().create(false).read_only(true).open(image.join("h.redb")) else { return Ok(()) };
        let events = store.view().unwrap().events().list(Page::newest(100)).unwrap();
        let verified = events.iter().filter(|event| event.kind == EventKind::ArchiveVerified);
        verified
            .map(|event| PathBuf::from(event.details["file"].as_str().unwrap()))
            .try_for_each(|file| verifies(&image.join(file.strip_prefix(&root).unwrap())))
    });
}

#[test]
fn an_export_is_there_once_it_has_ended_and_one_that_it_replaces_is_there_until_then() {
    let hive = Hive::new();
    let store = hive.open();
    put(&store);
    let archive = hive.path("hive.tar.gz");
    for what in ["the first", "the second"] {
        store.export(&archive, &ExportOptions::new().replace(true)).unwrap();
        hive.recording.acknowledge(what);
    }
    store.close().unwrap();
    hive.proves(&[hive.path(""), hive.temporary("hive.tar.gz.")], &|image, acknowledged| {
        if acknowledged.is_empty() { Ok(()) } else { verifies(&image.join("hive.tar.gz")) }
    });
}

#[test]
fn a_store_made_of_an_archive_and_a_repaired_one_are_there_once_they_are_told_of() {
    let hive = Hive::new();
    let store = hive.open();
    put(&store);
    let archive = hive.path("hive.tar.gz");
    store.export(&archive, &ExportOptions::new()).unwrap();
    store.close().unwrap();
    Store::import_new(&archive, hive.path("imported.redb"), &ImportOptions::new()).unwrap();
    hive.recording.acknowledge("imported.redb");
    Store::plan_repair(hive.path("h.redb"), hive.path("repaired.redb")).unwrap().apply().unwrap();
    hive.recording.acknowledge("repaired.redb");
    hive.proves(&[hive.path("")], &|image, acknowledged| {
        acknowledged.iter().try_for_each(|name| is_in(&image.join(name)))
    });
}

#[test]
fn the_note_of_a_check_is_the_one_before_or_the_new_one() {
    let hive = Hive::new();
    let store = hive.open();
    put(&store);
    for what in ["the first", "the second"] {
        store.note_check(&store.check().unwrap()).unwrap();
        hive.recording.acknowledge(what);
    }
    store.close().unwrap();
    hive.proves(&[hive.path(""), hive.temporary("h.redb.checked.")], &|image, acknowledged| {
        if acknowledged.is_empty() {
            return Ok(());
        }
        let store = options().create(false).read_only(true).open(image.join("h.redb")).map_err(|e| e.to_string())?;
        store.last_check().unwrap().map(drop).ok_or_else(|| "the note is lost".to_owned())
    });
}
