//! Backups: one kind of state of a point, with source, tags, counts and checksum, as clients of the replaced service
//! know them. A backup is a row, not a copy.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::engine::codec::{self, Stored};
use crate::engine::commit::Outcome;
use crate::engine::digest::hex;
use crate::engine::epoch::Epoch;
use crate::engine::point::{Manifest, NewPoint, Origin, PointId};
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::limits;
use crate::recovery::events::event::EventKind;
use crate::recovery::points::point::Point;
use crate::recovery::points::point::names;
use crate::recovery::points::selector::Selector;
use crate::state::documents::{Prepared, PythonSummary};
use crate::state::ids::check_new;

/// The kind of state in a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The bots.
    Registry,
    /// The tasks.
    Queue,
    /// The tasks of each bot.
    BotAssignments,
    /// The whole state; as JSON, the three above.
    Full,
}

/// The source of a backup's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupOf {
    /// The live state.
    Live,
    /// A document that a caller provided.
    Documents,
}

/// A backup, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its id: a UUID.
    pub backup_id: String,
    /// The kind of state in it.
    pub backup_type: Kind,
    /// When it was made. For an adopted backup: when the other program made it.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
    /// Its creator, as the creator named itself.
    pub source: String,
    /// For documents: the length of their text. For live state: the length of the payloads of its records.
    pub size_bytes: u64,
    /// For documents: the summed length of the fields that are arrays or objects. For live state: the number of its
    /// records.
    pub item_count: u64,
    /// The SHA-256, in hexadecimal. For documents: of the text that Python's `json.dumps(data, indent=2)` returns. For
    /// live state: of its canonical manifest.
    pub checksum: String,
    /// Tags by name.
    pub tags: BTreeMap<String, String>,
    /// The source of its content.
    pub of: BackupOf,
    /// For an adopted file whose bytes differ from that text: the SHA-256 of the file.
    pub file_checksum: Option<String>,
    /// For an adopted backup: its time, in the text of the other program.
    pub original_time: Option<String>,
    /// The point that holds its content.
    pub epoch: Epoch,
}

impl Stored for Backup {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "a backup";
}

/// A request for a backup. Create it with [`BackupRequest::new`], and pass it to [`Store::backup`].
#[derive(Clone, Debug)]
pub struct BackupRequest {
    kind: Kind,
    source: Option<String>,
    tags: BTreeMap<String, String>,
    data: Option<Result<Prepared, String>>,
}

/// A backup to list.
#[derive(Clone, Debug)]
pub(crate) struct NewBackup {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) source: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) data: Option<Prepared>,
    /// For an adopted backup: its own time, the text of that time, and the checksum of its file.
    pub(crate) at: Option<Timestamp>,
    pub(crate) original_time: Option<String>,
    pub(crate) file_checksum: Option<String>,
}

/// A point to seal, with its backups.
pub(crate) struct NewSealed {
    pub(crate) backups: Vec<NewBackup>,
    pub(crate) manual: bool,
    pub(crate) description: String,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Kind {
    /// The three kinds of the backups of a point.
    pub(crate) const PARTS: [Self; 3] = [Self::Registry, Self::Queue, Self::BotAssignments];

    /// The name, in lower case with underscores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Queue => "queue",
            Self::BotAssignments => "bot_assignments",
            Self::Full => "full",
        }
    }

    /// The collection that holds its records; none for all.
    fn collection(self) -> Option<CollectionId> {
        match self {
            Self::Registry => Some(CollectionId::REGISTRY),
            Self::Queue => Some(CollectionId::QUEUE),
            Self::BotAssignments => Some(CollectionId::ASSIGNMENTS),
            Self::Full => None,
        }
    }

    /// The source of a backup that is part of a point.
    fn source_in_point(self) -> &'static str {
        match self {
            Self::Registry => "registry-backup",
            Self::Queue => "queue-backup",
            Self::BotAssignments => "assignments-backup",
            Self::Full => "full-backup",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Error;

    /// Parses a name, in any case.
    fn from_str(text: &str) -> Result<Self> {
        let kinds = [Self::Registry, Self::Queue, Self::BotAssignments, Self::Full];
        kinds.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            Error::invalid(format!(
                "unknown kind of backup; use registry, queue, bot_assignments or full: kind={}",
                text.escape_debug()
            ))
        })
    }
}

impl BackupRequest {
    /// Requests a backup of the live state of that kind.
    pub fn new(kind: Kind) -> Self {
        Self { kind, source: None, tags: BTreeMap::new(), data: None }
    }

    /// Sets the source. The default is `backup-` and the kind.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Backs up this document, owned or borrowed, instead of the live state.
    #[must_use]
    pub fn data(mut self, data: impl Borrow<Value>) -> Self {
        self.data = Some(Prepared::of_value(data.borrow()).map_err(|error| error.to_string()));
        self
    }

    /// Backs up the document in this JSON text. This is faster than to parse it first.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BackupRequest, Kind};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let backup = store.backup(BackupRequest::new(Kind::Queue).json(br#"{"tasks": [{"id": 1}]}"#))?;
    /// assert_eq!(backup.item_count, 1);
    /// assert!(store.backup(BackupRequest::new(Kind::Queue).json(b"[1, NaN]")).is_err());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    #[must_use]
    pub fn json(mut self, text: &[u8]) -> Self {
        self.data = Some(Prepared::of_text(text).map_err(|error| error.to_string()));
        self
    }

    /// Backs up a prepared document.
    #[cfg(feature = "http")]
    #[must_use]
    pub(crate) fn document(mut self, document: Prepared) -> Self {
        self.data = Some(Ok(document));
        self
    }
}

impl NewBackup {
    /// One of the backups of a point.
    pub(crate) fn of_part(kind: Kind, data: Option<Prepared>) -> Self {
        Self { data, ..Self::of_live(kind, kind.source_in_point()) }
    }

    /// A backup of the present live state, without tags.
    fn of_live(kind: Kind, source: impl Into<String>) -> Self {
        Self {
            id: PointId::new().0,
            kind,
            source: source.into(),
            tags: BTreeMap::new(),
            data: None,
            at: None,
            original_time: None,
            file_checksum: None,
        }
    }
}

impl Store {
    /// Makes a backup, of the live state or of a document. Both are sealed points.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]; `Invalid` for a document that is not JSON or nests too deeply, and for a text over its
    /// [limit](crate#limits).
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{BackupRequest, Kind};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let registry = hivekeep::json::parse(br#"{"BOT-1": {"port": 8001}}"#)?;
    /// let backup = store.backup(BackupRequest::new(Kind::Registry).source("nightly").data(registry.clone()))?;
    /// assert_eq!(backup.item_count, 1);
    /// assert_eq!(store.backup_data(&backup)?, registry);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn backup(&self, request: BackupRequest) -> Result<Backup> {
        limits::optional("the source of a backup", request.source.as_ref(), limits::SOURCE_BYTES)?;
        limits::tags(&request.tags)?;
        if let (Some(_), Some(source)) = (&request.data, &request.source) {
            let known = || self.view()?.documents().is_there(request.kind.as_str(), source);
            check_new("the source of a document", source, known)?;
        }
        let data = request.data.transpose().map_err(Error::invalid)?;
        self.alone(|tx| {
            // The point has the id of the backup. This distinguishes it from a restore point.
            let id = PointId::new().0;
            let origin = if data.is_some() { Origin::Documents } else { Origin::Live };
            let source = request.source.unwrap_or_else(|| format!("backup-{}", request.kind));
            let tags = request.tags.clone();
            let backup = NewBackup { id: id.clone(), tags, data, ..NewBackup::of_live(request.kind, source) };
            let description = format!("backup of {}", request.kind);
            let sealed = NewSealed { backups: vec![backup], manual: true, description, tags: request.tags };
            tx.seal_backups_as(PointId(id.clone()), origin, None, sealed)?;
            let backup = backup_row(tx, &id)?.ok_or_else(|| no_backup(&id))?;
            tx.events().append(EventKind::BackupCreated, backup_details(&backup))?;
            Ok(Outcome::Commit(backup))
        })
    }

    /// The backups, newest first, of one kind or of all.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn backups(&self, kind: Option<Kind>) -> Result<Vec<Backup>> {
        let view = self.view()?;
        let rows = scan_rows(&view, Table::Backups, KeyRange::all());
        let mut backups = rows.map(|row| codec::decode::<Backup>(&row?.1)).collect::<Result<Vec<_>>>()?;
        backups.retain(|backup| kind.is_none_or(|kind| backup.backup_type == kind));
        backups.sort_by(|a, b| (b.timestamp, b.epoch, &b.backup_id).cmp(&(a.timestamp, a.epoch, &a.backup_id)));
        Ok(backups)
    }

    /// The backup with that id, or the only one whose id begins with it.
    ///
    /// # Errors
    ///
    /// `NotFound`, or `Ambiguous` when several ids begin with it.
    pub fn find_backup(&self, id: &str) -> Result<Backup> {
        let view = self.view()?;
        find_backup(&view, id)?.ok_or_else(|| no_backup(id))
    }

    /// The restore point with exactly that id, and its backups. The point of a single backup does not count.
    ///
    /// # Errors
    ///
    /// `NotFound`, also when ids only begin with it; `Damaged`, `Reopen`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// let made = store.restore_point("before the night")?;
    /// let (point, backups) = store.point_with_backups(&made.id.0)?;
    /// assert_eq!((point.description.as_str(), backups.len()), ("before the night", 3));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn point_with_backups(&self, id: &str) -> Result<(Point, Vec<Backup>)> {
        let found = match self.find_point(Selector::Id(id.to_owned())) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Ambiguous | ErrorKind::Gone) => None,
            found => found?,
        };
        let is_it = |point: &Point| point.given_id().is_some_and(|own| own.0 == id) && !point.is_backup();
        let missing = || Error::not_found(format!("Restore point {id} not found"));
        let point = found.filter(is_it).ok_or_else(missing)?;
        let view = self.view()?;
        let backups = point.backups.iter().filter_map(|id| backup_row(&view, id).transpose());
        let backups = backups.collect::<Result<_>>()?;
        Ok((point, backups))
    }

    /// The content of a backup: the document as it was provided, or live state as `get KIND --json` shows it. It has
    /// been verified against the backup's checksum.
    ///
    /// # Errors
    ///
    /// `Gone` when its point was forgotten, `Damaged` when the content does not match the checksum.
    pub fn backup_data(&self, backup: &Backup) -> Result<Value> {
        content(&self.view_at(backup.epoch)?, backup)?.ok_or_else(|| damaged(backup))
    }
}

impl WriteTx<'_> {
    /// Stores the documents among some backups, seals the point with an id, an origin and a time, and lists the
    /// backups.
    pub(crate) fn seal_backups_as(
        &mut self,
        id: PointId,
        origin: Origin,
        at: Option<Timestamp>,
        new: NewSealed,
    ) -> Result<(Epoch, Manifest)> {
        let now = self.now();
        let at = at.unwrap_or(now);
        let epoch = self.epochs().open;
        let ids = new.backups.iter().map(|backup| backup.id.clone()).collect();
        for new in new.backups {
            let backup = self.list_backup(new, epoch, at)?;
            self.put_row(Table::Backups, backup.backup_id.as_bytes(), &codec::encode(&backup)?)?;
        }
        self.seal(NewPoint {
            id,
            at,
            origin,
            manual: new.manual,
            backups: ids,
            description: new.description,
            tags: new.tags,
            undoes: None,
        })
    }

    fn list_backup(&mut self, new: NewBackup, epoch: Epoch, at: Timestamp) -> Result<Backup> {
        let (size_bytes, item_count, checksum) = match &new.data {
            None => live_summary(self, new.kind)?,
            Some(data) => {
                self.documents().put_prepared(new.kind.as_str(), &new.source, data)?;
                let PythonSummary { bytes, checksum } = data.summary().clone();
                (bytes, data.items(), checksum)
            }
        };
        let file_checksum = new.file_checksum.filter(|file| *file != checksum);
        Ok(Backup {
            backup_id: new.id,
            backup_type: new.kind,
            timestamp: new.at.unwrap_or(at),
            source: new.source,
            size_bytes,
            item_count,
            checksum,
            tags: new.tags,
            of: if new.data.is_some() { BackupOf::Documents } else { BackupOf::Live },
            file_checksum,
            original_time: new.original_time,
            epoch,
        })
    }
}

/// The bytes, records and checksum of live state. The checksum is the SHA-256 of the compact JSON of the kind's
/// collections by name. It covers their digests and costs the same at any size.
fn live_summary<R: Records>(records: &R, kind: Kind) -> Result<(u64, u64, String)> {
    let names = names(records)?;
    let collections: Vec<_> = match kind.collection() {
        Some(collection) => vec![collection],
        None => names.ids().collect(),
    };
    let (mut bytes, mut items, mut canonical) = (0, 0, BTreeMap::new());
    for collection in collections {
        let stats = records.stats(collection)?;
        if kind != Kind::Full || stats.count > 0 {
            bytes += stats.bytes;
            items += stats.count;
            canonical.insert(names.of(collection), stats);
        }
    }
    let canonical = serde_json::to_vec(&canonical).map_err(|source| Error::invalid("a name").with_source(source))?;
    Ok((bytes, items, sha256(&canonical)))
}

/// The content of a backup; none if it does not match the checksum.
pub(crate) fn content(view: &View, backup: &Backup) -> Result<Option<Value>> {
    match backup.of {
        BackupOf::Live => live_data(view, backup),
        BackupOf::Documents => document_data(view, backup),
    }
}

fn live_data(view: &View, backup: &Backup) -> Result<Option<Value>> {
    let is_it = live_summary(view, backup.backup_type)?.2 == backup.checksum;
    is_it.then(|| kind_data(view, backup.backup_type)).transpose()
}

/// The live state of a kind as `get KIND --json` shows it: bots and tasks by id, the tasks of each bot, or all three by
/// name.
pub(crate) fn kind_data(view: &View, kind: Kind) -> Result<Value> {
    let mut data = Map::new();
    let mut seen = 0;
    match kind {
        Kind::Registry => {
            for bot in view.registry().list() {
                let bot = bot?;
                data.insert(bot.id.to_string(), to_json(&bot)?);
                seen += 1;
            }
        }
        Kind::Queue => {
            for task in view.queue().list() {
                let task = task?;
                data.insert(task.id.to_string(), to_json(&task)?);
                seen += 1;
            }
        }
        Kind::BotAssignments => {
            for assignment in view.assignments().list() {
                let assignment = assignment?;
                let tasks = data.entry(assignment.bot.to_string()).or_insert_with(|| Value::Array(Vec::new()));
                tasks.as_array_mut().into_iter().for_each(|tasks| tasks.push(assignment.task.to_string().into()));
                seen += 1;
            }
        }
        Kind::Full => {
            for part in Kind::PARTS {
                data.insert(part.as_str().into(), kind_data(view, part)?);
            }
        }
    }
    if let Some(collection) = kind.collection()
        && seen != view.stats(collection)?.count
    {
        return Err(Error::damaged(format!("records are missing; run hivekeep check: type={kind}")));
    }
    Ok(Value::Object(data))
}

fn to_json<T: Serialize>(record: &T) -> Result<Value> {
    serde_json::to_value(record)
        .map_err(|source| Error::damaged("a record cannot be shown as JSON").with_source(source))
}

fn document_data(view: &View, backup: &Backup) -> Result<Option<Value>> {
    let data = view.documents().get(backup.backup_type.as_str(), &backup.source)?;
    Ok(data.filter(|data| sha256(json::python_text(data).as_bytes()) == backup.checksum))
}

/// The row of a backup.
pub(crate) fn backup_row<R: Records>(records: &R, id: &str) -> Result<Option<Backup>> {
    records.row(Table::Backups, id.as_bytes())?.map(|bytes| codec::decode(&bytes)).transpose()
}

/// The backup with that id, or the only one whose id begins with it.
pub(crate) fn find_backup<R: Records>(records: &R, id: &str) -> Result<Option<Backup>> {
    if let Some(backup) = backup_row(records, id)? {
        return Ok(Some(backup));
    }
    let found = records.rows(Table::Backups, &KeyRange::prefix(id.as_bytes()), 2)?;
    match found.as_slice() {
        [] => Ok(None),
        [(_, bytes)] if id.len() >= 4 => Ok(Some(codec::decode(bytes)?)),
        _ => Err(Error::new(
            ErrorKind::Ambiguous,
            format!("several backup ids begin with this; type more of the id: id={id}"),
        )),
    }
}

/// The details of a backup in events.
pub(crate) fn backup_details(backup: &Backup) -> Value {
    json!({
        "backup_id": backup.backup_id, "type": backup.backup_type, "size_bytes": backup.size_bytes,
        "checksum": backup.checksum,
    })
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn no_backup(id: &str) -> Error {
    Error::not_found(format!("Backup {id} not found"))
}

pub(crate) fn damaged(backup: &Backup) -> Error {
    Error::damaged(format!(
        "the content of a backup does not match its checksum; run hivekeep check: id={} type={}",
        backup.backup_id, backup.backup_type
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_backup_are_fixed_and_are_decoded_again() {
        let backup = Backup {
            backup_id: "i".into(),
            backup_type: Kind::BotAssignments,
            timestamp: Timestamp::from_microsecond(1).unwrap(),
            source: "s".into(),
            size_bytes: 2,
            item_count: 3,
            checksum: "c".into(),
            tags: BTreeMap::from([("k".into(), "v".into())]),
            of: BackupOf::Documents,
            file_checksum: Some("f".into()),
            original_time: Some("o".into()),
            epoch: Epoch(4),
        };
        let bytes = codec::encode(&backup).unwrap();
        assert_eq!(bytes, b"\x01\x01i\x02\x02\x01s\x02\x03\x01c\x01\x01k\x01v\x01\x01\x01f\x01\x01o\x04");
        assert_eq!(codec::decode::<Backup>(&bytes).unwrap(), backup);
    }

    #[test]
    fn a_kind_is_parsed_in_any_case() {
        assert_eq!("Bot_Assignments".parse::<Kind>().unwrap(), Kind::BotAssignments);
        assert_eq!("tasks".parse::<Kind>().unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn altered_content_is_damage_and_never_returned() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        let data = json!({"BOT-1": {"port": 1}});
        let backup = store.backup(BackupRequest::new(Kind::Registry).data(data.clone())).unwrap();
        assert_eq!(store.backup_data(&backup).unwrap(), data);
        let other = Backup { checksum: sha256(b"other"), ..backup };
        assert_eq!(store.backup_data(&other).unwrap_err().kind(), ErrorKind::Damaged);
        let live = store.backup(BackupRequest::new(Kind::Full)).unwrap();
        assert!(store.backup_data(&live).unwrap()["registry"].is_object());
        let other = Backup { checksum: sha256(b"other"), ..live };
        assert_eq!(store.backup_data(&other).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn the_checksum_and_size_of_a_document_are_those_of_its_python_text() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        let data = json::parse(br#"{"BOT-1": {"port": 8001}}"#).unwrap();
        let backup = store.backup(BackupRequest::new(Kind::Registry).data(data)).unwrap();
        let text = "{\n  \"BOT-1\": {\n    \"port\": 8001\n  }\n}";
        assert_eq!(
            (backup.size_bytes, backup.checksum.as_str()),
            (text.len() as u64, sha256(text.as_bytes()).as_str())
        );
        assert_eq!((backup.item_count, backup.source.as_str()), (1, "backup-registry"));
    }
}
