//! `index.json`: backups and restore points.
//!
//! Each restore point becomes a sealed point under its own id, listed as its backups; each backup that is in none
//! becomes a point of its own. They are sealed in order of time. A backup's content is a document of its kind and
//! source, as it was at the backup's point; a document that the store held before is put back behind the last of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::find::NOT_KNOWN;
use super::input;
use super::marks::Mark;
use super::members;
use super::report::{Skipped, Thing};
use super::work::{Seen, Taking, Work};
use crate::engine::point::{Origin, PointId};
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::error::{Error, Result};
use crate::json;
use crate::recovery::backups::{Kind, NewBackup, NewSealed, sha256};
use crate::state::documents::DocumentId;
use crate::state::ids::check_name;

/// So many bytes of backups are taken over in one transaction, or one point's when these are more.
const BATCH_BYTES: u64 = 64 << 20;
/// Where a point keeps the text of its time.
const ORIGINAL_TIME: &str = "original_time";

/// A backup as the index describes it.
struct Listed {
    id: String,
    kind: Kind,
    source: String,
    at: Timestamp,
    original_time: String,
    tags: BTreeMap<String, String>,
    checksum: Option<String>,
    size_bytes: Option<u64>,
    file: PathBuf,
}

/// What is to be sealed: a restore point, or a backup that is in none.
struct Sealing {
    /// The point's own id, of a restore point.
    id: Option<String>,
    at: Timestamp,
    manual: bool,
    description: String,
    tags: BTreeMap<String, String>,
    parts: Vec<Listed>,
    /// Whether it had parts; one that has lost them all is not sealed.
    had_parts: bool,
}

/// What an index says, as far as it could be understood.
#[derive(Default)]
struct Index {
    sealings: Vec<Sealing>,
    /// What is wrong in it: where, why, and the text.
    problems: Vec<(String, String, String)>,
    rest: Map<String, Value>,
}

/// The documents that were there before, of those that backups have been written over.
type Before = BTreeMap<(Kind, String), Option<Value>>;

/// Takes over an index with the files beside it.
pub(super) fn adopt(work: &mut Work<'_>) -> Result<()> {
    let folder = work.path.parent().unwrap_or(Path::new("")).to_path_buf();
    let Some(members) = work.object()? else {
        skip_files(work, &folder, &[]);
        return Ok(());
    };
    if !members.contains_key("backups") && !members.contains_key("restore_points") {
        work.foreign = Some("it has the name of an index of backups, but is none");
        skip_files(work, &folder, &[]);
        return Ok(());
    }
    let index = read_index(members, &folder, &work.options.time_zone);
    let listed: Vec<_> =
        index.sealings.iter().flat_map(|sealing| &sealing.parts).map(|part| part.file.clone()).collect();
    skip_files(work, &folder, &listed);
    let mut before = Before::new();
    let mut sealings = index.sealings.into_iter().peekable();
    let (mut problems, mut rest) = (index.problems, index.rest);
    while sealings.peek().is_some() || !problems.is_empty() {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(sealing) = sealings.next_if(|sealing| batch.is_empty() || bytes + size(sealing) <= BATCH_BYTES) {
            bytes += size(&sealing);
            batch.push(sealing);
        }
        let part = part_label(&batch);
        work.load(&part, |taking| {
            taking.members = std::mem::take(&mut rest);
            for (place, why, text) in problems.drain(..) {
                taking.problem(place, why, text.as_bytes())?;
            }
            batch.into_iter().try_for_each(|sealing| seal(taking, sealing, &mut before))?;
            put_back(taking, &before)
        })?;
    }
    Ok(())
}

/// The length of its files, as far as they are there.
fn size(sealing: &Sealing) -> u64 {
    let lengths = sealing.parts.iter().filter_map(|part| std::fs::symlink_metadata(&part.file).ok());
    lengths.map(|metadata| metadata.len()).fold(0, u64::saturating_add)
}

fn part_label(batch: &[Sealing]) -> String {
    match batch {
        [] => String::new(),
        [only] => label(only),
        [first, .., last] => format!("{} to {}", label(first), label(last)),
    }
}

fn label(sealing: &Sealing) -> String {
    match (&sealing.id, sealing.parts.first()) {
        (Some(id), _) => format!("restore point {id}"),
        (None, part) => format!("backup {}", part.map(|part| part.id.as_str()).unwrap_or_default()),
    }
}

/// The JSON files beside an index that it does not list are none of its backups.
fn skip_files(work: &mut Work<'_>, folder: &Path, listed: &[PathBuf]) {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let known = path.file_name().and_then(|name| name.to_str()).and_then(super::Source::of);
        let is_listed = listed.iter().any(|file| file.file_name() == path.file_name());
        if is_json && known.is_none() && !is_listed && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            work.skipped.push(Skipped { path, why: format!("{NOT_KNOWN}, and not in the index beside it") });
        }
    }
}

fn read_index(mut members: Map<String, Value>, folder: &Path, zone: &TimeZone) -> Index {
    let mut index = Index::default();
    let backups = object(&mut index, &mut members, "backups");
    let points = object(&mut index, &mut members, "restore_points");
    index.rest = members;
    let mut listed = BTreeMap::new();
    for (id, entry) in backups {
        match read_backup(&id, &entry, folder, zone) {
            Ok(backup) => drop(listed.insert(id, backup)),
            Err(error) => index.problem(format!("backup {}", id.escape_debug()), &error, &entry),
        }
    }
    let mut sealings = Vec::new();
    for (id, entry) in points {
        match read_point(&id, &entry, zone) {
            Ok(point) => sealings.push((point, entry)),
            Err(error) => index.problem(format!("restore point {}", id.escape_debug()), &error, &entry),
        }
    }
    sealings.sort_by(|(a, _), (b, _)| (a.at, &a.id).cmp(&(b.at, &b.id)));
    for (mut point, entry) in sealings {
        let place = label(&point);
        for id in parts_of(&entry) {
            point.had_parts = true;
            match id.and_then(|id| {
                listed.remove(id).ok_or_else(|| {
                    Error::invalid(format!(
                        "a part is not in the index, not readable, or in an earlier point: backup={}",
                        id.escape_debug()
                    ))
                })
            }) {
                Ok(part)
                    if point.parts.iter().any(|other| (other.kind, &other.source) == (part.kind, &part.source)) =>
                {
                    let why =
                        format!("two parts are of one kind and source; one has a point of its own: backup={}", part.id);
                    index.problem(place.clone(), &Error::invalid(why), &entry);
                    listed.insert(part.id.clone(), part);
                }
                Ok(part) => point.parts.push(part),
                Err(error) => index.problem(place.clone(), &error, &entry),
            }
        }
        index.sealings.push(point);
    }
    index.sealings.extend(listed.into_values().map(alone));
    index.sealings.sort_by(|a, b| a.at.cmp(&b.at));
    index
}

impl Index {
    fn problem(&mut self, place: String, error: &Error, entry: &Value) {
        self.problems.push((place, error.to_string(), entry.to_string()));
    }
}

/// Takes an object out of the index.
fn object(index: &mut Index, members: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match members.shift_remove(name) {
        Some(Value::Object(entries)) => entries,
        None | Some(Value::Null) => Map::new(),
        Some(other) => {
            index.problem(name.to_owned(), &Error::invalid("it is no object"), &other);
            Map::new()
        }
    }
}

/// The point of a backup that is in no restore point.
fn alone(backup: Listed) -> Sealing {
    Sealing {
        id: None,
        at: backup.at,
        manual: true,
        description: format!("backup of {}", backup.kind),
        tags: backup.tags.clone(),
        parts: vec![backup],
        had_parts: true,
    }
}

fn read_backup(id: &str, entry: &Value, folder: &Path, zone: &TimeZone) -> Result<Listed> {
    check_name("a backup id", id)?;
    if id.contains(['/', '\\']) || id.starts_with('.') {
        return Err(Error::invalid("its id is not the name of a file beside the index"));
    }
    let mut members = entry.as_object().cloned().ok_or_else(|| Error::invalid("it is no object"))?;
    let (at, original_time) = members::line_time(&mut members, &["timestamp"], zone)?;
    let kind: Kind = members::text(&mut members, "backup_type").unwrap_or_default().parse()?;
    let source = members::text(&mut members, "source").unwrap_or_else(|| format!("backup-{kind}"));
    DocumentId::new(kind.as_str(), source.as_str())?;
    let tags = members.get("tags").and_then(Value::as_object);
    let tags = tags.into_iter().flatten().map(|(name, value)| (name.clone(), tag(value))).collect();
    Ok(Listed {
        id: id.to_owned(),
        kind,
        source,
        at,
        original_time,
        tags,
        checksum: members::text(&mut members, "checksum"),
        size_bytes: members::number(&mut members, "size_bytes"),
        file: folder.join(format!("{id}.json")),
    })
}

/// A tag's value; one that is no text is kept as JSON.
fn tag(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn read_point(id: &str, entry: &Value, zone: &TimeZone) -> Result<Sealing> {
    check_name("a restore point id", id)?;
    let mut members = entry.as_object().cloned().ok_or_else(|| Error::invalid("it is no object"))?;
    let (at, original_time) = members::line_time(&mut members, &["timestamp"], zone)?;
    Ok(Sealing {
        id: Some(id.to_owned()),
        at,
        manual: members.get("manually_created").and_then(Value::as_bool).unwrap_or_default(),
        description: members::text(&mut members, "description").unwrap_or_default(),
        tags: BTreeMap::from([(ORIGINAL_TIME.to_owned(), original_time)]),
        parts: Vec::new(),
        had_parts: false,
    })
}

/// The backups that a restore point names.
fn parts_of(entry: &Value) -> impl Iterator<Item = Result<&str>> {
    let listed = entry.get("backups").and_then(Value::as_array).into_iter().flatten();
    listed.map(|id| id.as_str().ok_or_else(|| Error::invalid("a part is no text")))
}

/// Seals a point with those of its parts that are sound and not taken yet.
fn seal(taking: &mut Taking<'_, '_>, sealing: Sealing, before: &mut Before) -> Result<()> {
    let place = label(&sealing);
    let mark = sealing.id.as_ref().map(|id| Mark::new("restore point", &[id.as_bytes()]));
    if let (Some(mark), Some(id)) = (&mark, &sealing.id) {
        if taking.seen(mark, |tx, _| Ok(tx.row(Table::PointIds, id.as_bytes())?.is_some()))? == Seen::Before {
            return take_late_parts(taking, sealing.parts, before);
        }
        if taking.tx.row(Table::PointIds, id.as_bytes())?.is_some() {
            return taking.problem(place, "another point of that id is in the store already, and stays", &[]);
        }
    }
    let mut backups = Vec::new();
    for part in sealing.parts {
        backups.extend(verified(taking, part, before)?);
    }
    if backups.is_empty() && sealing.had_parts {
        if mark.is_some() {
            taking.problem(place, "none of its parts could be taken with it", &[])?;
        }
        return Ok(());
    }
    let count = backups.len() as u64;
    let marks: Vec<_> = backups.iter().map(|backup| backup_mark(&backup.id)).chain(mark.clone()).collect();
    let id = sealing.id.map_or_else(PointId::new, PointId);
    let (manual, description, tags) = (sealing.manual, sealing.description, sealing.tags);
    let new = NewSealed { backups, manual, description, tags };
    let (epoch, _) = taking.tx.seal_backups_as(id, Origin::Adopted, Some(sealing.at), new)?;
    marks.into_iter().try_for_each(|mark| mark.write(taking.tx, epoch.0))?;
    taking.file.took(Thing::Backups, count);
    taking.file.took(Thing::RestorePoints, u64::from(mark.is_some()));
    Ok(())
}

/// Parts of a point that was sealed without them, because they were missing or damaged then, get points of their own.
fn take_late_parts(taking: &mut Taking<'_, '_>, parts: Vec<Listed>, before: &mut Before) -> Result<()> {
    parts.into_iter().try_for_each(|part| seal(taking, alone(part), before))
}

fn backup_mark(id: &str) -> Mark {
    Mark::new("backup", &[id.as_bytes()])
}

/// Reads and verifies a backup; none when it was taken before, or is not what it was.
fn verified(taking: &mut Taking<'_, '_>, backup: Listed, before: &mut Before) -> Result<Option<NewBackup>> {
    let place = format!("backup {}", backup.id);
    let there = |id: &str, tx: &crate::WriteTx<'_>| tx.row(Table::Backups, id.as_bytes()).map(|row| row.is_some());
    if taking.seen(&backup_mark(&backup.id), |tx, _| there(&backup.id, tx))? == Seen::Before {
        return Ok(None);
    }
    if there(&backup.id, taking.tx)? {
        taking.problem(place, "another backup of that id is in the store already, and stays", &[])?;
        return Ok(None);
    }
    let Some(bytes) = read_file(taking, &place, &backup.file)? else { return Ok(None) };
    let checksum = sha256(&bytes);
    match &backup.checksum {
        Some(listed) if listed.eq_ignore_ascii_case(&checksum) => {}
        Some(listed) => {
            let shown: String = listed.chars().take(64).collect();
            let why =
                format!("it is damaged, its checksum is another: listed={} found={checksum}", shown.escape_debug());
            taking.problem(place, why, &bytes)?;
            return Ok(None);
        }
        None => taking.problem(&place, "it was taken without being verified: the index has no checksum of it", &[])?,
    }
    let data = match json::parse(&bytes) {
        Ok(data) => data,
        Err(error) => {
            taking.problem(place, format!("its checksum is right, but it cannot be stored: {error}"), &bytes)?;
            return Ok(None);
        }
    };
    if backup.size_bytes.is_some_and(|size| size != bytes.len() as u64) {
        taking.file.note(format!("{place}: the index gives another size, but its checksum is right"));
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
        Ok(metadata) if metadata.is_symlink() => Err("its file is a symbolic link, not followed".to_owned()),
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
    let key = (backup.kind, backup.source.clone());
    if !before.contains_key(&key) {
        let document = taking.tx.documents().get(backup.kind.as_str(), &backup.source)?;
        before.insert(key, document);
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
