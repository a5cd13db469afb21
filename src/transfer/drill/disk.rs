//! Disk failures: damaged bytes, and a lost file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::duration;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Rights};
use crate::transfer::archive::{ExportOptions, ImportOptions};
use crate::transfer::drill::loss::{self, Loss};
use crate::transfer::drill::report::Measured;
use crate::transfer::drill::stage::{Stage, last_safe, open};

/// The number of bytes that are damaged at a time, until damage is found. Some bytes of a file mean nothing.
const BYTES: usize = 8;
/// The most rounds of damage.
const ROUNDS: usize = 50;

/// The file is lost, and a new store is made from the newest archive. Recovery ends when a bot has completed a task in
/// it.
pub(super) fn file_lost(stage: &Stage<'_>) -> Result<Measured> {
    let mut notes = Vec::new();
    let (path, lost, whole) = (stage.path(), stage.scratch.file("lost.redb"), stage.scratch.file("whole.redb"));
    let archive = archive(stage, &whole, &mut notes)?;
    files::rename(&path, &lost)?;
    let disaster = Instant::now();
    let progress = |done, of| stage.watch.progress(done, of);
    let report = Store::import_new_with(&archive, &path, &ImportOptions::new(), progress);
    let rebuilt = disaster.elapsed();
    let measured = report.and_then(|report| {
        let (before, after) = (open(&lost)?, open(&path)?);
        let records = loss::records(&before.view()?, &after.view()?, &[])?;
        let age = duration::since(report.point.timestamp, after.clock().now());
        before.close()?;
        after.close()?;
        let recovery = rebuilt + until_it_works(stage, &path)?;
        Ok(Measured { recovery, loss: Loss::of(records, age), notes })
    });
    // The next disaster starts with the original copy again.
    files::rename(if whole.exists() { &whole } else { &lost }, &path)?;
    measured
}

/// The newest archive of the real store, or else a new one, after which bots continue to work. Then the copy in its
/// earlier state is at `whole`.
fn archive(stage: &Stage<'_>, whole: &Path, notes: &mut Vec<String>) -> Result<PathBuf> {
    if let Some(archive) = &stage.archive {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        if archive.extension().is_none_or(|extension| extension != "age") {
            notes.push(format!("the archive: {name}"));
            return Ok(archive.clone());
        }
        notes.push(format!("{name} is encrypted, so an archive was made for the drill, and the loss counts from it"));
    } else {
        notes.push("there was no archive, so one was made for the drill, and the loss counts from it".to_owned());
    }
    let mut copy = files::create_new(whole, Rights::of_content(&stage.path()))?;
    std::io::copy(&mut files::open(&stage.path())?, &mut copy)?;
    let archive = stage.scratch.file("drill.tar.zst");
    let store = stage.open()?;
    store.export_with(&archive, &ExportOptions::new(), |done, of| stage.watch.progress(done, of))?;
    store.close()?;
    let mut bots = stage.bots("drill-later", 1)?;
    bots.wait_for_done(stage.watch, 20)?;
    drop(bots);
    Ok(archive)
}

/// Random bytes are damaged until a check finds it, and the store is repaired. Recovery ends when a bot has completed a
/// task in the repaired store.
pub(super) fn bytes_damaged(stage: &Stage<'_>) -> Result<Measured> {
    let (path, repaired) = (stage.path(), stage.scratch.file("repaired.redb"));
    // Complete, and closed cleanly, so that every loss comes from the damage.
    open(&path)?.close()?;
    let mut damage = Damage::new(stage.options.seed);
    let disaster = damage.until_it_shows(&path)?;
    let report = Store::plan_repair(&path, &repaired)?.apply()?;
    let mended = disaster.elapsed();
    let mut notes = vec![format!("bytes damaged before a check found it: {}", damage.done.len())];
    notes.push(format!("records that the repair lost or set back: {}", report.lost.len()));
    damage.undo(&path)?;
    let (before, after) = (open(&path)?, open(&repaired)?);
    let records = loss::records(&before.view()?, &after.view()?, &[])?;
    let lost = Loss::of(records, last_safe(&before)?);
    before.close()?;
    after.close()?;
    let recovery = mended + until_it_works(stage, &repaired)?;
    Ok(Measured { recovery, loss: lost, notes })
}

/// Whether a check of everything finds damage. The file is only read.
fn shows(path: &Path) -> Result<bool> {
    let checked = Store::options().create(false).untouched().open(path).and_then(|store| store.check());
    match checked {
        Ok(report) => Ok(!report.is_sound()),
        Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NotAStore | ErrorKind::Reopen) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Measures the time until a bot has completed a task.
pub(super) fn until_it_works(stage: &Stage<'_>, store: &Path) -> Result<Duration> {
    let begun = Instant::now();
    let mut bots = stage.bots_on(store, "drill-after", 1)?;
    bots.wait_for_done(stage.watch, 1)?;
    Ok(begun.elapsed())
}

/// Changed bytes, with their original values.
struct Damage {
    state: u64,
    done: Vec<(u64, u8)>,
}

impl Damage {
    fn new(seed: u64) -> Self {
        Self { state: seed << 1 | 1, done: Vec::new() }
    }

    /// Changes bytes until a check of everything finds damage. Returns the time of the last change.
    fn until_it_shows(&mut self, path: &Path) -> Result<Instant> {
        for _ in 0..ROUNDS {
            self.do_more(path)?;
            let disaster = Instant::now();
            if shows(path)? {
                return Ok(disaster);
            }
        }
        Err(Error::conflict(format!("no damage was found: bytes={}", self.done.len())))
    }

    /// Changes more bytes, at random places that contain data.
    fn do_more(&mut self, path: &Path) -> Result<()> {
        let mut file = files::open_to_write(path)?;
        let len = file.metadata()?.len();
        let mut changed = 0;
        while changed < BYTES {
            let at = self.below(len);
            let mut byte = [0];
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut byte)?;
            let [was] = byte;
            let noise = u8::try_from(self.below(255)).unwrap_or_default() + 1;
            // Most zero bytes were never written.
            if was == 0 || self.done.iter().any(|(done, _)| *done == at) {
                continue;
            }
            put(&mut file, at, was ^ noise)?;
            self.done.push((at, was));
            changed += 1;
        }
        Ok(())
    }

    /// Restores every byte.
    fn undo(&mut self, path: &Path) -> Result<()> {
        let mut file = files::open_to_write(path)?;
        self.done.iter().try_for_each(|(at, was)| put(&mut file, *at, *was))
    }

    /// A random number below `end`, by xorshift.
    fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % end.max(1)
    }
}

fn put(file: &mut File, at: u64, byte: u8) -> Result<()> {
    file.seek(SeekFrom::Start(at))?;
    Ok(file.write_all(&[byte])?)
}
