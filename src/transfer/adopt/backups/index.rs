//! The content of an index of backups, as far as it can be understood.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::super::members;
use crate::error::{Error, Result};
use crate::limits;
use crate::recovery::backups::Kind;
use crate::state::documents::DocumentId;
use crate::state::ids::check_name;

/// Where a point keeps the text of its time.
const ORIGINAL_TIME: &str = "original_time";

/// A backup as the index describes it.
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) source: String,
    pub(super) at: Timestamp,
    pub(super) original_time: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) checksum: Option<String>,
    pub(super) size_bytes: Option<u64>,
    pub(super) file: PathBuf,
}

/// A point to seal: a restore point, or a backup that is in none.
pub(super) struct Sealing {
    /// The point's own id, of a restore point.
    pub(super) id: Option<String>,
    pub(super) at: Timestamp,
    pub(super) manual: bool,
    pub(super) description: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) parts: Vec<Listed>,
    /// Whether it had parts; one that has lost them all is not sealed.
    pub(super) had_parts: bool,
}

/// The content of an index.
#[derive(Default)]
pub(super) struct Index {
    /// In order of time.
    pub(super) sealings: Vec<Sealing>,
    /// Parts that could not be understood.
    pub(super) faults: Vec<Fault>,
    /// The names of the files that it lists.
    pub(super) files: BTreeSet<String>,
    /// Its other fields.
    pub(super) rest: Map<String, Value>,
}

/// Something in an index that is not as it should be.
pub(super) struct Fault {
    pub(super) place: String,
    pub(super) why: String,
    pub(super) text: String,
}

impl Index {
    /// Reads an index whose files are in `folder`.
    pub(super) fn read(mut members: Map<String, Value>, folder: &Path, zone: &TimeZone) -> Self {
        let mut index = Self::default();
        let backups = index.object(&mut members, "backups");
        let points = index.object(&mut members, "restore_points");
        index.rest = members;
        let mut listed = BTreeMap::new();
        for (id, entry) in backups {
            index.files.insert(file_name(&id));
            match read_backup(&id, &entry, folder, zone) {
                Ok(mut backup) => {
                    if let Some(error) = limits::fit(&mut String::new(), &mut backup.tags) {
                        index.fault(format!("backup {}", id.escape_debug()), &error, &entry);
                    }
                    listed.insert(id, backup);
                }
                Err(error) => index.fault(format!("backup {}", id.escape_debug()), &error, &entry),
            }
        }
        let mut found = Vec::new();
        for (id, entry) in points {
            match read_point(&id, &entry, zone) {
                Ok(mut point) => {
                    if let Some(error) = limits::fit(&mut point.description, &mut point.tags) {
                        index.fault(point.label(), &error, &entry);
                    }
                    found.push((point, entry));
                }
                Err(error) => index.fault(format!("restore point {}", id.escape_debug()), &error, &entry),
            }
        }
        found.sort_by(|(a, _), (b, _)| (a.at, &a.id).cmp(&(b.at, &b.id)));
        for (mut point, entry) in found {
            index.give_parts(&mut point, &entry, &mut listed);
            index.sealings.push(point);
        }
        index.sealings.extend(listed.into_values().map(Sealing::of_backup));
        index.sealings.sort_by_key(|sealing| sealing.at);
        index
    }

    /// Moves the backups that a restore point names from the list to the point.
    fn give_parts(&mut self, point: &mut Sealing, entry: &Value, listed: &mut BTreeMap<String, Listed>) {
        let ids = entry.get("backups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        point.had_parts = !ids.is_empty();
        for id in ids {
            match listed.remove(id.as_str().unwrap_or_default()) {
                None => {
                    let why = "one of its parts is missing or unreadable in the index, or belongs to an earlier point";
                    self.fault(point.label(), &Error::invalid(format!("{why}: backup={id}")), entry);
                }
                Some(part) if point.holds_another(&part) => {
                    let why = "two of its parts have the same kind and source; this one gets a point of its own";
                    self.fault(point.label(), &Error::invalid(format!("{why}: backup={id}")), entry);
                    listed.insert(part.id.clone(), part);
                }
                Some(part) => point.parts.push(part),
            }
        }
    }

    /// Takes an object out of the index.
    fn object(&mut self, members: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
        match members.shift_remove(name) {
            Some(Value::Object(entries)) => entries,
            None | Some(Value::Null) => Map::new(),
            Some(other) => {
                self.fault(name.to_owned(), &Error::invalid("it is no object"), &other);
                Map::new()
            }
        }
    }

    fn fault(&mut self, place: String, error: &Error, entry: &Value) {
        self.faults.push(Fault { place, why: error.to_string(), text: entry.to_string() });
    }
}

impl Sealing {
    /// The point of a backup that is in no restore point.
    pub(super) fn of_backup(backup: Listed) -> Self {
        Self {
            id: None,
            at: backup.at,
            manual: true,
            description: format!("backup of {}", backup.kind),
            tags: backup.tags.clone(),
            parts: vec![backup],
            had_parts: true,
        }
    }

    /// How the report names it.
    pub(super) fn label(&self) -> String {
        match (&self.id, self.parts.first()) {
            (Some(id), _) => format!("restore point {id}"),
            (None, part) => format!("backup {}", part.map(|part| part.id.as_str()).unwrap_or_default()),
        }
    }

    /// The length of its files, as far as they are there.
    pub(super) fn size(&self) -> u64 {
        let lengths = self.parts.iter().filter_map(|part| std::fs::symlink_metadata(&part.file).ok());
        lengths.map(|metadata| metadata.len()).fold(0, u64::saturating_add)
    }

    /// Whether it has a part already whose content would be the same document.
    fn holds_another(&self, part: &Listed) -> bool {
        self.parts.iter().any(|other| (other.kind, &other.source) == (part.kind, &part.source))
    }
}

fn read_backup(id: &str, entry: &Value, folder: &Path, zone: &TimeZone) -> Result<Listed> {
    check_name("a backup id", id)?;
    if id.contains(['/', '\\']) || id.starts_with('.') {
        return Err(Error::invalid("its id cannot be the name of a file beside the index"));
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
        file: folder.join(file_name(id)),
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

/// The file of a backup's content.
fn file_name(id: &str) -> String {
    format!("{id}.json")
}
