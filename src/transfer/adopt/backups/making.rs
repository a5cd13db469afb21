//! The points and backups that an adoption makes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::index::{Index, Listed, Sealing};
use crate::engine::point::{Origin, PointId};
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::recovery::backups::{Kind, NewBackup, NewSealed, sha256};
use crate::recovery::points::selector::Selector;
use crate::state::documents::Prepared;
use crate::transfer::adopt::find::NOT_KNOWN;
use crate::transfer::adopt::input;
use crate::transfer::adopt::marks::Mark;
use crate::transfer::adopt::report::{AdoptSkipped, AdoptThing};
use crate::transfer::adopt::source::AdoptSource;
use crate::transfer::adopt::work::{FileWork, Seen, Taking};

/// The bytes of backups that one transaction takes over, or those of one point if they are more.
const BATCH_BYTES: u64 = 64 << 20;

/// The documents that were there before, of those that backups have been written over.
type Before = BTreeMap<(Kind, String), Option<Value>>;

/// Takes over an index with the files beside it.
pub(in crate::transfer::adopt) fn adopt(work: &mut FileWork<'_>) -> Result<()> {
    let folder = work.path.parent().unwrap_or(Path::new("")).to_path_buf();
    let Some(members) = work.object()? else {
        skip_files(work, &folder, &BTreeSet::new());
        return Ok(());
    };
    if !members.contains_key("backups") && !members.contains_key("restore_points") {
        work.foreign = Some("it has the name of an index of backups, but not its content");
        skip_files(work, &folder, &BTreeSet::new());
        return Ok(());
    }
    let Index { sealings, faults, files, mut rest } = Index::read(members, &folder, &work.options.time_zone);
    skip_files(work, &folder, &files);
    work.load("the index", |taking| {
        let mut faults = faults.into_iter();
        faults.try_for_each(|fault| taking.problem(fault.place, fault.why, fault.text.as_bytes()))
    })?;
    let mut before = Before::new();
    let mut sealings = sealings.into_iter().peekable();
    while sealings.peek().is_some() {
        let (mut batch, mut bytes) = (Vec::new(), 0_u64);
        while let Some(sealing) = sealings.next_if(|next| batch.is_empty() || bytes + next.size() <= BATCH_BYTES) {
            bytes = bytes.saturating_add(sealing.size());
            batch.push(sealing);
        }
        work.load(&label(&batch), |taking| {
            taking.members = std::mem::take(&mut rest);
            batch.into_iter().try_for_each(|sealing| seal(taking, sealing, &mut before))?;
            put_back(taking, &before)
        })?;
    }
    Ok(())
}

pub(super) fn label(batch: &[Sealing]) -> String {
    match batch {
        [] => String::new(),
        [only] => only.label(),
        [first, .., last] => format!("{} to {}", first.label(), last.label()),
    }
}

/// The JSON files beside an index that it does not list are none of its backups.
fn skip_files(work: &mut FileWork<'_>, folder: &Path, listed: &BTreeSet<String>) {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".json") && AdoptSource::of(&name).is_none() && !listed.contains(name.as_ref()) {
            let why = format!("{NOT_KNOWN}, and not in the index beside it");
            work.skipped.push(AdoptSkipped { path: entry.path(), why });
        }
    }
}

/// Seals a point with those of its parts that are sound and not taken yet.
fn seal(taking: &mut Taking<'_, '_>, sealing: Sealing, before: &mut Before) -> Result<()> {
    let place = sealing.label();
    let mark = sealing.id.as_ref().map(|id| Mark::new("restore point", &[id.as_bytes()]));
    if let (Some(mark), Some(id)) = (&mark, &sealing.id) {
        if taking.seen(mark, |tx, _| Ok(tx.row(Table::PointIds, id.as_bytes())?.is_some()))? == Seen::Before {
            return take_late_parts(taking, sealing.parts, before);
        }
        if taking.tx.row(Table::PointIds, id.as_bytes())?.is_some() {
            return taking.problem(place, "the store already has another point with that id, which stays", &[]);
        }
    }
    let mut backups = Vec::new();
    for part in sealing.parts {
        backups.extend(verified(taking, part, before)?);
    }
    if backups.is_empty() && sealing.had_parts {
        if mark.is_some() {
            taking.problem(place, "none of its parts could be adopted", &[])?;
        }
        return Ok(());
    }
    let count = backups.len() as u64;
    let marks: Vec<_> = backups.iter().map(|backup| backup_mark(&backup.id)).chain(mark.clone()).collect();
    if sealing.id.as_ref().is_some_and(|id| !can_be_named(id)) {
        taking.file.note(format!("{place}: no point can be named by its id"));
    }
    let id = match (sealing.id, backups.as_slice()) {
        (Some(id), _) => PointId(id),
        // As with every backup that is no part of a restore point, its point has its name.
        (None, [backup]) => PointId(backup.id.clone()),
        (None, _) => PointId::new(),
    };
    let (manual, description, tags) = (sealing.manual, sealing.description, sealing.tags);
    let new = NewSealed { backups, manual, description, tags };
    let (epoch, _) = taking.tx.seal_backups_as(id, Origin::Adopted, Some(sealing.at), new)?;
    marks.into_iter().try_for_each(|mark| mark.write(taking.tx, epoch.0))?;
    taking.file.took(AdoptThing::Backups, count);
    taking.file.took(AdoptThing::RestorePoints, u64::from(mark.is_some()));
    Ok(())
}

/// Whether the id is read as one where a person names a point.
fn can_be_named(id: &str) -> bool {
    matches!(id.parse(), Ok(Selector::Id(named)) if named == id)
}

/// Parts of a point that was sealed without them, because they were missing or damaged then, get points of their own.
fn take_late_parts(taking: &mut Taking<'_, '_>, parts: Vec<Listed>, before: &mut Before) -> Result<()> {
    parts.into_iter().try_for_each(|part| seal(taking, Sealing::of_backup(part), before))
}

fn backup_mark(id: &str) -> Mark {
    Mark::new("backup", &[id.as_bytes()])
}

/// Reads and verifies a backup; none when it was taken before, or has changed.
fn verified(taking: &mut Taking<'_, '_>, backup: Listed, before: &mut Before) -> Result<Option<NewBackup>> {
    let place = format!("backup {}", backup.id);
    let there = |id: &str, tx: &WriteTx<'_>| tx.row(Table::Backups, id.as_bytes()).map(|row| row.is_some());
    if taking.seen(&backup_mark(&backup.id), |tx, _| there(&backup.id, tx))? == Seen::Before {
        return Ok(None);
    }
    if there(&backup.id, taking.tx)? {
        taking.problem(place, "the store already has another backup with that id, which stays", &[])?;
        return Ok(None);
    }
    let Some(bytes) = read_file(taking, &place, &backup.file)? else { return Ok(None) };
    let checksum = sha256(&bytes);
    match &backup.checksum {
        Some(listed) if listed.eq_ignore_ascii_case(&checksum) => taking.file.verified += 1,
        Some(listed) => {
            let shown: String = listed.chars().take(64).collect();
            let why = format!("it is damaged: its checksum differs: listed={} found={checksum}", shown.escape_debug());
            taking.problem(place, why, &bytes)?;
            return Ok(None);
        }
        None => taking.problem(&place, "it was adopted without verification: the index has no checksum for it", &[])?,
    }
    let data = match Prepared::of_text(&bytes) {
        Ok(data) => data,
        Err(error) => {
            taking.problem(place, format!("its checksum matches, but it cannot be stored: {error}"), &bytes)?;
            return Ok(None);
        }
    };
    if backup.size_bytes.is_some_and(|size| size != bytes.len() as u64) {
        taking.file.note(format!("{place}: the index lists another size, but its checksum matches"));
    }
    remember(taking, &backup, before)?;
    Ok(Some(NewBackup {
        id: backup.id,
        kind: backup.kind,
        source: backup.source,
        tags: backup.tags,
        data: Some(data),
        at: Some(backup.at),
        original_time: Some(backup.original_time),
        file_checksum: Some(checksum),
    }))
}

/// The bytes of a backup's file, which is never looked for outside of the folder.
fn read_file(taking: &mut Taking<'_, '_>, place: &str, file: &Path) -> Result<Option<Vec<u8>>> {
    let limit = taking.options.max_file_bytes;
    let read = match std::fs::symlink_metadata(file) {
        Ok(metadata) if metadata.is_symlink() => Err("its file is a symbolic link, which is not followed".to_owned()),
        Ok(metadata) if !metadata.is_file() => Err("its file is not a regular file".to_owned()),
        Ok(_) => input::whole(file, limit),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("its file is missing".to_owned()),
        Err(error) => Err(input::cannot_be_read(&error)),
    };
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(why) => {
            taking.problem(place, format!("{why}: file={}", file.display()), &[])?;
            Ok(None)
        }
    }
}

/// Remembers the document that the backup is about to be written over.
fn remember(taking: &mut Taking<'_, '_>, backup: &Listed, before: &mut Before) -> Result<()> {
    if let Entry::Vacant(place) = before.entry((backup.kind, backup.source.clone())) {
        place.insert(taking.tx.documents().get(backup.kind.as_str(), &backup.source)?);
    }
    Ok(())
}

fn put_back(taking: &mut Taking<'_, '_>, before: &Before) -> Result<()> {
    for ((kind, source), document) in before {
        if let Some(document) = document {
            taking.tx.documents().put(kind.as_str(), source, document)?;
        }
    }
    Ok(())
}
